//! An answer, and how it is sent to the client: as Kestrel does it (rows of the kinds answer and
//! connection).

use std::{
    cell::RefCell,
    future::pending,
    io,
    rc::Rc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{io::AsyncWriteExt as _, net::tcp::OwnedWriteHalf, time::timeout};

use crate::{
    http::{Framing, Headers, Reader, chunk},
    limits::Place,
    request::Request,
    worker::Call,
};

pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub headers: Headers,
    pub content: Content,
    /// Close the connection, and tell the client by `Connection: close`.
    pub closes: bool,
}

pub enum Content {
    Whole(Vec<u8>),
    Streamed(Box<Download>),
}

impl Answer {
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            reason: reason(status).to_owned(),
            headers: Headers::default(),
            content: Content::Whole(Vec::new()),
            closes: false,
        }
    }

    /// The connection is closed after it.
    pub fn last(status: u16) -> Self {
        Self {
            closes: true,
            ..Self::empty(status)
        }
    }

    pub fn text(status: u16, kind: &str, text: impl Into<Vec<u8>>) -> Self {
        let mut answer = Self::empty(status);
        answer.headers.add("Content-Type", kind);
        answer.content = Content::Whole(text.into());
        answer
    }
}

/// A connection to the handler.
pub struct Connection {
    pub reader: Reader,
    pub write: OwnedWriteHalf,
    pub last_used: Instant,
    pub port: u16,
}

/// Idle connections to the handler, to be used again.
pub type Idle = Rc<RefCell<Vec<Connection>>>;

/// An answer whose body is still to come.
pub struct Download {
    pub connection: Option<Connection>,
    pub framing: Framing,
    pub inactivity: Duration,
    /// Where the connection goes when the body has come, if it can be used again.
    pub idle: Option<Idle>,
    /// The call lasts until its answer has ended.
    pub call: Option<Call>,
    pub place: Option<Place>,
}

impl Download {
    /// The next piece, empty at the end.
    pub async fn piece(&mut self) -> io::Result<Vec<u8>> {
        let Some(connection) = &mut self.connection else {
            return Ok(Vec::new());
        };
        let piece = connection.reader.piece(&mut self.framing);
        let expires = async {
            match &self.place {
                Some(place) => place.expires().await,
                None => pending().await,
            }
        };
        let piece = tokio::select! {
            piece = timeout(self.inactivity, piece) => piece??,
            () = expires => {
                if let Some(call) = &self.call {
                    call.gate.restart();
                }
                return Err(io::ErrorKind::TimedOut.into());
            }
        };
        if piece.is_empty() {
            self.finish();
        }
        Ok(piece)
    }

    pub fn finish(&mut self) {
        let connection = self.connection.take();
        if let (Some(mut connection), Some(idle)) = (connection, self.idle.take())
            && !connection.reader.has_unread()
        {
            connection.last_used = Instant::now();
            idle.borrow_mut().push(connection);
        }
    }
}

/// Sends the answer to a request, or, for none, to what is not one. False if the connection is to be
/// closed.
pub async fn send(
    write: &mut OwnedWriteHalf,
    request: Option<&Request>,
    mut answer: Answer,
) -> io::Result<bool> {
    let is_head = request.is_some_and(|request| request.method.eq_ignore_ascii_case("HEAD"));
    let is_old = request.is_some_and(|request| request.is_old);
    let has_body = !is_head && !matches!(answer.status, 204 | 205 | 304);
    let mut closes = answer.closes || answer.headers.lists("connection", "close");
    let mut in_chunks = false;
    if answer.status == 204 {
        answer.headers.remove("content-length");
    }
    if !answer.headers.has("content-length") && !matches!(answer.status, 204 | 205 | 304) {
        match &answer.content {
            // Rows "method: HEAD", "outside: home, HEAD…".
            Content::Whole(bytes) if is_head && bytes.is_empty() => {}
            Content::Whole(bytes) => {
                let length = bytes.len().to_string();
                answer.headers.add("Content-Length", length);
            }
            // Without a length and without chunks the body ends with the connection.
            Content::Streamed(_) if is_head => {}
            Content::Streamed(_) if is_old => closes = true,
            Content::Streamed(_) => {
                in_chunks = true;
                answer.headers.add("Transfer-Encoding", "chunked");
            }
        }
    }
    if answer.closes {
        answer.headers.set("Connection", "close");
    } else if is_old && !closes {
        answer.headers.set("Connection", "keep-alive");
    }
    if !answer.headers.has("date") {
        let now = httpdate::fmt_http_date(SystemTime::now());
        answer.headers.add("Date", now);
    }
    if !answer.headers.has("server") {
        answer.headers.add("Server", "Kestrel");
    }
    let mut first = format!("HTTP/1.1 {} {}\r\n", answer.status, answer.reason);
    first += &answer.headers.lines();
    first += "\r\n";
    let mut bytes = first.into_bytes();
    match answer.content {
        Content::Whole(body) => {
            if has_body {
                bytes.extend(body);
            }
            write.write_all(&bytes).await?;
        }
        Content::Streamed(mut download) => {
            write.write_all(&bytes).await?;
            loop {
                let piece = download.piece().await?;
                let is_last = piece.is_empty();
                if in_chunks {
                    write.write_all(&chunk(&piece)).await?;
                } else {
                    write.write_all(&piece).await?;
                }
                if is_last {
                    break;
                }
            }
        }
    }
    Ok(!closes)
}

/// What a status that the host itself gives is called.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        414 => "URI Too Long",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}
