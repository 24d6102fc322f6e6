//! What clients may do wrong, and a stop in the middle of their work. The counts here are short;
//! `cargo bench -- --long` takes the same a hundred times and tenfold.

#[path = "../support/raw.rs"]
mod raw;

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use dev_host::Options;

use crate::{
    app::app,
    client::{Connection, ENDPOINT, Handler, descriptors, signal, wait_until},
};
use raw::assert_answered_or_unfinished;

/// What the mutations begin with, and the fuzzer.
const REQUESTS: [&[u8]; 8] = [
    include_bytes!("../../fuzz/seeds/get"),
    include_bytes!("../../fuzz/seeds/length"),
    include_bytes!("../../fuzz/seeds/chunked"),
    include_bytes!("../../fuzz/seeds/query"),
    include_bytes!("../../fuzz/seeds/expect"),
    include_bytes!("../../fuzz/seeds/http10"),
    include_bytes!("../../fuzz/seeds/two"),
    include_bytes!("../../fuzz/seeds/upgrade"),
];

/// What the mutations put in.
const PIECES: [&str; 20] = [
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\0",
    " ",
    ":",
    "%",
    "/..//",
    "\u{fffd}",
    "0\r\n\r\n",
    "ffffffffffffffff\r\n",
    "-1",
    "18446744073709551616",
    "HTTP/1.0",
    "Connection: close\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: +5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Expect: 100-continue\r\n",
];

/// SplitMix64: a seed stands for the same requests for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn mutated(&mut self) -> Vec<u8> {
        let mut request = REQUESTS[self.below(REQUESTS.len())].to_vec();
        for _ in 0..=self.below(4) {
            let start = self.below(request.len() + 1);
            let end = start + self.below(request.len() + 1 - start).min(32);
            match self.below(6) {
                0 if start < request.len() => request[start] = self.below(256) as u8,
                1 => drop(request.drain(start..end)),
                2 => request.truncate(start),
                3 => {
                    let again = request[start..end].repeat(1 + self.below(300));
                    request.splice(start..start, again);
                }
                4 => {
                    let other = REQUESTS[self.below(REQUESTS.len())];
                    request.splice(start..end, other[self.below(other.len())..].iter().copied());
                }
                _ => {
                    let piece = PIECES[self.below(PIECES.len())].bytes();
                    request.splice(start..end, piece);
                }
            }
        }
        request
    }
}

/// Sends so many mutated requests, each on a connection of its own; all the time the endpoint has
/// to answer.
pub fn assert_survives_mutations(handler: &Handler, seed: u64, count: usize) {
    let mut random = Random(seed);
    for index in 0..count {
        assert_answered_or_unfinished(handler.port, &random.mutated());
        if index % 1_000 == 0 {
            assert!(handler.get(ENDPOINT).value() > 0);
        }
    }
    assert!(handler.get(ENDPOINT).value() > 0);
}

/// Stops a handler in the middle of the work for 32 connections: no answer is cut short, a
/// connection is told which one is its last unless its client has been idle for long, and the
/// handler ends with 0.
pub fn assert_stops_under_load(command: Command) {
    let handler = Handler::spawn(command).expect("it listens");
    let callers: Vec<_> = (0..32)
        .map(|_| {
            let mut connection = handler.connect();
            thread::spawn(move || {
                while let Some(answer) = connection.try_get(ENDPOINT) {
                    if answer.header("connection") == Some("close") {
                        assert!(connection.is_closed());
                        return true;
                    }
                }
                false
            })
        })
        .collect();
    wait_until("somebody is served", || handler.stdout().len() >= 1_000);
    handler.signal("TERM");
    let told = callers
        .into_iter()
        .map(|caller| caller.join().expect("only whole answers"))
        .filter(|&told| told)
        .count();
    assert!(told > 0, "no connection was told");
    let ended = handler.ended();
    assert_eq!(ended.status.code(), Some(0), "{:?}", ended.stderr);
}

/// Waits until no more descriptors are open than that many.
fn assert_descriptors_come_back(handler: &Handler, open: usize) {
    wait_until("the descriptors come back", || {
        descriptors(handler.id()) <= open
    });
}

#[test]
fn mutated_requests_are_answered_or_refused() {
    let handler = Handler::start();
    let mut connection = handler.connect();
    assert_eq!(connection.get(ENDPOINT).status, 200);
    let open = descriptors(handler.id());
    assert_survives_mutations(&handler, 1, 20_000);
    assert_descriptors_come_back(&handler, open);
    assert_eq!(connection.get(ENDPOINT).status, 200);
    let ended = handler.stop();
    assert_eq!(ended.status.code(), Some(0));
    assert!(
        !ended.stderr.iter().any(|line| line.contains("panicked")),
        "{:?}",
        ended.stderr
    );
}

