//! What clients, handlers and files may do to dev-host without harm.

mod common;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    thread,
    time::Duration,
};

use common::{Host, KEY, TestApp, call, eventually, get, has, pid, status, wait_until};
use dev_host::Running;
use rustix::process::{Signal, kill_process};
use serde_json::json;
use test_support::{PATIENCE, client::Connection, free_port};

/// A host that is attached to a handler in this process, which gets the first request of each
/// connection.
fn attached(app: &TestApp, serve: impl Fn(TcpStream, &str) + Clone + Send + 'static) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = app.options();
    options.attach = Some(listener.local_addr().unwrap().port());
    options.limits.idle = Duration::from_millis(200);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (serve, stream) = (serve.clone(), stream.unwrap());
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // The host looks first if there is anybody.
            thread::spawn(move || match head(&stream) {
                head if head.is_empty() => {}
                head => serve(stream, &head),
            });
        }
    });
    dev_host::start(options).unwrap()
}

/// Reads a head, and nothing that follows it. Empty if the connection is closed.
fn head(stream: &TcpStream) -> String {
    let mut head = String::new();
    let mut reader = BufReader::with_capacity(1, stream);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    head
}

fn echo(headers: &str) -> String {
    format!("GET /api/Echo HTTP/1.1\r\nhost: test\r\n{KEY}{headers}\r\n")
}

/// By `functionTimeout`, or else when nothing was taken for long.
#[test]
fn clients_that_read_nothing_do_not_block_others() {
    for has_timeout in [true, false] {
        let app = TestApp::new();
        let mut members = json!({"extensions": {"http": {"maxConcurrentRequests": 1}}});
        if has_timeout {
            members["functionTimeout"] = json!("00:00:00.3");
        }
        app.host_json(members);
        let mut options = app.options();
        if !has_timeout {
            options.limits.inactivity = Duration::from_millis(300);
        }
        let host = dev_host::start(options).unwrap();
        let mut silent = Connection::to(host.port());
        silent.send(echo("x-do: without-end\r\n"));
        eventually("the answer begins", || silent.has_news().then_some(()));
        assert_eq!(status(host.port(), "/api/Echo", "key"), 200);
        // What functionTimeout ends costs the handler its life.
        assert_eq!(app.starts().len(), if has_timeout { 2 } else { 1 });
    }
}

/// The processor time that a process has taken, in the system's ticks.
fn ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    [fields[11], fields[12]]
        .iter()
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum()
}

/// The work per byte is constant: no chunk may move all that has come after it.
#[test]
fn a_refused_body_of_tiny_chunks_costs_little() {
    let app = TestApp::new();
    let host = Host::spawn(app.path(), &[]);
    let mut connection = Connection::to(host.port());
    let mut refused = |length: &str, body: &[u8]| {
        let head = format!("POST /api/Echo HTTP/1.1\r\nhost: test\r\n{length}\r\n\r\n");
        connection.send([head.as_bytes(), body].concat());
        assert_eq!(connection.answer().status, 401);
        // It is answered when the body is over.
        assert_eq!(connection.get("/").status, 200);
    };
    let mut body = b"1\r\nb\r\n".repeat(300_000);
    body.extend(b"0\r\n\r\n");
    let begin = ticks(host.id());
    refused("transfer-encoding: chunked", &body);
    let chunks = ticks(host.id()) - begin;
    for _ in 0..3000 {
        refused("content-length: 1", b"b");
    }
    let plain = ticks(host.id()) - begin - chunks;
    assert!(
        chunks < plain,
        "{chunks} ticks, and {plain} for 3000 calls with one byte each"
    );
}

