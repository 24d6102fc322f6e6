//! host.json: each line of the table "host.json, measured", and what ends the start.

mod common;

use std::{
    fs,
    os::unix::fs::symlink,
    sync::mpsc,
    thread::scope,
    time::{Duration, Instant},
};

use common::{HANDLER, TestApp, call, get, has, status, variable};
use serde_json::{Value, json};

#[test]
fn json_as_people_write_it() {
    let app = TestApp::new();
    app.write(
        "host.json",
        format!(
            "\u{feff}{{ // comment\n \"version\": \"2.0\", /* and\n another */ \"customHandler\": \
             {{\"description\": {{\"defaultExecutablePath\": {HANDLER:?}}},\n \
             \"enableProxyingHttpRequest\": \"True\",}},}}"
        ),
    );
    let function = fs::read_to_string(app.path().join("Echo/function.json")).unwrap();
    app.write("Echo/function.json", format!("// comment\n{function}"));
    let host = app.start();
    assert_eq!(status(host.port(), "/api/Echo", "key"), 200);
    // Whoever asks for it gets it without the comment.
    let listed = call(host.port(), "GET /admin/functions?code=master", "").body;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["config"].to_string(), function);
}

#[test]
fn the_executable() {
    let app = TestApp::new();
    app.write("bin/plain", "");
    app.write("sub/plain", "");
    for place in ["bin/handler", "handler", "sub/only-here"] {
        symlink(HANDLER, app.path().join(place)).unwrap();
    }
    app.settings(json!({"MYBIN": "bin/handler"}));
    let describe = |executable: &str, directory: &str| {
        let path = json!({"defaultExecutablePath": executable, "workingDirectory": directory});
        app.describe(path);
    };
    for executable in ["bin/handler", "./handler", "%MYBIN%", HANDLER] {
        describe(executable, "");
        app.start();
    }
    describe("handler", "sub");
    app.start();
    for (executable, directory) in [
        ("bin\\handler", ""),
        ("only-here", "sub"),
        ("./only-here", "sub"),
        ("handler", "missing"),
        ("missing", ""),
        ("bin/missing", ""),
        // Not executable.
        ("bin/plain", ""),
    ] {
        describe(executable, directory);
        let error = app.error();
        for part in [executable, "can't be started", "defaultExecutablePath"] {
            has(&error, part);
        }
    }
    // `false` is on PATH: it is started, and ends at once.
    describe("false", "");
    has(&app.error(), "exited with 1");
}

