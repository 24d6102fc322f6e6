//! What reaches the handler and what comes back, byte for byte, in both of the host's ways.

mod common;

use std::{io::Write as _, time::Duration};

use common::{FORWARDING, Lines, PROXYING, TestApp, connect, get, read_answer, send};
use dev_host::{Limits, Options, Running};

fn host(app: &TestApp, is_proxying: bool) -> Running {
    app.host_json(is_proxying, &[]);
    app.start()
}

/// The headers that the host adds, by which nothing can be compared, as names only.
fn without_ids(mut headers: Vec<String>) -> Vec<String> {
    for header in &mut headers {
        if let Some((name @ ("x-azure-functions-invocationid" | "x-ms-invocation-id"), id)) =
            header.split_once(": ")
        {
            assert_eq!(id.len(), 36, "{id} is no GUID");
            assert_eq!(id.matches('-').count(), 4, "{id} is no GUID");
            *header = name.to_owned();
        }
    }
    headers
}

#[test]
fn proxying_adds_these_headers_and_no_others() {
    let app = TestApp::new();
    let host = host(&app, PROXYING);
    let answer = send(
        host.port(),
        "GET /api/Echo HTTP/1.1\r\nhost: example.org\r\nuser-agent: test/1\r\nX-Functions-Key: key\r\n\r\n",
    );
    let (first, headers) = answer.echoed();
    assert_eq!(first, "GET /api/Echo HTTP/1.1");
    let [id, other_id] = ["x-azure-functions-invocationid", "x-ms-invocation-id"]
        .map(|name| answer.echoed_header(name).unwrap());
    assert_eq!(id, other_id);
    let address = headers
        .iter()
        .find(|line| line.starts_with("host: "))
        .unwrap();
    assert!(address.starts_with("host: 127.0.0.1:"), "{address}");
    assert_eq!(
        without_ids(headers.clone()),
        [
            address,
            "user-agent: test/1",
            "x-azure-functions-hostversion: 4.1037.0.0",
            "x-azure-functions-invocationid",
            "x-functions-key: key",
            "x-ms-invocation-id",
        ]
    );
}

#[test]
fn forwarding_adds_these_headers_and_no_others() {
    let app = TestApp::new();
    let host = host(&app, FORWARDING);
    let answer = send(
        host.port(),
        "GET /api/Echo HTTP/1.1\r\nhost: example.org\r\nuser-agent: test/1\r\nx-functions-key: key\r\n\r\n",
    );
    assert_eq!(
        without_ids(answer.echoed().1),
        [
            "host: example.org",
            "user-agent: test/1 Azure-Functions-Host/4.1037.0.0",
            "x-azure-functions-hostversion: 4.1037.0.0",
            "x-azure-functions-invocationid",
            "x-functions-key: key",
        ]
    );
}

#[test]
fn each_invocation_has_an_id_of_its_own() {
    let app = TestApp::new();
    let host = host(&app, PROXYING);
    let id = || get(host.port(), "/api/Echo", "").echoed_header("x-azure-functions-invocationid");
    assert_ne!(id().unwrap(), id().unwrap());
}

#[test]
fn an_id_from_the_client_is_replaced() {
    let app = TestApp::new();
    let host = host(&app, PROXYING);
    let answer = send(
        host.port(),
        "GET /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
         x-azure-functions-invocationid: mine\r\nx-ms-invocation-id: mine\r\n\r\n",
    );
    assert!(!answer.body.contains("mine"), "{}", answer.body);
}

#[test]
fn method_path_and_query_arrive_as_they_were_written() {
    let app = TestApp::new();
    for is_proxying in [PROXYING, FORWARDING] {
        let host = host(&app, is_proxying);
        for target in [
            "/api/Echo",
            "/API/echo/",
            "/%61pi/E%63ho?code=key",
            "/api/Echo?",
            "/api/Echo?a=%2f%2F&&b=+%20&code=key&=&a=%zz",
            "/api/Echo?code=key&url=https://example.org/?x=y;z",
        ] {
            for method in ["GET", "POST", "DELETE", "BREW"] {
                let first = format!("{method} {target} HTTP/1.1");
                let answer = send(
                    host.port(),
                    &format!("{first}\r\nhost: test\r\nx-functions-key: key\r\n\r\n"),
                );
                assert_eq!(answer.status, 200, "{first}");
                assert_eq!(answer.echoed().0, first);
            }
        }
    }
}

#[test]
fn headers_of_one_connection_stay_there() {
    let app = TestApp::new();
    for is_proxying in [PROXYING, FORWARDING] {
        let host = host(&app, is_proxying);
        let answer = send(
            host.port(),
            "GET /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
             connection: x-mine, keep-alive\r\nx-mine: 1\r\nkeep-alive: 1\r\nte: trailers\r\n\
             proxy-authorization: x\r\nproxy-connection: x\r\nx-stays: 1\r\nx-stays: 2\r\n\r\n",
        );
        let names: Vec<String> = answer
            .echoed()
            .1
            .iter()
            .map(|line| line.split(':').next().unwrap().to_owned())
            .filter(|name| !name.starts_with("x-azure") && !name.starts_with("x-ms"))
            .collect();
        let mut expected = vec!["host", "x-functions-key", "x-stays", "x-stays"];
        if is_proxying == FORWARDING {
            expected.insert(1, "user-agent");
        }
        assert_eq!(names, expected);
    }
}