#[test]
fn a_refused_body_is_not_read_without_end() {
    let app = TestApp::new();
    let host = app.start();
    let mut connection = Connection::to(host.port());
    connection.send("POST /api/Echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = [&b"100000\r\n"[..], &[b'b'; 0x10_0000], b"\r\n"].concat();
    let sent = (0..400).take_while(|_| connection.try_send(&chunk)).count();
    assert!(sent < 200, "{sent} MB were read");
}

/// And the next request of anybody goes elsewhere.
#[test]
fn after_a_101_bytes_go_both_ways_until_one_side_closes() {
    let app = TestApp::new();
    let host = attached(&app, |mut stream, head| {
        if !head.contains("Upgrade: websocket") {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain";
            return stream.write_all(answer).unwrap();
        }
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\n\r\nhello";
        stream.write_all(answer.as_bytes()).unwrap();
        let mut bytes = [0; 100];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            if bytes.starts_with(b"bye") {
                break;
            }
            stream
                .write_all(&bytes[..count].to_ascii_uppercase())
                .unwrap();
        }
    });
    let upgrade = echo("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    for ends_here in [true, false] {
        let client = TcpStream::connect(("127.0.0.1", host.port())).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        (&client).write_all(upgrade.as_bytes()).unwrap();
        let answer = head(&client);
        has(&answer, "HTTP/1.1 101 Switching Protocols\r\n");
        has(&answer, "Connection: Upgrade\r\n");
        has(&answer, "Upgrade: websocket\r\n");
        let mut bytes = [0; 5];
        (&client).read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
        // Meanwhile others are served, on connections of their own.
        assert_eq!(get(host.port(), "/api/Echo", "").body, "plain");
        (&client).write_all(b"there").unwrap();
        (&client).read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"THERE");
        if ends_here {
            drop(client);
        } else {
            (&client).write_all(b"bye").unwrap();
            assert_eq!((&client).read(&mut bytes).unwrap(), 0);
        }
        assert_eq!(get(host.port(), "/api/Echo", "").body, "plain");
    }
}

#[test]
fn a_101_that_nobody_has_asked_for_is_a_500() {
    let app = TestApp::new();
    let host = attached(&app, |mut stream, _| {
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(answer).unwrap();
    });
    assert_eq!(status(host.port(), "/api/Echo", "key"), 500);
}

#[test]
fn a_line_without_an_end_is_cut() {
    let app = TestApp::new();
    let (host, lines) = app.start_heard();
    get(host.port(), "/api/Echo", "long-line 3000000");
    let cut = lines.wait_for("Information  xxx");
    assert!(
        cut.len() < 70_000 && cut.ends_with("x [cut here: the line has more than 65536 bytes]")
    );
    get(host.port(), "/api/Echo", "long-line 3000000");
    get(host.port(), "/api/Echo", "print stdout the end");
    get(host.port(), "/api/Echo", "print stdout the next");
    lines.wait_for("Information  the next");
    assert_eq!(lines.with("xxx"), [cut]);
}

#[test]
fn without_files_to_open_the_handler_is_started_later() {
    let app = TestApp::new();
    let mut command = Command::new("sh");
    let dev_host = env!("CARGO_BIN_EXE_dev-host");
    let line = format!("ulimit -n 40 && exec '{dev_host}' --port 0 --key key");
    let host = Host::run(command.args(["-c", &line]).current_dir(app.path()));
    let port = host.port();
    // More than the host has room for; the rest waits in the queue of the system.
    let clients: Vec<_> = (0..60).map(|_| Connection::to(port)).collect();
    wait_until("no file can be opened", || {
        fs::read_dir(format!("/proc/{}/fd", host.id()))
            .unwrap()
            .count()
            >= 40
    });
    kill_process(pid(app.starts()[0]), Signal::KILL).unwrap();
    host.lines.wait_for("the handler can't be started now (");
    drop(clients);
    assert_eq!(status(port, "/api/Echo", "key"), 200);
    assert_eq!(app.starts().len(), 2);
}

#[test]
fn idle_connections_to_the_handler_are_closed() {
    let app = TestApp::new();
    let (tell, told) = std::sync::mpsc::channel();
    let host = attached(&app, move |mut stream, _| {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).unwrap();
        tell.send(stream.read(&mut [0]).unwrap()).unwrap();
    });
    assert_eq!(status(host.port(), "/api/Echo", "key"), 200);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(0));
}

#[test]
fn calls_that_time_out_together_cost_one_start() {
    let app = TestApp::new();
    app.host_json(json!({"functionTimeout": "00:00:02"}));
    let (host, lines) = app.start_heard();
    let port = host.port();
    let calls =
        [(); 20].map(|()| thread::spawn(move || get(port, "/api/Echo", "until never").status));
    wait_until("the handler has all", || {
        lines.with("waiting").len() == calls.len()
    });
    for call in calls {
        assert_eq!(call.join().unwrap(), 500);
    }
    assert_eq!(status(port, "/api/Echo", "key"), 200);
    assert_eq!(lines.with("starting the handler").len(), 2);
}

