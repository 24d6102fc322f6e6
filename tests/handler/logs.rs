//! The log lines and their streams.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::client::{Connection, ENDPOINT, Ended, Handler, PATIENCE, handler, listeners};

const INVOKED: &str = "INFO RandomNumber invoked via HTTP trigger.";
const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// The lines of the invocations.
fn invocations(ended: &Ended) -> Vec<&str> {
    assert_eq!(ended.stderr, Vec::<String>::new());
    ended
        .stdout
        .iter()
        .map(String::as_str)
        .filter(|line| line.contains("invoked"))
        .collect()
}

#[test]
fn each_invocation_is_one_line_with_the_hosts_id() {
    let handler = Handler::start();
    let mut connection = handler.connect();
    connection.get(ENDPOINT);
    connection.request(
        "POST",
        ENDPOINT,
        &format!("X-Azure-Functions-InvocationId: {ID}\r\n"),
    );
    connection.request(
        "GET",
        ENDPOINT,
        &format!("x-azure-functions-invocationid: {ID}\r\n"),
    );
    // No invocations.
    connection.request("PUT", ENDPOINT, "");
    connection.get("/api/Other");
    let with_id = format!("{INVOKED} InvocationId: {ID}");
    assert_eq!(invocations(&handler.stop()), [INVOKED, &with_id, &with_id]);
}

#[test]
fn what_does_not_look_like_an_id_is_left_out() {
    let handler = Handler::start();
    let mut connection = handler.connect();
    let forged = [
        String::new(),
        "1".to_owned(),
        ID.replace('-', "0"),
        ID.replace('0', "g"),
        ID[1..].to_owned(),
        format!("{ID}0"),
        format!("{ID} {ID}"),
        format!("{{{ID}}}"),
        format!("{}\u{1b}", &ID[1..]),
        format!("{ID}\tERROR"),
        "ERROR out of disk, call the operator".to_owned(),
        "é".repeat(18),
    ];
    for id in &forged {
        let header = format!("X-Azure-Functions-InvocationId: {id}\r\n");
        let status = connection.request("GET", ENDPOINT, &header).status;
        if status == 400 {
            // Not even a header; the connection is gone.
            connection = handler.connect();
        }
    }
    let ended = handler.stop();
    let lines: Vec<_> = ended
        .stdout
        .iter()
        .filter(|line| line.contains("invoked"))
        .collect();
    assert!(lines.len() >= forged.len() - 1, "{ended:?}");
    assert!(lines.iter().all(|line| *line == INVOKED), "{ended:?}");
}

#[test]
fn the_hosts_ping_leaves_no_line() {
    let handler = Handler::start();
    assert_eq!(handler.get("/").status, 200);
    assert_eq!(handler.get("/?x").status, 200);
    let ended = handler.stop();
    assert_eq!(ended.stdout.len(), 2, "{ended:?}");
    assert!(ended.stdout[0].contains("listening"), "{ended:?}");
    assert!(ended.stdout[1].contains("stopping"), "{ended:?}");
}

#[test]
fn rust_log_sets_the_level() {
    for (level, invocations_seen) in [
        ("off", 0),
        ("error", 0),
        ("warn", 0),
        ("info", 1),
        ("INFO", 1),
        ("debug", 1),
        ("trace", 1),
        ("", 1),
    ] {
        let handler = Handler::start_with(&[("RUST_LOG", level)]);
        handler.get(ENDPOINT);
        assert_eq!(
            invocations(&handler.stop()).len(),
            invocations_seen,
            "{level:?}"
        );
    }
}

#[test]
fn a_bad_level_is_reported_and_info_taken() {
    for level in [
        "verbose",
        "5",
        "handler=debug",
        "info,debug",
        "x\nERROR forged",
    ] {
        let handler = Handler::start_with(&[("RUST_LOG", level)]);
        handler.get(ENDPOINT);
        let ended = handler.stop();
        let [line] = &*ended.stderr else {
            panic!("{ended:?}")
        };
        assert!(line.starts_with("WARN RUST_LOG is "), "{line}");
        assert!(line.contains(&format!("{level:?}")), "{line}");
        assert!(ended.stdout.iter().any(|line| line == INVOKED), "{ended:?}");
    }
}

