//! How a request gets to the handler and its answer back: by the reverse proxy of the real host
//! (`enableProxyingHttpRequest`), which uses .NET's HTTP client. What that makes of a request is in
//! the recordings, row by row.

use std::{
    io,
    net::Ipv4Addr,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::{
    answer::{Answer, Connection, Content, Download, Idle, reason},
    host_json::HostJson,
    http::{Framing, Headers, METHODS, Reader, chunk, is_plain},
    request::{Body, Request, escape},
    worker::{Call, Gate},
};

/// The version of the host that was recorded.
pub const HOST_VERSION: &str = "4.1037.0.0";

/// How long to wait after each failure of a proxied request but the last, in milliseconds.
const PAUSES: [u64; 9] = [50, 100, 200, 250, 250, 250, 250, 250, 250];

/// If the handler closes the connection without an answer, .NET's client sends a request without a
/// body again, on a new connection. After so many of them the attempt has failed (row "answer: none,
/// closed at once").
const CONNECTIONS: usize = 4;

/// How long the client keeps an idle connection to the handler.
const IDLE: Duration = Duration::from_secs(60);

/// What the handler may say in all its headers together (row "answer: 70 KB header").
const LONGEST_HEAD: usize = 64 * 1024;

/// Headers that a proxied request and its answer leave behind.
const OF_ONE_CONNECTION: [&str; 17] = [
    "alpn",
    "alt-svc",
    "close",
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "proxy-features",
    "proxy-instruction",
    "security-scheme",
    "te",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
];

/// Headers that a proxied request has from the host alone.
const OF_THE_HOST: [&str; 9] = [
    "forwarded",
    "host",
    "x-azure-functions-hostversion",
    "x-azure-functions-invocationid",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-ms-invocation-id",
];

/// Headers that .NET takes to be the body's (rows "header: content headers without a body").
const OF_THE_BODY: [&str; 11] = [
    "allow",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "expires",
    "last-modified",
];

pub struct Forwarder {
    gate: Gate,
    inactivity: Duration,
    idle: Idle,
}

/// A request as the handler gets it.
struct Outgoing {
    /// The method, and what is asked for.
    line: String,
    headers: Headers,
    /// With a content, even an empty one, .NET's client sends the request only once.
    has_content: bool,
}

enum Failure {
    /// The handler has closed the connection without a byte.
    Unanswered,
    /// Something else went wrong between host and handler. Another attempt may help.
    Broken,
    /// The client's body broke off, or time is up. Another attempt can't help.
    Lasting,
}

impl Forwarder {
    /// A call may go without a byte in either direction for `inactivity`.
    pub fn new(gate: Gate, inactivity: Duration) -> Self {
        Self {
            gate,
            inactivity,
            idle: Rc::default(),
        }
    }

    /// Passes a request on when it is its turn: 429 if too many are waiting already. Whatever else
    /// goes wrong, the client gets a 500 without a body. A handler that takes too long is killed
    /// and started again.
    pub async fn forward(
        &self,
        host_json: &HostJson,
        request: &Request,
        body: &mut Body<'_>,
    ) -> Answer {
        let Some(place) = host_json.limits.place().await else {
            return Answer::empty(429);
        };
        let answer = async {
            let call = self.gate.enter().await;
            self.proxy(request, body, call).await
        };
        let answer = tokio::select! {
            answer = answer => answer,
            () = place.expires() => {
                self.gate.restart();
                None
            }
        };
        let is_sound = |answer: &Answer| answer.headers.iter().all(|(_, value)| is_plain(value));
        let mut answer = answer
            .filter(is_sound)
            .unwrap_or_else(|| Answer::empty(500));
        if let Content::Streamed(download) = &mut answer.content {
            download.place = Some(place);
        }
        answer
    }

    async fn proxy(&self, request: &Request, body: &mut Body<'_>, call: Call) -> Option<Answer> {
        let outgoing = proxied(request);
        let mut pauses = PAUSES.iter();
        let (mut answer, mut download) = loop {
            match self.attempt(&outgoing, request, body, &call).await {
                Ok(received) => break received,
                Err(Failure::Lasting) => return None,
                Err(_) => sleep(Duration::from_millis(*pauses.next()?)).await,
            }
        };
        answer
            .headers
            .retain(|name| !is_one_of(name, &OF_ONE_CONNECTION));
        if download.framing != Framing::NONE {
            download.call = Some(call);
            answer.content = Content::Streamed(Box::new(download));
        } else {
            download.finish();
        }
        Some(answer)
    }

    /// One attempt of .NET's HTTP client.
    async fn attempt(
        &self,
        outgoing: &Outgoing,
        request: &Request,
        body: &mut Body<'_>,
        call: &Call,
    ) -> Result<(Answer, Download), Failure> {
        let mut result = Err(Failure::Unanswered);
        for _ in 0..CONNECTIONS {
            let port = call.port().await.ok_or(Failure::Broken)?;
            result = self.exchange(outgoing, request, body, port).await;
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
        port: u16,
    ) -> Result<(Answer, Download), Failure> {
        let has_body = request.length() != Some(0);
        if has_body && body.is_begun() {
            return Err(Failure::Broken);
        }
        let mut connection = self.connection(port).await?;
        let head = format!(
            "{} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{}\r\n",
            outgoing.line,
            outgoing.headers.lines()
        );
        if !head.is_ascii() {
            return Err(Failure::Broken);
        }
        self.in_time(connection.write.write_all(head.as_bytes()))
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
            self.in_time(connection.write.write_all(&piece)).await?;
        }
        match self.in_time(connection.reader.has_more()).await {
            Ok(true) => {}
            Ok(false) => return Err(Failure::Unanswered),
            Err(failure) => return Err(failure),
        }
        let is_head = outgoing.line.starts_with("HEAD ");
        let (answer, framing, can_stay) = loop {
            let head = self.in_time(answer_head(&mut connection.reader, is_head));
            let head = head.await?;
            // Rows "answer: 100 first", "answer: 103 first".
            if !(100..200).contains(&head.0.status) || head.0.status == 101 {
                break head;
            }
        };
        let closes = outgoing.headers.lists("connection", "close") || !can_stay;
        let download = Download {
            connection: Some(connection),
            framing,
            inactivity: self.inactivity,
            idle: (!closes).then(|| Rc::clone(&self.idle)),
            call: None,
            place: None,
        };
        Ok((answer, download))
    }

    /// A connection that is idle, or a new one.
    async fn connection(&self, port: u16) -> Result<Connection, Failure> {
        while let Some(idle) = self.idle.borrow_mut().pop() {
            let is_fresh = idle.last_used.elapsed() < IDLE && idle.port == port;
            if is_fresh && idle.reader.is_silent() {
                return Ok(idle);
            }
        }
        let stream = self.in_time(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
        let stream = stream.await?;
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        Ok(Connection {
            reader: Reader::new(read),
            write,
            last_used: Instant::now(),
            port,
        })
    }

    async fn in_time<T>(&self, step: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
        match timeout(self.inactivity, step).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(Failure::Broken),
            Err(_) => Err(Failure::Lasting),
        }
    }
}

/// Reads status and headers; says where the body ends and if the connection may be used again.
async fn answer_head(reader: &mut Reader, is_head: bool) -> io::Result<(Answer, Framing, bool)> {
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    let line = reader.line(LONGEST_HEAD).await?;
    let line = latin1(&line);
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

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The request to the handler.
fn proxied(request: &Request) -> Outgoing {
    let mut headers = joined(&request.headers, |name| {
        !is_one_of(name, &OF_ONE_CONNECTION) && !is_one_of(name, &OF_THE_HOST)
    });
    let id = Uuid::new_v4().to_string();
    headers.add("X-Azure-Functions-HostVersion", HOST_VERSION);
    headers.add("X-Azure-Functions-InvocationId", id.clone());
    headers.add("x-ms-invocation-id", id);
    headers.add("X-Forwarded-For", request.client.to_string());
    headers.add("X-Forwarded-Host", request.host());
    headers.add("X-Forwarded-Proto", "http");
    // Rows "header: upgrade websocket", "header: upgrade h2c".
    if request.headers.lists("connection", "upgrade")
        && request.headers.lists("upgrade", "websocket")
    {
        headers.add("Connection", "Upgrade");
        headers.add("Upgrade", "websocket");
    }
    let has_content = request.length() != Some(0)
        || headers
            .iter()
            .any(|(name, _)| is_one_of(name, &OF_THE_BODY));
    let method = known_method(&request.method);
    add_framing(&mut headers, request, &method, has_content);
    Outgoing {
        line: format!(
            "{method} {}{}",
            encoded_path(&request.path),
            encoded_query(&request.query)
        ),
        headers,
        has_content,
    }
}

/// .NET writes these in capitals however they came (rows "method: get", "method: Get").
fn known_method(method: &str) -> String {
    let known = METHODS
        .iter()
        .find(|known| known.eq_ignore_ascii_case(method));
    (*known.unwrap_or(&method)).to_owned()
}

/// Each name once: .NET joins the values (row "header: cookies twice").
fn joined(headers: &Headers, keep: impl Fn(&str) -> bool) -> Headers {
    let mut joined = Headers::default();
    for (name, value) in headers.iter().filter(|(name, _)| keep(name)) {
        let separator = match name.to_ascii_lowercase().as_str() {
            "cookie" => "; ",
            "user-agent" => " ",
            _ => ", ",
        };
        append(&mut joined, name, separator, value);
    }
    joined
}

fn append(headers: &mut Headers, name: &str, separator: &str, value: &str) {
    let value = match headers.get(name) {
        Some(before) => format!("{before}{separator}{value}"),
        None => value.to_owned(),
    };
    headers.set(name, value);
}

fn add_framing(headers: &mut Headers, request: &Request, method: &str, has_content: bool) {
    headers.remove("content-length");
    match request.length() {
        None => headers.add("Transfer-Encoding", "chunked"),
        // Rows "body: none, no length", "header: content type without a body".
        Some(0)
            if !has_content
                && matches!(method, "CONNECT" | "DELETE" | "GET" | "HEAD" | "OPTIONS") => {}
        Some(length) => headers.add("Content-Length", length.to_string()),
    }
}

/// Escapes a path. Of the escapes that are left in it the % is escaped.
fn encoded_path(path: &str) -> String {
    escaped(path, |byte, _| {
        is_unreserved(byte) || b"!$&'()*+,/:;=@".contains(&byte)
    })
}

/// The query as .NET's `Uri` writes it (rows "path: query with odd bytes", "path: query broken
/// escape", "path: key in query escaped").
fn encoded_query(query: &str) -> String {
    let mut plain = String::new();
    let mut rest = query;
    while let Some(next) = rest.chars().next() {
        match escape(rest).filter(|byte| is_unreserved(*byte)) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &rest[3..];
            }
            None => {
                plain.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    escaped(&plain, |byte, rest| {
        is_unreserved(byte)
            || b"!$&'()*+,/:;=?@[]".contains(&byte)
            || byte == b'%' && escape(rest).is_some()
    })
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Escapes each byte unless `stays` says otherwise, which gets the byte and the text from it on.
fn escaped(text: &str, stays: impl Fn(u8, &str) -> bool) -> String {
    text.bytes()
        .enumerate()
        .map(
            |(at, byte)| match stays(byte, text.get(at..).unwrap_or_default()) {
                true => char::from(byte).to_string(),
                false => format!("%{byte:02X}"),
            },
        )
        .collect()
}
