//! How a request gets to the handler and its answer back: by the reverse proxy of the real host
//! (`enableProxyingHttpRequest`), which uses .NET's HTTP client.

pub mod outgoing;

use std::{
    cell::Cell,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpStream, tcp::OwnedWriteHalf},
    time::{sleep, timeout},
};

use crate::{
    limits::Limits,
    proxy::outgoing::{OF_ONE_CONNECTION, Outgoing, is_one_of},
    wire::{
        answer::{chunk, write_all},
        message::{Answer, Framing, Request, is_plain},
        reader::{Body, Reader},
    },
    worker::gate::{ADDRESS, Gate, Order},
};

/// How long to wait after each failure of a proxied request but the last, in milliseconds.
const PAUSES: [u64; 9] = [50, 100, 200, 250, 250, 250, 250, 250, 250];

/// If the handler closes the connection without an answer, .NET's client sends a request without a
/// body again, on a new connection. After so many of them the attempt has failed (row "answer: none,
/// closed at once").
const CONNECTIONS: usize = 4;

/// What the handler may say in all its headers together (row "answer: 70 KB header").
const LONGEST_HEAD: usize = 64 * 1024;

/// The handler as calls see it.
pub struct Handler {
    pub gate: Gate,
    limits: Limits,
    /// To be used again, the one used last at the end.
    idle: Mutex<Vec<Connection>>,
}

/// A connection to the handler.
pub struct Connection {
    reader: Reader,
    write: OwnedWriteHalf,
    /// Of the answer that is read, where its body ends.
    framing: Framing,
    last_used: Instant,
    /// It can be used for another call.
    can_stay: bool,
}

/// A request that is passed on.
pub struct Call<'a> {
    handler: &'a Handler,
    request: &'a Request,
    outgoing: Outgoing,
    /// The start of the handler that it was sent to first.
    first_start: Option<u64>,
}

enum Failure {
    /// The handler has closed the connection without a byte.
    Unanswered,
    /// Something else went wrong between host and handler. Another attempt may help.
    Broken,
    /// The client's body broke off, or time is up. Another attempt can't help.
    Lasting,
}

impl Handler {
    pub fn new(gate: Gate, limits: Limits) -> Self {
        Self {
            gate,
            limits,
            idle: Mutex::default(),
        }
    }

    /// Closes the connections that have been idle for long.
    pub fn close_idle(&self) {
        self.idle()
            .retain(|idle| idle.last_used.elapsed() < self.limits.idle);
    }

    /// Takes the connection back for the next call, if it can be used again.
    pub fn keep(&self, mut connection: Connection) {
        if connection.can_stay && !connection.reader.has_unread() {
            connection.last_used = Instant::now();
            self.idle().push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is idle, or a new one.
    async fn connection(&self) -> Result<Connection, Failure> {
        while let Some(idle) = self.idle().pop() {
            if idle.last_used.elapsed() < self.limits.idle && idle.reader.is_silent() {
                return Ok(idle);
            }
        }
        let stream = self.in_time(TcpStream::connect((ADDRESS, self.gate.port)));
        let stream = stream.await?;
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        Ok(Connection {
            reader: Reader::new(read),
            write,
            framing: Framing::NONE,
            last_used: Instant::now(),
            can_stay: false,
        })
    }

    /// A call may go without a byte in either direction for so long.
    async fn in_time<T>(&self, step: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
        match timeout(self.limits.inactivity, step).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(Failure::Broken),
            Err(_) => Err(Failure::Lasting),
        }
    }
}

impl<'a> Call<'a> {
    pub fn new(handler: &'a Handler, request: &'a Request) -> Self {
        Self {
            handler,
            request,
            outgoing: Outgoing::new(request, &format!("{ADDRESS}:{}", handler.gate.port)),
            first_start: None,
        }
    }

    /// Kills the handler, which has taken too long, and starts it again.
    pub fn restart_handler(&self) {
        if let Some(start) = self.first_start {
            self.handler.gate.order(Order::Restart(start));
        }
    }

    /// Passes the request on, again and again if need be, and gives the answer, with the connection from
    /// which its body is to come. None if none can be had: the real host then says 500.
    pub async fn ask(&mut self, body: &mut Body<'_>) -> Option<(Answer, Connection)> {
        let mut pauses = PAUSES.iter();
        let (mut answer, connection) = loop {
            match self.attempt(body).await {
                Ok(received) => break received,
                Err(Failure::Lasting) => return None,
                Err(_) => sleep(Duration::from_millis(*pauses.next()?)).await,
            }
        };
        let is_upgrade = answer.status == 101;
        // What the real host makes of a 101 for which nobody has asked is not verified.
        if is_upgrade && !self.outgoing.asks_for_upgrade
            || !answer.headers.iter().all(|(_, value)| is_plain(value))
        {
            return None;
        }
        if !is_upgrade {
            answer
                .headers
                .retain(|name| !is_one_of(name, &OF_ONE_CONNECTION));
        }
        if connection.framing == Framing::CHUNKS {
            // Measured: "Content-Length: 3 beside chunks of 5 bytes".
            answer.headers.remove("content-length");
        }
        Some((answer, connection))
    }

