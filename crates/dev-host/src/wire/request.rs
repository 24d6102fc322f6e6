//! Reads the head of a request as the real host's server, Kestrel, does: the rows of the kinds path,
//! method, header, version and body.

use std::{io, net::IpAddr};

use routes::decode;

use crate::wire::{
    message::{Framing, Headers, Request, is_token},
    reader::Reader,
};

/// What Kestrel takes: a request line, all headers together (row "header: 31 KB"), and how many
/// they are (rows "header: 99 headers", "header: 120 headers").
const LONGEST_LINE: usize = 8 * 1024;
const LONGEST_HEADERS: usize = 32 * 1024;
const MOST_HEADERS: usize = 100;

/// Reads the head of a request. What is wrong with it is told by a status.
pub async fn read_request(reader: &mut Reader, client: IpAddr) -> Result<Request, u16> {
    let or = |too_long: u16| {
        move |error: io::Error| match error.kind() {
            io::ErrorKind::FileTooLarge => too_long,
            _ => 400,
        }
    };
    let line = reader.line(LONGEST_LINE).await.map_err(or(414))?;
    let (method, target, is_http_1_0) = request_line(line)?;
    // Row "header: non-ASCII value": only UTF-8 is a text.
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let headers = reader.headers(LONGEST_HEADERS, text).await;
    let mut headers = headers.map_err(or(431))?;
    if headers.iter().count() > MOST_HEADERS {
        return Err(431);
    }
    headers.simplify_connection();

    let (path, query) = target_parts(&method, &target, &headers)?;
    let hosts: Vec<&str> = headers.all("host").collect();
    let is_clean = |host: &str| {
        host.bytes()
            .all(|b| b > b' ' && !b"/?#@\\<>\"".contains(&b))
    };
    match hosts[..] {
        [] if is_http_1_0 => {}
        [host] if is_clean(host) => {}
        _ => return Err(400),
    }

    let is_upgrade = headers.lists("connection", "upgrade");
    let framing = framing(&method, &mut headers, is_http_1_0)?;
    if is_upgrade && framing != Framing::NONE {
        return Err(400);
    }
    Ok(Request {
        method,
        path,
        query,
        stays_open: headers.stay_open(is_http_1_0),
        headers,
        client,
        framing,
        is_http_1_0,
    })
}

/// Method, target, and whether the version is 1.0.
fn request_line(line: &[u8]) -> Result<(String, String, bool), u16> {
    let text = std::str::from_utf8(line).map_err(|_| 400_u16)?;
    let words: Vec<&str> = text.splitn(3, ' ').collect();
    let [method, target, version] = words[..] else {
        return Err(400);
    };
    if !is_token(method.as_bytes()) || target.is_empty() || target.starts_with(['?', '%']) {
        return Err(400);
    }
    let is_http_1_0 = match version {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        "" => return Err(400),
        _ => return Err(505),
    };
    Ok((method.to_owned(), target.to_owned(), is_http_1_0))
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
    } else if let Some((scheme, rest)) = target.split_at_checked("http://".len())
        && scheme.eq_ignore_ascii_case("http://")
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
    let path = decode(path)?;
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            ".." if kept.len() > 1 => drop(kept.pop()),
            "." | ".." => {}
            segment => kept.push(segment),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    Some(kept.join("/"))
}

/// Where the body of a request ends.
fn framing(method: &str, headers: &mut Headers, is_http_1_0: bool) -> Result<Framing, u16> {
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
        (None, _) if is_http_1_0 && matches!(method, "POST" | "PUT") => Err(400),
        (None, _) => Ok(Framing::NONE),
        (Some(length), None) if length.bytes().all(|digit| digit.is_ascii_digit()) => {
            length.parse().map(Framing::Length).map_err(|_| 400)
        }
        _ => Err(400),
    }
}
