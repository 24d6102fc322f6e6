//! From the start to the end of a host and its handler: the table "Its life, measured" of the
//! recordings, and what is wanted otherwise here.

mod common;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, JoinHandle, scope},
    time::{Duration, Instant},
};

use common::{FORWARDING, Lines, PROXYING, TestApp, eventually, get, send};
use dev_host::Options;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use serde_json::json;

const ANY_PORT: [&str; 2] = ["--port", "0"];

/// `dev-host` as a process, which is killed when this is dropped.
struct Host {
    child: Child,
    lines: Lines,
    errors: Lines,
    readers: Vec<JoinHandle<()>>,
}

impl Host {
    fn spawn(app: &TestApp, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dev-host"));
        command
            .args(["--key", "key"])
            .args(arguments)
            .current_dir(app.path());
        Self::run(&mut command)
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, errors) = (Lines::default(), Lines::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), &lines),
            collect(child.stderr.take().unwrap(), &errors),
        ];
        Self {
            child,
            lines,
            errors,
            readers,
        }
    }

    fn ready(app: &TestApp) -> Self {
        let host = Self::spawn(app, &ANY_PORT);
        host.lines.wait_for("Ctrl-C to stop");
        host
    }

    fn stop(self, signal: Signal) {
        self.signal(signal);
        let (status, errors) = self.end();
        assert!(status.success(), "{status} {errors}");
    }

    fn port(&self) -> u16 {
        let line = self.lines.wait_for("Echo: ");
        let (_, rest) = line.split_once("http://localhost:").unwrap();
        rest.split('/').next().unwrap().parse().unwrap()
    }

    /// Signals the whole group, as a terminal does.
    fn signal(&self, signal: Signal) {
        kill_process_group(pid(self.child.id()), signal).unwrap();
    }

    /// How the host has ended, and what it wrote to stderr.
    fn end(mut self) -> (ExitStatus, String) {
        let status = eventually("the end of the host", || self.child.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        (status, self.errors.all().join("\n"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stream: impl std::io::Read + Send + 'static, lines: &Lines) -> JoinHandle<()> {
    let lines = lines.clone();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            lines.push(&line.unwrap());
        }
    })
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed()).unwrap()
}

/// Waits until none of the handlers that were started runs any more.
fn all_gone(app: &TestApp) {
    for id in app.starts() {
        eventually(&format!("the end of handler {id}"), || {
            // Of a process that nobody has reaped nothing is left but its state.
            let is_zombie = fs::read_to_string(format!("/proc/{id}/stat"))
                .is_ok_and(|stat| stat.contains(") Z "));
            (is_zombie || test_kill_process(pid(id)).is_err()).then_some(())
        });
    }
}

/// POST with a body, which is never sent again.
fn post(port: u16, order: &str) -> u16 {
    let request = format!(
        "POST /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\nx-do: {order}\r\n\
         content-length: 1\r\n\r\nb"
    );
    send(port, &request).status
}

/// A variable in the environment of the handler.
fn variable(port: u16, name: &str) -> String {
    let environment = get(port, "/api/Echo", "environment").body;
    let start = format!("{name}=");
    let mut lines = environment.lines();
    let value = lines.find_map(|line| line.strip_prefix(&start));
    value
        .unwrap_or_else(|| panic!("{name}: {environment}"))
        .to_owned()
}

fn started(app: &TestApp, count: usize) {
    eventually(&format!("start {count} of the handler"), || {
        (app.starts().len() >= count).then_some(())
    });
}

