//! The load: one thread that keeps each of its connections busy with one call at a time, and looks
//! at every answer.

use std::{
    io::{self, Read, Write},
    net::Ipv4Addr,
    thread::sleep,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

/// With the key that the hosts of this bench check.
const CALL: &[u8] = b"GET /api/RandomNumber HTTP/1.1\r\nHost: localhost\r\n\
    x-functions-key: key\r\n\r\n";

/// For how long no answer may come before the server is taken to hang.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    sent: Instant,
    answer: Vec<u8>,
}

pub struct Sample {
    pub answers: usize,
    /// Calls per second.
    pub rate: f64,
    /// In milliseconds: 99 of 100 calls took no longer.
    pub p99: f64,
}

impl Load {
    /// Waits until the server listens.
    pub fn open(port: u16, connections: usize) -> Self {
        let poll = Poll::new().expect("the system has an event queue");
        let connections = (0..connections)
            .map(|token| Connection::open(port, &poll, token))
            .collect();
        Self {
            poll,
            events: Events::with_capacity(64),
            connections,
        }
    }

    /// Calls until the time is over, at least once on each connection, and awaits all answers.
    ///
    /// Panics at an answer that is not the function's.
    pub fn run(&mut self, time: Duration) -> Sample {
        let begin = Instant::now();
        let mut latencies = Vec::new();
        for connection in &mut self.connections {
            connection.call(begin);
        }
        let mut now = begin;
        let mut waiting = self.connections.len();
        while waiting > 0 {
            match self.poll.poll(&mut self.events, Some(PATIENCE)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled.expect("the events can be read"),
            }
            assert!(!self.events.is_empty(), "no answer for {PATIENCE:?}");
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                if !connection.has_answer() {
                    continue;
                }
                now = Instant::now();
                latencies.push(now - connection.sent);
                if now - begin < time {
                    connection.call(now);
                } else {
                    waiting -= 1;
                }
            }
        }
        latencies.sort_unstable();
        Sample {
            answers: latencies.len(),
            rate: latencies.len() as f64 / (now - begin).as_secs_f64(),
            p99: latencies[(latencies.len() - 1) * 99 / 100].as_secs_f64() * 1e3,
        }
    }
}

impl Connection {
    fn open(port: u16, poll: &Poll, token: usize) -> Self {
        let begin = Instant::now();
        let stream = loop {
            match std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                Ok(stream) => break stream,
                Err(error) => assert!(begin.elapsed() < PATIENCE, "port {port}: {error}"),
            }
            sleep(Duration::from_micros(50));
        };
        stream.set_nonblocking(true).expect("it is a socket");
        let mut stream = TcpStream::from_std(stream);
        poll.registry()
            .register(&mut stream, Token(token), Interest::READABLE)
            .expect("it is a socket");
        Self {
            stream,
            sent: Instant::now(),
            answer: Vec::new(),
        }
    }

    fn call(&mut self, now: Instant) {
        self.stream.write_all(CALL).expect("the server reads");
        self.sent = now;
    }

    /// Reads what there is; whether that makes an answer whole.
    fn has_answer(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("the server hangs up: {}", self.answer.escape_ascii()),
            Ok(read) => self.answer.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => panic!("the server hangs up: {error}"),
        }
        let is_whole = is_whole(&self.answer);
        if is_whole {
            self.answer.clear();
        }
        is_whole
    }
}

/// Whether this is the whole of the function's answer, not only its beginning.
fn is_whole(answer: &[u8]) -> bool {
    // Go ends the answer with a line break.
    let text = str::from_utf8(answer)
        .expect("the answer is text")
        .trim_start();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let body = body.trim_end();
    let is_whole = body.ends_with('}');
    let value = body.strip_prefix("{\"value\":").unwrap_or_default();
    let value = value.trim_end_matches('}').parse();
    assert!(
        head.starts_with("HTTP/1.1 200 ") && (!is_whole || matches!(value, Ok(1..=999))),
        "not the function's answer: {text:?}"
    );
    is_whole
}
