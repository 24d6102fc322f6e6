//! How a request gets to the handler and its answer back: by the reverse proxy of the real host
//! (`enableProxyingHttpRequest`), which uses .NET's HTTP client.

pub mod outgoing;

use std::{
    cell::Cell,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpStream, tcp::OwnedWriteHalf},
    time::{sleep, timeout},
};

use crate::{
    limits::Limits,
    proxy::outgoing::{Outgoing, is_of_one_connection},
    wire::{
        answer::{chunk, write_all},
        message::{Answer, Framing, Request, is_plain, reason},
        reader::{Body, Reader},
    },
    worker::gate::{ADDRESS, Gate},
};

/// How long to wait after each failure of a proxied request but the last, in milliseconds.
const PAUSES: [u64; 9] = [50, 100, 200, 250, 250, 250, 250, 250, 250];

/// If the handler closes the connection without an answer, .NET's client sends a request without a
/// body again, on a new connection. After so many of them the attempt has failed (row "answer: none,
/// closed at once").
const CONNECTIONS: usize = 4;

/// What the handler may say in all its headers together (row "answer: 70 KB header").
const LONGEST_HEAD: usize = 64 * 1024;

/// The handler as calls see it.
pub struct Handler {
    gate: Gate,
    limits: Limits,
    /// To be used again, the one used last at the end.
    idle: Mutex<Vec<Connection>>,
}

struct Connection {
    reader: Reader,
    write: OwnedWriteHalf,
    last_used: Instant,
}

/// The start of the handler that a call was sent to first.
pub type FirstStart = Cell<Option<u64>>;

/// An answer whose body is still to come.
pub struct Download {
    connection: Connection,
    framing: Framing,
    can_stay: bool,
    inactivity: Duration,
}

enum Failure {
    /// The handler has closed the connection without a byte.
    Unanswered,
    /// Something else went wrong between host and handler. Another attempt may help.
    Broken,
    /// The client's body broke off, or time is up. Another attempt can't help.
    Lasting,
}

impl Handler {
    pub fn new(gate: Gate, limits: Limits) -> Self {
        Self {
            gate,
            limits,
            idle: Mutex::default(),
        }
    }

    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Closes the connections that have been idle for long.
    pub fn close_idle(&self) {
        self.idle()
            .retain(|idle| idle.last_used.elapsed() < self.limits.idle);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a request on, again and again if need be, and gives the answer, with what is to come
    /// of it. None if none can be had: the real host then says 500.
    pub async fn ask(
        &self,
        request: &Request,
        body: &mut Body<'_>,
        first_start: &FirstStart,
    ) -> Option<(Answer, Option<Download>)> {
        let outgoing = Outgoing::new(request);
        let mut pauses = PAUSES.iter();
        let (mut answer, download) = loop {
            match self.attempt(&outgoing, request, body, first_start).await {
                Ok(received) => break received,
                Err(Failure::Lasting) => return None,
                Err(_) => sleep(Duration::from_millis(*pauses.next()?)).await,
            }
        };
        let is_upgrade = answer.status == 101;
        // What the real host makes of a 101 for which nobody has asked is not verified.
        if is_upgrade && !outgoing.asks_for_upgrade()
            || !answer.headers.iter().all(|(_, value)| is_plain(value))
        {
            return None;
        }
        if !is_upgrade {
            answer.headers.retain(|name| !is_of_one_connection(name));
        }
        if download.framing == Framing::CHUNKS {
            // Measured: "Content-Length: 3 beside chunks of 5 bytes".
            answer.headers.remove("content-length");
        }
        if download.framing == Framing::NONE && !is_upgrade {
            self.keep(download);
            return Some((answer, None));
        }
        Some((answer, Some(download)))
    }

    /// Takes the connection back for the next call, if it can be used again.
    pub fn keep(&self, download: Download) {
        let mut connection = download.connection;
        if download.can_stay && !connection.reader.has_unread() {
            connection.last_used = Instant::now();
            self.idle().push(connection);
        }
    }

    /// One attempt of .NET's HTTP client.
    async fn attempt(
        &self,
        outgoing: &Outgoing,
        request: &Request,
        body: &mut Body<'_>,
        first_start: &FirstStart,
    ) -> Result<(Answer, Download), Failure> {
        let mut result = Err(Failure::Unanswered);
        for _ in 0..CONNECTIONS {
            let start = self.gate.start().await.ok_or(Failure::Broken)?;
            first_start.set(first_start.get().or(Some(start)));
            result = self.exchange(outgoing, request, body).await;
            if outgoing.has_content || !matches!(result, Err(Failure::Unanswered)) {
                break;
            }
        }
        result
    }

    async fn exchange(
        &self,
        outgoing: &Outgoing,
        request: &Request,
        body: &mut Body<'_>,
    ) -> Result<(Answer, Download), Failure> {
        let has_body = request.length() != Some(0);
        if has_body && body.is_begun() {
            return Err(Failure::Broken);
        }
        let mut connection = self.connection().await?;
        let head = outgoing.head(&format!("{ADDRESS}:{}", self.gate.port));
        if !head.is_ascii() {
            return Err(Failure::Broken);
        }
        self.in_time(write_all(&connection.write, head.as_bytes()))
            .await?;
        // As .NET's client does, all is sent before any of the answer is looked at.
        let mut is_sent = !has_body;
        while !is_sent {
            let piece = self.in_time(body.piece()).await;
            let piece = piece.map_err(|_| Failure::Lasting)?;
            is_sent = piece.is_empty();
            let piece = match request.length() {
                Some(_) => piece,
                None => chunk(&piece),
            };
            self.in_time(write_all(&connection.write, &piece)).await?;
        }
        match self.in_time(connection.reader.has_more()).await {
            Ok(true) => {}
            Ok(false) => return Err(Failure::Unanswered),
            Err(failure) => return Err(failure),
        }
        let is_head = outgoing.is_head();
        let (answer, framing, can_stay) = loop {
            let head = self.in_time(answer_head(&mut connection.reader, is_head));
            let head = head.await?;
            // Rows "answer: 100 first", "answer: 103 first".
            if !(100..200).contains(&head.0.status) || head.0.status == 101 {
                break head;
            }
        };
        let download = Download {
            connection,
            framing,
            can_stay,
            inactivity: self.limits.inactivity,
        };
        Ok((answer, download))
    }

    /// A connection that is idle, or a new one.
    async fn connection(&self) -> Result<Connection, Failure> {
        loop {
            let Some(idle) = self.idle().pop() else { break };
            if idle.last_used.elapsed() < self.limits.idle && idle.reader.is_silent() {
                return Ok(idle);
            }
        }
        let stream = self.in_time(TcpStream::connect((ADDRESS, self.gate.port)));
        let stream = stream.await?;
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        Ok(Connection {
            reader: Reader::new(read),
            write,
            last_used: Instant::now(),
        })
    }

    /// A call may go without a byte in either direction for so long.
    async fn in_time<T>(&self, step: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
        match timeout(self.limits.inactivity, step).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(Failure::Broken),
            Err(_) => Err(Failure::Lasting),
        }
    }
}

