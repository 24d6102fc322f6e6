//! The servers that are measured, as processes.

use std::{
    env, fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use dev_host::{Options, Running};
use serde_json::json;
use tempfile::TempDir;

use test_support::{app::app, process::memory};

use crate::load::{GET, PATIENCE};

/// The variant of which the log is read.
pub const LOGGING: &str = "handler, logging";

/// How a server is started.
pub struct Variant {
    pub name: &'static str,
    command: Vec<&'static str>,
    level: &'static str,
    /// Whether there is anything to start.
    pub installed: bool,
}

impl Variant {
    /// The floor, the handler without and with logging, and the peers; all built.
    pub fn all() -> Vec<Self> {
        // The repository, so that the paths below are the same wherever cargo was started.
        env::set_current_dir(env!("CARGO_MANIFEST_DIR")).expect("the repository");
        // As it is published, and the floor built alike.
        let handler = build(&["./build.sh"]);
        let floor = build(&[
            "rustc",
            "--edition=2024",
            "-Copt-level=3",
            "-Cpanic=abort",
            "-Cstrip=symbols",
            "-Ctarget-feature=+crt-static",
            "-otarget/floor",
            "benches/peers/floor.rs",
        ]);
        assert!(handler && floor, "no build, no figures");
        let go = build(&[
            "go",
            "build",
            "-o",
            "target/peer-go",
            "benches/peers/peer.go",
        ]);
        let node = build(&["node", "--check", "benches/peers/peer.mjs"]);
        let python = build(&["python3", "--version"]);
        [
            ("floor", vec!["target/floor"], "", true),
            ("handler", vec!["./handler"], "warn", true),
            (LOGGING, vec!["./handler"], "info", true),
            ("Go net/http", vec!["target/peer-go"], "", go),
            (
                "Node http",
                vec!["node", "benches/peers/peer.mjs"],
                "",
                node,
            ),
            (
                "Python http.server",
                vec!["python3", "benches/peers/peer.py"],
                "",
                python,
            ),
        ]
        .map(|(name, command, level, installed)| Self {
            name,
            command,
            level,
            installed,
        })
        .into()
    }

    /// The same behind dev-host, with the function key `key`.
    pub fn start_behind_host(&self) -> (TempDir, Running) {
        let app = app(self.command[0], |_| {});
        let settings = json!({"IsEncrypted": false, "Values": {"RUST_LOG": self.level}});
        fs::write(app.path().join("local.settings.json"), settings.to_string()).expect("room");
        let host = dev_host::start(Options {
            app_root: app.path().to_owned(),
            function_key: Some("key".to_owned()),
            ..Options::default()
        });
        (app, host.unwrap_or_else(|error| panic!("{error}")))
    }

    /// Starts it on a free port; it may not listen yet.
    pub fn start(&self) -> Server {
        // Free until somebody else takes it, which the start would then say.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let logs = self.level == "info";
        let mut child = Command::new(self.command[0])
            .args(&self.command[1..])
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
            .env("RUST_LOG", self.level)
            .stdout(if logs { Stdio::piped() } else { Stdio::null() })
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.command[0]));
        let invocations = child.stdout.take().map(|stdout| {
            thread::spawn(move || {
                let mut stdout = BufReader::with_capacity(1 << 16, stdout);
                let (mut line, mut invocations) = (Vec::new(), 0);
                while stdout.read_until(b'\n', &mut line).expect("a pipe") > 0 {
                    invocations += u64::from(line.starts_with(b"INFO RandomNumber invoked"));
                    line.clear();
                }
                invocations
            })
        });
        Server {
            child,
            port,
            invocations,
        }
    }
}

/// Whether the command is there; one that is and fails is an error.
fn build(command: &[&str]) -> bool {
    let mut process = Command::new(command[0]);
    process.args(&command[1..]).stdout(Stdio::null());
    match process.status() {
        Ok(status) => {
            assert!(status.success(), "{}", command.join(" "));
            true
        }
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("{}: {error}", command[0]),
    }
}

/// A running one, killed when it goes out of scope.
pub struct Server {
    pub child: Child,
    pub port: u16,
    invocations: Option<JoinHandle<u64>>,
}

impl Server {
    /// Waits for the first answer.
    pub fn ready(&self) {
        let begin = Instant::now();
        loop {
            if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                stream.write_all(GET).expect("it reads");
                // More than an answer has, so that it is read whole.
                let mut answer = [0; 1024];
                let read = stream.read(&mut answer).expect("an answer");
                assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "does not listen");
            thread::sleep(Duration::from_micros(50));
        }
    }

    /// The memory that is resident, in KiB.
    pub fn resident(&self) -> f64 {
        memory(self.child.id(), "VmRSS") as f64
    }

    /// The CPU time so far, user and system.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("Linux");
        tasks
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
            .map(|times| {
                let nanoseconds = times.split(' ').next().and_then(|first| first.parse().ok());
                Duration::from_nanos(nanoseconds.expect("schedstat"))
            })
            .sum()
    }

    /// Ends it, and says how many invocations it has logged.
    pub fn invocations(mut self) -> u64 {
        let reader = self.invocations.take().expect("it logs");
        drop(self);
        reader.join().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
