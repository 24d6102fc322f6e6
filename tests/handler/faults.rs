//! Requests that no client should send.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
};

use crate::handler::{ENDPOINT, Handler};
use test_support::PATIENCE;

/// What the mutations begin with.
const REQUESTS: [&str; 6] = [
    "GET /api/RandomNumber?code=key%3D&x HTTP/1.1\r\nHost: h\r\nx-functions-key: key\r\n\r\n",
    "POST /api/RandomNumber HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n{\"some\": 1}",
    "POST /api/randomnumber/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
     5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: t\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    "GET /api/RandomNumber HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /api/RandomNumber HTTP/1.1\r\nHost: h\r\n\r\n",
];

/// What the mutations put in.
const PIECES: [&str; 20] = [
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\0",
    " ",
    ":",
    "%",
    "/..//",
    "\u{fffd}",
    "0\r\n\r\n",
    "ffffffffffffffff\r\n",
    "-1",
    "18446744073709551616",
    "HTTP/1.0",
    "Connection: close\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: +5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Expect: 100-continue\r\n",
];

/// SplitMix64: a seed stands for the same requests for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn mutated(&mut self) -> Vec<u8> {
        let mut request = REQUESTS[self.below(REQUESTS.len())].as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let start = self.below(request.len() + 1);
            let end = start + self.below(request.len() + 1 - start).min(32);
            match self.below(6) {
                0 if start < request.len() => request[start] = self.below(256) as u8,
                1 => drop(request.drain(start..end)),
                2 => request.truncate(start),
                3 => {
                    let again = request[start..end].repeat(1 + self.below(300));
                    request.splice(start..start, again);
                }
                4 => {
                    let other = REQUESTS[self.below(REQUESTS.len())].as_bytes();
                    request.splice(start..end, other[self.below(other.len())..].iter().copied());
                }
                _ => {
                    let piece = PIECES[self.below(PIECES.len())].bytes();
                    request.splice(start..end, piece);
                }
            }
        }
        request
    }
}

/// Sends the request and nothing after it. All that comes back has to be whole answers that do not
/// blame the server; if there is none, the request must be one that could have gone on.
fn assert_answered_or_unfinished(port: u16, request: &[u8]) {
    let answers = exchange(port, request);
    let case = || {
        format!(
            "\nrequest: {}\nanswers: {}",
            request.escape_ascii(),
            answers.escape_ascii()
        )
    };
    let mut rest = &*answers;
    while !rest.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(end)) = head.parse(rest) else {
            panic!("no answer{}", case())
        };
        let status = head.code.expect("parsed");
        assert!((100..500).contains(&status), "{status}{}", case());
        let length = head
            .headers
            .iter()
            .find(|header| header.name == "content-length")
            .and_then(|header| str::from_utf8(header.value).ok()?.parse().ok());
        rest = rest
            .get(end + length.unwrap_or(0)..)
            .unwrap_or_else(|| panic!("half an answer{}", case()));
    }
    let mut headers = [httparse::EMPTY_HEADER; 96];
    let head = httparse::Request::new(&mut headers).parse(request);
    assert!(
        !answers.is_empty() || head.is_ok(),
        "not answered{}",
        case()
    );
}

/// All that comes back.
fn exchange(port: u16, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the handler accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // The handler may have hung up already.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    match stream.read_to_end(&mut answers) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => {
            panic!("{error} after {}", request.escape_ascii())
        }
        _ => answers,
    }
}

#[test]
fn mutated_requests_are_answered_or_refused() {
    let handler = Handler::start();
    let mut random = Random(1);
    for _ in 0..5_000 {
        assert_answered_or_unfinished(handler.port, &random.mutated());
    }
    assert!(handler.get(ENDPOINT).value() > 0);
    let ended = handler.stop();
    let panic = ended.stderr.iter().find(|line| line.contains("panicked"));
    assert_eq!(panic, None);
}
