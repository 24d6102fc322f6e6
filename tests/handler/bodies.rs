//! Request bodies: of no interest, but read to the end, for only then does the connection serve
//! the next request.

use crate::client::{Connection, ENDPOINT, Handler};

/// Where a body can arrive, and the answer.
const TARGETS: [(&str, &str, u16); 5] = [
    ("POST", ENDPOINT, 200),
    ("GET", ENDPOINT, 200),
    ("PUT", ENDPOINT, 405),
    ("POST", "/api/Other", 404),
    ("POST", "/", 200),
];

fn head(method: &str, target: &str, headers: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: handler\r\n{headers}\r\n")
}

fn assert_serves_the_next(connection: &mut Connection, case: &str) {
    let answer = connection.get(ENDPOINT);
    assert_eq!(answer.status, 200, "after {case}");
}

#[test]
fn a_body_of_known_length_is_read_to_its_end() {
    let handler = Handler::start();
    for (method, target, status) in TARGETS {
        for size in [0, 1, 1_000, 32_768, 40_000, 10_000_000] {
            let case = format!("{method} {target} with {size} bytes");
            let mut connection = handler.connect();
            connection.send(head(method, target, &format!("Content-Length: {size}\r\n")));
            connection.send(vec![b'x'; size]);
            let answer = connection.answer();
            assert_eq!(answer.status, status, "{case}");
            assert_eq!(answer.header("connection"), None, "{case}");
            assert_serves_the_next(&mut connection, &case);
        }
    }
}

#[test]
fn a_chunked_body_is_read_to_its_end() {
    let handler = Handler::start();
    for (method, target, status) in TARGETS {
        for (chunks, size) in [(0, 1), (1, 1), (1_000, 3), (3, 100_000)] {
            let case = format!("{method} {target} with {chunks} chunks of {size} bytes");
            let mut connection = handler.connect();
            connection.send(head(method, target, "Transfer-Encoding: chunked\r\n"));
            let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
            for _ in 0..chunks {
                connection.send(&chunk);
            }
            connection.send("0\r\n\r\n");
            let answer = connection.answer();
            assert_eq!(answer.status, status, "{case}");
            assert_eq!(answer.header("connection"), None, "{case}");
            assert_serves_the_next(&mut connection, &case);
        }
    }
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it_and_then_the_answer() {
    let handler = Handler::start();
    let length = "Content-Length: 5\r\nExpect: 100-continue\r\n";
    let chunked = "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n";
    for (method, target, status) in TARGETS {
        for (headers, body) in [(length, "hello"), (chunked, "5\r\nhello\r\n0\r\n\r\n")] {
            let mut connection = handler.connect();
            connection.send(head(method, target, headers));
            assert_eq!(connection.answer().status, 100, "{method} {target}");
            connection.send(body);
            assert_eq!(connection.answer().status, status, "{method} {target}");
            assert_serves_the_next(&mut connection, target);
        }
    }
}

/// A client may also send the body at once.
#[test]
fn a_client_that_does_not_wait_for_100_continue_is_served_too() {
    let handler = Handler::start();
    let mut connection = handler.connect();
    let headers = "Content-Length: 5\r\nExpect: 100-continue\r\n";
    connection.send(head("POST", ENDPOINT, headers) + "hello");
    assert_eq!(connection.answer().status, 100);
    assert_eq!(connection.answer().status, 200);
    assert_serves_the_next(&mut connection, "an impatient client");
}

#[test]
fn the_answer_waits_for_the_end_of_the_body() {
    let handler = Handler::start();
    let mut connection = handler.connect();
    connection.send(head("POST", ENDPOINT, "Content-Length: 100000\r\n"));
    connection.send(vec![b'x'; 99_999]);
    // By the time that another connection has had an answer this one would have had it too.
    for _ in 0..20 {
        assert_eq!(handler.get(ENDPOINT).status, 200);
    }
    assert!(!connection.has_news());
    connection.send("x");
    assert_eq!(connection.answer().status, 200);
}

#[test]
fn a_large_body_takes_no_memory() {
    const MEBIBYTE: usize = 1 << 20;
    const MEBIBYTES: usize = 256;

    let handler = Handler::start();
    for transfer in [
        "Content-Length: 268435456\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let mut connection = handler.connect();
        connection.send(head("POST", ENDPOINT, transfer));
        let mut block = vec![b'x'; MEBIBYTE];
        let chunked = transfer.starts_with('T');
        if chunked {
            block = [b"100000\r\n", &*block, b"\r\n"].concat();
        }
        for _ in 0..MEBIBYTES {
            connection.send(&block);
        }
        if chunked {
            connection.send("0\r\n\r\n");
        }
        assert_eq!(connection.answer().status, 200, "{transfer}");
    }
    let peak = handler.memory("VmHWM");
    assert!(peak < 32 * 1024, "{peak} KiB at the peak");
}

#[test]
fn a_broken_body_is_answered_with_400_and_nothing_after_it() {
    let handler = Handler::start();
    for (method, target, _) in TARGETS {
        let mut connection = handler.connect();
        connection.send(head(method, target, "Transfer-Encoding: chunked\r\n"));
        connection.send("5\r\nhello\r\nno chunk\r\n");
        let answer = connection.answer();
        assert_eq!(answer.status, 400, "{method} {target}");
        assert_eq!(
            answer.header("connection"),
            Some("close"),
            "{method} {target}"
        );
    }
    assert_eq!(handler.get(ENDPOINT).status, 200);
}

#[test]
fn what_is_no_http_is_answered_with_400() {
    let handler = Handler::start();
    for nonsense in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "{}\r\n\r\n",
    ] {
        let mut connection = handler.connect();
        connection.send(nonsense);
        assert_eq!(connection.answer().status, 400, "{nonsense:?}");
        assert!(connection.is_closed());
    }
    assert_eq!(handler.get(ENDPOINT).status, 200);
}