/// One byte at a time, each followed by a whole request of somebody else.
#[test]
fn slow_clients_hold_up_nobody_and_are_answered() {
    let handler = Handler::start();
    let mut fast = handler.connect();
    assert_eq!(fast.get(ENDPOINT).status, 200);
    let requests = &REQUESTS[..4];
    let mut slow: Vec<_> = requests
        .iter()
        .flat_map(|request| [request; 8])
        .map(|request| (handler.connect(), *request))
        .collect();
    let longest = requests.iter().map(|request| request.len()).max();
    for index in 0..longest.expect("four") {
        for (connection, request) in &mut slow {
            if let Some(byte) = request.get(index) {
                assert!(!connection.has_news(), "answered before the end");
                connection.send([*byte]);
            }
        }
        assert_eq!(fast.get(ENDPOINT).status, 200);
    }
    for (mut connection, _) in slow {
        assert_eq!(connection.answer().status, 200);
    }
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    /// Unsent, half a head, half a body, half a chunk, and an answer that nobody reads before
    /// half a body, which makes the kernel reset the connection.
    const BEGINNINGS: [&str; 5] = [
        "",
        "GET /api/Rand",
        "POST /api/RandomNumber HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello",
        "POST /api/RandomNumber HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n\
         POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello",
    ];

    let handler = Handler::start();
    let mut other = handler.connect();
    assert_eq!(other.get(ENDPOINT).status, 200);
    let open = descriptors(handler.id());
    for _ in 0..10 {
        let crowd: Vec<_> = BEGINNINGS
            .iter()
            .flat_map(|beginning| [beginning; 40])
            .map(|beginning| {
                let mut connection = handler.connect();
                connection.send(beginning);
                connection
            })
            .collect();
        wait_until("all are accepted", || {
            descriptors(handler.id()) >= open + crowd.len()
        });
        assert_eq!(other.get(ENDPOINT).status, 200);
        drop(crowd);
        assert_descriptors_come_back(&handler, open);
    }
    assert_eq!(other.get(ENDPOINT).status, 200);
    assert_eq!(handler.stop().stderr, Vec::<String>::new());
}

#[test]
fn a_crowd_gives_its_memory_back() {
    let handler = Handler::start();
    assert_eq!(handler.get(ENDPOINT).status, 200);
    let before = handler.memory("VmRSS");
    let crowd: Vec<_> = (0..500)
        .map(|_| {
            let mut connection = handler.connect();
            assert_eq!(connection.get(ENDPOINT).status, 200);
            connection
        })
        .collect();
    let crowded = handler.memory("VmRSS");
    assert!(crowded > before + 2_000, "{before} KiB, then {crowded} KiB");
    drop(crowd);
    wait_until("most of it has come back", || {
        handler.memory("VmRSS") < before + (crowded - before) / 4
    });
}

#[test]
fn a_stop_in_the_middle_of_work_cuts_no_answer_short() {
    for _ in 0..10 {
        assert_stops_under_load(crate::client::handler(&[(
            "FUNCTIONS_CUSTOMHANDLER_PORT",
            "0",
        )]));
    }
}

/// Whoever has a request in flight gets a 500, and nobody gets two: what comes after it is retried
/// until the handler is back.
#[test]
fn a_kill_behind_the_host_costs_only_what_is_in_flight() {
    // On a busy machine a restart can take longer than the 2 s of the host's retries. It isn't
    // busy each time.
    let most: Vec<usize> = (0..5)
        .map(|_| failures_around_a_kill())
        .take_while(|&most| most > 1)
        .collect();
    assert!(most.len() < 5, "a caller gets so many failures: {most:?}");
}

/// The most failures that one of 32 callers sees when the handler is killed.
fn failures_around_a_kill() -> usize {
    /// Answers that each caller gets before the kill, and at least as many after it.
    const EACH: usize = 50;

    let app = app(env!("CARGO_BIN_EXE_handler"), |host| {
        // So slow to start that without retries everybody would notice.
        host["customHandler"]["description"] = serde_json::json!({
            "defaultExecutablePath": "sh",
            "arguments": ["-c", "sleep 0.3; exec ./handler"],
        });
    });
    let host = dev_host::start(Options {
        app_root: app.path().to_owned(),
        function_key: Some("key".to_owned()),
        ..Options::default()
    })
    .expect("it runs");
    let port = host.port();
    let first = handler_in(app.path()).expect("it runs");

    let busy = Arc::new(AtomicUsize::new(0));
    let killed = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..32)
        .map(|_| {
            let (busy, killed) = (Arc::clone(&busy), Arc::clone(&killed));
            thread::spawn(move || {
                let mut connection = Connection::to(port);
                let mut call = || {
                    let answer = connection.request("GET", ENDPOINT, "x-functions-key: key\r\n");
                    assert!(answer.status == 500 || answer.value() > 0);
                    answer.status
                };
                for _ in 0..EACH {
                    assert_eq!(call(), 200);
                }
                busy.fetch_add(1, Ordering::Relaxed);
                let (mut failures, mut left) = (0, EACH);
                while left > 0 {
                    let is_over = killed.load(Ordering::Relaxed);
                    match call() {
                        500 => failures += 1,
                        _ if is_over => left -= 1,
                        _ => {}
                    }
                }
                failures
            })
        })
        .collect();
    wait_until("everybody is served", || {
        busy.load(Ordering::Relaxed) == callers.len()
    });
    signal(first, "KILL");
    killed.store(true, Ordering::Relaxed);
    let most = callers
        .into_iter()
        .map(|caller| caller.join().expect("nothing but 200 and 500"))
        .max();
    let second = handler_in(app.path()).expect("it runs again");
    assert_ne!(first, second);
    most.expect("32")
}

/// The process that a host has started in that folder.
fn handler_in(folder: &Path) -> Option<u32> {
    let folder = folder.canonicalize().ok()?;
    fs::read_dir("/proc").ok()?.find_map(|entry| {
        let process = entry.ok()?.path();
        let is_there = fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder);
        is_there.then(|| process.file_name()?.to_str()?.parse().ok())?
    })
}
