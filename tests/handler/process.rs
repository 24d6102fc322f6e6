//! The process: where it listens, how it ends.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::client::{ENDPOINT, Ended, Handler, PATIENCE, handler, listeners, wait_until};

const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// The one line of an attempt to start that must fail.
fn refusal(variables: &[(&str, &str)]) -> String {
    let Err(ended) = Handler::spawn(handler(variables)) else {
        panic!("listens with {variables:?}");
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

    let listeners = listeners(handler.id());
    assert_eq!(listeners.len(), 1);
    assert_eq!(listeners[0].address, "0100007F", "not 127.0.0.1");
    TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).expect_err("another address");
}

#[test]
fn port_0_stands_for_any_free_port_which_the_log_tells() {
    let handler = Handler::start_with(&[(PORT, "0")]);
    let port = handler.port;
    let ended = handler.stop();
    assert_eq!(
        ended.stdout[0],
        format!("INFO listening on http://127.0.0.1:{port}")
    );
}

/// Port 3000 is the only one that a test can't choose: it waits until nobody else has it.
#[test]
fn without_a_port_it_listens_on_3000_and_says_that_no_key_is_checked() {
    let begin = Instant::now();
    let handler = loop {
        match Handler::spawn(handler(&[])) {
            Ok(handler) => break handler,
            Err(ended) => assert_taken(&ended, 3000),
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "port 3000 is in use: free it for this test"
        );
        thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(handler.port, 3000);
    assert_eq!(handler.get(ENDPOINT).status, 200);
    let ended = handler.stop();
    let [warning] = &*ended.stderr else {
        panic!("{ended:?}")
    };
    for part in ["WARN ", PORT, "3000", "no key is checked", "`cargo start`"] {
        assert!(warning.contains(part), "{part} is not in {warning}");
    }
}

fn assert_taken(ended: &Ended, port: u16) {
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let line = ended.stderr.last().expect("a line");
    assert!(line.starts_with("ERROR ") && line.contains(PORT), "{line}");
    assert!(
        line.contains(&port.to_string()) && line.contains("another port"),
        "{line}"
    );
}

#[test]
fn what_is_no_port_is_refused() {
    for value in [
        "",
        "text",
        "65536",
        "-1",
        "3000 ",
        "0x50",
        "80\n81",
        "99999999999999999999",
    ] {
        let line = refusal(&[(PORT, value)]);
        assert!(line.contains(PORT), "{line}");
        assert!(line.contains(&format!("{value:?}")), "{line}");
        assert!(line.contains("from 0 (any free one) to 65535"), "{line}");
    }
}

#[test]
fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let line = refusal(&[(PORT, &port.to_string())]);
    for part in [PORT, &port.to_string(), "in use", "another port"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn ends_with_0_when_it_is_told_to() {
    for signal in ["TERM", "INT"] {
        let handler = Handler::start();
        // Idle connections, used and unused, are no reason to stay.
        let mut idle = [handler.connect(), handler.connect()];
        assert_eq!(idle[0].get(ENDPOINT).status, 200);
        handler.signal(signal);
        let ended = handler.ended();
        assert_eq!(ended.status.code(), Some(0), "{signal}: {ended:?}");
        let last = ended.stdout.last().expect("a line");
        assert_eq!(*last, format!("INFO SIG{signal} received, stopping"));
        assert_eq!(ended.stderr, Vec::<String>::new());
        assert!(idle.iter_mut().all(|connection| connection.is_closed()));
    }
}

#[test]
fn any_other_end_is_not_0() {
    for signal in ["HUP", "QUIT", "KILL", "USR1"] {
        let handler = Handler::start();
        handler.signal(signal);
        assert!(!handler.ended().status.success(), "{signal}");
    }
}

#[test]
fn a_port_is_free_again_at_once() {
    // Somebody else may be given the port in between, but not each time.
    let second = (0..10).find_map(|_| {
        let first = Handler::start();
        let port = first.port.to_string();
        let mut connection = first.connect();
        assert_eq!(connection.get(ENDPOINT).status, 200);
        assert_eq!(first.stop().status.code(), Some(0));
        Handler::spawn(handler(&[(PORT, &port)])).ok()
    });
    assert_eq!(second.expect("it listens").get(ENDPOINT).status, 200);
}

#[test]
fn finishes_the_requests_in_flight_and_takes_no_new_connection() {
    let handler = Handler::start();
    let port = handler.port;
    let mut connection = handler.connect();
    connection.send(format!(
        "POST {ENDPOINT} HTTP/1.1\r\nHost: handler\r\nContent-Length: 4\r\n\r\nbo"
    ));
    // Its head has been read when an invocation that came later has been answered.
    assert_eq!(handler.get(ENDPOINT).status, 200);
    handler.signal("TERM");
    wait_until("it accepts no more", || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
    });
    connection.send("dy");
    let answer = connection.answer();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(connection.is_closed());
    assert_eq!(handler.ended().status.code(), Some(0));
}

/// It takes 3.4 s of the 5. A machine may stall it for longer than the rest, but not three times.
#[test]
fn does_not_wait_for_a_client_that_never_finishes() {
    let quickest = (0..3).map(|_| time_to_stop()).min();
    assert!(quickest < Some(Duration::from_secs(5)), "{quickest:?}");
}

fn time_to_stop() -> Duration {
    let handler = Handler::start();
    let mut in_the_body = handler.connect();
    in_the_body.send(format!(
        "POST {ENDPOINT} HTTP/1.1\r\nHost: handler\r\nContent-Length: 4\r\n\r\nbo"
    ));
    let mut in_the_head = handler.connect();
    in_the_head.send("POST /api/Rand");
    assert_eq!(handler.get(ENDPOINT).status, 200);
    let begin = Instant::now();
    handler.signal("TERM");
    assert_eq!(handler.ended().status.code(), Some(0));
    begin.elapsed()
}

/// The host keeps idle connections for 60 s, and has connections that have not been used yet.
#[test]
fn idle_connections_outlive_those_of_the_host() {
    let handler = Handler::start();
    let mut unused = handler.connect();
    let mut used = handler.connect();
    assert_eq!(used.get(ENDPOINT).status, 200);
    let mut after_a_body = handler.connect();
    after_a_body.send(format!(
        "POST {ENDPOINT} HTTP/1.1\r\nHost: handler\r\nContent-Length: 4\r\n\r\nbody"
    ));
    assert_eq!(after_a_body.answer().status, 200);

    thread::sleep(Duration::from_secs(100));
    for connection in [&mut unused, &mut used, &mut after_a_body] {
        assert_eq!(connection.get(ENDPOINT).status, 200);
    }
}
