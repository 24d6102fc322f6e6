//! The log lines and their streams.

use crate::{ENDPOINT, PORT, command, start, start_with};
use test_support::{
    free_port,
    handler::{Ended, Handler},
    process::eventually,
};

const INVOKED: &str = "INFO RandomNumber invoked via HTTP trigger. InvocationId: ";
const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// What each call has logged.
fn invocations(ended: &Ended) -> Vec<&str> {
    let lines = ended.stdout.iter();
    lines
        .filter_map(|line| line.strip_prefix(INVOKED))
        .collect()
}

/// When forwarding, the host puts its id behind the client's (row `header: invocation id`).
#[test]
fn each_call_is_one_line_with_the_hosts_id() {
    let handler = start();
    let listening = format!("INFO listening on http://127.0.0.1:{}", handler.port);
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
    assert_eq!(ended.stdout[0], listening);
    assert_eq!(invocations(&ended), ["none", ID, ID, "a b"]);
    assert_eq!(ended.stdout.len(), 5, "{ended:?}");
    assert_eq!(ended.stderr, Vec::<String>::new());
}

#[test]
fn rust_log_sets_the_level() {
    for level in ["info", "INFO", "debug", "trace"] {
        let handler = start_with(level);
        handler.get(ENDPOINT);
        assert_eq!(invocations(&handler.stop()), ["none"], "{level}");
    }
    for level in ["off", "error", "warn"] {
        // A port that is free, unless somebody else takes it in between.
        let ended = eventually("a handler on a free port", || {
            let port = free_port();
            let command = command(&[(PORT, &port.to_string()), ("RUST_LOG", level)]);
            let handler = Handler::spawn_at(port, command).ok()?;
            handler.get(ENDPOINT);
            Some(handler.stop()).filter(|ended| ended.status.success())
        });
        assert_eq!(ended.stdout, Vec::<String>::new(), "{level}");
        assert_eq!(ended.stderr, Vec::<String>::new(), "{level}");
    }
    // What is no level is reported, and info is taken.
    for level in ["verbose", "handler=debug", "x\nERROR forged"] {
        let handler = start_with(level);
        handler.get(ENDPOINT);
        let ended = handler.stop();
        let line = ended.complaint();
        assert!(line.starts_with("WARN RUST_LOG is "), "{line}");
        assert!(line.contains(&format!("{level:?}")), "{line}");
        assert_eq!(invocations(&ended), ["none"]);
    }
}

#[test]
fn no_level_shows_the_key() {
    const SECRET: &str = "s3cr3t-k3y";

    let handler = start_with("trace");
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
        format!("GET / HTTP/1.1\r\n{}\r\n", header.repeat(10_000)),
    ] {
        let mut connection = handler.connect();
        if connection.try_send(request) {
            assert!(connection.answer().status >= 400);
        }
    }
    let ended = handler.stop();
    assert_eq!(invocations(&ended), ["none"; 2]);
    for line in ended.stdout.iter().chain(&ended.stderr) {
        assert!(!line.contains(SECRET), "{line}");
        assert!(!line.to_lowercase().contains("x-functions-key"), "{line}");
    }
}
