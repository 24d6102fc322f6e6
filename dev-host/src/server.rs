//! The host's own server. What it makes of a request is what the real host's server, Kestrel,
//! makes of it: the rows of the kinds path, method, header, version and connection.

use std::{
    future::pending,
    io,
    net::{IpAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpStream, tcp::OwnedWriteHalf},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::spawn_local,
    time::{sleep, timeout},
};

use crate::{
    forward::Forwarder,
    host::{Answer, Content, Host},
    http::{Framing, Headers, Reader, chunk, header, is_token},
    reload::Reload,
    worker::Worker,
};

/// How long Kestrel waits for the next request on a connection, and for the whole of its head.
const KEEP_ALIVE: Duration = Duration::from_secs(130);
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How long Kestrel reads a body that nobody wants, to keep the connection.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// What Kestrel takes: a request line, all headers together (row "header: 31 KB"), and how many
/// they are (rows "header: 99 headers", "header: 120 headers").
const LONGEST_LINE: usize = 8 * 1024;
const LONGEST_HEADERS: usize = 32 * 1024;
const MOST_HEADERS: usize = 100;

/// The longest body that a function gets (row "body: 104857600").
pub const LONGEST_BODY: u64 = 104_857_600;

/// How long a client that still sends a body has to read why it is not wanted.
const LAST_WORDS: Duration = Duration::from_millis(200);

pub struct Request {
    pub method: String,
    /// Without escapes, but for `%2F`, and without dot segments.
    pub path: String,
    /// As it came, with the question mark; or empty.
    pub query: String,
    pub headers: Headers,
    pub client: IpAddr,
    framing: Framing,
    is_old: bool,
    stays_open: bool,
}

impl Request {
    /// The name by which the client calls the host; empty if it says none.
    pub fn host(&self) -> &str {
        self.headers.get("host").unwrap_or_default()
    }

    /// The length of the body if it is given, none if it comes in chunks.
    pub fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            _ => None,
        }
    }
}

/// What is to come of a request's body.
pub struct Body<'a> {
    reader: &'a mut Reader,
    framing: Framing,
    /// Where to say that the body is awaited, if the client waits for that.
    awaited: Option<&'a TcpStream>,
    is_begun: bool,
    read: u64,
}

impl Body<'_> {
    /// If some of it was read: it can't be read again.
    pub fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// The next piece, empty at the end.
    pub async fn piece(&mut self) -> io::Result<Vec<u8>> {
        self.is_begun = true;
        if let Some(stream) = self.awaited.take()
            && !self.reader.has_unread()
        {
            stream.try_write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let piece = self.reader.piece(&mut self.framing).await?;
        self.read += piece.len() as u64;
        if self.read > LONGEST_BODY {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(piece)
    }

    /// All that is left of the body.
    pub async fn whole(&mut self) -> Option<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            let piece = self.piece().await.ok()?;
            if piece.is_empty() {
                return Some(whole);
            }
            whole.extend(piece);
        }
    }
}

/// Starts the handler, serves it, and stops both.
///
/// # Errors
///
/// One line: why the host had to end although nobody asked it to.
pub async fn run(
    host: Arc<Host>,
    (mut worker, reload): (Option<Worker>, Option<Reload>),
    listener: TcpListener,
    stopped: watch::Receiver<bool>,
    stop_on_signals: bool,
    ready: impl FnOnce(),
) -> Result<(), String> {
    let unable = |error| format!("the address can't be listened on: {error}");
    listener.set_nonblocking(true).map_err(unable)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(unable)?;
    let forwarder = Rc::new(Forwarder::new(host.gate.clone(), host.limits.inactivity));
    let (stop, stopping) = watch::channel(false);
    // Each connection holds a sender: when all are gone, so are the connections.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (host, forwarder) = (Arc::clone(&host), Rc::clone(&forwarder));
                    let (stopping, open) = (stopping.clone(), open.clone());
                    spawn_local(async move {
                        let _open = open;
                        serve(&host, &forwarder, stream, stopping).await;
                    });
                }
                // Too many open files: some may be closed soon.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let ready = async {
        if host.gate.enter().await.port().await.is_some() {
            ready();
        }
        pending().await
    };
    let handler = async {
        match &mut worker {
            Some(worker) => worker.run().await,
            None => pending().await,
        }
    };
    let reload = async {
        match reload {
            Some(reload) => reload.run(&host).await,
            None => pending().await,
        }
    };
    let outcome = tokio::select! {
        // In this order, so that a signal is awaited before there is a handler to end.
        biased;
        asked = asked(stopped, stop_on_signals) => asked,
        problem = handler => Err(problem),
        problem = reload => Err(problem),
        never = ready => never,
        never = accept => never,
    };
    if let Some(worker) = &mut worker
        && outcome.is_err()
    {
        // What waits for the handler need not wait any longer.
        worker.give_up();
    }
    host.console
        .host("stopping, once the requests in flight are answered");
    drop(listener);
    drop(open);
    stop.send_replace(true);
    let _ = timeout(host.limits.stop, all_closed.recv()).await;
    if let Some(worker) = &mut worker {
        worker.stop().await;
    }
    outcome
}

