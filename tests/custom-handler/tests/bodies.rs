//! Request bodies: of no interest to the function, but read to the end, for only then does the
//! connection serve the next request.

use std::{io::Write as _, thread};

use test_support::client::Connection;

use crate::{App, ENDPOINT, start};

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
        ("GET", "/", 200),
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

/// The function has two requests to answer at most: the broken one, if it begins before the end of
/// its body, and none after it.
#[test]
fn nothing_is_served_after_a_broken_body() {
    let app = App::of(&["Count"]);
    let handler = app.start();
    let mut connection = handler.connect();
    connection.send(head("POST", "/api/Count", CHUNKED) + "5\r\nhello\r\nno chunk\r\n");
    connection.send(head("GET", "/api/Count", ""));
    connection.rest();
    // Who counts the calls is called by the broken request alone.
    assert_eq!(handler.get("/api/Count").body, b"1");
}

/// An extractor that refuses a body has not read it, nor has a function that panics later.
#[test]
fn what_a_function_leaves_unread_is_read() {
    let handler = App::of(&["Panic", "Echo"]).start();
    let mut connection = handler.connect();
    for (content_type, status) in [("text/plain", 400), ("application/json", 413)] {
        let headers = format!("Content-Type: {content_type}\r\nContent-Length: 20000000\r\n");
        connection.send(head("POST", "/api/Panic", &headers));
        connection.send(vec![b' '; 20_000_000]);
        assert_answers(&mut connection, status, content_type);
    }
    let headers = "Content-Type: application/json\r\nContent-Length: 2\r\n";
    connection.send(head("POST", "/api/Panic", headers) + "{}");
    assert_answers(&mut connection, 500, "a panic");
    let ended = handler.stop();
    let line = ended.complaint();
    assert!(line.starts_with("ERROR - panicked at "), "{line}");
    assert!(line.contains("w*rnings for all"), "{line}");
}

/// 3 MB that come back in chunks, while some of them are still to come.
#[test]
fn a_body_that_is_streamed_back_loses_nothing() {
    let handler = App::of(&["Stream"]).start();
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    for (headers, is_chunked) in [("Content-Length: 3000000\r\n", false), (CHUNKED, true)] {
        let mut connection = handler.connect();
        connection.send(head("POST", "/api/Stream", headers));
        let mut sender = connection.sender();
        let answer = thread::scope(|scope| {
            scope.spawn(|| {
                for piece in body.chunks(100_000) {
                    let size = format!("{:x}\r\n", piece.len());
                    let chunk = [size.as_bytes(), piece, b"\r\n"].concat();
                    let piece = if is_chunked { &chunk } else { piece };
                    sender.write_all(piece).unwrap();
                }
                if is_chunked {
                    sender.write_all(b"0\r\n\r\n").unwrap();
                }
            });
            connection.answer()
        });
        let size = answer.body.len();
        assert!(answer.body == body, "{headers}: {size} bytes");
        assert!(connection.ends(), "{headers}");
    }
}

/// All that the function answers has come, but not all of the request. It is awaited, and then the
/// connection is closed, not reset.
#[test]
fn the_rest_is_read_behind_a_streamed_answer() {
    let handler = App::of(&["Unread", "Echo"]).start();
    for size in [0, 1, 1_000_000] {
        let mut connection = handler.connect();
        connection.send(head("POST", "/api/Unread", "Content-Length: 1000001\r\n"));
        connection.send(vec![b'x'; size]);
        connection.until("def\r\n");
        // By the time that other calls have had an answer, a reset would have come.
        for _ in 0..20 {
            assert_eq!(handler.get(ENDPOINT).status, 200);
        }
        assert!(!connection.has_news(), "{size}");
        connection.send(vec![b'x'; 1_000_001 - size]);
        connection.until("0\r\n\r\n");
        assert!(connection.ends(), "{size}");
    }
}

/// A request that asks for another protocol has a body that ends with the connection alone.
#[test]
fn an_upgrade_is_answered_at_once() {
    let handler = App::of(&["Echo", "Length"]).start();
    for (path, body) in [
        (ENDPOINT, "{\"function\""),
        ("/api/Length", "0"),
        ("/api/No", ""),
    ] {
        for (method, upgrade) in [
            ("GET", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
            ("POST", "Upgrade: WebSocket\r\n"),
            ("GET", "Upgrade: websocket\r\nContent-Length: 5\r\n"),
            ("CONNECT", ""),
        ] {
            let mut connection = handler.connect();
            let answer = connection.request(method, path, upgrade);
            assert!(
                answer.body.starts_with(body.as_bytes()),
                "{method} {path}: {answer:?}"
            );
            assert_eq!(
                answer.header("connection"),
                Some("close"),
                "{method} {path}"
            );
            assert!(connection.ends(), "{method} {path}");
        }
    }
}
