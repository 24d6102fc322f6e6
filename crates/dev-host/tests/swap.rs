//! One handler takes the place of another.

mod common;

use std::{thread, time::Duration};

use common::{KEY, Lines, Load, TestApp, eventually, get, gone, has, post, status, wait_until};
use serde_json::{Value, json};
use test_support::client::Connection;

/// host.json under which the app has other paths.
fn second_version(app: &TestApp, arguments: Value) {
    app.host_json(json!({
        "customHandler": {"description": {"arguments": arguments}},
        "extensions": {"http": {"routePrefix": "v2"}},
    }));
}

#[test]
fn no_call_fails() {
    let app = TestApp::new();
    let (host, lines) = app.start_watching();
    let port = host.port();
    let load = Load::start(|| move || post(port, "wait 10"));
    for _ in 1..=5 {
        lines.next("POST /api/Echo 200");
        app.describe(json!({}));
        lines.next("serving the new handler");
    }
    assert!(load.end() > 5);
    assert_eq!(app.starts().len(), 6);

    app.function("New", json!({}));
    let is_new = || status(port, "/api/New", "key") == 200;
    wait_until("the new function is served", is_new);
    // As at the start.
    let line = format!("New: [any method] http://localhost:{port}/api/New");
    assert_eq!(lines.with("New: ["), [line]);
    let url = format!("'http://localhost:{port}/api/New'");
    assert_eq!(
        lines.wait_for("curl"),
        format!("  curl -H 'x-functions-key: key' {url}")
    );
    assert_eq!(lines.with("curl").len(), 1);
    app.write("host.json", "{");
    lines.wait_for("the app is served as it was");
    assert_eq!(status(port, "/api/New", "key"), 200);
}

/// Until then the old one serves, by the old routes. The calls that it has got end there.
#[test]
fn the_new_handler_takes_over_when_it_answers() {
    let app = TestApp::new();
    let (host, lines) = app.start_watching();
    let port = host.port();
    let statuses = || ["/api/Echo", "/v2/Echo"].map(|path| status(port, path, "key"));
    let running = thread::spawn(move || get(port, "/api/Echo", "until end").status);
    lines.wait_for("waiting");

    second_version(&app, json!(["wait-for", "go"]));
    app.started(2);
    assert_eq!(statuses(), [200, 404]);
    app.write("go", "");
    lines.wait_for("serving the new handler");
    assert_eq!(statuses(), [404, 200]);

    assert!(!running.is_finished());
    app.write("end", "");
    assert_eq!(running.join().unwrap(), 200);
    gone(app.starts()[0]);
    assert_eq!(statuses(), [404, 200]);
}

/// A mistake in a file must not end the developer's loop.
#[test]
fn a_new_handler_that_does_not_start_leaves_the_old_one_in_its_place() {
    let app = TestApp::new();
    let mut options = app.options();
    let lines = Lines::default();
    (options.console, options.watch) = (lines.console(), true);
    options.limits.start = Duration::from_millis(500);
    let host = dev_host::start(options).unwrap();
    let statuses = || ["/api/Echo", "/v2/Echo"].map(|path| status(host.port(), path, "key"));
    let kept = "; the app is served as it was";
    for (arguments, starts, problem) in [
        (
            json!(["exit", "1", "2"]),
            2,
            "exited with 1 before it answered GET /",
        ),
        (json!(["never"]), 3, "has not answered GET / within 0.5 s"),
    ] {
        second_version(&app, arguments);
        let line = lines.wait_for(&format!("host         the new handler {problem}"));
        assert!(line.ends_with(kept), "{line}");
        assert_eq!(statuses(), [200, 404]);
        assert_eq!(app.starts().len(), starts, "it is tried once");
        gone(app.starts()[starts - 1]);
    }
    let line = lines.wait_for("the new handler exited with 1");
    has(
        &line,
        "its last lines on stderr: line 3 of start 2 | line 4 of start 2 | line 5 of start 2",
    );

    app.write("host.json", "{");
    let line = lines.wait_for("is not JSON");
    assert!(line.ends_with(kept), "{line}");
    second_version(&app, json!([]));
    lines.wait_for("serving the new handler");
    assert_eq!(statuses(), [404, 200]);
}

/// Attack 2: a client that leaves during a quiet stream.
#[test]
fn a_call_whose_client_has_left_keeps_no_handler() {
    let app = TestApp::new();
    let mut options = app.options();
    let lines = Lines::default();
    (options.console, options.watch) = (lines.console(), true);
    options.limits.swap = Duration::from_secs(3600);
    let host = dev_host::start(options).unwrap();
    let mut client = Connection::to(host.port());
    let request = format!("GET /api/Echo HTTP/1.1\r\nhost: test\r\n{KEY}x-do: first-chunk\r\n\r\n");
    client.send(request);
    eventually("the first chunk", || client.has_news().then_some(()));
    second_version(&app, json!([]));
    lines.wait_for("serving the new handler");
    drop(client);
    gone(app.starts()[0]);
}
