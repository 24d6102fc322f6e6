//! Request bodies: of no interest to the function, but read to the end, for only then does the
//! connection serve the next request.

use crate::{ENDPOINT, start};
use test_support::client::Connection;

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

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
fn every_body_is_read_to_its_end() {
    let handler = start();
    for (method, target, status) in [
        ("POST", ENDPOINT, 200),
        ("GET", ENDPOINT, 200),
        ("POST", "/api/Other", 404),
        ("POST", "/", 200),
    ] {
        for (count, size) in [(0, 1), (1, 1), (1_000, 3), (20, 1_000_000)] {
            let case = format!("{method} {target} with {count} pieces of {size} bytes");
            let piece = "x".repeat(size);
            let length = format!("Content-Length: {}\r\n", count * size);
            let chunk = format!("{size:x}\r\n{piece}\r\n");
            for (headers, piece, end) in [(&*length, piece, ""), (CHUNKED, chunk, "0\r\n\r\n")] {
                let mut connection = handler.connect();
                connection.send(head(method, target, headers));
                connection.send(piece.repeat(count) + end);
                assert_answers(&mut connection, status, &case);
            }
        }
    }
    if cfg!(target_os = "linux") {
        let peak = test_support::process::memory(handler.id(), "VmHWM");
        assert!(peak < 16 * 1024, "{peak} KiB at the peak");
    }
}

/// A client may wait for it or send the body at once.
#[test]
fn a_client_that_expects_100_continue_gets_it_and_then_the_answer() {
    let handler = start();
    let headers = "Content-Length: 5\r\nExpect: 100-continue\r\n";
    for (at_once, later) in [("", "hello"), ("hello", "")] {
        let mut connection = handler.connect();
        connection.send(head("POST", ENDPOINT, headers) + at_once);
        assert_eq!(connection.answer().status, 100);
        connection.send(later);
        assert_answers(&mut connection, 200, at_once);
    }
}

#[test]
fn the_answer_waits_for_the_end_of_the_body() {
    let handler = start();
    for (target, status) in [(ENDPOINT, 200), ("/api/Other", 404)] {
        let mut connection = handler.connect();
        connection.send(head("POST", target, "Content-Length: 100000\r\n"));
        connection.send(vec![b'x'; 99_999]);
        // By the time that other calls have had an answer this one would have had it too.
        for _ in 0..20 {
            assert_eq!(handler.get(ENDPOINT).status, 200);
        }
        assert!(!connection.has_news(), "{target}");
        connection.send("x");
        assert_answers(&mut connection, status, target);
    }
}

#[test]
fn nothing_is_served_after_a_broken_body() {
    let handler = start();
    let mut connection = handler.connect();
    connection.send(head("POST", ENDPOINT, CHUNKED) + "5\r\nhello\r\nno chunk\r\n");
    connection.send(head("GET", ENDPOINT, ""));
    assert!(connection.rest().matches("HTTP/1.1 ").count() <= 2);
    assert_eq!(handler.get(ENDPOINT).status, 200);
}
