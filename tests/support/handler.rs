//! A handler as a process, with all that it prints.

use std::{
    fs::{self, File},
    net::TcpStream,
    process::{Child, Command, ExitStatus, Stdio},
};

use tempfile::TempDir;

use crate::{
    client::{Answer, Connection},
    process::{eventually, signal},
};

/// A handler that listens, killed when it goes out of scope.
pub struct Handler {
    child: Child,
    pub port: u16,
    /// Of the files `stdout` and `stderr`.
    printed: TempDir,
}

impl Handler {
    /// Waits for the line that says the port. Or gives what was printed, if the handler ends.
    pub fn spawn(command: Command) -> Result<Self, Ended> {
        Self::spawn_until(command, |printed| {
            let (_, port) = printed.split_once("INFO - listening on http://127.0.0.1:")?;
            port.split_once('\n')?.0.parse().ok()
        })
    }

    /// On a known port, for a handler that does not say it.
    pub fn spawn_at(port: u16, command: Command) -> Result<Self, Ended> {
        Self::spawn_until(command, |_| {
            TcpStream::connect(("127.0.0.1", port)).ok().map(|_| port)
        })
    }

    fn spawn_until(
        mut command: Command,
        port: impl Fn(&str) -> Option<u16>,
    ) -> Result<Self, Ended> {
        let printed = TempDir::new().unwrap();
        let file = |name| File::create(printed.path().join(name)).unwrap();
        command.stdout(file("stdout")).stderr(file("stderr"));
        let mut handler = Self {
            child: command.stdin(Stdio::null()).spawn().unwrap(),
            port: 0,
            printed,
        };
        let listens = eventually("it listens or ends", || {
            if handler.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            handler.port = port(&handler.stdout())?;
            Some(true)
        });
        if !listens {
            return Err(handler.ended());
        }
        Ok(handler)
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.printed.path().join(name)).unwrap()
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

    /// Asks the handler to stop and gives back all that it printed.
    pub fn stop(self) -> Ended {
        signal(self.id(), "TERM");
        self.ended()
    }

    /// Waits for the handler to end.
    pub fn ended(mut self) -> Ended {
        let status = eventually("it ends", || self.child.try_wait().unwrap());
        let lines = |name| self.read(name).lines().map(str::to_owned).collect();
        Ended {
            status,
            stdout: lines("stdout"),
            stderr: lines("stderr"),
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

impl Ended {
    /// The only line on stderr.
    pub fn complaint(&self) -> &str {
        let [line] = &*self.stderr else {
            panic!("{self:?}")
        };
        line
    }
}