/// A warning that does not say so would be taken for an error, an error that does for a warning.
#[test]
fn the_host_takes_warnings_and_errors_for_what_they_are() {
    let variables = [
        ("RUST_LOG", "warn of nothing"),
        ("FUNCTIONS_CUSTOMHANDLER_PORT", "Warn, WARNING, wwarn"),
    ];
    let Err(ended) = Handler::spawn(handler(&variables)) else {
        panic!("listens")
    };
    let [warning, error] = &*ended.stderr else {
        panic!("{ended:?}")
    };
    assert!(
        warning.starts_with("WARN ") && warning.contains("warn of nothing"),
        "{warning}"
    );
    assert!(
        error.starts_with("ERROR ") && error.contains("W*rn, W*RNING, ww*rn"),
        "{error}"
    );
    assert!(!error.to_lowercase().contains("warn"), "{error}");
    assert_eq!(ended.stdout, Vec::<String>::new());
}

/// Without descriptors the runtime can't begin, and panics.
#[test]
fn a_panic_is_an_error_on_one_line() {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -n 4 && exec \"$0\"",
            env!("CARGO_BIN_EXE_handler"),
        ])
        .env("FUNCTIONS_CUSTOMHANDLER_PORT", "0");
    let Err(ended) = Handler::spawn(command) else {
        panic!("listens")
    };
    assert!(!ended.status.success(), "{ended:?}");
    let [line] = &*ended.stderr else {
        panic!("{ended:?}")
    };
    assert!(line.starts_with("ERROR panicked at "), "{line}");
}

#[test]
fn no_level_shows_the_key() {
    const SECRET: &str = "s3cr3t-k3y";

    let handler = Handler::start_with(&[("RUST_LOG", "trace")]);
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
    assert!(
        ended
            .stdout
            .iter()
            .filter(|line| line.contains("invoked"))
            .count()
            >= 2,
        "{ended:?}"
    );
    for line in ended.stdout.iter().chain(&ended.stderr) {
        assert!(!line.contains(SECRET), "{line}");
        assert!(!line.to_lowercase().contains("x-functions-key"), "{line}");
    }
}

/// A pipe holds 64 KiB, which is less than 2,000 of these lines.
#[test]
fn a_reader_that_stops_costs_lines_but_no_answer_and_is_told_how_many() {
    const REQUESTS: usize = 5_000;

    let mut child = with_pipes_of_its_own();
    let mut connection = Connection::to(port_of(child.0.id()));
    for _ in 0..REQUESTS {
        assert_eq!(connection.get(ENDPOINT).status, 200);
    }

    let mut lines = BufReader::new(child.0.stdout.take().expect("a pipe")).lines();
    let mut lines = || lines.next().expect("a line").expect("UTF-8");
    assert!(lines().starts_with("INFO listening on "));
    // What the pipe has held; only a request makes room for the notice after it.
    let (mut seen, mut more) = (0, 0);
    let lost = loop {
        if seen % 100 == 0 {
            assert_eq!(connection.get(ENDPOINT).status, 200);
            more += 1;
        }
        let line = lines();
        match line
            .strip_prefix("INFO ")
            .and_then(|line| line.split_once(" log lines lost: "))
        {
            Some((lost, "stdout was not read")) => break lost.parse::<usize>().expect("a number"),
            _ => assert_eq!(line, INVOKED),
        }
        seen += 1;
    };
    assert!(lost > REQUESTS / 2, "{lost}");
    assert!(
        (REQUESTS..REQUESTS + more).contains(&(seen + lost)),
        "{seen} + {lost}"
    );
    assert_eq!(lines(), INVOKED);
}

