//! From the start to the end of a host and its handler, most of it with the real executable.

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write as _},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle, sleep},
    time::Duration,
};

use common::{FORWARDING, Lines, PROXYING, TestApp, connect, eventually, get, read_answer};
use dev_host::{Limits, Options};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
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

/// Waits until the handler that was started again answers. A request may still meet the one that
/// is about to be gone.
fn answers_again(host: &Host) {
    eventually("an answer", || {
        (get(host.port(), "/api/Echo", "").status == 200).then_some(())
    });
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

#[test]
fn the_host_is_ready_when_the_handler_is() {
    let app = TestApp::new();
    app.host_json(FORWARDING, &["wait-for", "go"]);
    let host = Host::spawn(&app, &ANY_PORT);
    eventually("the start of the handler", || {
        (!app.starts().is_empty()).then_some(())
    });
    sleep(Duration::from_millis(300));
    let lines = host.lines.all();
    app.write("go", "");
    let environment = get(host.port(), "/api/Echo", "environment").body;
    let port = environment
        .lines()
        .find_map(|line| line.strip_prefix("FUNCTIONS_CUSTOMHANDLER_PORT="))
        .unwrap();
    let start = format!(
        "host         starting the handler on 127.0.0.1:{port}, for the host alone to call"
    );
    assert_eq!(lines, [start]);
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
    assert_eq!(common::send(host.port(), &request).status, 200);
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
    assert_eq!(common::send(host.port(), &request).status, 200);
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
fn a_handler_that_fails_three_times_ends_the_host() {
    let app = TestApp::new();
    app.host_json(PROXYING, &["exit", "3", "99"]);
    let (status, errors) = Host::spawn(&app, &ANY_PORT).end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(app.starts().len(), 3);
    assert_eq!(
        errors,
        "error: the handler failed 3 times within 30 min, last with exit status: 3; its last \
         lines on stderr: line 3 of start 3 | line 4 of start 3 | line 5 of start 3"
    );
}

#[test]
fn a_handler_may_fail_twice() {
    let app = TestApp::new();
    app.host_json(PROXYING, &["exit", "3", "2"]);
    let host = Host::ready(&app);
    assert_eq!(get(host.port(), "/api/Echo", "").status, 200);
    assert_eq!(app.starts().len(), 3);
}

#[test]
fn a_running_handler_may_fail_twice_too() {
    let app = TestApp::new();
    let host = Host::ready(&app);
    for failure in 1..3 {
        assert_eq!(get(host.port(), "/api/Echo", "exit 9").status, 500);
        answers_again(&host);
        assert_eq!(app.starts().len(), failure + 1);
    }
    assert_eq!(get(host.port(), "/api/Echo", "exit 9").status, 500);
    let (status, errors) = host.end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("last with exit status: 9"), "{errors}");
    assert!(errors.contains("it wrote nothing to stderr"), "{errors}");
    assert_eq!(app.starts().len(), 3);
}

#[test]
fn exit_200_is_no_failure() {
    let app = TestApp::new();
    let host = Host::ready(&app);
    for restart in 1..6 {
        assert_eq!(get(host.port(), "/api/Echo", "exit 200").status, 500);
        answers_again(&host);
        assert_eq!(app.starts().len(), restart + 1);
    }
}

#[test]
fn proxying_bridges_a_restart_and_forwarding_does_not() {
    let app = TestApp::new();
    for (is_proxying, expected) in [(PROXYING, 200), (FORWARDING, 500)] {
        app.host_json(is_proxying, &["wait-for", "go"]);
        app.write("go", "");
        let host = Host::ready(&app);
        let port = host.port();
        // A busy machine can take too long for the request to be sent before the handler is back,
        // or for the handler to be back within the 2 s of the retries. It isn't busy each time.
        let found = (0..10).any(|_| {
            let starts = app.starts().len();
            fs::remove_file(app.path().join("go")).unwrap();
            assert_eq!(get(port, "/api/Echo", "exit 200").status, 500);
            eventually("another start of the handler", || {
                (app.starts().len() > starts).then_some(())
            });
            let request = thread::spawn(move || get(port, "/api/Echo", "").status);
            sleep(Duration::from_millis(200));
            app.write("go", "");
            let status = request.join().unwrap();
            answers_again(&host);
            status == expected
        });
        assert!(found, "not once {expected}");
    }
}

#[test]
fn after_exit_0_the_app_is_dead() {
    let app = TestApp::new();
    for is_proxying in [PROXYING, FORWARDING] {
        app.host_json(is_proxying, &[]);
        let host = Host::ready(&app);
        let starts = app.starts().len();
        assert_eq!(get(host.port(), "/api/Echo", "exit 0").status, 500);
        host.lines.wait_for("not started again");
        for _ in 0..2 {
            let answer = get(host.port(), "/api/Echo", "");
            assert_eq!((answer.status, answer.body.as_str()), (500, ""));
        }
        assert_eq!(app.starts().len(), starts);
        host.signal(Signal::TERM);
        assert!(host.end().0.success());
    }
}

#[test]
fn exit_0_before_the_first_answer_ends_the_host() {
    let app = TestApp::new();
    app.host_json(PROXYING, &["exit", "0", "99"]);
    let (status, errors) = Host::spawn(&app, &ANY_PORT).end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        errors,
        "error: the handler exited with 0 before it answered GET /"
    );
}

