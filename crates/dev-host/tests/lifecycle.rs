//! From the start to the end of a host and its handler: the table "Its life, measured" of the
//! recordings, and what is wanted otherwise here.

mod common;

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use common::{
    HANDLER, Host, KEY, TestApp, call, get, has, pid, post, status, variable, wait_until,
};
use rustix::process::{Signal, kill_process};
use serde_json::json;
use test_support::free_port;

/// The one line with which a host ends that could not begin.
fn error(app: &TestApp, arguments: &[&str]) -> String {
    let (status, errors) = Host::spawn(app.path(), arguments).end();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    errors
}

/// Once it answers, the host says where it is and what to call; calls before that wait.
#[test]
fn a_call_waits_for_the_first_start() {
    let app = TestApp::new();
    app.describe(json!({"arguments": ["wait-for", "go"]}));
    let port = free_port();
    let host = Host::spawn(app.path(), &["--port", &port.to_string()]);
    app.started(1);
    let call = thread::spawn(move || status(port, "/api/Echo", "key"));
    // Whoever has no key need not wait.
    assert_eq!(status(port, "/api/Echo", ""), 401);
    assert!(!call.is_finished());
    let lines = host.lines.with("");
    assert!(lines[0].starts_with("host         starting the handler on 127.0.0.1:"));
    assert!(host.lines.with("Ctrl-C").is_empty(), "{lines:?}");
    app.write("go", "");
    assert_eq!(call.join().unwrap(), 200);
    host.lines.wait_for("Ctrl-C to stop");
}

/// What a handler does at its starts, and what becomes of it.
#[test]
fn starts() {
    let failed = "the handler failed 3 times within 30 min; at last it exited with 3 before it \
                  answered GET /; its last \
                  lines on stderr: line 3 of start 3 | line 4 of start 3 | line 5 of start 3";
    let exited = "at last it exited with 0 before it answered GET /";
    let silent = "at last it has not answered GET / within 0.2 s: it has to serve HTTP";
    for (arguments, starts, expected) in [
        (&["exit", "3", "99"][..], 3, failed),
        (&["exit", "3", "2"], 3, ""),
        (&["exit", "200", "6"], 7, ""),
        (&["exit", "0", "99"], 3, exited),
        (&["never"], 3, silent),
    ] {
        let app = TestApp::new();
        app.describe(json!({"arguments": arguments}));
        let mut options = app.options();
        let waits = [exited, silent].contains(&expected);
        if waits {
            options.limits.start = Duration::from_millis(200);
        }
        let start = Instant::now();
        match dev_host::start(options) {
            Ok(_) => assert_eq!(expected, "", "{arguments:?}"),
            Err(error) => assert!(!expected.is_empty() && error.contains(expected), "{error}"),
        }
        assert!(!waits || start.elapsed() >= Duration::from_millis(600));
        assert_eq!(app.starts().len(), starts, "{arguments:?}");
        app.all_gone();
    }
}

#[test]
fn the_third_failure_ends_the_host() {
    let app = TestApp::new();
    let mut host = Host::spawn(app.path(), &[]);
    let port = host.port();
    let its_port = variable(port, "FUNCTIONS_CUSTOMHANDLER_PORT");
    let its_id = variable(port, "FUNCTIONS_CUSTOMHANDLER_WORKER_ID");
    // No failure.
    thread::spawn(move || post(port, "exit 200"));
    app.started(2);
    // Killed while idle. A call made meanwhile waits.
    for start in [3, 4] {
        assert_eq!(status(port, "/api/Echo", "key"), 200);
        let id = *app.starts().last().unwrap();
        kill_process(pid(id), Signal::KILL).unwrap();
        app.started(start);
    }
    // Same port, new worker id.
    assert_eq!(variable(port, "FUNCTIONS_CUSTOMHANDLER_PORT"), its_port);
    assert_ne!(variable(port, "FUNCTIONS_CUSTOMHANDLER_WORKER_ID"), its_id);
    assert_eq!(post(port, "exit 9"), 500);
    let (status, errors) = host.end();
    assert_eq!(status.code(), Some(1));
    has(&errors, "error: the handler failed 3 times");
    has(&errors, "exited with 9; it wrote nothing to stderr");
    assert_eq!(app.starts().len(), 4);
}

#[test]
fn after_exit_0_every_call_fails_and_the_host_stays() {
    let app = TestApp::new();
    let (host, lines) = app.start_heard();
    let port = host.port();
    let call = thread::spawn(move || post(port, "exit 0"));
    lines.wait_for("not started again");
    let answer = get(port, "/api/Echo", "");
    assert_eq!((answer.status, answer.body.as_str()), (500, ""));
    assert_eq!(call.join().unwrap(), 500);
    assert_eq!(app.starts().len(), 1);
    assert_eq!(host.stop(), Ok(()));
}

