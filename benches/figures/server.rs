//! What is measured: each variant alone, and behind dev-host.

use std::{
    any::Any,
    env, fs,
    io::ErrorKind,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use dev_host::Options;
use serde_json::json;
use test_support::{app::app, free_port, process, project, put};

/// A server that answers as the function does.
pub struct Variant {
    pub name: &'static str,
    program: PathBuf,
    log_level: &'static str,
    /// Calls per second behind the real Functions host, as a part of the floor's there. The
    /// handler's are of the code at fbc271f, before its functions were registered in Rust; the
    /// others' of earlier runs with their own floors.
    pub behind_real_host: f64,
}

impl Variant {
    /// How many there are where all runtimes are installed.
    pub const MOST: usize = 6;

    /// Those whose runtime is installed, built. The floor is the first.
    pub fn all() -> Vec<Self> {
        // The repository, so that the paths below are the same wherever cargo was started.
        env::set_current_dir(project()).expect("the repository is there");
        assert!(succeeds("./build.sh"), "no handler, no figures");
        let floor = "rustc --edition=2024 -Copt-level=3 -Cpanic=abort -Ctarget-feature=+crt-static \
                     -otarget/floor benches/peers/floor.rs";
        assert!(succeeds(floor), "no floor, no figures");
        let go = succeeds("go build -o target/peer-go benches/peers/peer.go");
        let node = succeeds("node --version");
        let python = succeeds("python3 --version");
        [
            (true, "floor", "target/floor", "", 1.0),
            (true, "handler", "handler", "warn", 0.99),
            (true, "handler, a line per call", "handler", "info", 0.92),
            (go, "Go net/http", "target/peer-go", "", 0.79),
            (node, "Node http", "benches/peers/peer.mjs", "", 0.58),
            (
                python,
                "Python http.server",
                "benches/peers/peer.py",
                "",
                0.43,
            ),
        ]
        .into_iter()
        .filter(|(is_installed, ..)| *is_installed)
        .map(|(_, name, program, log_level, behind_real_host)| Self {
            name,
            program: project().join(program),
            log_level,
            behind_real_host,
        })
        .collect()
    }

    /// Alone, on a free port. It may not listen yet.
    pub fn start(&self) -> Server {
        // If somebody else takes it, the load notices.
        let port = free_port();
        let child = Command::new(&self.program)
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
            .env("RUST_LOG", self.log_level)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        Server {
            port,
            process: child.id(),
            _running: Box::new(Killed(child)),
        }
    }

    /// Behind dev-host, which reads what it logs.
    pub fn start_behind_host(&self) -> Server {
        let app = app(self.program.to_str().expect("UTF-8"));
        let settings = json!({"IsEncrypted": false, "Values": {"RUST_LOG": self.log_level}});
        put(app.path(), "local.settings.json", settings.to_string());
        let host = dev_host::start(Options {
            app_root: app.path().to_owned(),
            function_key: Some("key".to_owned()),
            ..Options::default()
        })
        .unwrap_or_else(|error| panic!("{error}"));
        // The handler is the process that runs in the app's folder.
        let folder = app.path().canonicalize().expect("the app is there");
        let process = fs::read_dir("/proc")
            .expect("this is Linux")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .find(|process| {
                fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|cwd| cwd == folder)
            });
        Server {
            port: host.port(),
            process: process.expect("dev-host has started the handler"),
            _running: Box::new((host, app)),
        }
    }
}

/// Whether the command is there. If it is there and fails, there are no figures.
fn succeeds(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let mut process = Command::new(words.next().expect("a program"));
    match process.args(words).stdout(Stdio::null()).status() {
        Ok(status) => {
            assert!(status.success(), "{command}");
            true
        }
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("{command}: {error}"),
    }
}

/// A running one. It ends when this is dropped.
pub struct Server {
    pub port: u16,
    /// Of the handler, not of the host.
    process: u32,
    _running: Box<dyn Any>,
}

impl Server {
    /// The CPU time so far, user and system.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process)).expect("it runs");
        tasks
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
            .map(|times| {
                let first = times.split(' ').next().and_then(|first| first.parse().ok());
                Duration::from_nanos(first.expect("schedstat begins with nanoseconds"))
            })
            .sum()
    }

    /// The memory that is resident, in MiB.
    pub fn memory(&self) -> f64 {
        process::memory(self.process, "VmRSS") as f64 / 1024.0
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