#[test]
fn a_handler_that_never_answers_fails_to_start() {
    let app = TestApp::new();
    app.host_json(PROXYING, &["never"]);
    let options = Options {
        limits: Limits {
            start: Duration::from_millis(500),
            ..Limits::default()
        },
        ..app.options()
    };
    let error = dev_host::start(options).err().unwrap();
    assert!(
        error.contains("has not answered GET / within 0.5 s: it has to serve HTTP"),
        "{error}"
    );
    assert_eq!(app.starts().len(), 1);
    all_gone(&app);
}

#[test]
fn exit_200_at_each_start_fails_to_start() {
    let app = TestApp::new();
    app.host_json(PROXYING, &["exit", "200", "1000000"]);
    let limits = Limits {
        start: Duration::from_millis(500),
        ..Limits::default()
    };
    let (tell, ended) = mpsc::channel();
    let options = Options {
        limits,
        ..app.options()
    };
    thread::spawn(move || tell.send(dev_host::start(options).err()));
    let error = ended.recv_timeout(common::LONG).unwrap().unwrap();
    assert!(
        error.contains("has not answered GET / within 0.5 s"),
        "{error}"
    );
    all_gone(&app);
}

#[test]
fn a_handler_that_is_started_again_gets_another_port() {
    let app = TestApp::new();
    for is_proxying in [PROXYING, FORWARDING] {
        app.host_json(is_proxying, &["wait-for", "go"]);
        app.write("go", "");
        let host = Host::ready(&app);
        let environment = get(host.port(), "/api/Echo", "environment").body;
        let port = environment
            .lines()
            .find_map(|line| line.strip_prefix("FUNCTIONS_CUSTOMHANDLER_PORT="))
            .unwrap();
        fs::remove_file(app.path().join("go")).unwrap();
        assert_eq!(get(host.port(), "/api/Echo", "exit 200").status, 500);
        host.lines.wait_for("started again");
        let _taken = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
        app.write("go", "");
        answers_again(&host);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_handler_ends_with_a_host_that_is_killed() {
    let app = TestApp::new();
    let host = Host::ready(&app);
    assert_eq!(app.starts().len(), 1);
    host.signal(Signal::KILL);
    host.end();
    all_gone(&app);
}

#[test]
#[cfg(target_os = "linux")]
fn the_handler_ends_with_a_host_that_is_killed_before_it_is_ready() {
    let app = TestApp::new();
    app.host_json(PROXYING, &["never"]);
    let host = Host::spawn(&app, &ANY_PORT);
    eventually("the start of the handler", || {
        (!app.starts().is_empty()).then_some(())
    });
    host.signal(Signal::KILL);
    host.end();
    all_gone(&app);
}

#[test]
fn ctrl_c_lets_requests_in_flight_finish() {
    let app = TestApp::new();
    for signal in [Signal::INT, Signal::TERM] {
        let host = Host::ready(&app);
        let port = host.port();
        let mut stream = connect(port);
        let request = "GET /api/Echo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\
            x-do: wait 1000\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        host.lines.wait_for("waiting");
        host.signal(signal);
        let answer = read_answer(stream);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.echoed().0, "GET /api/Echo HTTP/1.1");
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
    eventually("the start of the handler", || {
        (!app.starts().is_empty()).then_some(())
    });
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
fn a_handler_that_ignores_sigterm_is_killed() {
    let app = TestApp::new();
    let script = format!("trap '' TERM; exec {}", env!("CARGO_BIN_EXE_test-handler"));
    // A name that is no file in the app is looked for on PATH.
    app.write(
        "host.json",
        &json!({
            "version": "2.0",
            "customHandler": {
                "description": {"defaultExecutablePath": "sh", "arguments": ["-c", script]},
                "enableForwardingHttpRequest": true,
            },
        })
        .to_string(),
    );
    let lines = Lines::default();
    let host = dev_host::start(Options {
        console: lines.console(),
        limits: Limits {
            stop: Duration::from_millis(200),
            ..Limits::default()
        },
        ..app.options()
    })
    .unwrap();
    assert_eq!(get(host.port(), "/api/Echo", "").status, 200);
    host.stop().unwrap();
    lines.wait_for("it is killed");
    all_gone(&app);
}

#[test]
fn a_host_that_is_dropped_takes_the_handler_with_it() {
    let app = TestApp::new();
    drop(app.start());
    assert_eq!(app.starts().len(), 1);
    all_gone(&app);
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
    let good = r#"{"version": "2.0",
 "customHandler": {
  "description": {"defaultExecutablePath": "h"},
  "enableForwardingHttpRequest": true}}"#;
    let answer = r#"{"type": "http", "direction": "out", "name": "$return"}"#;
    let function = |bindings: &str| format!("{{\n \"bindings\": [\n  {bindings}\n ]\n}}");
    let trigger = r#"{"type": "httpTrigger", "direction": "in", "name": "req"}"#;
    let with = |member: &str| trigger.replace("}", &format!(", {member}}}"));
    let bindings = "give one binding of type httpTrigger and direction in, one of type http and \
         direction out, and no other";
    for (file, content, expected) in [
        ("host.json", String::new(), "EOF"),
        (
            "host.json",
            "{\n  \"version\": \"2.0\",\n}".to_owned(),
            "trailing comma at line 3",
        ),
        (
            "host.json",
            good.replace("2.0", "3.0"),
            "the version has to be \"2.0\"",
        ),
        (
            "host.json",
            good.replace("customHandler", "other"),
            "missing field `customHandler`",
        ),
        (
            "host.json",
            good.replace("\"h\"", "7"),
            "invalid type: integer `7`, expected a string at line 3",
        ),
        (
            "host.json",
            good.replace("true", "false"),
            "enableForwardingHttpRequest",
        ),
        ("F/function.json", "{".to_owned(), "EOF"),
        (
            "F/function.json",
            "{\"bindings\": []} x".to_owned(),
            "trailing characters",
        ),
        (
            "F/function.json",
            function(&format!("{}, {answer}", with(r#""route": "a/{id}""#))),
            "the route \"a/{id}\" is a template, which is not supported here",
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
            "missing field `name` at line 3",
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
            "invalid type: integer `1`, expected a string at line 3",
        ),
        (
            "local.settings.json",
            r#"{"IsEncrypted": true}"#.to_owned(),
            "func settings decrypt",
        ),
    ] {
        let app = TestApp::new();
        app.write("host.json", good);
        app.write(
            "F/function.json",
            &function(&format!("{trigger}, {answer}")),
        );
        app.write(file, &content);
        let error = dev_host::start(app.options()).err().unwrap();
        assert!(error.contains(expected), "{error}\nshould have: {expected}");
        assert!(error.contains(&format!("/{file}:")), "{error}");
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
    let host = start();
    let file = app.path().canonicalize().unwrap();
    let file = file.join("Typo/function.json");
    let warning = |what: &str| format!("host         warning: {}: {what}", file.display());
    assert_eq!(
        warnings(),
        [
            warning("bindings.0.authLevl has no effect here: is it misspelt?"),
            warning("no method is called GTE: is it misspelt?"),
        ]
    );
    let request = "GTE /api/Typo HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\r\n";
    assert_eq!(common::send(host.port(), request).status, 200);
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
        assert_eq!(common::send(host.port(), &request).status, status);
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
    let (status, errors) = Host::spawn(&app, &ANY_PORT).end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("has no host.json"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");

    let error = |options| dev_host::start(options).err().unwrap();
    let app = TestApp::new();
    fs::remove_dir_all(app.path().join("Echo")).unwrap();
    assert!(error(app.options()).contains("has no function"));

    let app = TestApp::new();
    let text = fs::read_to_string(app.path().join("host.json")).unwrap();
    app.write(
        "host.json",
        &text.replace("test-handler", "no-such-handler"),
    );
    let message = error(app.options());
    assert!(
        message.contains("no-such-handler can't be started"),
        "{message}"
    );

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
    lines.wait_for("Information  some warning");
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
    let error = dev_host::start(app.options()).err().unwrap();
    assert!(
        error.starts_with("`cargo rustc --release --bin my-handler` failed in "),
        "{error}"
    );
}
