//! The log lines and their streams.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::{ENDPOINT, PORT, handler, start, start_with};
use test_support::{
    client::Connection,
    handler::{Ended, Handler},
};

const INVOKED: &str = "INFO RandomNumber invoked via HTTP trigger. InvocationId: ";
const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// What each call has logged.
fn invocations(ended: &Ended) -> Vec<&str> {
    assert_eq!(ended.stderr, Vec::<String>::new());
    let lines = ended.stdout.iter();
    lines
        .filter_map(|line| line.strip_prefix(INVOKED))
        .collect()
}

/// When forwarding, the host puts its id behind the client's (row `header: invocation id`).
#[test]
fn each_call_is_one_line_with_the_hosts_id() {
    let handler = start();
    let mut connection = handler.connect();
    connection.get(ENDPOINT);
    for (name, value) in [
        ("X-Azure-Functions-InvocationId", ID),
        ("x-azure-functions-invocationid", &format!("mine, {ID}")),
        ("X-Azure-Functions-InvocationId", "a\tb"),
    ] {
        connection.request("POST", ENDPOINT, &format!("{name}: {value}\r\n"));
    }
    // No calls of the function.
    connection.get("/api/Other");
    connection.get("/");
    let ended = handler.stop();
    assert_eq!(invocations(&ended), ["none", ID, ID, "a b"]);
    // And the one that says where it listens.
    assert_eq!(ended.stdout.len(), 5, "{ended:?}");
}

#[test]
fn rust_log_sets_the_level() {
    for level in ["", "info", "INFO", "debug", "trace"] {
        let handler = start_with(&[("RUST_LOG", level)]);
        handler.get(ENDPOINT);
        assert_eq!(invocations(&handler.stop()).len(), 1, "{level:?}");
    }
    for level in ["off", "error", "warn"] {
        let ended = (0..10).find_map(|_| called_without_a_log(level));
        let ended = ended.expect("a free port");
        assert_eq!(ended.stdout, Vec::<String>::new(), "{level:?}");
        assert_eq!(ended.stderr, Vec::<String>::new(), "{level:?}");
    }
}

/// A port that is free, unless somebody else takes it in between; then none.
fn called_without_a_log(level: &str) -> Option<Ended> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let is_open = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut handler = Handler::unheard(handler(&[("RUST_LOG", level), (PORT, &port.to_string())]));
    while !is_open() {
        if !handler.is_running() {
            return None;
        }
    }
    Connection::to(port).get(ENDPOINT);
    let ended = handler.stop();
    (ended.status.success() && !is_open()).then_some(ended)
}

#[test]
fn a_bad_level_is_reported_and_info_taken() {
    for level in ["verbose", "handler=debug", "x\nERROR forged"] {
        let handler = start_with(&[("RUST_LOG", level)]);
        handler.get(ENDPOINT);
        let ended = handler.stop();
        let [line] = &*ended.stderr else {
            panic!("{ended:?}")
        };
        assert!(line.starts_with("WARN RUST_LOG is "), "{line}");
        assert!(line.contains(&format!("{level:?}")), "{line}");
        assert!(ended.stdout.iter().any(|line| line.starts_with(INVOKED)));
    }
}

/// A warning that does not say so would be taken for an error, an error that does for a warning.
#[test]
fn the_host_takes_warnings_and_errors_for_what_they_are() {
    let Err(ended) = Handler::spawn(handler(&[(PORT, "Warn, WARNING, wwarn")])) else {
        panic!("listens")
    };
    let [error] = &*ended.stderr else {
        panic!("{ended:?}")
    };
    assert!(error.starts_with("ERROR "), "{error}");
    assert!(error.contains("W*rn, W*RNING, ww*rn"), "{error}");
    assert_eq!(ended.stdout, Vec::<String>::new());
}

#[test]
fn no_level_shows_the_key() {
    const SECRET: &str = "s3cr3t-k3y";

    let handler = start_with(&[("RUST_LOG", "trace")]);
    let header = format!("x-functions-key: {SECRET}\r\n");
    let mut connection = handler.connect();
    for path in [ENDPOINT, "/", "/api/Other"] {
        for method in ["GET", "POST", "PUT"] {
            connection.request(method, &format!("{path}?code={SECRET}"), &header);
        }
    }
    // The libraries complain about these.
    for request in [
        format!("GET {ENDPOINT}?code={SECRET} HTTP/1.1\r\n{header}no header\r\n\r\n"),
        format!("GET {ENDPOINT}?code={SECRET} HTTP/7\r\n{header}\r\n"),
        format!("GET {ENDPOINT}?code={SECRET}\\<> HTTP/1.1\r\n{header}\r\n"),
        format!("POST {ENDPOINT}?code={SECRET} HTTP/1.1\r\n{header}Content-Length: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {SECRET}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: {SECRET}\r\n\r\n"),
        format!(
            "GET {ENDPOINT} HTTP/1.1\r\nHost: h\r\n{}\r\n",
            header.repeat(10_000)
        ),
    ] {
        let mut connection = handler.connect();
        if connection.try_send(request) {
            assert!(connection.answer().status >= 400);
        }
    }
    let ended = handler.stop();
    assert!(ended.stdout.iter().any(|line| line.starts_with(INVOKED)));
    for line in ended.stdout.iter().chain(&ended.stderr) {
        assert!(!line.contains(SECRET), "{line}");
        assert!(!line.to_lowercase().contains("x-functions-key"), "{line}");
    }
}