/// Wanted otherwise: on Azure's host the handler outlives a host that is killed.
#[test]
fn no_handler_outlives_its_host() {
    for arguments in [&[][..], &["never"]] {
        let app = TestApp::new();
        app.describe(json!({"arguments": arguments}));
        let mut host = Host::spawn(app.path(), &[]);
        app.started(1);
        host.signal(Signal::KILL);
        host.end();
        app.all_gone();
    }
    let app = TestApp::new();
    drop(app.start());
    app.all_gone();
}

/// The handler itself is killed without a word: a signal that it could answer would be seen here.
#[test]
fn a_stop_lets_running_calls_end() {
    for signal in [Signal::INT, Signal::TERM] {
        let app = TestApp::new();
        let mut host = Host::spawn(app.path(), &[]);
        let port = host.port();
        let call = thread::spawn(move || get(port, "/api/Echo", "until go").status);
        host.lines.wait_for("waiting");
        host.signal(signal);
        host.lines.wait_for("stopping");
        app.write("go", "");
        assert_eq!(call.join().unwrap(), 200);
        let (status, errors) = host.end();
        assert!(status.success(), "{status} {errors}");
        app.all_gone();
    }
}

#[test]
fn ctrl_c_ends_a_host_that_is_not_ready() {
    let app = TestApp::new();
    app.describe(json!({"arguments": ["never"]}));
    let mut host = Host::spawn(app.path(), &[]);
    app.started(1);
    host.signal(Signal::INT);
    let (status, errors) = host.end();
    assert_eq!(status.code(), Some(1));
    let expected = "error: the host was stopped before the handler answered";
    assert_eq!(errors, expected);
    app.all_gone();
}

#[test]
fn the_environment_of_the_handler() {
    let app = TestApp::new();
    app.describe(json!({"workingDirectory": "below"}));
    fs::create_dir(app.path().join("below")).unwrap();
    app.settings(json!({
        "MY_SETTING": "mine", "PATH": "not this one", "FUNCTIONS_WORKER_RUNTIME": "custom",
    }));
    let host = app.start();
    let root = app.path().canonicalize().unwrap().display().to_string();
    let is = |name, value: &str| assert_eq!(variable(host.port(), name), value, "{name}");
    is("FUNCTIONS_APP_ROOT_PATH", &root);
    is("AzureWebJobsScriptRoot", &root);
    is("cwd", &format!("{root}/below"));
    is("AZURE_FUNCTIONS_ENVIRONMENT", "Development");
    is("FUNCTIONS_WORKER_RUNTIME", "custom");
    is("WEBSITE_HOSTNAME", &format!("localhost:{}", host.port()));
    is("MY_SETTING", "mine");
    // The environment goes first.
    is("PATH", &std::env::var("PATH").unwrap());
    let port = variable(host.port(), "FUNCTIONS_CUSTOMHANDLER_PORT");
    is("FUNCTIONS_HTTPWORKER_PORT", &port);
    let id = variable(host.port(), "FUNCTIONS_CUSTOMHANDLER_WORKER_ID");
    is("FUNCTIONS_HTTPWORKER_ID", &id);
}

#[test]
fn each_line_has_its_level_and_none_has_a_key() {
    let app = TestApp::new();
    let (host, lines) = app.start_heard();
    status(host.port(), "/nothing?code=key", "key");
    for (stream, words, level) in [
        ("stdout", "some warning", "Information"),
        ("stderr", "it broke", "Error"),
        ("stderr", "a WaRNing", "Warning"),
        ("stderr", "beware of swarns", "Warning"),
        ("stdout", "LanguageWorkerConsoleLog its own", "Information"),
        ("stdout", "", "Information"),
    ] {
        let order = format!("print {stream} {words}");
        get(host.port(), "/api/Echo?code=key&secret=x", &order);
        let words = words.replace("LanguageWorkerConsoleLog", "");
        let line = format!("{level:<11}  {words}");
        wait_until(&line, || lines.with(&line).contains(&line));
    }
    let request = lines.wait_for("host         GET /nothing 404 ");
    has(&request, " ms");
    lines.wait_for("host         GET /api/Echo 200 ");
    host.stop().unwrap();
    for secret in ["code", "secret", "key", "master"] {
        assert_eq!(lines.with(secret), [""; 0]);
    }
}

