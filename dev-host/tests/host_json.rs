//! host.json: each line of the table "host.json, measured", and what ends the start.

mod common;

use std::{
    fs,
    os::unix::fs::symlink,
    sync::mpsc,
    thread::scope,
    time::{Duration, Instant},
};

use common::{TestApp, get, send};
use serde_json::{Value, json};

const HANDLER: &str = env!("CARGO_BIN_EXE_test-handler");

/// host.json with a description of the handler and what else is given.
fn host_json(description: Value, other: Value) -> Value {
    let mut host = json!({
        "version": "2.0",
        "customHandler": {"description": description, "enableProxyingHttpRequest": true},
    });
    for (name, value) in other.as_object().unwrap() {
        host[name] = value.clone();
    }
    host
}

fn status(app: &TestApp) -> u16 {
    get(app.start().port(), "/api/Echo", "").status
}

#[test]
fn json_as_people_write_it() {
    let app = TestApp::new();
    app.write(
        "host.json",
        &format!(
            "\u{feff}{{ // comment\n \"version\": \"2.0\", /* and\n another */ \"customHandler\": \
             {{\"description\": {{\"defaultExecutablePath\": {HANDLER:?}}},\n \
             \"enableForwardingHttpRequest\": \"True\",}},}}"
        ),
    );
    let function = fs::read_to_string(app.path().join("Echo/function.json")).unwrap();
    app.write("Echo/function.json", &format!("// comment\n{function}"));
    let host = app.start();
    assert_eq!(get(host.port(), "/api/Echo", "").status, 200);
    // Whoever asks for it gets it without the comment.
    let request = "GET /admin/functions HTTP/1.1\r\nhost: test\r\nx-functions-key: master\r\n\r\n";
    let listed: Value = serde_json::from_str(&send(host.port(), request).body).unwrap();
    let function: Value = serde_json::from_str(&function).unwrap();
    assert_eq!(listed[0]["config"], function);
}