/// Ends when the host is to stop.
async fn asked(mut stopped: watch::Receiver<bool>, on_signals: bool) -> Result<(), String> {
    let signals = async {
        if !on_signals {
            return pending().await;
        }
        let no_signal = |error| format!("no signal can be awaited: {error}");
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signal)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signal)?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    };
    tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => Ok(()),
        signalled = signals => signalled,
    }
}

/// Answers the requests of one connection.
async fn serve(
    host: &Host,
    forwarder: &Forwarder,
    stream: TcpStream,
    mut stopping: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let Ok(client) = stream.peer_addr() else {
        return;
    };
    let (read, mut write) = stream.into_split();
    let mut reader = Reader::new(read);
    loop {
        let begins = tokio::select! {
            biased;
            more = timeout(KEEP_ALIVE, reader.has_more()) => matches!(more, Ok(Ok(true))),
            _ = stopping.wait_for(|stopping| *stopping) => false,
        };
        if !begins {
            return;
        }
        let request = timeout(HEAD_TIME, request(&mut reader, client.ip())).await;
        let request = match request.unwrap_or(Err(408)) {
            Ok(request) => request,
            Err(status) => {
                let refusal = format!(
                    "HTTP/1.1 {status} {}\r\nContent-Length: 0\r\nConnection: close\r\n\
                     Date: {}\r\nServer: Kestrel\r\n\r\n",
                    reason(status),
                    httpdate::fmt_http_date(SystemTime::now())
                );
                let _ = write.write_all(refusal.as_bytes()).await;
                return close(write).await;
            }
        };
        let mut body = Body {
            framing: request.framing,
            awaited: (request.headers.lists("expect", "100-continue")).then_some(write.as_ref()),
            reader: &mut reader,
            is_begun: false,
            read: 0,
        };
        let mut answer = tokio::select! {
            answer = host.answer(forwarder, &request, &mut body) => answer,
            // Nobody waits for the answer any more.
            () = gone(write.as_ref()) => return,
        };
        let mut left = body.framing;
        answer.closes |= !request.stays_open || *stopping.borrow();
        match send(&mut write, &request, answer).await {
            Ok(true) => {}
            Ok(false) if left == Framing::NONE => return,
            Ok(false) => return close(write).await,
            Err(_) => {
                // A client is not to take what it has got for the whole (row "answer: chunked,
                // cut").
                let _ = write.as_ref().set_zero_linger();
                write.forget();
                return;
            }
        }
        let drained = async {
            while let Ok(piece) = reader.piece(&mut left).await {
                if piece.is_empty() {
                    return true;
                }
            }
            false
        };
        if timeout(DRAIN_TIME, drained).await != Ok(true) {
            return;
        }
    }
}

/// Closes a connection on which more may come than is read: time to read the answer comes first.
async fn close(mut write: OwnedWriteHalf) {
    let _ = write.shutdown().await;
    sleep(LAST_WORDS).await;
}

/// Ends when the client has closed its side.
async fn gone(stream: &TcpStream) {
    while let Ok(1..) = stream.peek(&mut [0]).await {
        sleep(Duration::from_millis(100)).await;
    }
}

/// Reads the head of a request. What is wrong with it is told by a status.
async fn request(reader: &mut Reader, client: IpAddr) -> Result<Request, u16> {
    let too_long = |status: u16| {
        move |error: io::Error| match error.kind() {
            io::ErrorKind::FileTooLarge => status,
            _ => 400,
        }
    };
    let line = reader.line(LONGEST_LINE).await.map_err(too_long(414))?;
    let (method, target, is_old) = request_line(&line)?;
    let mut headers = Headers::default();
    let mut room = LONGEST_HEADERS;
    for count in 0.. {
        let line = reader.line(room).await.map_err(too_long(431))?;
        if line.is_empty() {
            break;
        }
        room = room.saturating_sub(line.len() + 2);
        if count == MOST_HEADERS {
            return Err(431);
        }
        let (name, value) = header(&line).ok_or(400_u16)?;
        // Row "header: non-ASCII value": only UTF-8 is a text.
        headers.add(name, std::str::from_utf8(value).map_err(|_| 400_u16)?);
    }
    headers.simplify_connection();

    let (path, query) = target_parts(&method, &target, &headers)?;
    let hosts: Vec<&str> = headers.all("host").collect();
    match hosts[..] {
        [] if is_old => {}
        [host]
            if host
                .bytes()
                .all(|b| b > b' ' && !b"/?#@\\<>\"".contains(&b)) => {}
        _ => return Err(400),
    }

    let is_upgrade = headers.lists("connection", "upgrade");
    let framing = framing(&method, &mut headers, is_old)?;
    if is_upgrade && framing != Framing::NONE {
        return Err(400);
    }
    let stays_open = (!is_old || headers.lists("connection", "keep-alive"))
        && !headers.lists("connection", "close");
    Ok(Request {
        method,
        path,
        query,
        headers,
        client,
        framing,
        is_old,
        stays_open,
    })
}

