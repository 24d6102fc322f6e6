//! Reads a request as the real host's server, Kestrel, does: the rows of the kinds path, method,
//! header, version and body.

use std::{io, net::IpAddr};

use routes::decode;

use crate::http::{Framing, Headers, Reader, is_token};

/// What Kestrel takes: a request line, all headers together (row "header: 31 KB"), and how many
/// they are (rows "header: 99 headers", "header: 120 headers").
const LONGEST_LINE: usize = 8 * 1024;
const LONGEST_HEADERS: usize = 32 * 1024;
const MOST_HEADERS: usize = 100;

/// The longest body that a function gets (row "body: 104857600").
pub const LONGEST_BODY: u64 = 104_857_600;

pub struct Request {
    pub method: String,
    /// Without escapes, but for `%2F`, and without dot segments.
    pub path: String,
    /// As it came, with the question mark; or empty.
    pub query: String,
    pub headers: Headers,
    pub client: IpAddr,
    framing: Framing,
    /// Its version is HTTP/1.0.
    pub is_old: bool,
    pub stays_open: bool,
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
    pub reader: &'a mut Reader,
    pub framing: Framing,
    /// The client waits for `100 Continue` before it sends the body.
    is_awaited: bool,
    is_begun: bool,
    read: u64,
}

impl<'a> Body<'a> {
    pub fn new(request: &Request, reader: &'a mut Reader) -> Self {
        Self {
            reader,
            framing: request.framing,
            is_awaited: request.headers.lists("expect", "100-continue"),
            is_begun: false,
            read: 0,
        }
    }

    /// If some of it was read already, so that the request can't be sent again.
    pub fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// The next piece, empty at the end.
    pub async fn piece(&mut self) -> io::Result<Vec<u8>> {
        self.is_begun = true;
        if std::mem::take(&mut self.is_awaited) && !self.reader.has_unread() {
            let stream = self.reader.stream();
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

/// Reads the head of a request. What is wrong with it is told by a status.
pub async fn read_request(reader: &mut Reader, client: IpAddr) -> Result<Request, u16> {
    let or = |too_long: u16| {
        move |error: io::Error| match error.kind() {
            io::ErrorKind::FileTooLarge => too_long,
            _ => 400,
        }
    };
    let line = reader.line(LONGEST_LINE).await.map_err(or(414))?;
    let (method, target, is_old) = request_line(line)?;
    // Row "header: non-ASCII value": only UTF-8 is a text.
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let mut headers = reader
        .headers(LONGEST_HEADERS, text)
        .await
        .map_err(or(431))?;
    if headers.iter().count() > MOST_HEADERS {
        return Err(431);
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
    decode(path).map(|path| without_dots(&path))
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
        // Beside chunks a length does not count. Kestrel renames its header.
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
