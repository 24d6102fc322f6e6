//! A handler to test, and the plainest HTTP client there is: what is sent and what comes back
//! stays visible to the byte.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub const ENDPOINT: &str = "/api/RandomNumber";

/// Sends a signal to a process.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -s {name} {process}")])
        .status()
        .expect("sh is there");
    assert!(status.success(), "kill -s {name}");
}

/// The memory of a process in KiB: `VmRSS`, what is resident, or `VmHWM`, the most that ever was.
pub fn memory(process: u32, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.expect("a figure").parse().expect("a number")
}

/// How many files and sockets a process has open.
pub fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd"))
        .expect("Linux")
        .count()
}

/// Waits for a condition that holds soon unless something is broken.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "not so: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// For what should take no time at all; only a hang needs more on however slow a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A command for the handler, with no variable but its own.
pub fn handler(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handler"));
    command.env_clear().envs(variables.iter().copied());
    command
}

/// A handler that listens, killed when it goes out of scope.
pub struct Handler {
    child: Child,
    pub port: u16,
    stdout: Lines,
    stderr: Lines,
}

impl Handler {
    /// On a free port.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(variables: &[(&str, &str)]) -> Self {
        let mut command = handler(variables);
        if !variables
            .iter()
            .any(|(name, _)| *name == "FUNCTIONS_CUSTOMHANDLER_PORT")
        {
            command.env("FUNCTIONS_CUSTOMHANDLER_PORT", "0");
        }
        Self::spawn(command).expect("the handler listens")
    }

    /// As the command says, or what has been printed if the handler ends before it listens.
    pub fn spawn(mut command: Command) -> Result<Self, Ended> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the handler starts");
        let begin = Instant::now();
        let mut handler = Self {
            stdout: Lines::of(child.stdout.take().expect("a pipe")),
            stderr: Lines::of(child.stderr.take().expect("a pipe")),
            port: 0,
            child,
        };
        loop {
            if let Some(port) = handler.listening() {
                handler.port = port;
                return Ok(handler);
            }
            if handler.child.try_wait().expect("a child").is_some() {
                return Err(handler.ended());
            }
            assert!(begin.elapsed() < PATIENCE, "the handler does not listen");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The port, from the kernel's own table, so that it is known whatever is logged.
    fn listening(&self) -> Option<u16> {
        listeners(self.child.id())
            .first()
            .map(|listener| listener.port)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// See [`memory`].
    pub fn memory(&self, figure: &str) -> u64 {
        memory(self.id(), figure)
    }

    pub fn connect(&self) -> Connection {
        Connection::to(self.port)
    }

    /// One request on a connection of its own.
    pub fn get(&self, target: &str) -> Answer {
        self.connect().get(target)
    }

    pub fn stdout(&self) -> Vec<String> {
        self.stdout.so_far().clone()
    }

    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Asks the handler to stop and gives back all that it printed.
    pub fn stop(self) -> Ended {
        self.signal("TERM");
        self.ended()
    }

    /// Waits for the handler to end by itself.
    pub fn ended(mut self) -> Ended {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "the handler does not end");
            thread::sleep(Duration::from_millis(5));
        };
        Ended {
            status,
            stdout: self.stdout.all(),
            stderr: self.stderr.all(),
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A handler that is no more, and the lines it left.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

/// The lines of a pipe, read all the time so that it never fills.
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                sink.lock().expect("no panic").push(line.expect("UTF-8"));
            }
        });
        Self {
            lines,
            reader: Some(reader),
        }
    }

    fn so_far(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().expect("no panic")
    }

    fn all(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("UTF-8");
        }
        self.so_far().clone()
    }
}

/// A listening TCP socket, as /proc/net has it.
pub struct Listener {
    pub address: String,
    pub port: u16,
}

/// The listening TCP sockets of a process, of IPv4 and IPv6 alike.
pub fn listeners(process: u32) -> Vec<Listener> {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
        return Vec::new();
    };
    let sockets: Vec<String> = descriptors
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .collect();
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| {
            let lines: Vec<String> = table.lines().skip(1).map(str::to_owned).collect();
            lines
        })
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, port) = fields[1].split_once(':')?;
            let listens = fields[3] == "0A";
            let ours = sockets.contains(&format!("socket:[{}]", fields[9]));
            (listens && ours).then(|| Listener {
                address: address.to_owned(),
                port: u16::from_str_radix(port, 16).expect("hexadecimal"),
            })
        })
        .collect()
}

/// A keep-alive connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn to(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the handler accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .get_mut()
            .write_all(bytes.as_ref())
            .expect("the handler reads");
    }

    /// As `send`, for a handler that may have hung up.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    /// A request without a body, and its answer.
    pub fn request(&mut self, method: &str, target: &str, headers: &str) -> Answer {
        self.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: handler\r\n{headers}\r\n"
        ));
        self.answer_to(method)
    }

    pub fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, "")
    }

    /// As `get`; none if the handler has hung up and sends no byte of an answer.
    pub fn try_get(&mut self, target: &str) -> Option<Answer> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: handler\r\n\r\n");
        let begins = self.try_send(request) && self.stream.fill_buf().is_ok_and(|b| !b.is_empty());
        begins.then(|| self.answer())
    }

    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    fn answer_to(&mut self, method: &str) -> Answer {
        let mut line = || {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("an answer");
            assert!(
                line.ends_with("\r\n"),
                "the connection ends in mid-answer: {line:?}"
            );
            line.trim_end().to_owned()
        };
        let status = line();
        let status = status.strip_prefix("HTTP/1.1 ").expect("HTTP/1.1");
        let mut headers = Vec::new();
        loop {
            let header = line();
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(": ").expect("a header");
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Answer {
            status: status[..3].parse().expect("a status"),
            headers,
            body: Vec::new(),
        };
        if method != "HEAD" && answer.status != 100 {
            let length = answer.header("content-length").expect("a Content-Length");
            answer.body = vec![0; length.parse().expect("a number")];
            self.stream
                .read_exact(&mut answer.body)
                .expect("the whole body");
        }
        answer
    }

    /// Whether the handler closes the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        // A reset also ends it.
        let _ = self.stream.read_to_end(&mut rest);
        rest.is_empty()
    }

    /// Whether the handler has sent anything that is not read yet; asked without waiting.
    pub fn has_news(&mut self) -> bool {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).expect("a socket");
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("a socket");
        !self.stream.buffer().is_empty() || peeked.is_ok()
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|header| header.0 == name);
        let value = values.next().map(|header| header.1.as_str());
        assert!(values.next().is_none(), "{name} twice");
        value
    }

    /// The number, from a body that holds nothing else.
    pub fn value(&self) -> u64 {
        assert_eq!(self.status, 200, "{self:?}");
        let body: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&self.body).expect("a JSON object");
        assert_eq!(body.len(), 1, "{body:?}");
        body["value"].as_u64().expect("an integer")
    }
}
