//! The log lines and their streams.

use test_support::{
    free_port,
    handler::{Ended, Handler},
    process::eventually,
};

use crate::{App, ENDPOINT, PORT};

const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// The lines on stdout without the first one, which says the port.
fn lines(ended: &Ended) -> Vec<&str> {
    assert!(ended.stdout[0].starts_with("INFO - listening on http://127.0.0.1:"));
    ended.stdout[1..].iter().map(String::as_str).collect()
}

/// In the function, in what it awaits, and while the answer's body is streamed; not in what runs
/// beside it. Text can't pose as an id.
#[test]
fn each_line_bears_the_id_of_its_call() {
    let handler = App::of(&["Log", "Panic"]).start();
    let mut connection = handler.connect();
    let id = format!("X-Azure-Functions-InvocationId: {ID}\r\n");
    assert_eq!(connection.request("GET", "/api/Log", &id).body, b"x");
    let json = "Content-Type: application/json\r\nContent-Length: 2\r\n";
    connection.send(format!(
        "POST /api/Panic HTTP/1.1\r\nHost: h\r\n{id}{json}\r\n{{}}"
    ));
    assert_eq!(connection.answer().status, 500);
    assert_eq!(connection.get("/api/Log").body, b"x");
    let ended = handler.stop();
    let texts = [
        "first",
        "later",
        "with a target",
        "spawned",
        "streams",
        "streams",
    ];
    let of = |id: &str| {
        texts.map(|text| match text {
            "spawned" => format!("INFO - {text}"),
            text => format!("INFO {id} {text}"),
        })
    };
    assert_eq!(lines(&ended), [of(ID), of("-")].concat());
    let [dependency, panic, again] = &ended.stderr[..] else {
        panic!("{ended:?}");
    };
    assert_eq!(*dependency, format!("WARN {ID} of a dependency"));
    assert!(
        panic.starts_with(&format!("ERROR {ID} panicked at ")),
        "{panic}"
    );
    assert_eq!(again, "WARN - of a dependency");
}

/// What stands behind the last comma, if it is a GUID.
#[test]
fn an_id_is_a_guid() {
    let handler = App::of(&["Log"]).start();
    let mut connection = handler.connect();
    for (headers, id) in [
        (
            format!("x-azure-functions-invocationid: mine, {ID}\r\n"),
            ID,
        ),
        (
            format!("X-AZURE-FUNCTIONS-INVOCATIONID: mine,{ID} \r\n"),
            ID,
        ),
        (
            format!("X-Azure-Functions-InvocationId: {ID}, mine\r\n"),
            "-",
        ),
        ("X-Azure-Functions-InvocationId: \r\n".to_owned(), "-"),
        (
            "X-Azure-Functions-InvocationId: 0f8fad5bd9cb469fa16570867728950e\r\n".to_owned(),
            "-",
        ),
        (
            format!(
                "X-Azure-Functions-InvocationId: {}\r\n",
                ID.replace('-', "0")
            ),
            "-",
        ),
    ] {
        connection.request("GET", "/api/Log", &headers);
        let first = format!("INFO {id} first");
        eventually(&first, || {
            let printed = handler.stdout();
            printed
                .lines()
                .rfind(|line| line.ends_with(" first"))
                .filter(|line| **line == *first)?;
            Some(())
        });
    }
}

#[test]
fn rust_log_sets_the_level() {
    let app = App::of(&["Log"]);
    for level in ["info", "INFO", "debug", "trace"] {
        let handler = app.start_with(&[("RUST_LOG", level)]);
        handler.get("/api/Log");
        assert_eq!(lines(&handler.stop())[0], "INFO - first", "{level}");
    }
    for level in ["off", "error", "warn"] {
        // A port that is free, unless somebody else takes it in between.
        let ended = eventually("a handler on a free port", || {
            let port = free_port();
            let command = app.command(&[(PORT, &port.to_string()), ("RUST_LOG", level)]);
            let handler = Handler::spawn_at(port, command).ok()?;
            handler.get("/api/Log");
            Some(handler.stop()).filter(|ended| ended.status.success())
        });
        assert_eq!(ended.stdout, Vec::<String>::new(), "{level}");
        let warnings = usize::from(level == "warn");
        assert_eq!(ended.stderr.len(), warnings, "{level}");
    }
    // What is no level is reported, and info is taken.
    for level in ["verbose", "handler=debug", "x\nERROR forged"] {
        let handler = start_with(level);
        let ended = handler.stop();
        let line = ended.complaint();
        assert!(line.starts_with("WARN - RUST_LOG is "), "{line}");
        assert!(line.contains(&format!("{level:?}")), "{line}");
    }
}

fn start_with(rust_log: &str) -> Handler {
    App::of(&["Echo"]).start_with(&[("RUST_LOG", rust_log)])
}

/// The time is linear in the length: were it quadratic, this would take minutes.
#[test]
fn a_long_line_costs_no_more_than_its_length() {
    let handler = App::of(&["Panic"]).start();
    let warnings = "warn".repeat(250_000);
    let mut connection = handler.connect();
    let length = warnings.len() + 2;
    connection.send(format!(
        "POST /api/Panic HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n\"{warnings}\""
    ));
    assert_eq!(connection.answer().status, 500);
    let ended = handler.stop();
    let line = ended.complaint();
    assert!(line.contains("w*rnw*rn") && line.len() > 1_000_000);
    assert!(!line.to_lowercase().contains("warn"));
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
    for line in ended.stdout.iter().chain(&ended.stderr) {
        assert!(!line.contains(SECRET), "{line}");
        assert!(!line.to_lowercase().contains("x-functions-key"), "{line}");
    }
}