#[test]
fn the_greeting_has_curl_lines_that_work() {
    let app = TestApp::new();
    app.function("head", json!({"methods": ["head"]}));
    app.function("off", json!({"route": ""}));
    app.function("post", json!({"methods": ["post", "put"]}));
    let put = json!({"methods": ["put", "Get"], "route": "One/put/"});
    app.function("put", put);
    let routes = [
        (
            "constraints",
            r"x/{a}/{b:int:min(5)}/{c:length(3)}/{d:regex(^\d{{2}}$)}",
        ),
        (
            "pieces",
            "{name}.{ending:alpha}/ä {when:datetime}-{id:guid}",
        ),
        ("rest", "all/{n:range(7,9)=7}/{b:bool?}/{*path}"),
        ("int", "n/{sides:int}"),
    ];
    for (name, route) in routes {
        app.function(name, json!({"route": route}));
    }
    app.function("riddle", json!({"route": "{word:regex(^q7$)}"}));
    app.settings(json!({"AzureWebJobs.off.Disabled": "true"}));
    let host = Host::spawn(app.path(), &[]);
    host.lines.wait_for("Ctrl-C to stop");
    let put = host.lines.wait_for("put: [PUT, GET] http://localhost:");
    has(&put, "/api/One/put");
    let calls = host.lines.with("curl ");
    let id = "0".repeat(32);
    let expected = [
        "GET /api/x/a/5/111/11 HTTP/1.1",
        "GET /api/Echo HTTP/1.1",
        "HTTP/1.1 200 OK",
        "GET /api/n/1 HTTP/1.1",
        "GET /api/off HTTP/1.1",
        &format!("GET /api/name.ending/%C3%A4%202026-01-31-{id} HTTP/1.1"),
        "POST /api/post HTTP/1.1",
        "GET /api/One/put HTTP/1.1",
        "GET /api/all/7/true/path HTTP/1.1",
    ];
    assert_eq!(calls.len(), expected.len(), "{calls:?}");
    for (line, expected) in calls.iter().zip(expected) {
        let line = format!("{line} -s --max-time 60");
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        assert!(output.starts_with(expected), "{line}: {output}");
    }

    host.lines
        .wait_for("(which path fits this route cannot be guessed here)");
    let start = "Master key, for every function and the Key Management API: ";
    let master = host.lines.wait_for("Master key");
    let key = master.strip_prefix(start).unwrap();
    assert_eq!(status(host.port(), "/admin/host/status", key), 200);
}

#[test]
fn without_options_it_is_as_in_the_walkthrough() {
    let mut help = Command::new(env!("CARGO_BIN_EXE_dev-host"));
    let help = help.arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    for (option, default) in [
        ("--port", "7071"),
        ("--address", "127.0.0.1"),
        ("--key", dev_host::WALKTHROUGH_KEY),
    ] {
        let mut lines = help.lines().map(str::trim_start);
        let line = lines.find(|line| line.starts_with(option)).expect(option);
        has(line, &format!("[default: {default}]"));
    }
}

/// The folder with host.json is looked for upwards, or given.
#[test]
fn the_app_root() {
    let app = TestApp::new();
    app.write("src/deeper/file", "");
    let below = app.path().join("src/deeper");
    let host = Host::spawn(&below, &[]);
    assert_eq!(status(host.port(), "/api/Echo", "key"), 200);

    let root = app.path().to_str().unwrap();
    let host = Host::spawn(Path::new("/"), &["--no-auth", "--app-root", root]);
    host.lines.wait_for("No key is checked.");
    assert_eq!(status(host.port(), "/api/Echo", ""), 200);

    // A folder that is given is the one that is meant.
    let errors = error(&app, &["--app-root", "src/deeper"]);
    has(&errors, "src/deeper/host.json is missing");
    let errors = error(&app, &["--app-root", "/no/such/folder"]);
    has(&errors, "error: no app root at /no/such/folder (");
    has(&errors, "): give the folder with host.json");
}

#[test]
fn a_port_in_use() {
    let app = TestApp::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let errors = error(&app, &["--port", &port]);
    has(
        &errors,
        &format!("error: 127.0.0.1:{port} can't be listened on"),
    );
    has(
        &errors,
        "give another port: `cargo start -- --port 0` takes any free one",
    );
    assert_eq!(app.starts().len(), 0);
}

