//! The process: where it listens, how it ends.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{App, ENDPOINT, PORT, start};
use test_support::process::{eventually, signal, wait_until};

/// Port 3000 is the only one that a test can't choose: it waits until nobody else has it. (That the
/// handler listens on the port which a host names is seen behind dev-host.)
#[test]
fn without_a_port_it_listens_on_3000_of_loopback_and_says_that_no_key_is_checked() {
    let handler = eventually("port 3000 is free for this test", || {
        match App::of(&["Echo"]).spawn(&[]) {
            Ok(handler) => Some(handler),
            Err(ended) => {
                assert!(ended.stderr[1].contains("127.0.0.1:3000"), "{ended:?}");
                None
            }
        }
    });
    assert_eq!(handler.port, 3000);
    assert_eq!(handler.get(ENDPOINT).status, 200);
    let other = (Ipv4Addr::new(127, 0, 0, 2), 3000).into();
    TcpStream::connect_timeout(&other, Duration::from_secs(5)).expect_err("another address");
    let ended = handler.stop();
    let warning = ended.complaint();
    for part in ["WARN - ", PORT, "no key is checked"] {
        assert!(warning.contains(part), "{part} is not in {warning}");
    }
}

#[test]
fn where_it_cannot_listen_it_ends_with_1_and_one_line() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let hint = "from 0 (any free one) to 65535";
    for (port, shown, hint) in [
        ("", "\"\"", hint),
        ("text", "\"text\"", hint),
        ("65536", "\"65536\"", hint),
        ("3000 ", "\"3000 \"", hint),
        ("80\n81", "\"80\\n81\"", hint),
        (&taken, &taken, "in use"),
        // The host would take an error that says "warn" for a warning.
        ("Warn, WARNING, wwarn", "W*rn, W*RNING, ww*rn", hint),
    ] {
        let ended = App::new().spawn(&[(PORT, port)]).err().expect("a refusal");
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert_eq!(ended.stdout, Vec::<String>::new());
        let line = ended.complaint();
        assert!(line.starts_with("ERROR - "), "{line}");
        for part in [PORT, shown, hint] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}

#[test]
fn ends_with_0_when_it_is_told_to() {
    for name in ["TERM", "INT"] {
        let handler = start();
        // None of these is a reason to stay.
        let mut idle = handler.connect();
        assert_eq!(idle.get(ENDPOINT).status, 200);
        let _unused = handler.connect();
        let mut half = handler.connect();
        half.send("GET / HTT");
        let mut upgraded = handler.connect();
        let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        assert_eq!(upgraded.request("GET", ENDPOINT, headers).status, 200);
        assert_eq!(handler.get(ENDPOINT).status, 200);
        signal(handler.id(), name);
        let begin = Instant::now();
        let ended = handler.ended();
        assert_eq!(ended.status.code(), Some(0), "{name}: {ended:?}");
        assert_eq!(ended.stderr, Vec::<String>::new());
        // The server would wait for 5 s for a client that does not close its connection.
        assert!(
            begin.elapsed() < Duration::from_secs(4),
            "{:?}",
            begin.elapsed()
        );
    }
}

#[test]
fn a_call_that_runs_is_answered_before_the_end() {
    let app = App::of(&["Wait", "Echo"]);
    let handler = app.start();
    let mut call = handler.connect();
    call.send("GET /api/Wait HTTP/1.1\r\nHost: h\r\n\r\n");
    // It runs by the time that another call is answered.
    assert_eq!(handler.get(ENDPOINT).status, 200);
    signal(handler.id(), "TERM");
    // It has heard the signal by the time that it takes no more connections.
    wait_until("the end of listening", || {
        TcpStream::connect(("127.0.0.1", handler.port)).is_err()
    });
    app.write("go", "");
    assert_eq!(call.answer().body, b"gone");
    assert_eq!(handler.ended().status.code(), Some(0));
}

/// The host keeps idle connections for 60 s. The server alone would close them after 5.
#[test]
fn idle_connections_stay_open() {
    let handler = start();
    let mut unused = handler.connect();
    let mut used = handler.connect();
    assert_eq!(used.get(ENDPOINT).status, 200);
    thread::sleep(Duration::from_secs(6));
    for connection in [&mut unused, &mut used] {
        assert_eq!(connection.get(ENDPOINT).status, 200);
    }
}