impl Download {
    /// The next piece, empty at the end.
    pub async fn piece(&mut self) -> io::Result<Vec<u8>> {
        let piece = self.connection.reader.piece(&mut self.framing);
        timeout(self.inactivity, piece).await?
    }

    /// After a 101 bytes go both ways until one side closes, and the connection is used for nothing
    /// else (measured: "Connection: Upgrade").
    pub async fn tunnel(self, client_reader: &mut Reader, client_write: &OwnedWriteHalf) {
        let Connection {
            mut reader, write, ..
        } = self.connection;
        let count = Cell::new(0_u64);
        let silence = async {
            loop {
                let before = count.get();
                sleep(self.inactivity).await;
                if count.get() == before {
                    return;
                }
            }
        };
        tokio::select! {
            _ = copy(client_reader, &write, &count) => {}
            _ = copy(&mut reader, client_write, &count) => {}
            () = silence => {}
        }
    }
}

async fn copy(from: &mut Reader, to: &OwnedWriteHalf, count: &Cell<u64>) -> io::Result<()> {
    loop {
        let piece = from.piece(&mut Framing::UntilClosed).await?;
        if piece.is_empty() {
            return Ok(());
        }
        write_all(to, &piece).await?;
        count.set(count.get() + 1);
    }
}
/// Reads status and headers; says where the body ends and if the connection may be used again.
async fn answer_head(reader: &mut Reader, is_head: bool) -> io::Result<(Answer, Framing, bool)> {
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    let line = reader.line(LONGEST_HEAD).await?;
    let line = latin1(line);
    let rest = line.strip_prefix("HTTP/1.").ok_or_else(broken)?;
    let (version, rest) = rest.split_once(' ').ok_or_else(broken)?;
    let (status, words) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_status = status.len() == 3 && status.bytes().all(|digit| digit.is_ascii_digit());
    let status = status.parse().ok().filter(|_| is_status);
    let mut answer = Answer::empty(status.ok_or_else(broken)?);
    // Row "answer: no reason".
    answer.reason = match words {
        "" => reason(answer.status).to_owned(),
        words => words.to_owned(),
    };
    let text = |bytes: &[u8]| Some(latin1(bytes));
    answer.headers = reader.headers(LONGEST_HEAD, text).await?;
    let headers = &answer.headers;
    let length = headers.get("content-length");
    let framing = if is_head || matches!(answer.status, 100..200 | 204 | 304) {
        Framing::NONE
    } else if headers.lists("transfer-encoding", "chunked") {
        Framing::CHUNKS
    } else if let Some(length) = length.and_then(|length| length.parse().ok()) {
        Framing::Length(length)
    } else {
        Framing::UntilClosed
    };
    let can_stay = (version != "0" || headers.lists("connection", "keep-alive"))
        && !headers.lists("connection", "close");
    Ok((answer, framing, can_stay))
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