/// Once it answers, the host says where it is and what to call; calls before that wait.
#[test]
fn a_call_waits_for_the_first_start() {
    let app = TestApp::new();
    app.host_json(FORWARDING, &["wait-for", "go"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let host = Host::spawn(&app, &["--port", &port.to_string()]);
    started(&app, 1);
    let call = thread::spawn(move || get(port, "/api/Echo", "environment"));
    // Whoever has no key need not wait.
    assert_eq!(
        send(port, "GET /api/Echo HTTP/1.1\r\nhost: x\r\n\r\n").status,
        401
    );
    assert!(!call.is_finished());
    let lines = host.lines.all();
    assert!(lines[0].starts_with("host         starting the handler on 127.0.0.1:"));
    assert!(
        !lines.iter().any(|line| line.contains("Ctrl-C")),
        "{lines:?}"
    );
    app.write("go", "");
    assert_eq!(call.join().unwrap().status, 200);
    host.lines.wait_for("Ctrl-C to stop");
}

/// What a handler does at its starts, and what becomes of it.
#[test]
fn starts() {
    for (arguments, starts, expected) in [
        (
            &["exit", "3", "99"][..],
            3,
            Some(
                "the handler failed 3 times within 30 min; at last it exited with 3; its last \
                 lines on stderr: line 3 of start 3 | line 4 of start 3 | line 5 of start 3",
            ),
        ),
        (&["exit", "3", "2"], 3, None),
        (&["exit", "200", "6"], 7, None),
        (
            &["exit", "0", "99"],
            3,
            Some("at last it exited with 0 before it answered GET /"),
        ),
        (
            &["never"],
            3,
            Some("at last it has not answered GET / within 0.2 s: it has to serve HTTP"),
        ),
    ] {
        let app = TestApp::new();
        app.host_json(PROXYING, arguments);
        let mut options = app.options();
        let waits = matches!(arguments, ["exit", "0", _] | ["never"]);
        if waits {
            options.limits.start = Duration::from_millis(200);
        }
        let start = Instant::now();
        let error = dev_host::start(options).err();
        match expected {
            None => assert_eq!(error, None, "{arguments:?}"),
            Some(text) => assert!(error.unwrap().contains(text), "{arguments:?}"),
        }
        assert!(!waits || start.elapsed() >= Duration::from_millis(600));
        assert_eq!(app.starts().len(), starts, "{arguments:?}");
        all_gone(&app);
    }
}

#[test]
fn the_third_failure_ends_the_host() {
    let app = TestApp::new();
    let host = Host::ready(&app);
    let port = host.port();
    let (its_port, its_id) = (
        variable(port, "FUNCTIONS_CUSTOMHANDLER_PORT"),
        variable(port, "FUNCTIONS_CUSTOMHANDLER_WORKER_ID"),
    );
    assert_eq!(post(port, "exit 9"), 500);
    // Same port, new worker id; a call made meanwhile waits.
    started(&app, 2);
    assert_eq!(variable(port, "FUNCTIONS_CUSTOMHANDLER_PORT"), its_port);
    assert_ne!(variable(port, "FUNCTIONS_CUSTOMHANDLER_WORKER_ID"), its_id);
    // Killed while idle.
    let id = *app.starts().last().unwrap();
    kill_process(pid(id), Signal::KILL).unwrap();
    started(&app, 3);
    assert_eq!(get(port, "/api/Echo", "").status, 200);
    assert_eq!(post(port, "exit 9"), 500);
    let (status, errors) = host.end();
    assert_eq!(status.code(), Some(1));
    assert!(
        errors.starts_with("error: the handler failed 3 times"),
        "{errors}"
    );
    assert!(
        errors.ends_with("exited with 9; it wrote nothing to stderr"),
        "{errors}"
    );
    assert_eq!(app.starts().len(), 3);
}

#[test]
fn exit_200_is_no_failure() {
    let app = TestApp::new();
    let host = app.start();
    for restart in 1..6 {
        assert_eq!(post(host.port(), "exit 200"), 500);
        started(&app, restart + 1);
        assert_eq!(get(host.port(), "/api/Echo", "").status, 200);
    }
    assert_eq!(app.starts().len(), 6);
}

#[test]
fn after_exit_0_every_call_fails_and_the_host_stays() {
    let app = TestApp::new();
    let host = Host::ready(&app);
    assert_eq!(post(host.port(), "exit 0"), 500);
    host.lines.wait_for("not started again");
    let answer = get(host.port(), "/api/Echo", "");
    assert_eq!((answer.status, answer.body.as_str()), (500, ""));
    assert_eq!(app.starts().len(), 1);
    host.stop(Signal::TERM);
}

/// Wanted otherwise: on Azure's host a call waits 135 s, and the handler outlives a host that is
/// killed.
#[test]
fn what_cannot_be_started_is_reported_at_once() {
    let app = TestApp::new();
    app.write("plain", "");
    for executable in ["plain", "missing", "bin/missing"] {
        let description = json!({"description": {"defaultExecutablePath": executable},
            "enableProxyingHttpRequest": true});
        app.host_json_with(&json!({"customHandler": description}));
        let error = dev_host::start(app.options()).err().unwrap();
        assert!(error.contains(executable), "{error}");
        assert!(error.contains("can't be started"), "{error}");
        assert!(error.contains("defaultExecutablePath"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn no_handler_outlives_a_host_that_is_killed() {
    for arguments in [&[][..], &["never"]] {
        let app = TestApp::new();
        app.host_json(PROXYING, arguments);
        let host = Host::spawn(&app, &ANY_PORT);
        started(&app, 1);
        host.signal(Signal::KILL);
        host.end();
        all_gone(&app);
    }
}

/// The handler itself is killed without a word: a signal that it could answer would be seen here.
#[test]
fn a_stop_lets_running_calls_end() {
    for signal in [Signal::INT, Signal::TERM] {
        let app = TestApp::new();
        let host = Host::ready(&app);
        let port = host.port();
        let call = thread::spawn(move || get(port, "/api/Echo", "until go").status);
        host.lines.wait_for("waiting");
        host.signal(signal);
        host.lines.wait_for("stopping");
        app.write("go", "");
        assert_eq!(call.join().unwrap(), 200);
        let (status, errors) = host.end();
        assert!(status.success(), "{status} {errors}");
        all_gone(&app);
    }
}

#[test]
fn ctrl_c_ends_a_host_that_is_not_ready() {
    let app = TestApp::new();
    app.host_json(PROXYING, &["never"]);
    let host = Host::spawn(&app, &ANY_PORT);
    started(&app, 1);
    host.signal(Signal::INT);
    let (status, errors) = host.end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        errors,
        "error: the host was stopped before the handler answered"
    );
    all_gone(&app);
}

#[test]
fn a_host_that_is_dropped_takes_the_handler_with_it() {
    let app = TestApp::new();
    drop(app.start());
    assert_eq!(app.starts().len(), 1);
    all_gone(&app);
}

/// Running calls end, new ones wait, and the app's files apply.
#[test]
fn a_swap_fails_no_call() {
    let app = TestApp::new();
    let lines = Lines::default();
    let host = dev_host::start(Options {
        console: lines.console(),
        watch: true,
        ..app.options()
    })
    .unwrap();
    let port = host.port();
    let is_over = AtomicBool::new(false);
    scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut statuses = vec![post(port, "wait 50")];
                    while !is_over.load(Ordering::Relaxed) {
                        statuses.push(post(port, "none"));
                    }
                    statuses
                })
            })
            .collect();
        for swap in 1..=5 {
            lines.wait_for("POST /api/Echo 200");
            app.host_json(PROXYING, &[]);
            started(&app, swap + 1);
            assert_eq!(get(port, "/api/Echo", "").status, 200);
        }
        is_over.store(true, Ordering::Relaxed);
        for call in calls {
            let statuses = call.join().unwrap();
            assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        }
    });
    assert_eq!(app.starts().len(), 6);

    app.function("New", json!({"type": "httpTrigger"}));
    eventually("the new function is served", || {
        (get(port, "/api/New", "").status == 200).then_some(())
    });
    app.write("host.json", "{");
    lines.wait_for("the app is served as it was");
    assert_eq!(get(port, "/api/New", "").status, 200);
}

