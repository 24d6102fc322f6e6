//! A request as the handler gets it: what the real host's proxy and .NET's HTTP client make of the
//! one that came.

use std::sync::LazyLock;

use routes::{METHODS, escape};
use uuid::Uuid;

use crate::wire::message::{Headers, Request};

/// The version of the host that was recorded.
pub const HOST_VERSION: &str = "4.1037.0.0";

/// Names of headers, taken apart once, for each call compares all of its headers with them.
type Names = LazyLock<Vec<&'static str>>;

/// Headers that are about one connection alone, so that neither a request nor its answer takes them
/// along.
pub static OF_ONE_CONNECTION: Names = Names::new(|| {
    "alpn alt-svc close connection http2-settings keep-alive proxy-authenticate \
    proxy-authentication-info proxy-authorization proxy-connection proxy-features \
    proxy-instruction security-scheme te transfer-encoding upgrade upgrade-insecure-requests"
        .split(' ')
        .collect()
});

/// Headers that a proxied request has from the host alone.
static OF_THE_HOST: Names = Names::new(|| {
    "forwarded host x-azure-functions-hostversion x-azure-functions-invocationid \
    x-forwarded-for x-forwarded-host x-forwarded-prefix x-forwarded-proto x-ms-invocation-id"
        .split(' ')
        .collect()
});

/// Headers that .NET takes to be the body's (rows "header: content headers without a body").
static OF_THE_BODY: Names = Names::new(|| {
    "allow content-disposition content-encoding content-language content-length \
    content-location content-md5 content-range content-type expires last-modified"
        .split(' ')
        .collect()
});

pub struct Outgoing {
    pub head: String,
    pub asks_for_upgrade: bool,
    /// With a content, even an empty one, .NET's client sends the request only once.
    pub has_content: bool,
}

impl Outgoing {
    /// What is sent for a request to a handler at this address.
    pub fn new(request: &Request, address: &str) -> Self {
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
        let asks_for_upgrade = request.headers.lists("connection", "upgrade")
            && request.headers.lists("upgrade", "websocket");
        if asks_for_upgrade {
            headers.add("Connection", "Upgrade");
            headers.add("Upgrade", "websocket");
        }
        let has_content = request.length() != Some(0)
            || headers
                .iter()
                .any(|(name, _)| is_one_of(name, &OF_THE_BODY));
        // .NET writes these in capitals however they came (rows "method: get", "method: Get").
        let mut known = METHODS.into_iter();
        let known = known.find(|known| known.eq_ignore_ascii_case(&request.method));
        let method = known.unwrap_or(&request.method);
        add_framing(&mut headers, request, method, has_content);
        let path = encoded_path(&request.path);
        let query = encoded_query(&request.query);
        let lines = headers.lines();
        Self {
            head: format!("{method} {path}{query} HTTP/1.1\r\nHost: {address}\r\n{lines}\r\n"),
            asks_for_upgrade,
            has_content,
        }
    }
}

pub fn is_one_of(name: &str, names: &Names) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
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
        let before = joined.get(name);
        let before = before.map(|before| before.to_owned() + separator);
        joined.set(name, before.unwrap_or_default() + value);
    }
    joined
}

fn add_framing(headers: &mut Headers, request: &Request, method: &str, has_content: bool) {
    headers.remove("content-length");
    // Rows "body: none, no length", "header: content type without a body".
    let needs_none = matches!(method, "CONNECT" | "DELETE" | "GET" | "HEAD" | "OPTIONS");
    match request.length() {
        None => headers.add("Transfer-Encoding", "chunked"),
        Some(0) if !has_content && needs_none => {}
        Some(length) => headers.add("Content-Length", length.to_string()),
    }
}

/// Escapes a path. Of the escapes that are left in it the % is escaped.
pub fn encoded_path(path: &str) -> String {
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
        let (character, length) = match escape(rest).filter(|byte| is_unreserved(*byte)) {
            Some(byte) => (char::from(byte), "%41".len()),
            None => (next, next.len_utf8()),
        };
        plain.push(character);
        rest = &rest[length..];
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
    let mut escaped = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match stays(byte, text.get(at..).unwrap_or_default()) {
            true => escaped.push(char::from(byte)),
            false => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}
