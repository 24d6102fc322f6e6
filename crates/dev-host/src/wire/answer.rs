//! An answer, and how it is sent to the client: as Kestrel does it (rows of the kinds answer and
//! connection).

use std::{
    io, mem,
    pin::pin,
    time::{Duration, SystemTime},
};

use tokio::{net::tcp::OwnedWriteHalf, time::timeout};

use crate::wire::message::{Answer, Request};

/// What is here already of an answer is written at once, up to about this length.
const LONGEST_WRITE: usize = 64 * 1024;

/// Sends the answer to a request, or, for none, to what is not one. False if the connection is to be
/// closed.
pub async fn send(
    write: &OwnedWriteHalf,
    request: Option<&Request>,
    mut answer: Answer,
) -> io::Result<bool> {
    // Rows "method: HEAD", "outside: home, HEAD…".
    let is_empty = request.is_some_and(Request::is_head) && answer.body.is_empty();
    if !is_empty && !answer.is_bodiless() && !answer.headers.has("content-length") {
        let length = answer.body.len().to_string();
        answer.headers.add("Content-Length", length);
    }
    let mut body = mem::take(&mut answer.body);
    // What the host itself says is short.
    let limit = Duration::MAX;
    stream(write, request, answer, limit, async || {
        Ok(mem::take(&mut body))
    })
    .await
}

/// The same for an answer whose body is still to come: in pieces, of which the last one is empty. A
/// client that takes nothing for as long as `inactivity` gets no more, and no piece is awaited longer.
pub async fn stream(
    write: &OwnedWriteHalf,
    request: Option<&Request>,
    mut answer: Answer,
    inactivity: Duration,
    mut next_piece: impl AsyncFnMut() -> io::Result<Vec<u8>>,
) -> io::Result<bool> {
    let is_bodiless = answer.is_bodiless() || request.is_some_and(Request::is_head);
    let has_end = is_bodiless || answer.headers.has("content-length");
    let in_chunks = !has_end && !request.is_some_and(|request| request.is_http_1_0);
    if in_chunks {
        answer.headers.add("Transfer-Encoding", "chunked");
    }
    let ends_by_close = !has_end && !in_chunks;
    let (mut bytes, stays_open) = head(request, &mut answer, ends_by_close);
    loop {
        let mut next = pin!(next_piece());
        let ready = tokio::select! {
            biased;
            piece = &mut next => Some(piece),
            () = async {} => None,
        };
        // What is here already goes out together, and waits for nothing that is not.
        let piece = match ready {
            Some(Ok(piece)) if bytes.len() < LONGEST_WRITE => piece,
            ready => {
                timeout(inactivity, write_all(write, &bytes)).await??;
                bytes.clear();
                match ready {
                    Some(piece) => piece?,
                    None => timeout(inactivity, next).await??,
                }
            }
        };
        let is_last = piece.is_empty();
        let more = match in_chunks {
            true => chunk(&piece),
            false => piece,
        };
        if !is_bodiless {
            bytes.extend(more);
        }
        if is_last {
            timeout(inactivity, write_all(write, &bytes)).await??;
            return Ok(stays_open);
        }
    }
}

/// The head of an answer, and whether the connection stays open after it.
fn head(request: Option<&Request>, answer: &mut Answer, ends_by_close: bool) -> (Vec<u8>, bool) {
    if answer.status == 204 {
        answer.headers.remove("content-length");
    }
    let closes = answer.closes || answer.headers.lists("connection", "close") || ends_by_close;
    if answer.closes {
        answer.headers.set("Connection", "close");
    } else if !closes && request.is_some_and(|request| request.is_http_1_0) {
        answer.headers.set("Connection", "keep-alive");
    }
    if !answer.headers.has("date") {
        let now = httpdate::fmt_http_date(SystemTime::now());
        answer.headers.add("Date", now);
    }
    if !answer.headers.has("server") {
        answer.headers.add("Server", "Kestrel");
    }
    let lines = answer.headers.lines();
    let (status, reason) = (answer.status, &answer.reason);
    let head = format!("HTTP/1.1 {status} {reason}\r\n{lines}\r\n");
    (head.into_bytes(), !closes)
}

/// Writes all. It takes the half by reference, so that the client can be watched meanwhile.
pub async fn write_all(write: &OwnedWriteHalf, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => write.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A piece of a body between the lines of its chunk; the empty one is the last.
pub fn chunk(piece: &[u8]) -> Vec<u8> {
    let size = format!("{:X}\r\n", piece.len());
    [size.as_bytes(), piece, b"\r\n"].concat()
}