#[test]
fn a_body_arrives_with_its_length() {
    let app = TestApp::new();
    for is_proxying in [PROXYING, FORWARDING] {
        let host = host(&app, is_proxying);
        for method in ["POST", "GET"] {
            let answer = send(
                host.port(),
                &format!(
                    "{method} /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
                     content-type: text/plain\r\ncontent-length: 5\r\n\r\nhello"
                ),
            );
            assert_eq!(answer.echoed_body(), "hello");
            assert_eq!(answer.echoed_header("content-length").unwrap(), "5");
            assert_eq!(answer.echoed_header("content-type").unwrap(), "text/plain");
        }
    }
}

const CHUNKED: &str = "HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
    content-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

#[test]
fn proxying_passes_a_chunked_body_on_as_such() {
    let app = TestApp::new();
    let host = host(&app, PROXYING);
    for method in ["POST", "GET"] {
        let answer = send(host.port(), &format!("{method} /api/Echo {CHUNKED}"));
        assert_eq!(answer.echoed_body(), "5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(
            answer.echoed_header("transfer-encoding").unwrap(),
            "chunked"
        );
        assert_eq!(answer.echoed_header("content-length"), None);
    }
}

#[test]
fn forwarding_drops_a_body_without_length() {
    let app = TestApp::new();
    let host = host(&app, FORWARDING);
    let answer = send(host.port(), &format!("POST /api/Echo {CHUNKED}"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.echoed_body(), "");
    for name in ["transfer-encoding", "content-type"] {
        assert_eq!(answer.echoed_header(name), None, "{name}");
    }
}

#[test]
fn forwarding_drops_headers_of_the_content() {
    let app = TestApp::new();
    let request = "POST /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
        content-encoding: gzip\r\ncontent-length: 1\r\n\r\nx";
    let forwarding = host(&app, FORWARDING);
    let answer = send(forwarding.port(), request);
    assert_eq!(answer.echoed_header("content-encoding"), None);
    let proxying = host(&app, PROXYING);
    let answer = send(proxying.port(), request);
    assert_eq!(answer.echoed_header("content-encoding").unwrap(), "gzip");
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
fn the_answer_comes_back_as_it_is() {
    let app = TestApp::new();
    for is_proxying in [PROXYING, FORWARDING] {
        let host = host(&app, is_proxying);
        let answer = send(
            host.port(),
            "GET /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
             x-answer: HTTP/1.1 302 Found|location: /elsewhere|set-cookie: a=b|set-cookie: c=d\
             |content-encoding: gzip|date: some day|keep-alive: 1|connection: x-mine|x-mine: 1\r\n\r\n",
        );
        assert_eq!(answer.status, 302);
        assert_eq!(answer.header("location"), ["/elsewhere"]);
        assert_eq!(answer.header("set-cookie"), ["a=b", "c=d"]);
        assert_eq!(answer.header("content-encoding"), ["gzip"]);
        assert_eq!(answer.header("date"), ["some day"]);
        assert_eq!(answer.header("keep-alive").len(), 0);
        assert_eq!(answer.header("x-mine").len(), 0);
        assert_eq!(
            answer.header("content-length"),
            [answer.body.len().to_string()]
        );
        assert!(answer.body.starts_with("GET /api/Echo"));
        for status in [200, 201, 404, 418, 500, 503] {
            let answer = send(
                host.port(),
                &format!(
                    "GET /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
                     x-answer: HTTP/1.1 {status} Some\r\n\r\n"
                ),
            );
            assert_eq!(answer.status, status);
        }
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
fn an_answer_is_streamed() {
    let app = TestApp::new();
    for is_proxying in [PROXYING, FORWARDING] {
        app.host_json(is_proxying, &[]);
        let host = dev_host::start(Options {
            limits: Limits {
                stop: Duration::ZERO,
                ..Limits::default()
            },
            ..app.options()
        })
        .unwrap();
        let mut stream = connect(host.port());
        let request = "GET /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
            x-do: first-chunk\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        // The rest never comes: only a streamed answer can be read at all.
        let mut found = Vec::new();
        while !String::from_utf8_lossy(&found).contains("first") {
            let mut bytes = [0; 100];
            let count = std::io::Read::read(&mut stream, &mut bytes).unwrap();
            assert_ne!(count, 0, "{:?}", String::from_utf8_lossy(&found));
            found.extend(&bytes[..count]);
        }
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
        let mut stream = connect(host.port());
        let request = "POST /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
            connection: close\r\nx-do: tell-bytes\r\ncontent-length: 10\r\n\r\nfirst";
        stream.write_all(request.as_bytes()).unwrap();
        lines.wait_for("the body begins");
        stream.write_all(b"later").unwrap();
        assert_eq!(read_answer(stream).echoed_body(), "firstlater");
    }
}

#[test]
fn a_handler_that_hangs_up_makes_a_500_without_a_body() {
    let app = TestApp::new();
    for is_proxying in [PROXYING, FORWARDING] {
        let host = host(&app, is_proxying);
        let answer = get(host.port(), "/api/Echo", "hang-up");
        assert_eq!((answer.status, answer.body.as_str()), (500, ""));
        assert_eq!(get(host.port(), "/api/Echo", "").status, 200);
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
