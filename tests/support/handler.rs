//! A handler as a process, with all that it prints.

use std::{
    io::{BufRead, BufReader, Read},
    mem,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
};

use crate::{
    PATIENCE,
    client::{Answer, Connection},
    process::signal,
};

/// A handler that listens, killed when it goes out of scope.
pub struct Handler {
    child: Child,
    pub port: u16,
    stdout: Lines,
    stderr: Lines,
}

impl Handler {
    /// As the command says, or what has been printed if the handler ends before it listens.
    pub fn spawn(command: Command) -> Result<Self, Ended> {
        let mut handler = Self::unheard(command);
        while handler.stdout.read() {
            let line = handler.stdout.seen.last().expect("a line");
            if let Some(address) = line.strip_prefix("INFO listening on http://") {
                let port = address.rsplit(':').next().expect("a port");
                handler.port = port.parse().expect("a port");
                return Ok(handler);
            }
        }
        Err(handler.ended())
    }

    /// Without waiting for the line that says the port, which not every level lets through.
    pub fn unheard(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the handler starts");
        Self {
            stdout: Lines::of(child.stdout.take().expect("a pipe")),
            stderr: Lines::of(child.stderr.take().expect("a pipe")),
            port: 0,
            child,
        }
    }

    pub fn connect(&self) -> Connection {
        Connection::to(self.port)
    }

    /// One request on a connection of its own.
    pub fn get(&self, target: &str) -> Answer {
        self.connect().get(target)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Asks the handler to stop and gives back all that it printed.
    pub fn stop(self) -> Ended {
        signal(self.id(), "TERM");
        self.ended()
    }

    /// Waits for the handler to end.
    pub fn ended(mut self) -> Ended {
        // The lines end with the process.
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        Ended {
            status: self.child.wait().expect("a child"),
            stdout,
            stderr,
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
    next: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, next) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let _ = sender.send(line.expect("UTF-8"));
            }
        });
        Self {
            next,
            seen: Vec::new(),
        }
    }

    /// Waits for one more line; false at the end.
    fn read(&mut self) -> bool {
        match self.next.recv_timeout(PATIENCE) {
            Ok(line) => self.seen.push(line),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => panic!("no line and no end: {:?}", self.seen),
        }
        true
    }

    fn all(&mut self) -> Vec<String> {
        while self.read() {}
        mem::take(&mut self.seen)
    }
}
