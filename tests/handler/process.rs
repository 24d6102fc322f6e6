//! The process: where it listens, how it ends.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{ENDPOINT, PORT, handler, start};
use test_support::{PATIENCE, handler::Handler, process::signal};

/// The one line of an attempt to start that must fail.
fn refusal(port: &str) -> String {
    let Err(ended) = Handler::spawn(handler(&[(PORT, port)])) else {
        panic!("listens with {port:?}");
    };
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.stdout, Vec::<String>::new());
    let [line] = &*ended.stderr else {
        panic!("{ended:?}")
    };
    assert!(line.starts_with("ERROR "), "{line}");
    line.clone()
}

#[test]
fn listens_on_the_port_it_is_given_and_on_loopback_only() {
    // A free port, given back for the handler to take unless somebody else is faster.
    let (handler, port) = (0..10)
        .find_map(|_| {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let port = free.local_addr().expect("bound").port();
            drop(free);
            let command = handler(&[(PORT, &port.to_string())]);
            Handler::spawn(command).ok().map(|handler| (handler, port))
        })
        .expect("it listens");
    assert_eq!(handler.port, port);
    assert_eq!(handler.get(ENDPOINT).status, 200);
    let other = (Ipv4Addr::new(127, 0, 0, 2), port).into();
    TcpStream::connect_timeout(&other, Duration::from_secs(5)).expect_err("another address");
}

/// Port 3000 is the only one that a test can't choose: it waits until nobody else has it.
#[test]
fn without_a_port_it_listens_on_3000_and_says_that_no_key_is_checked() {
    let begin = Instant::now();
    let handler = loop {
        match Handler::spawn(handler(&[])) {
            Ok(handler) => break handler,
            Err(ended) => assert!(ended.stderr[1].contains("3000"), "{ended:?}"),
        }
        assert!(begin.elapsed() < PATIENCE, "free port 3000 for this test");
        thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(handler.port, 3000);
    assert_eq!(handler.get(ENDPOINT).status, 200);
    let ended = handler.stop();
    let [warning] = &*ended.stderr else {
        panic!("{ended:?}")
    };
    for part in ["WARN ", PORT, "no key is checked", "`cargo start`"] {
        assert!(warning.contains(part), "{part} is not in {warning}");
    }
}

#[test]
fn what_is_no_port_is_refused() {
    for value in ["", "text", "65536", "3000 ", "80\n81"] {
        let line = refusal(value);
        for part in [
            PORT,
            &format!("{value:?}"),
            "from 0 (any free one) to 65535",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}

#[test]
fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let line = refusal(&port);
    for part in [PORT, &port, "in use", "another port"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn ends_with_0_when_it_is_told_to() {
    for name in ["TERM", "INT"] {
        let handler = start();
        // An idle connection is no reason to stay.
        let mut idle = handler.connect();
        assert_eq!(idle.get(ENDPOINT).status, 200);
        signal(handler.id(), name);
        let ended = handler.ended();
        assert_eq!(ended.status.code(), Some(0), "{name}: {ended:?}");
        assert_eq!(ended.stderr, Vec::<String>::new());
    }
}

/// The host keeps idle connections for 60 s.
#[test]
#[ignore = "it waits for more than a minute"]
fn idle_connections_outlive_those_of_the_host() {
    let handler = start();
    let mut unused = handler.connect();
    let mut used = handler.connect();
    assert_eq!(used.get(ENDPOINT).status, 200);
    thread::sleep(Duration::from_secs(70));
    for connection in [&mut unused, &mut used] {
        assert_eq!(connection.get(ENDPOINT).status, 200);
    }
}