#[test]
fn arguments_are_joined_and_split_again() {
    let app = TestApp::new();
    let (port, home) = ("%FUNCTIONS_CUSTOMHANDLER_PORT%", "%HOME%%NONE%");
    let arguments = json!(["echo", "a b", "--x=1", "q\"q", port, "$HOME", home]);
    app.describe(json!({"arguments": arguments, "defaultWorkerPath": "w.py"}));
    let host = app.start();
    let value = |name| variable(host.port(), name);
    let port = value("FUNCTIONS_CUSTOMHANDLER_PORT");
    let last = format!("qq {port} $HOME {} w.py", value("HOME"));
    let expected = ["echo", "a", "b", "--x=1", &last].join("|");
    assert_eq!(value("arguments"), expected);
    drop(host);

    // A quote after a backslash is a letter like any other (.NET's own rule, not recorded).
    app.describe(json!({"arguments": [r#"a\"b c\" "d e""#]}));
    assert_eq!(variable(app.start().port(), "arguments"), r#"a"b|c"|d e"#);

    app.describe(json!({"defaultWorkerPath": "w x.py"}));
    assert_eq!(variable(app.start().port(), "arguments"), "w x.py");
}

#[test]
fn a_setting_goes_before_host_json() {
    let app = TestApp::new();
    app.host_json(json!({
        "customHandler": {"description": {"defaultExecutablePath": "missing"}},
        "extensions": {"http": {"routePrefix": "v1"}},
    }));
    app.settings(json!({
        "AzureFunctionsJobHost__customHandler__description__defaultExecutablePath": HANDLER,
        "AzureFunctionsJobHost__extensions__http__routePrefix": "api",
    }));
    assert_eq!(status(app.start().port(), "/api/Echo", "key"), 200);
}

#[test]
fn what_ends_the_start_names_the_member() {
    let app = TestApp::new();
    let fails = |named: &str| {
        has(&app.error(), "host.json");
        has(&app.error(), named);
    };
    for (content, named) in [
        ("", "host.json is empty: the least that it needs is {"),
        ("{", "host.json is not JSON"),
        (r#"{"version": "2.0" "a": 1}"#, "host.json is not JSON"),
        ("{}", "version"),
        // The real host knows only the name in small letters.
        (r#"{"Version": "2.0"}"#, "version"),
    ] {
        app.write("host.json", content);
        fails(named);
    }
    for (member, value) in [
        ("version", json!("1.0")),
        ("version", json!(2.0)),
        ("customHandler.description", json!(null)),
        ("customHandler.description.defaultExecutablePath", json!("")),
        ("customHandler.enableProxyingHttpRequest", json!("yes")),
        ("extensions.http.maxConcurrentRequests", json!(0)),
        ("extensions.http.maxOutstandingRequests", json!("x")),
        ("extensions.http.customHeaders.a b", json!("x")),
    ] {
        let members = member
            .rsplit('.')
            .fold(value, |value, name| json!({name: value}));
        app.host_json(members);
        fails(member);
    }
    for timeout in ["soon", "99999999999999999.00:00:00", "-2"] {
        app.host_json(json!({"functionTimeout": timeout}));
        fails(&format!("functionTimeout is {timeout:?}"));
    }
    for (is_forwarding, why) in [(true, "another path"), (false, "the handler JSON")] {
        app.host_json(json!({"customHandler": {
            "enableProxyingHttpRequest": false,
            "enableForwardingHttpRequest": is_forwarding,
        }}));
        fails("enableProxyingHttpRequest");
        has(&app.error(), why);
    }
}

#[test]
fn the_largest_values() {
    let app = TestApp::new();
    let most = u64::MAX;
    app.host_json(json!({
        "functionTimeout": "10675198.23:59:59",
        "extensions": {"http": {"maxConcurrentRequests": most, "maxOutstandingRequests": most}},
    }));
    assert_eq!(status(app.start().port(), "/api/Echo", "key"), 200);
}

#[test]
fn a_name_that_is_not_known_is_told_with_the_one_that_is_meant() {
    let app = TestApp::new();
    let misspelt = |name: &str, meant: &str| format!("{name} is not known: is {meant} meant?");
    let proxying = misspelt(
        "host.json: customHandler.enableProxingHttpRequest",
        "enableProxyingHttpRequest",
    );
    let members = json!({"enableProxingHttpRequest": true, "enableProxyingHttpRequest": false});
    app.host_json(json!({"customHandler": members}));
    for part in [
        "customHandler.enableProxyingHttpRequest is not true: set it to true",
        &proxying,
    ] {
        has(&app.error(), part);
    }

    let members =
        json!({"description": {"argumnets": []}, "enableProxingHttpRequest": true, "x": 1});
    app.host_json(json!({"customHandler": members, "extension": {}, "mine": {}}));
    app.write("local.settings.json", json!({"Valuse": {}}));
    let (_host, lines) = app.start_heard();
    let arguments = misspelt(
        "host.json: customHandler.description.argumnets",
        "arguments",
    );
    for line in [
        &proxying,
        &arguments,
        "host.json: customHandler.x is not known",
        &misspelt("local.settings.json: Valuse", "Values"),
        &misspelt("host.json: extension", "extensions"),
    ] {
        assert_eq!(lines.with(line), [format!("host         warning: {line}")]);
    }
    assert_eq!(lines.with("warning").len(), 5);
}

#[test]
fn custom_headers_are_on_every_answer() {
    let app = TestApp::new();
    let headers = json!({"customHeaders": {"X-Frame-Options": "DENY", "Server": "mine"}});
    app.host_json(json!({"extensions": {"http": headers}}));
    let host = app.start();
    for (path, status) in [
        ("/", 200),
        ("/api/Echo", 401),
        ("/api/Echo?code=key", 200),
        ("/api/Other", 404),
        ("/admin/host/status", 401),
    ] {
        let answer = call(host.port(), &format!("GET {path}"), "");
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("server"), Some("mine"), "{path}");
    }
}

#[test]
fn a_call_that_takes_too_long_costs_the_handler_its_life() {
    let app = TestApp::new();
    app.host_json(json!({"functionTimeout": "00:00:00.3"}));
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
    app.host_json(json!({"extensions": {"http": http}}));
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
    app.host_json(json!({"extensions": {"http": {"maxConcurrentRequests": 1}}}));
    let host = app.start();
    let port = host.port();
    let start = Instant::now();
    scope(|scope| {
        for _ in 0..6 {
            scope.spawn(move || assert_eq!(get(port, "/api/Echo", "wait 50").status, 200));
        }
    });
    let all = start.elapsed();
    assert!(
        all >= Duration::from_millis(6 * 50),
        "not one after the other: {all:?}"
    );
}
