//! A handler to test.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use test_support::{
    PATIENCE,
    client::{Answer, Connection},
    process::{listeners, memory, signal, wait_until},
};

pub const ENDPOINT: &str = "/api/RandomNumber";

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