/// Method, target, and whether the version is 1.0.
fn request_line(line: &[u8]) -> Result<(String, String, bool), u16> {
    let text = std::str::from_utf8(line).map_err(|_| 400_u16)?;
    let mut words = text.splitn(3, ' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Err(400);
    };
    if !is_token(method.as_bytes()) || target.is_empty() || target.starts_with(['?', '%']) {
        return Err(400);
    }
    match version {
        "HTTP/1.1" => Ok((method.to_owned(), target.to_owned(), false)),
        "HTTP/1.0" => Ok((method.to_owned(), target.to_owned(), true)),
        "" => Err(400),
        _ => Err(505),
    }
}

/// Path and query of what a request asks for.
fn target_parts(method: &str, target: &str, headers: &Headers) -> Result<(String, String), u16> {
    let host = headers.get("host").unwrap_or_default();
    if !target.is_ascii() || target.contains('\0') {
        return Err(400);
    }
    let local = if target.starts_with('/') {
        target
    } else if target == "*" && method == "OPTIONS" || method == "CONNECT" && target == host {
        return Ok((String::new(), String::new()));
    } else if let Some(rest) = target
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("http://"))
        .map(|scheme| &target[scheme.len()..])
    {
        let (authority, local) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let is_same = [host, host.trim_end_matches(":80")].contains(&authority);
        if !is_same || authority.is_empty() {
            return Err(400);
        }
        local
    } else {
        return Err(400);
    };
    let (path, query) = local.split_at(local.find('?').unwrap_or(local.len()));
    let path = if path.is_empty() { "/" } else { path };
    Ok((decoded_path(path).ok_or(400_u16)?, query.to_owned()))
}

/// A path without escapes, but for `%2F`, and without dot segments. None if it can't be one.
pub fn decoded_path(path: &str) -> Option<String> {
    decoded(path).map(|path| without_dots(&path))
}

/// Decodes the escapes of a path but `%2F` and what is no UTF-8. None if there is a NUL.
fn decoded(path: &str) -> Option<String> {
    let mut decoded = String::new();
    let mut rest = path;
    while let Some(next) = rest.chars().next() {
        let escapes: Vec<u8> = (0..4).map_while(|nth| escape(&rest[nth * 3..])).collect();
        let length = match escapes.first() {
            None | Some(b'/') => 0,
            Some(0) => return None,
            Some(_) => (1..=escapes.len())
                .find(|length| std::str::from_utf8(&escapes[..*length]).is_ok())
                .unwrap_or(0),
        };
        if length == 0 {
            decoded.push(next);
            rest = &rest[1..];
        } else {
            decoded += std::str::from_utf8(&escapes[..length]).ok()?;
            rest = &rest[length * 3..];
        }
    }
    Some(decoded)
}

/// The byte of an escape at the beginning of a text.
pub fn escape(text: &str) -> Option<u8> {
    let digits = text.strip_prefix('%')?.get(..2)?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            ".." if kept.len() > 1 => {
                kept.pop();
            }
            "." | ".." => {}
            segment => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    kept.join("/")
}

/// Where the body of a request ends.
fn framing(method: &str, headers: &mut Headers, is_old: bool) -> Result<Framing, u16> {
    if let Some(coding) = headers.all("transfer-encoding").last() {
        let last = coding.rsplit(',').next().unwrap_or_default();
        if !last.trim().eq_ignore_ascii_case("chunked") {
            return Err(400);
        }
        // Kestrel puts a length that does not count aside.
        if let Some(length) = headers.get("content-length").map(str::to_owned) {
            headers.set("X-Content-Length", length);
            headers.remove("content-length");
        }
        return Ok(Framing::CHUNKS);
    }
    let mut lengths = headers.all("content-length");
    match (lengths.next(), lengths.next()) {
        // Row "body: none, no length"; HTTP/1.0 has to say one.
        (None, _) if is_old && matches!(method, "POST" | "PUT") => Err(400),
        (None, _) => Ok(Framing::NONE),
        (Some(length), None) if length.bytes().all(|digit| digit.is_ascii_digit()) => {
            length.parse().map(Framing::Length).map_err(|_| 400)
        }
        _ => Err(400),
    }
}

/// Sends an answer. False if the connection is to be closed.
async fn send(
    write: &mut OwnedWriteHalf,
    request: &Request,
    mut answer: Answer,
) -> io::Result<bool> {
    let is_head = request.method.eq_ignore_ascii_case("HEAD");
    let has_body = !is_head && !matches!(answer.status, 204 | 205 | 304);
    answer.headers.simplify_connection();
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
            // The end of the connection is that of the body.
            Content::Streamed(_) if is_head => {}
            Content::Streamed(_) if request.is_old => closes = true,
            Content::Streamed(_) => {
                in_chunks = true;
                answer.headers.add("Transfer-Encoding", "chunked");
            }
        }
    }
    if answer.closes {
        answer.headers.set("Connection", "close");
    } else if request.is_old && !closes {
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
    Ok(!(closes || answer.ends_connection))
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
