//! Request bodies: of no interest to the function, but read to the end, for only then does the
//! connection serve the next request.

use crate::{ENDPOINT, start};
use test_support::client::Connection;

/// Where a body can arrive, and the answer.
const TARGETS: [(&str, &str, u16); 4] = [
    ("POST", ENDPOINT, 200),
    ("GET", ENDPOINT, 200),
    ("POST", "/api/Other", 404),
    ("POST", "/", 200),
];

fn head(method: &str, target: &str, headers: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: handler\r\n{headers}\r\n")
}

fn assert_answers(connection: &mut Connection, status: u16, case: &str) {
    let answer = connection.answer();
    assert_eq!(answer.status, status, "{case}");
    assert_eq!(answer.header("connection"), None, "{case}");
    assert_eq!(connection.get(ENDPOINT).status, 200, "after {case}");
}

#[test]
fn a_body_of_known_length_is_read_to_its_end() {
    let handler = start();
    for (method, target, status) in TARGETS {
        for size in [0, 1, 40_000, 20_000_000] {
            let mut connection = handler.connect();
            connection.send(head(method, target, &format!("Content-Length: {size}\r\n")));
            connection.send(vec![b'x'; size]);
            let case = format!("{method} {target} with {size} bytes");
            assert_answers(&mut connection, status, &case);
        }
    }
}

#[test]
fn a_chunked_body_is_read_to_its_end() {
    let handler = start();
    for (method, target, status) in TARGETS {
        for (chunks, size) in [(0, 1), (1, 1), (1_000, 3), (3, 100_000)] {
            let mut connection = handler.connect();
            connection.send(head(method, target, "Transfer-Encoding: chunked\r\n"));
            let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
            connection.send(chunk.repeat(chunks) + "0\r\n\r\n");
            let case = format!("{method} {target} with {chunks} chunks of {size} bytes");
            assert_answers(&mut connection, status, &case);
        }
    }
}

/// A client may wait for it or send the body at once.
#[test]
fn a_client_that_expects_100_continue_gets_it_and_then_the_answer() {
    let handler = start();
    let headers = "Content-Length: 5\r\nExpect: 100-continue\r\n";
    for waits in [true, false] {
        let mut connection = handler.connect();
        connection.send(head("POST", ENDPOINT, headers));
        if waits {
            assert_eq!(connection.answer().status, 100);
        }
        connection.send("hello");
        if !waits {
            assert_eq!(connection.answer().status, 100);
        }
        assert_answers(&mut connection, 200, &format!("waits: {waits}"));
    }
}

#[test]
fn the_answer_waits_for_the_end_of_the_body() {
    let handler = start();
    for target in [ENDPOINT, "/api/Other"] {
        let mut connection = handler.connect();
        connection.send(head("POST", target, "Content-Length: 100000\r\n"));
        connection.send(vec![b'x'; 99_999]);
        // By the time that other calls have had an answer this one would have had it too.
        for _ in 0..20 {
            assert_eq!(handler.get(ENDPOINT).status, 200);
        }
        assert!(!connection.has_news(), "{target}");
        connection.send("x");
        assert_ne!(connection.answer().status, 400);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_large_body_takes_no_memory() {
    const MEBIBYTES: usize = 128;

    let handler = start();
    let block = vec![b'x'; 1 << 20];
    let chunk = [b"100000\r\n", &*block, b"\r\n"].concat();
    let length = format!("Content-Length: {}\r\n", MEBIBYTES << 20);
    for (headers, block, end) in [
        (&*length, &block, ""),
        ("Transfer-Encoding: chunked\r\n", &chunk, "0\r\n\r\n"),
    ] {
        let mut connection = handler.connect();
        connection.send(head("POST", ENDPOINT, headers));
        for _ in 0..MEBIBYTES {
            connection.send(block);
        }
        connection.send(end);
        assert_answers(&mut connection, 200, headers);
    }
    let peak = test_support::process::memory(handler.id(), "VmHWM");
    assert!(peak < 32 * 1024, "{peak} KiB at the peak");
}

#[test]
fn nothing_is_served_after_a_broken_body() {
    let handler = start();
    let mut connection = handler.connect();
    connection.send(head("POST", ENDPOINT, "Transfer-Encoding: chunked\r\n"));
    connection.send("5\r\nhello\r\nno chunk\r\n");
    connection.send(head("GET", ENDPOINT, ""));
    assert!(connection.rest().matches("HTTP/1.1 ").count() <= 2);
    assert_eq!(handler.get(ENDPOINT).status, 200);
}