    /// One attempt of .NET's HTTP client.
    async fn attempt(&mut self, body: &mut Body<'_>) -> Result<(Answer, Connection), Failure> {
        let mut result = Err(Failure::Unanswered);
        for _ in 0..CONNECTIONS {
            let start = self.handler.gate.start().await.ok_or(Failure::Broken)?;
            self.first_start.get_or_insert(start);
            result = self.exchange(body).await;
            if self.outgoing.has_content || !matches!(result, Err(Failure::Unanswered)) {
                break;
            }
        }
        result
    }

    async fn exchange(&self, body: &mut Body<'_>) -> Result<(Answer, Connection), Failure> {
        let (handler, length) = (self.handler, self.request.length());
        if length != Some(0) && body.is_begun {
            return Err(Failure::Broken);
        }
        let mut connection = handler.connection().await?;
        let head = &self.outgoing.head;
        if !head.is_ascii() {
            return Err(Failure::Broken);
        }
        let send = async |bytes: &[u8]| handler.in_time(write_all(&connection.write, bytes)).await;
        send(head.as_bytes()).await?;
        // As .NET's client does, all is sent before any of the answer is looked at.
        let mut is_sent = length == Some(0);
        while !is_sent {
            let piece = handler.in_time(body.piece()).await;
            let piece = piece.map_err(|_| Failure::Lasting)?;
            is_sent = piece.is_empty();
            match length {
                Some(_) => send(&piece).await?,
                None => send(&chunk(&piece)).await?,
            }
        }
        if !handler.in_time(connection.reader.has_more()).await? {
            return Err(Failure::Unanswered);
        }
        loop {
            let answer = handler.in_time(connection.head(self.request.is_head()));
            let answer = answer.await?;
            // Rows "answer: 100 first", "answer: 103 first".
            if !(100..200).contains(&answer.status) || answer.status == 101 {
                return Ok((answer, connection));
            }
        }
    }
}

impl Connection {
    /// Reads status and headers. They say where the body ends.
    async fn head(&mut self, is_head: bool) -> io::Result<Answer> {
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let reader = &mut self.reader;
        let line = latin1(reader.line(LONGEST_HEAD).await?);
        let rest = line.strip_prefix("HTTP/1.").ok_or_else(broken)?;
        let (version, rest) = rest.split_once(' ').ok_or_else(broken)?;
        let (status, words) = rest.split_once(' ').unwrap_or((rest, ""));
        let is_status = status.len() == 3 && status.bytes().all(|digit| digit.is_ascii_digit());
        let status = status.parse().ok().filter(|_| is_status);
        let mut answer = Answer::empty(status.ok_or_else(broken)?);
        // Row "answer: no reason".
        if !words.is_empty() {
            words.clone_into(&mut answer.reason);
        }
        let text = |bytes: &[u8]| Some(latin1(bytes));
        answer.headers = reader.headers(LONGEST_HEAD, text).await?;
        let headers = &answer.headers;
        let length = headers.get("content-length");
        self.framing = if is_head || matches!(answer.status, 100..200 | 204 | 304) {
            Framing::NONE
        } else if headers.lists("transfer-encoding", "chunked") {
            Framing::CHUNKS
        } else if let Some(length) = length.and_then(|length| length.parse().ok()) {
            Framing::Length(length)
        } else {
            Framing::UntilClosed
        };
        self.can_stay = headers.stay_open(version == "0");
        Ok(answer)
    }

    /// The next piece, empty at the end.
    pub async fn piece(&mut self) -> io::Result<Vec<u8>> {
        self.reader.piece(&mut self.framing).await
    }

    /// After a 101 bytes go both ways until one side closes, and the connection is used for nothing
    /// else (measured: "Connection: Upgrade").
    pub async fn tunnel(
        mut self,
        client_reader: &mut Reader,
        client_write: &OwnedWriteHalf,
        inactivity: Duration,
    ) {
        let count = Cell::new(0_u64);
        let silence = async {
            let mut before = None;
            while before.replace(count.get()) != Some(count.get()) {
                sleep(inactivity).await;
            }
        };
        tokio::select! {
            _ = copy(client_reader, &self.write, &count) => {}
            _ = copy(&mut self.reader, client_write, &count) => {}
            () = silence => {}
        }
    }
}

/// Passes bytes on until there are no more, and counts how often.
async fn copy(from: &mut Reader, to: &OwnedWriteHalf, count: &Cell<u64>) -> io::Result<()> {
    loop {
        let piece = from.piece(&mut Framing::UntilClosed).await?;
        if piece.is_empty() {
            return Ok(());
        }
        write_all(to, &piece).await?;
        count.set(count.get() + 1);
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
