//! The load: one thread that keeps each of its connections busy with one request at a time, and
//! looks at every answer.

use std::{
    io::{self, Read, Write},
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

/// A request as the Functions host passes it on.
pub const GET: &[u8] = b"GET /api/RandomNumber HTTP/1.1\r\nHost: 127.0.0.1\r\n\
    X-Azure-Functions-InvocationId: 0f8fad5b-d9cb-469f-a165-70867728950e\r\n\r\n";

/// How long no answer at all may come before the server is taken to hang.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    request: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    sent: Instant,
    answer: Vec<u8>,
}

pub struct Sample {
    pub answers: u64,
    pub elapsed: Duration,
    /// Of every request, in order of size.
    latencies: Vec<Duration>,
}

impl Sample {
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }

    /// In µs.
    pub fn percentile(&self, percent: f64) -> f64 {
        let index = (self.latencies.len() - 1) as f64 * percent / 100.0;
        self.latencies[index.round() as usize].as_nanos() as f64 / 1e3
    }
}

impl Load {
    pub fn open(port: u16, connections: usize) -> Self {
        Self::sending(port, connections, GET.to_vec())
    }

    pub fn sending(port: u16, connections: usize, request: Vec<u8>) -> Self {
        let poll = Poll::new().expect("epoll");
        Self {
            connections: (0..connections)
                .map(|token| Connection::open(port, &poll, token))
                .collect(),
            poll,
            events: Events::with_capacity(1024),
            request,
        }
    }

    /// Sends until the time is over, or as many requests as were asked for, and awaits the answers
    /// to all of them.
    ///
    /// Panics at an answer that is not the function's.
    pub fn run(&mut self, requests: u64, time: Duration) -> Sample {
        let begin = Instant::now();
        let (mut sent, mut answers) = (0, 0);
        let mut latencies = Vec::new();
        for connection in &mut self.connections {
            if sent < requests {
                connection.send(&self.request, begin);
                sent += 1;
            }
        }
        let mut now = begin;
        while answers < sent {
            match self.poll.poll(&mut self.events, Some(PATIENCE)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled.expect("epoll"),
            }
            assert!(!self.events.is_empty(), "no answer for {PATIENCE:?}");
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                if !connection.has_answer() {
                    continue;
                }
                now = Instant::now();
                latencies.push(now - connection.sent);
                answers += 1;
                if sent < requests && now - begin < time {
                    connection.send(&self.request, now);
                    sent += 1;
                }
            }
        }
        latencies.sort_unstable();
        Sample {
            answers,
            elapsed: now - begin,
            latencies,
        }
    }
}

impl Connection {
    fn open(port: u16, poll: &Poll, token: usize) -> Self {
        let stream =
            std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server accepts");
        stream.set_nonblocking(true).expect("a socket");
        let mut stream = TcpStream::from_std(stream);
        poll.registry()
            .register(&mut stream, Token(token), Interest::READABLE)
            .expect("epoll");
        Self {
            stream,
            sent: Instant::now(),
            answer: Vec::new(),
        }
    }

    fn send(&mut self, request: &[u8], now: Instant) {
        let written = self.stream.write(request).expect("the server reads");
        assert_eq!(written, request.len(), "the server does not read");
        self.sent = now;
    }

    /// Reads what there is; whether that makes an answer whole.
    fn has_answer(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("the server hangs up: {:?}", self.answer.escape_ascii()),
            Ok(read) => self.answer.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => panic!("the server hangs up: {error}"),
        }
        let whole = is_whole(&self.answer);
        if whole {
            self.answer.clear();
        }
        whole
    }
}

/// Whether this is the whole of the function's answer, not only its beginning.
fn is_whole(answer: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = head.parse(answer).expect("HTTP") else {
        return false;
    };
    let body = &answer[end..];
    let length: usize = head
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| str::from_utf8(header.value).ok()?.parse().ok())
        .expect("a Content-Length");
    if body.len() < length {
        return false;
    }
    let value = body
        .trim_ascii_end()
        .strip_prefix(b"{\"value\":")
        .and_then(|rest| rest.strip_suffix(b"}"))
        .and_then(|value| str::from_utf8(value).ok()?.parse().ok())
        .unwrap_or(0);
    assert!(
        head.code == Some(200) && body.len() == length && (1..=999).contains(&value),
        "not the answer: {}",
        answer.escape_ascii()
    );
    true
}
