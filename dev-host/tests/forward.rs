//! What the recorded rows do not show: streaming, time limits, and the neighbours of rows.

mod common;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use common::{Answer, FORWARDING, Lines, PROXYING, TestApp, get, send};
use dev_host::{Limits, Options, Running};
use test_support::{PATIENCE, client::Connection};

fn host(app: &TestApp, is_proxying: bool) -> Running {
    app.host_json(is_proxying, &[]);
    app.start()
}

#[test]
fn each_invocation_has_an_id_of_its_own() {
    let app = TestApp::new();
    let host = app.start();
    let id = || {
        let answer = get(host.port(), "/api/Echo", "");
        let id = answer.echoed_header("x-azure-functions-invocationid");
        assert_eq!(id, answer.echoed_header("x-ms-invocation-id"));
        id.unwrap()
    };
    assert_ne!(id(), id());
}

/// By the rules of the rows beside them, and of what is known of Kestrel and .NET's client.
#[test]
fn neighbours_of_rows() {
    let app = TestApp::new();
    let host = host(&app, PROXYING);
    // What comes before the rest of a request, the status, and a line that the handler saw.
    for (start, status, saw) in [
        (
            "GET http://test/api/Echo HTTP/1.1",
            200,
            "GET /api/Echo HTTP/1.1",
        ),
        ("GET http://test:80/api/Echo HTTP/1.1", 400, ""),
        (
            "GET /api/%2E%2e/api/./x/../Echo HTTP/1.1",
            200,
            "GET /api/Echo HTTP/1.1",
        ),
        ("GET /../api/Echo HTTP/1.1", 200, "GET /api/Echo HTTP/1.1"),
        ("patch /api/Echo HTTP/1.1", 200, "PATCH /api/Echo HTTP/1.1"),
        ("Foo /api/Echo HTTP/1.1", 200, "Foo /api/Echo HTTP/1.1"),
        (
            "GET /api/Echo?a#b HTTP/1.1",
            200,
            "GET /api/Echo?a%23b HTTP/1.1",
        ),
        (
            "GET /api/Echo HTTP/1.1\r\nX-A: 1\r\nx-a: 2",
            200,
            "X-A: 1, 2",
        ),
        (
            "GET /api/Echo HTTP/1.1\r\nUser-Agent: a\r\nUser-Agent: b",
            200,
            "User-Agent: a b",
        ),
        ("PUT /api/Echo HTTP/1.1", 200, "Content-Length: 0"),
        ("POST /api/Echo HTTP/1.0", 400, ""),
        (
            "POST /api/Echo HTTP/1.1\r\nTransfer-Encoding: gzip",
            400,
            "",
        ),
        ("POST /api/Echo HTTP/1.1\r\nContent-Length: x", 400, ""),
        ("GET /api/Echo HTTP/1.1\r\nhost: again", 400, ""),
        ("GET /api/Echo HTTP/2.0", 505, ""),
        ("GET /api/Echo", 400, ""),
        ("GET api/Echo HTTP/1.1", 400, ""),
        ("GET ?/api/Echo HTTP/1.1", 400, ""),
        ("G@T /api/Echo HTTP/1.1", 400, ""),
        ("GET /api/Echo HTTP/1.1\r\n: 1", 400, ""),
    ] {
        let request = format!("{start}\r\nhost: test\r\nx-functions-key: key\r\n\r\n");
        let answer = send(host.port(), &request);
        assert_eq!(answer.status, status, "{start}");
        let (found, saw) = (answer.body.to_lowercase(), saw.to_lowercase());
        assert!(found.contains(&saw), "{start}: {found}");
    }
    let long = "a".repeat(9000);
    let status = |request: &str| send(host.port(), request).status;
    assert_eq!(
        status(&format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n")),
        414
    );
    let header = format!("x: {long}\r\n").repeat(4);
    assert_eq!(
        status(&format!("GET / HTTP/1.1\r\nhost: x\r\n{header}\r\n")),
        431
    );
}

#[test]
fn a_length_beside_chunks_does_not_count() {
    let app = TestApp::new();
    let host = host(&app, PROXYING);
    let answer = send(
        host.port(),
        "POST /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
         content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert_eq!(answer.echoed_body(), "3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(
        answer.echoed_header("x-content-length").as_deref(),
        Some("9")
    );
    assert_eq!(answer.echoed_header("content-length"), None);
}

#[test]
fn a_client_that_waits_is_told_to_send_its_body() {
    let app = TestApp::new();
    let host = host(&app, PROXYING);
    let mut connection = Connection::to(host.port());
    let head = "POST /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
                connection: close\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    connection.send(head);
    assert_eq!(connection.answer().status, 100);
    connection.send("abc");
    assert_eq!(Answer::read(connection).echoed_body(), "abc");
}

#[test]
fn a_long_body_arrives_whole() {
    let app = TestApp::new();
    let body = "0123456789".repeat(300_000);
    for is_proxying in [PROXYING, FORWARDING] {
        let host = host(&app, is_proxying);
        let answer = send(
            host.port(),
            &format!(
                "POST /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
        assert!(answer.echoed_body() == body);
    }
}

#[test]
fn the_answer_to_a_head_keeps_its_length() {
    let app = TestApp::new();
    let host = host(&app, PROXYING);
    let head = send(
        host.port(),
        "HEAD /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\r\n",
    );
    assert_eq!(head.status, 200);
    assert_eq!(head.body, "");
    let length: usize = head.header("content-length")[0].parse().unwrap();
    assert!(length > 100, "{length}");
}

#[test]
fn a_proxied_answer_is_streamed() {
    let app = TestApp::new();
    let host = dev_host::start(Options {
        limits: Limits {
            stop: Duration::ZERO,
            ..Limits::default()
        },
        ..app.options()
    })
    .unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", host.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
        x-do: first-chunk\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    // The rest never comes: only a streamed answer can be read at all.
    let mut found = Vec::new();
    while !String::from_utf8_lossy(&found).contains("first") {
        let mut bytes = [0; 100];
        let count = stream.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "{:?}", String::from_utf8_lossy(&found));
        found.extend(&bytes[..count]);
    }
}

#[test]
fn a_request_is_streamed() {
    let app = TestApp::new();
    for is_proxying in [PROXYING, FORWARDING] {
        app.host_json(is_proxying, &[]);
        let lines = Lines::default();
        let host = dev_host::start(Options {
            console: lines.console(),
            ..app.options()
        })
        .unwrap();
        let mut connection = Connection::to(host.port());
        let request = "POST /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
            connection: close\r\nx-do: tell-bytes\r\ncontent-length: 10\r\n\r\nfirst";
        connection.send(request);
        lines.wait_for("the body begins");
        connection.send("later");
        assert_eq!(Answer::read(connection).echoed_body(), "firstlater");
    }
}

#[test]
fn proxying_ends_a_request_without_activity() {
    let app = TestApp::new();
    let host = dev_host::start(Options {
        limits: Limits {
            inactivity: Duration::from_millis(200),
            ..Limits::default()
        },
        ..app.options()
    })
    .unwrap();
    let answer = get(host.port(), "/api/Echo", "never");
    assert_eq!((answer.status, answer.body.as_str()), (500, ""));
    let answer = get(host.port(), "/api/Echo", "first-chunk");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "5\r\nfirst\r\n")
    );
}