#[test]
fn what_is_wrong_with_an_app_is_told_in_one_line() {
    let answer = r#"{"type": "http", "direction": "out", "name": "$return"}"#;
    let trigger = r#"{"type": "httpTrigger", "direction": "in", "name": "req"}"#;
    let function = |bindings: &str| format!("{{\n \"bindings\": [\n  {bindings}\n ]\n}}");
    let good = function(&format!("{trigger}, {answer}"));
    let fails = |file: &str, content: &str, expected: &str| {
        let app = TestApp::new();
        app.write("F/function.json", &good);
        app.write(file, content);
        let error = app.error();
        has(&error, expected);
        has(&error, &format!("/{file}"));
    };
    let everyone = good.replace("\"req\"", r#""req", "authLevel": "everyone""#);
    let nameless = good.replacen("\"name\"", "\"nam\"", 1);
    let file = "F/function.json";
    fails(file, "{", "is not JSON");
    fails(file, "{\"bindings\": []} x", "is not JSON");
    fails(file, &everyone, "authLevel is \"everyone\"");
    fails(file, &nameless, "bindings.0.name is missing");
    for bindings in [
        function(trigger),
        function(answer),
        function(&format!("{trigger}, {answer}, {answer}")),
        function(&format!("{trigger}, {trigger}, {answer}")),
        good.replace("httpTrigger", "timerTrigger"),
        good.replace("\"in\"", "\"out\""),
        good.replace("\"out\"", "\"in\""),
        good.replace("\"direction\": \"out\", ", ""),
    ] {
        let expected = "give one binding of type httpTrigger and direction in, one of type http \
                        and direction out, and no other";
        fails(file, &bindings, expected);
    }
    let file = "local.settings.json";
    fails(file, r#"{"Values": {"A": 1}}"#, "is 1: give a text");
    fails(file, r#"{"IsEncrypted": true}"#, "func settings decrypt");

    let app = TestApp::new();
    fs::remove_dir_all(app.path().join("Echo")).unwrap();
    has(&app.error(), "has no function");
}

#[test]
fn what_the_host_takes_but_nobody_means_is_told_at_the_start() {
    let app = TestApp::new();
    let (_, lines) = app.start_heard();
    assert_eq!(lines.with("warning"), [""; 0]);

    let typo = json!({"authLevl": "anonymous", "methods": ["gte", "Patch"]});
    app.function("Typo", typo);
    app.function("Admin", json!({}));
    let (host, lines) = app.start_heard();
    let expected = [
        "Admin is not served, as on Azure: routes that begin with \"admin\" or \"runtime\" are the \
         host's own: give Admin/function.json another \"route\"",
        "Typo/function.json: bindings.0.authLevl has no effect here: is it misspelt?",
        "Typo/function.json: no method is called GTE: is it misspelt?",
    ];
    let expected = expected.map(|what| format!("host         warning: {what}"));
    assert_eq!(lines.with("warning"), expected);
    assert_eq!(call(host.port(), "GTE /api/Typo", KEY).status, 200);
}

#[test]
fn a_404_of_the_handler_is_pointed_out_once_for_each_function() {
    let app = TestApp::new();
    app.function("Other", json!({"route": "some/where"}));
    let (host, lines) = app.start_heard();
    let answers = |path: &str, status: u16| {
        let headers = format!("{KEY}x-answer: HTTP/1.1 {status} Some\r\n");
        let answer = call(host.port(), &format!("GET /api/{path}"), &headers);
        assert_eq!(answer.status, status);
    };
    answers("Echo", 200);
    answers("Nothing", 404);
    answers("Echo", 410);
    assert_eq!(lines.with("does it serve"), [""; 0]);
    for _ in 0..2 {
        answers("Echo", 404);
        answers("some/where", 404);
    }
    let hints = [("Echo", "/api/Echo"), ("Other", "/api/some/where")].map(|(name, path)| {
        let what = "the handler answered 404 to what the host routed to it";
        format!(
            "host         {name}: {what}: does it serve {path}, and does it take its parameters?"
        )
    });
    assert_eq!(lines.with("does it serve"), hints);
}

#[test]
fn an_app_that_is_a_rust_package_is_built() {
    let app = TestApp::new();
    app.write(
        "Cargo.toml",
        "[package]\nname = \"test-app\"\nedition = \"2024\"\n\n\
         [[bin]]\nname = \"my-handler\"\npath = \"main.rs\"\n\n[workspace]\n",
    );
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-handler/main.rs");
    fs::copy(source, app.path().join("main.rs")).unwrap();
    let host = fs::read_to_string(app.path().join("host.json")).unwrap();
    app.write("host.json", host.replace(HANDLER, "my-handler"));
    let host = app.start();
    assert_eq!(status(host.port(), "/api/Echo", "key"), 200);
    drop(host);

    app.write("main.rs", "this is not Rust");
    let (status, errors) = Host::spawn(app.path(), &[]).end();
    assert_eq!(status.code(), Some(1));
    // Cargo's own words, and then one line.
    has(&errors, "main.rs:1:");
    let last = errors.lines().last().unwrap();
    has(last, "error: `cargo build --bin my-handler` failed in ");
}