#[test]
fn the_environment_of_the_handler() {
    let app = TestApp::new();
    let settings = json!({"Values": {"MY_SETTING": "mine", "PATH": "not this one",
        "FUNCTIONS_WORKER_RUNTIME": "custom"}});
    app.write("local.settings.json", &settings.to_string());
    let host = app.start();
    let root = app.path().canonicalize().unwrap().display().to_string();
    let is = |name, value: &str| assert_eq!(variable(host.port(), name), value, "{name}");
    is("FUNCTIONS_APP_ROOT_PATH", &root);
    is("AzureWebJobsScriptRoot", &root);
    is("cwd", &root);
    is("AZURE_FUNCTIONS_ENVIRONMENT", "Development");
    is("FUNCTIONS_WORKER_RUNTIME", "custom");
    is("WEBSITE_HOSTNAME", &format!("localhost:{}", host.port()));
    is("MY_SETTING", "mine");
    // The environment goes first.
    is("PATH", &std::env::var("PATH").unwrap());
    for (name, old) in [
        ("FUNCTIONS_CUSTOMHANDLER_PORT", "FUNCTIONS_HTTPWORKER_PORT"),
        (
            "FUNCTIONS_CUSTOMHANDLER_WORKER_ID",
            "FUNCTIONS_HTTPWORKER_ID",
        ),
    ] {
        is(old, &variable(host.port(), name));
    }
}

