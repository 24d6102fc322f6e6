//! What the recorded rows do not show: streaming, time limits, and the neighbours of rows.

mod common;

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use common::{Answer, KEY, TestApp, call, get, send};
use test_support::{PATIENCE, client::Connection};

#[test]
fn each_invocation_has_an_id_of_its_own() {
    let app = TestApp::new();
    let host = app.start();
    let id = || {
        let answer = get(host.port(), "/api/Echo", "");
        let id = answer.echoed_header("x-azure-functions-invocationid");
        assert_eq!(id, answer.echoed_header("x-ms-invocation-id"));
        id.unwrap().to_owned()
    };
    assert_ne!(id(), id());
}

/// By the rules of the rows beside them, and of what is known of Kestrel and .NET's client.
#[test]
fn neighbours_of_rows() {
    let app = TestApp::new();
    let host = app.start();
    let sees = |what: &str, headers: &str, seen: &str| {
        let answer = call(host.port(), what, &format!("{KEY}{headers}"));
        let mut lines = answer.body.lines();
        let is_seen = lines.any(|line| line.eq_ignore_ascii_case(seen));
        assert!(is_seen, "{what} {headers}: {}", answer.body);
    };
    for (what, seen) in [
        ("GET http://test/api/Echo", "GET /api/Echo HTTP/1.1"),
        ("GET /api/%2E%2e/api/./x/../Echo", "GET /api/Echo HTTP/1.1"),
        ("GET /../api/Echo", "GET /api/Echo HTTP/1.1"),
        ("patch /api/Echo", "PATCH /api/Echo HTTP/1.1"),
        ("Foo /api/Echo", "Foo /api/Echo HTTP/1.1"),
        ("GET /api/Echo?a#b", "GET /api/Echo?a%23b HTTP/1.1"),
        ("PUT /api/Echo", "Content-Length: 0"),
    ] {
        sees(what, "", seen);
    }
    sees("GET /api/Echo", "X-A: 1\r\nx-a: 2\r\n", "X-A: 1, 2");
    let agents = "User-Agent: a\r\nUser-Agent: b\r\n";
    sees("GET /api/Echo", agents, "User-Agent: a b");

    let long = "a".repeat(9000);
    let long_path = format!("GET /{long} HTTP/1.1");
    let long_head = format!("GET / HTTP/1.1{}", format!("\r\nx: {long}").repeat(4));
    for (start, status) in [
        ("GET http://test:80/api/Echo HTTP/1.1", 400),
        ("POST /api/Echo HTTP/1.0", 400),
        ("POST /api/Echo HTTP/1.1\r\nTransfer-Encoding: gzip", 400),
        ("POST /api/Echo HTTP/1.1\r\nContent-Length: x", 400),
        ("GET /api/Echo HTTP/1.1\r\nhost: again", 400),
        ("GET /api/Echo", 400),
        ("GET api/Echo HTTP/1.1", 400),
        ("GET ?/api/Echo HTTP/1.1", 400),
        ("G@T /api/Echo HTTP/1.1", 400),
        ("GET /api/Echo HTTP/1.1\r\n: 1", 400),
        ("GET /api/Echo HTTP/2.0", 505),
        (&long_path, 414),
        (&long_head, 431),
    ] {
        let request = format!("{start}\r\nhost: test\r\n{KEY}\r\n");
        assert_eq!(send(host.port(), &request).status, status, "{start}");
    }

    let head = call(host.port(), "HEAD /api/Echo", KEY);
    let length: usize = head.header("content-length").unwrap().parse().unwrap();
    assert!(head.status == 200 && head.body.is_empty() && length > 100);
}

#[test]
fn a_length_beside_chunks_does_not_count() {
    let app = TestApp::new();
    let host = app.start();
    let (length, chunks) = ("content-length: 9\r\n", "3\r\nabc\r\n0\r\n\r\n");
    let request = format!(
        "POST /api/Echo HTTP/1.1\r\nhost: x\r\n{KEY}{length}\
         transfer-encoding: chunked\r\n\r\n{chunks}"
    );
    let answer = send(host.port(), &request);
    assert_eq!(answer.echoed_body(), chunks);
    assert_eq!(answer.echoed_header("x-content-length"), Some("9"));
    assert_eq!(answer.echoed_header("content-length"), None);
}

#[test]
fn a_client_that_waits_is_told_to_send_its_body() {
    let app = TestApp::new();
    let host = app.start();
    let mut connection = Connection::to(host.port());
    connection.send(format!(
        "POST /api/Echo HTTP/1.1\r\nhost: test\r\n{KEY}connection: close\r\n\
         expect: 100-continue\r\ncontent-length: 3\r\n\r\n"
    ));
    assert_eq!(connection.answer().status, 100);
    connection.send("abc");
    assert_eq!(Answer::read(connection).echoed_body(), "abc");
}

#[test]
fn a_long_request_is_streamed_and_arrives_whole() {
    let app = TestApp::new();
    let body = "0123456789".repeat(300_000);
    let (host, lines) = app.start_heard();
    let mut connection = Connection::to(host.port());
    connection.send(format!(
        "POST /api/Echo HTTP/1.1\r\nhost: test\r\n{KEY}connection: close\r\n\
         x-do: tell-bytes\r\ncontent-length: {}\r\n\r\n{}",
        body.len(),
        &body[..5]
    ));
    lines.wait_for("the body begins");
    connection.send(&body[5..]);
    assert!(Answer::read(connection).echoed_body() == body);
}

/// What of the answer was there before is streamed, and arrives.
#[test]
fn a_request_without_activity_ends() {
    let app = TestApp::new();
    let mut options = app.options();
    options.limits.inactivity = Duration::from_millis(200);
    let host = dev_host::start(options).unwrap();
    for (order, status, body) in [("never", 500, ""), ("first-chunk", 200, "5\r\nfirst\r\n")] {
        let answer = get(host.port(), "/api/Echo", order);
        assert_eq!((answer.status, answer.body.as_str()), (status, body));
    }
}

/// Measured: "the client shuts its sending side after the request".
#[test]
fn a_client_that_shuts_its_sending_side_is_let_go() {
    let app = TestApp::new();
    let host = app.start();
    let mut client = TcpStream::connect(("127.0.0.1", host.port())).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let headers = format!("host: test\r\n{KEY}x-do: until never\r\n");
    let request = format!("GET /api/Echo HTTP/1.1\r\n{headers}\r\n");
    client.write_all(request.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}