#[test]
fn a_reader_of_the_output_that_is_gone_ends_nothing() {
    let app = TestApp::new();
    let port = free_port();
    let mut host = Command::new(env!("CARGO_BIN_EXE_dev-host"));
    host.args(["--key", "key", "--port", &port.to_string()])
        .current_dir(app.path());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut host = host
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    let mut calls = 0;
    wait_until("it answers", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    for _ in 0..3 {
        calls += u32::from(status(port, "/api/Echo", "key") == 200);
    }
    let ended = host.try_wait().unwrap();
    kill_process(pid(host.id()), Signal::KILL).unwrap();
    host.wait().unwrap();
    assert_eq!((calls, ended), (3, None));
}

#[test]
fn a_length_beside_chunks_is_not_passed_on() {
    let app = TestApp::new();
    let host = attached(&app, |mut stream, _| {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
                       5\r\nhello\r\n0\r\n\r\n";
        stream.write_all(answer).unwrap();
    });
    let answer = get(host.port(), "/api/Echo", "");
    assert_eq!(answer.header("content-length"), None);
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.body, "5\r\nhello\r\n0\r\n\r\n");
}

#[test]
fn keys_that_everybody_knows_are_warned_of_where_others_can_call() {
    let app = TestApp::new();
    for (arguments, warning) in [
        (
            &["--address", "0.0.0.0", "--no-auth"][..],
            "no key is checked",
        ),
        (
            &["--address", "0.0.0.0", "--key", dev_host::WALKTHROUGH_KEY],
            "key is the walkthrough\'s",
        ),
        (&["--address", "0.0.0.0"], ""),
        (&["--no-auth"], ""),
        (&["--key", dev_host::WALKTHROUGH_KEY], ""),
    ] {
        let host = Host::spawn(app.path(), arguments);
        host.lines.wait_for("Ctrl-C to stop");
        let warnings = host.lines.with("warning: ");
        match warning {
            "" => assert_eq!(warnings, [""; 0], "{arguments:?}"),
            warning => has(&warnings.join(""), warning),
        }
    }
}

#[test]
fn functions_come_before_the_home_page() {
    let app = TestApp::new();
    app.host_json(json!({"extensions": {"http": {"routePrefix": ""}}}));
    assert!(
        !call(app.start().port(), "GET /", KEY)
            .body
            .contains("GET / HTTP/1.1")
    );
    app.function("All", json!({"route": "{*path}"}));
    let host = app.start();
    has(&call(host.port(), "GET /", KEY).body, "GET / HTTP/1.1");
    assert_eq!(call(host.port(), "GET /", "").status, 401);
}

/// As `git checkout` and `git stash` do it.
#[test]
fn a_folder_that_was_away_is_watched_again() {
    let app = TestApp::new();
    app.function("Other", json!({}));
    app.write("src/deep/a.rs", "");
    let (host, lines) = app.start_watching();
    let [src, away] = ["src", "away"].map(|folder| app.path().join(folder));
    for round in 0..3 {
        match round {
            0 => {
                fs::rename(&src, &away).unwrap();
                fs::rename(&away, &src).unwrap();
            }
            1 => fs::remove_dir_all(&src).unwrap(),
            _ => fs::remove_dir_all(src.join("deep")).unwrap(),
        }
        app.write("src/deep/a.rs", "");
        lines.next("nothing to do");
        for file in ["src", "src/deep"].map(|folder| format!("{folder}/new{round}.rs")) {
            app.write(&file, "");
            lines.next(&file);
            lines.next("nothing to do");
        }
    }

    let other = app.path().join("Other");
    for (from, to, expected) in [(&other, &away, 404), (&away, &other, 200)] {
        fs::rename(from, to).unwrap();
        let path = "/api/Other";
        wait_until(path, || status(host.port(), path, "key") == expected);
    }
}

#[test]
fn a_storm_of_folders_ends_nothing() {
    let app = TestApp::new();
    app.write("src/a.rs", "");
    let (host, lines) = app.start_watching();
    for _ in 0..100 {
        for change in [fs::create_dir, fs::remove_dir::<PathBuf>] {
            for parent in ["", "src/", "Echo/"] {
                for number in 0..20 {
                    change(app.path().join(format!("{parent}f{number}"))).unwrap();
                }
            }
        }
    }
    app.write("src/last.rs", "");
    lines.wait_for("src/last.rs");
    assert_eq!(status(host.port(), "/api/Echo", "key"), 200);
}
