//! Requests and answers, as parts.

use std::net::IpAddr;

pub struct Request {
    pub method: String,
    /// Without escapes, but for `%2F`, and without dot segments.
    pub path: String,
    /// As it came, with the question mark; or empty.
    pub query: String,
    pub headers: Headers,
    pub client: IpAddr,
    pub framing: Framing,
    /// Its version is HTTP/1.0, not 1.1.
    pub is_http_1_0: bool,
    pub stays_open: bool,
}

impl Request {
    pub fn is_head(&self) -> bool {
        self.method.eq_ignore_ascii_case("HEAD")
    }

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

pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub headers: Headers,
    pub body: Vec<u8>,
    /// Close the connection, and tell the client by `Connection: close`.
    pub closes: bool,
}

impl Answer {
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            reason: reason(status).to_owned(),
            headers: Headers::default(),
            body: Vec::new(),
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
        answer.body = text.into();
        answer
    }

    /// With none of these statuses comes a body.
    pub fn is_bodiless(&self) -> bool {
        matches!(self.status, 101 | 204 | 205 | 304)
    }
}

/// The headers in their order. Names are compared without regard to letter case.
#[derive(Clone, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The first of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.add(name, value);
    }

    pub fn remove(&mut self, name: &str) {
        self.retain(|found| !found.eq_ignore_ascii_case(name));
    }

    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }

    /// If a list of words, such as `Connection`, has the word.
    pub fn lists(&self, name: &str, word: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|found| found.trim().eq_ignore_ascii_case(word))
    }

    /// If they leave the connection open after the body.
    pub fn stay_open(&self, is_http_1_0: bool) -> bool {
        let is_open = !is_http_1_0 || self.lists("connection", "keep-alive");
        is_open && !self.lists("connection", "close")
    }

    /// The lines of a head, without the empty one at its end.
    pub fn lines(&self) -> String {
        self.iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect()
    }

    /// If `Connection` has just one of the known options, the other words are dropped (row "header:
    /// connection names a header"). With none or several of them it stays as it is.
    pub fn simplify_connection(&mut self) {
        let known = ["keep-alive", "close", "Upgrade"];
        let mut options = known.iter().filter(|word| self.lists("connection", word));
        if let (Some(option), None) = (options.next(), options.next()) {
            self.set("Connection", *option);
        }
    }
}

/// Where a body ends.
#[derive(Clone, Copy, PartialEq)]
pub enum Framing {
    /// After so many bytes more.
    Length(u64),
    /// With the empty chunk. Of the current chunk so many bytes are left.
    Chunks { left: u64, is_first: bool },
    /// With the connection.
    UntilClosed,
}

impl Framing {
    pub const NONE: Self = Self::Length(0);
    pub const CHUNKS: Self = Self::Chunks {
        left: 0,
        is_first: true,
    };
}

/// If Kestrel sends it as the value of a header: visible ASCII only (not recorded).
pub fn is_plain(value: &str) -> bool {
    value.chars().all(|c| c == '\t' || (' '..='~').contains(&c))
}

pub fn is_token(bytes: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_token)
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