#[test]
fn the_executable() {
    let app = TestApp::new();
    fs::create_dir(app.path().join("bin")).unwrap();
    fs::create_dir(app.path().join("sub")).unwrap();
    for place in ["bin/handler", "handler", "sub/only-here"] {
        symlink(HANDLER, app.path().join(place)).unwrap();
    }
    app.write(
        "local.settings.json",
        &json!({"Values": {"MYBIN": "bin/handler"}}).to_string(),
    );
    let start = |executable: &str, directory: &str| {
        let description =
            json!({"defaultExecutablePath": executable, "workingDirectory": directory});
        app.write("host.json", &host_json(description, json!({})).to_string());
        dev_host::start(app.options()).map(drop)
    };
    for executable in ["bin/handler", "./handler", "%MYBIN%", HANDLER] {
        assert_eq!(start(executable, ""), Ok(()), "{executable}");
    }
    assert_eq!(start("handler", "sub"), Ok(()));
    for (executable, directory) in [
        ("bin\\handler", ""),
        ("only-here", "sub"),
        ("./only-here", "sub"),
        ("handler", "missing"),
    ] {
        let error = start(executable, directory).expect_err(executable);
        assert!(error.contains("defaultExecutablePath"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    // `false` is on PATH: it is started, and ends at once.
    assert!(start("false", "").unwrap_err().contains("exited with 1"));
}

#[test]
fn arguments_are_joined_and_split_again() {
    let app = TestApp::new();
    let arguments = [
        "echo",
        "a b",
        "--x=1",
        "q\"q",
        "%FUNCTIONS_CUSTOMHANDLER_PORT%",
        "$HOME",
        "%HOME%%NONE%",
    ];
    let description = json!({
        "defaultExecutablePath": HANDLER,
        "arguments": arguments,
        "defaultWorkerPath": "w.py",
    });
    app.write("host.json", &host_json(description, json!({})).to_string());
    let host = app.start();
    let environment = get(host.port(), "/api/Echo", "environment").body;
    let value = |name: &str| {
        let mut lines = environment.lines();
        let start = format!("{name}=");
        lines.find_map(|line| line.strip_prefix(&start)).unwrap()
    };
    let port = value("FUNCTIONS_CUSTOMHANDLER_PORT");
    let last = format!("qq {port} $HOME {} w.py", value("HOME"));
    let expected = ["echo", "a", "b", "--x=1", &last].join("|");
    assert_eq!(value("arguments"), expected);
    drop(host);

    let description = json!({"defaultExecutablePath": HANDLER, "defaultWorkerPath": "w x.py"});
    app.write("host.json", &host_json(description, json!({})).to_string());
    let environment = get(app.start().port(), "/api/Echo", "environment").body;
    assert!(environment.contains("arguments=w x.py\n"), "{environment}");
}

#[test]
fn a_setting_goes_before_host_json() {
    let app = TestApp::new();
    let description = json!({"defaultExecutablePath": "missing"});
    let routes = json!({"extensions": {"http": {"routePrefix": "v1"}}});
    app.write("host.json", &host_json(description, routes).to_string());
    let settings = json!({"Values": {
        "AzureFunctionsJobHost__customHandler__description__defaultExecutablePath": HANDLER,
        "AzureFunctionsJobHost__extensions__http__routePrefix": "api",
    }});
    app.write("local.settings.json", &settings.to_string());
    assert_eq!(status(&app), 200);
}

#[test]
fn what_ends_the_start_names_the_member() {
    let app = TestApp::new();
    let good = json!({"defaultExecutablePath": HANDLER});
    let with = |member: &str, value: Value| {
        let mut json = host_json(good.clone(), json!({}));
        *json.pointer_mut(member).unwrap() = value;
        json.to_string()
    };
    let http = |name: &str, value: Value| {
        host_json(good.clone(), json!({"extensions": {"http": {name: value}}})).to_string()
    };
    let capital = json!({"Version": "2.0", "CustomHandler": {"description": good}});
    for (text, named) in [
        ("{".to_owned(), "host.json is not JSON"),
        (
            r#"{"version": "2.0" "a": 1}"#.to_owned(),
            "host.json is not JSON",
        ),
        (capital.to_string(), "version"),
        ("{}".to_owned(), "version"),
        (with("/version", json!("1.0")), "version"),
        (with("/version", json!(2.0)), "version"),
        (
            with("/customHandler", json!({})),
            "customHandler.description",
        ),
        (
            with(
                "/customHandler/description/defaultExecutablePath",
                json!(""),
            ),
            "customHandler.description.defaultExecutablePath",
        ),
        (
            with("/customHandler/enableProxyingHttpRequest", json!("yes")),
            "customHandler.enableProxyingHttpRequest is \"yes\"",
        ),
        (
            with("/customHandler/enableProxyingHttpRequest", json!(false)),
            "customHandler.enableProxyingHttpRequest",
        ),
        (
            host_json(good.clone(), json!({"functionTimeout": "soon"})).to_string(),
            "functionTimeout is \"soon\"",
        ),
        (
            http("maxConcurrentRequests", json!(0)),
            "extensions.http.maxConcurrentRequests",
        ),
        (
            http("maxOutstandingRequests", json!("x")),
            "extensions.http.maxOutstandingRequests",
        ),
        (
            http("customHeaders", json!({"a b": "x"})),
            "extensions.http.customHeaders.a b",
        ),
    ] {
        app.write("host.json", &text);
        let error = dev_host::start(app.options()).err().expect(&text);
        assert!(
            error.contains("host.json") && error.contains(named),
            "{text}: {error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn custom_headers_are_on_every_answer() {
    let app = TestApp::new();
    let headers = json!({"customHeaders": {"X-Frame-Options": "DENY", "Server": "mine"}});
    app.host_json_with(&json!({"extensions": {"http": headers}}));
    let host = app.start();
    for (path, status) in [
        ("/", 200),
        ("/api/Echo", 401),
        ("/api/Echo?code=key", 200),
        ("/api/Other", 404),
        ("/admin/host/status", 401),
    ] {
        let answer = send(
            host.port(),
            &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"),
        );
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("x-frame-options"), ["DENY"], "{path}");
        assert_eq!(answer.header("server"), ["mine"], "{path}");
    }
}

#[test]
fn a_call_that_takes_too_long_costs_the_handler_its_life() {
    let app = TestApp::new();
    app.host_json_with(&json!({"functionTimeout": "00:00:00.3"}));
    let host = app.start();
    assert_eq!(get(host.port(), "/api/Echo", "never").status, 500);
    assert_eq!(get(host.port(), "/api/Echo", "").status, 200);
    assert_eq!(app.starts().len(), 2);
    // After the head there is no status left to give: the answer breaks off.
    let cut = get(host.port(), "/api/Echo", "first-chunk");
    assert!(!cut.body.contains("\r\n0\r\n"), "{}", cut.body);
    assert_eq!(get(host.port(), "/api/Echo", "").status, 200);
    assert_eq!(app.starts().len(), 3);
}

/// The statuses of six calls at once, in the order of the answers. The handler keeps those that it
/// gets until `refused` others are answered.
fn six_calls(http: Value, refused: usize) -> Vec<u16> {
    let app = TestApp::new();
    app.host_json_with(&json!({"extensions": {"http": http}}));
    let host = app.start();
    let port = host.port();
    let (tell, told) = mpsc::channel();
    scope(|scope| {
        for _ in 0..6 {
            let tell = tell.clone();
            scope.spawn(move || tell.send(get(port, "/api/Echo", "until go").status));
        }
        let mut statuses: Vec<u16> = told.iter().take(refused).collect();
        app.write("go", "");
        statuses.extend(told.iter().take(6 - refused));
        statuses
    })
}

#[test]
fn calls_at_once() {
    let statuses = six_calls(json!({"maxOutstandingRequests": 2}), 5);
    assert_eq!(statuses, [429, 429, 429, 429, 429, 200]);
    let limits = json!({"maxOutstandingRequests": 3, "maxConcurrentRequests": 1});
    assert_eq!(six_calls(limits, 4), [429, 429, 429, 429, 200, 200]);

    let app = TestApp::new();
    app.host_json_with(&json!({"extensions": {"http": {"maxConcurrentRequests": 1}}}));
    let host = app.start();
    let port = host.port();
    let start = Instant::now();
    scope(|scope| {
        for _ in 0..6 {
            scope.spawn(move || assert_eq!(get(port, "/api/Echo", "wait 50").status, 200));
        }
    });
    let one_after_the_other = Duration::from_millis(6 * 50);
    assert!(
        start.elapsed() >= one_after_the_other,
        "{:?}",
        start.elapsed()
    );
}