#[test]
fn each_line_has_its_level_and_none_has_a_key() {
    let app = TestApp::new();
    let lines = Lines::default();
    let host = dev_host::start(Options {
        console: lines.console(),
        ..app.options()
    })
    .unwrap();
    get(
        host.port(),
        "/api/Echo?code=key&secret=x",
        "print stdout some warning",
    );
    get(host.port(), "/api/Echo", "print stderr it broke");
    get(host.port(), "/api/Echo", "print stderr a WaRNing");
    get(host.port(), "/nothing?code=key", "");
    get(host.port(), "/api/Echo", "print stderr beware of swarns");
    get(
        host.port(),
        "/api/Echo",
        "print stdout LanguageWorkerConsoleLog its own",
    );
    get(host.port(), "/api/Echo", "print stdout");
    lines.wait_for("Information  some warning");
    lines.wait_for("Warning      beware of swarns");
    lines.wait_for("Information   its own");
    eventually("an empty line", || {
        lines
            .all()
            .contains(&"Information  ".to_owned())
            .then_some(())
    });
    lines.wait_for("Error        it broke");
    lines.wait_for("Warning      a WaRNing");
    let request = lines.wait_for("host         GET /nothing 404 ");
    assert!(request.ends_with(" ms"), "{request}");
    lines.wait_for("host         GET /api/Echo 200 ");
    host.stop().unwrap();
    for line in lines.all() {
        assert!(!line.contains("code") && !line.contains("secret"), "{line}");
        assert!(!line.contains("key") && !line.contains("master"), "{line}");
    }
}

