//! A handler as a process, with all that it prints.

use std::{
    fs::{self, File},
    process::{Child, Command, ExitStatus, Stdio},
};

use tempfile::TempDir;

use crate::{
    client::{Answer, Connection},
    process::{eventually, listening_port, signal},
};

/// A handler that listens, killed when it goes out of scope.
pub struct Handler {
    child: Child,
    pub port: u16,
    /// Of the files `stdout` and `stderr`.
    printed: TempDir,
}

impl Handler {
    /// As the command says, or what has been printed if the handler ends before it listens.
    pub fn spawn(mut command: Command) -> Result<Self, Ended> {
        let printed = TempDir::new().unwrap();
        let file = |name| File::create(printed.path().join(name)).unwrap();
        command.stdout(file("stdout")).stderr(file("stderr"));
        let mut handler = Self {
            child: command.stdin(Stdio::null()).spawn().unwrap(),
            port: 0,
            printed,
        };
        let port = eventually("it listens or ends", || {
            match handler.child.try_wait().unwrap() {
                None => listening_port(handler.id()).map(Some),
                Some(_) => Some(None),
            }
        });
        match port {
            Some(port) => handler.port = port,
            None => return Err(handler.ended()),
        }
        Ok(handler)
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
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| {
            let text = fs::read_to_string(self.printed.path().join(name)).unwrap();
            text.lines().map(str::to_owned).collect()
        });
        Ended {
            status,
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

impl Ended {
    /// The only line on stderr.
    pub fn complaint(&self) -> &str {
        let [line] = &*self.stderr else {
            panic!("{self:?}")
        };
        line
    }
}
