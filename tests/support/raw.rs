//! Requests as raw bytes, whatever they are, and the least that must hold of what comes back.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

/// For what should take no time at all; only a hang needs more on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends the request to the port and nothing after it. Panics unless all that comes back is whole
/// answers that do not blame the server; if there is none, the request must be one that could have
/// gone on.
pub fn assert_answered_or_unfinished(port: u16, request: &[u8]) {
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