#[test]
fn the_greeting_has_curl_lines_that_work() {
    let app = TestApp::new();
    for methods in [&["post", "put"][..], &["head"], &["put", "get"]] {
        app.function(
            methods[0],
            json!({"type": "httpTrigger", "methods": methods}),
        );
    }
    app.function("off", json!({"type": "httpTrigger"}));
    app.write(
        "local.settings.json",
        r#"{"Values": {"AzureWebJobs.off.Disabled": "true"}}"#,
    );
    let host = Host::ready(&app);
    let lines = host.lines.all();
    let calls: Vec<&String> = lines.iter().filter(|l| l.contains("curl ")).collect();
    let expected = [
        "GET /api/Echo HTTP/1.1",
        "HTTP/1.1 200 OK",
        "GET /api/off HTTP/1.1",
        "POST /api/post HTTP/1.1",
        "GET /api/put HTTP/1.1",
    ];
    assert_eq!(calls.len(), expected.len(), "{calls:?}");
    for (line, expected) in calls.iter().zip(expected) {
        let output = Command::new("sh")
            .args(["-c", &format!("{line} -s --max-time 60")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        assert!(
            output.stdout.starts_with(expected.as_bytes()),
            "{line}: {output:?}"
        );
    }

    let start = "Master key, for every function and the Key Management API: ";
    let master = host.lines.wait_for("Master key");
    let key = master.strip_prefix(start).unwrap();
    let answer = get(host.port(), &format!("/admin/host/status?code={key}"), "");
    // The header, with the function key, hides the query.
    assert_eq!(answer.status, 401);
    let request =
        format!("GET /admin/host/status HTTP/1.1\r\nhost: test\r\nx-functions-key: {key}\r\n\r\n");
    assert_eq!(send(host.port(), &request).status, 200);
}

#[test]
fn without_options_it_is_as_in_the_walkthrough() {
    let help = Command::new(env!("CARGO_BIN_EXE_dev-host"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for (option, default) in [
        ("--port", "7071"),
        ("--address", "127.0.0.1"),
        ("--key", dev_host::WALKTHROUGH_KEY),
    ] {
        let line = help
            .lines()
            .find(|line| line.trim_start().starts_with(option))
            .unwrap_or_else(|| panic!("{option} is not in {help}"));
        assert!(line.ends_with(&format!("[default: {default}]")), "{line}");
    }

    // Only the port is given, for 7071 may be in use.
    let app = TestApp::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev-host"));
    command.args(ANY_PORT).current_dir(app.path());
    let host = Host::run(&mut command);
    assert_eq!(get(host.port(), "/api/Echo", "").status, 401);
    let path = format!("/api/Echo?code={}", dev_host::WALKTHROUGH_KEY);
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(send(host.port(), &request).status, 200);
}

#[test]
fn the_app_root_can_be_elsewhere_and_the_keys_unchecked() {
    let app = TestApp::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev-host"));
    command
        .args(ANY_PORT)
        .arg("--no-auth")
        .arg("--app-root")
        .arg(app.path())
        .current_dir("/");
    let host = Host::run(&mut command);
    host.lines.wait_for("No key is checked.");
    assert_eq!(get(host.port(), "/api/Echo", "").status, 200);
    assert_eq!(app.starts().len(), 1);
}

#[test]
fn the_app_root_is_looked_for_upwards() {
    let app = TestApp::new();
    let below = app.path().join("src/deeper");
    fs::create_dir_all(&below).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev-host"));
    command.args(["--key", "key"]).args(ANY_PORT);
    let host = Host::run(command.current_dir(&below));
    assert_eq!(get(host.port(), "/api/Echo", "").status, 200);

    // A folder that is given is the one that is meant.
    command.args(["--app-root", "."]);
    let (status, errors) = Host::run(&mut command).end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("src/deeper has no host.json"), "{errors}");
}

#[test]
fn a_port_in_use() {
    let app = TestApp::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (status, errors) = Host::spawn(&app, &["--port", &port]).end();
    assert_eq!(status.code(), Some(1));
    assert!(
        errors.starts_with(&format!("error: 127.0.0.1:{port} can't be listened on")),
        "{errors}"
    );
    assert!(
        errors.ends_with("give another port: `cargo start -- --port 0` takes any free one"),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 1);
    assert_eq!(app.starts().len(), 0);
}

#[test]
fn what_is_wrong_with_an_app_is_told_in_one_line() {
    let answer = r#"{"type": "http", "direction": "out", "name": "$return"}"#;
    let function = |bindings: &str| format!("{{\n \"bindings\": [\n  {bindings}\n ]\n}}");
    let trigger = r#"{"type": "httpTrigger", "direction": "in", "name": "req"}"#;
    let with = |member: &str| trigger.replace("}", &format!(", {member}}}"));
    let bindings = "give one binding of type httpTrigger and direction in, one of type http and \
         direction out, and no other";
    for (file, content, expected) in [
        ("F/function.json", "{".to_owned(), "is not JSON"),
        (
            "F/function.json",
            "{\"bindings\": []} x".to_owned(),
            "is not JSON",
        ),
        (
            "F/function.json",
            function(&format!("{}, {answer}", with(r#""authLevel": "everyone""#))),
            "authLevel is \"everyone\"",
        ),
        (
            "F/function.json",
            function(&format!(
                "{}, {answer}",
                trigger.replace("\"name\"", "\"nam\"")
            )),
            "missing field `name`",
        ),
        ("F/function.json", function(trigger), bindings),
        ("F/function.json", function(answer), bindings),
        (
            "F/function.json",
            function(&format!("{trigger}, {answer}, {answer}")),
            bindings,
        ),
        (
            "F/function.json",
            function(&format!("{trigger}, {trigger}, {answer}")),
            bindings,
        ),
        (
            "F/function.json",
            function(&format!("{trigger}, {answer}").replace("httpTrigger", "timerTrigger")),
            bindings,
        ),
        (
            "F/function.json",
            function(&format!("{trigger}, {answer}").replace("\"in\"", "\"out\"")),
            bindings,
        ),
        (
            "F/function.json",
            function(&format!("{trigger}, {answer}").replace("\"out\"", "\"in\"")),
            bindings,
        ),
        (
            "F/function.json",
            function(&format!("{trigger}, {answer}").replace("\"direction\": \"out\", ", "")),
            bindings,
        ),
        (
            "local.settings.json",
            "{\n\"Values\": {\n\"A\": 1}}".to_owned(),
            "invalid type: integer `1`, expected a string",
        ),
        (
            "local.settings.json",
            r#"{"IsEncrypted": true}"#.to_owned(),
            "func settings decrypt",
        ),
    ] {
        let app = TestApp::new();
        app.write(
            "F/function.json",
            &function(&format!("{trigger}, {answer}")),
        );
        app.write(file, &content);
        let error = dev_host::start(app.options()).err().unwrap();
        assert!(error.contains(expected), "{error}\nshould have: {expected}");
        assert!(error.contains(&format!("/{file}")), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn what_the_host_takes_but_nobody_means_is_told_at_the_start() {
    let app = TestApp::new();
    let lines = Lines::default();
    let start = || {
        dev_host::start(Options {
            console: lines.console(),
            ..app.options()
        })
        .unwrap()
    };
    drop(start());
    let warnings = || {
        let all = lines.all();
        let found = all.into_iter().filter(|line| line.contains("warning"));
        found.collect::<Vec<_>>()
    };
    assert_eq!(warnings(), [""; 0]);

    app.function(
        "Typo",
        json!({"type": "httpTrigger", "authLevl": "anonymous", "methods": ["gte", "Patch"]}),
    );
    app.function("Admin", json!({"type": "httpTrigger"}));
    let host = start();
    let warning = |what: &str| format!("host         warning: {what}");
    assert_eq!(
        warnings(),
        [
            warning(
                "Admin is not served, as on Azure: routes that begin with \"admin\" or \"runtime\" \
                 are the host's own: give Admin/function.json another \"route\""
            ),
            warning("Typo/function.json: bindings.0.authLevl has no effect here: is it misspelt?"),
            warning("Typo/function.json: no method is called GTE: is it misspelt?"),
        ]
    );
    let request = "GTE /api/Typo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\r\n";
    assert_eq!(send(host.port(), request).status, 200);
}

#[test]
fn a_404_of_the_handler_is_pointed_out_once_for_each_function() {
    let app = TestApp::new();
    app.function(
        "Other",
        json!({"type": "httpTrigger", "route": "some/where"}),
    );
    let lines = Lines::default();
    let host = dev_host::start(Options {
        console: lines.console(),
        ..app.options()
    })
    .unwrap();
    let call = |path: &str, status: u16| {
        let request = format!(
            "GET /api/{path} HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
             x-answer: HTTP/1.1 {status} Some\r\n\r\n"
        );
        assert_eq!(send(host.port(), &request).status, status);
    };
    call("Echo", 200);
    call("Nothing", 404);
    call("Echo", 410);
    let hints = || {
        let all = lines.all();
        let found = all.into_iter().filter(|l| l.contains("does it serve"));
        found.collect::<Vec<_>>()
    };
    assert_eq!(hints(), [""; 0]);
    for _ in 0..2 {
        call("Echo", 404);
        call("some/where", 404);
    }
    assert_eq!(
        hints(),
        [
            "host         Echo: the handler answered 404 to what the host routed to it: does it \
             serve /api/Echo?",
            "host         Other: the handler answered 404 to what the host routed to it: does it \
             serve /api/some/where?",
        ]
    );
}

#[test]
fn what_is_missing_is_told_in_one_line() {
    let app = TestApp::new();
    fs::remove_file(app.path().join("host.json")).unwrap();
    // The folder itself, for one above it may have a host.json of its own.
    let arguments = ["--port", "0", "--app-root", "."];
    let (status, errors) = Host::spawn(&app, &arguments).end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("has no host.json"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");

    let error = |options| dev_host::start(options).err().unwrap();
    let app = TestApp::new();
    fs::remove_dir_all(app.path().join("Echo")).unwrap();
    assert!(error(app.options()).contains("has no function"));

    let nowhere = Options {
        app_root: "/no/such/folder".into(),
        ..Options::default()
    };
    let message = error(nowhere);
    assert!(
        message.starts_with("no app root at /no/such/folder (")
            && message.ends_with("): give the folder with host.json"),
        "{message}"
    );
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
    app.write(
        "host.json",
        &host.replace(env!("CARGO_BIN_EXE_test-handler"), "my-handler"),
    );
    let host = app.start();
    assert_eq!(get(host.port(), "/api/Echo", "").status, 200);
    drop(host);

    app.write("main.rs", "this is not Rust");
    let (status, errors) = Host::spawn(&app, &ANY_PORT).end();
    assert_eq!(status.code(), Some(1));
    // Cargo's own words, and then one line.
    assert!(errors.contains("main.rs:1:"), "{errors}");
    let last = errors.lines().last().unwrap();
    assert!(
        last.starts_with("error: `cargo build --bin my-handler` failed in "),
        "{errors}"
    );
}