/// Pauses that are shorter than the handler's patience cost nothing. A machine that stops the
/// reader for longer is no fault of the handler's, but not three times.
#[test]
fn a_reader_that_is_slow_costs_no_line() {
    let lost = (0..3).map(|_| lines_lost_to_a_slow_reader()).min();
    assert_eq!(lost, Some(0));
}

fn lines_lost_to_a_slow_reader() -> usize {
    const REQUESTS: usize = 10_000;

    let mut child = with_pipes_of_its_own();
    let mut connection = Connection::to(port_of(child.0.id()));
    let mut pipe = child.0.stdout.take().expect("a pipe");
    let reader = thread::spawn(move || {
        let (mut log, mut block) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            // Long enough for the pipe to fill.
            thread::sleep(Duration::from_millis(150));
            match pipe.read(&mut block).expect("a pipe") {
                0 => return String::from_utf8(log).expect("UTF-8"),
                count => log.extend_from_slice(&block[..count]),
            }
        }
    });
    let requests = format!("GET {ENDPOINT} HTTP/1.1\r\nHost: handler\r\n\r\n").repeat(100);
    for _ in 0..REQUESTS / 100 {
        connection.send(&requests);
        for _ in 0..100 {
            assert_eq!(connection.answer().status, 200);
        }
    }
    drop(child);
    let log = reader.join().expect("UTF-8");
    REQUESTS - log.lines().filter(|line| *line == INVOKED).count()
}

/// A handler whose pipes nobody reads until the test does, killed when it goes out of scope.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn with_pipes_of_its_own() -> Unread {
    let child = handler(&[("FUNCTIONS_CUSTOMHANDLER_PORT", "0")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    Unread(child.expect("the handler starts"))
}

/// The port on which a process listens, once it does.
fn port_of(process: u32) -> u16 {
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < PATIENCE, "it does not listen");
        if let Some(listener) = listeners(process).first() {
            return listener.port;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_reader_that_is_gone_costs_no_answer() {
    let mut child = with_pipes_of_its_own();
    drop((child.0.stdout.take(), child.0.stderr.take()));
    let mut connection = Connection::to(port_of(child.0.id()));
    for _ in 0..100 {
        assert_eq!(connection.get(ENDPOINT).status, 200);
    }
}

/// Each attempt to accept a connection fails, and is to be made again only after a while.
#[test]
fn being_out_of_descriptors_is_one_line_and_passes() {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -n 32 && exec \"$0\"",
            env!("CARGO_BIN_EXE_handler"),
        ])
        .env("FUNCTIONS_CUSTOMHANDLER_PORT", "0");
    let handler = Handler::spawn(command).expect("it listens");
    let crowd: Vec<_> = (0..64).map(|_| handler.connect()).collect();
    thread::sleep(Duration::from_secs(3));
    let busy = cpu_ticks(handler.id());
    assert!(busy < 100, "{busy} of about 300 ticks");
    drop(crowd);
    assert_eq!(handler.get(ENDPOINT).status, 200);
    let ended = handler.stop();
    let [line] = &*ended.stderr else {
        panic!("{ended:?}")
    };
    assert!(
        line.starts_with("ERROR ") && line.contains("Too many open files"),
        "{line}"
    );
}

#[test]
fn a_line_too_long_for_a_pipe_loses_its_end() {
    for (character, length) in [("x", 4095), ("é", 4094)] {
        let handler = Handler::start_with(&[("RUST_LOG", &character.repeat(10_000))]);
        let ended = handler.stop();
        let [line] = &*ended.stderr else {
            panic!("{ended:?}")
        };
        assert_eq!(line.len(), length);
        let beginning = format!("WARN RUST_LOG is \"{character}{character}");
        assert!(line.starts_with(&beginning), "{line}");
    }
}

/// The CPU time of a process, user and system, in hundredths of a second.
fn cpu_ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux");
    let fields: Vec<&str> = stat.split_whitespace().collect();
    fields[13..15]
        .iter()
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum()
}
