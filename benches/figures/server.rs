//! What is measured: each variant alone, and behind dev-host.

use std::{
    env, fs,
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use dev_host::{Options, Running};
use serde_json::json;
use tempfile::TempDir;

/// A server that answers as the function does.
pub struct Variant {
    pub name: &'static str,
    program: String,
    argument: Option<String>,
    log_level: &'static str,
    pub is_installed: bool,
    /// Calls per second behind the real Functions host in a run of its own, as a part of the
    /// floor's there (Node and Python: of an earlier run with its own floor).
    pub behind_real_host: f64,
}

impl Variant {
    /// All of them, built.
    pub fn all() -> [Self; 6] {
        // The repository, so that the paths below are the same wherever cargo was started.
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        env::set_current_dir(root).expect("the repository is there");
        let path = |file: &str| root.join(file).display().to_string();

        assert!(succeeds("./build.sh", &[]), "no handler, no figures");
        let options = ["--edition=2024", "-Copt-level=3", "-Cpanic=abort"];
        let output = ["-Ctarget-feature=+crt-static", "-otarget/floor"];
        let source = ["benches/peers/floor.rs"];
        assert!(succeeds(
            "rustc",
            &[&options[..], &output, &source].concat()
        ));
        let go = succeeds(
            "go",
            &["build", "-o", "target/peer-go", "benches/peers/peer.go"],
        );
        let node = succeeds("node", &["--version"]);
        let python = succeeds("python3", &["--version"]);

        let variant = |name, program, argument, log_level, is_installed, behind_real_host| Self {
            name,
            program,
            argument,
            log_level,
            is_installed,
            behind_real_host,
        };
        let handler = path("handler");
        let node_script = Some(path("benches/peers/peer.mjs"));
        let python_script = Some(path("benches/peers/peer.py"));
        [
            variant("floor", path("target/floor"), None, "", true, 1.0),
            variant("handler", handler.clone(), None, "warn", true, 0.97),
            variant(
                "handler, a line per call",
                handler,
                None,
                "info",
                true,
                0.86,
            ),
            variant("Go net/http", path("target/peer-go"), None, "", go, 0.79),
            variant("Node http", "node".to_owned(), node_script, "", node, 0.58),
            variant(
                "Python http.server",
                "python3".to_owned(),
                python_script,
                "",
                python,
                0.43,
            ),
        ]
    }

    /// Alone, on a free port. It may not listen yet.
    pub fn start(&self) -> Server {
        // It stays free unless somebody else takes it, which the load would then notice.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("there is a free port")
            .port();
        let child = Command::new(&self.program)
            .args(&self.argument)
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
            .env("RUST_LOG", self.log_level)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program));
        Server {
            port,
            process: child.id(),
            _child: Some(Killed(child)),
            _host: None,
        }
    }

    /// Behind dev-host, which reads what it logs.
    pub fn start_behind_host(&self) -> Server {
        let app = tempfile::tempdir().expect("there is room");
        let write = |file: &str, content: String| {
            fs::write(app.path().join(file), content).expect("there is room");
        };
        let host = json!({
            "version": "2.0",
            "customHandler": {
                "description": {
                    "defaultExecutablePath": self.program,
                    "arguments": self.argument.as_slice(),
                },
                "enableProxyingHttpRequest": true,
            },
        });
        write("host.json", host.to_string());
        let settings = json!({"IsEncrypted": false, "Values": {"RUST_LOG": self.log_level}});
        write("local.settings.json", settings.to_string());
        fs::create_dir(app.path().join("RandomNumber")).expect("there is room");
        let function = fs::read_to_string("RandomNumber/function.json");
        write(
            "RandomNumber/function.json",
            function.expect("the function is there"),
        );

        let host = dev_host::start(Options {
            app_root: app.path().to_owned(),
            function_key: Some("key".to_owned()),
            ..Options::default()
        })
        .unwrap_or_else(|error| panic!("{error}"));
        Server {
            port: host.port(),
            process: handler_of(app.path()),
            _child: None,
            _host: Some((host, app)),
        }
    }
}

/// The process that dev-host has started for this app: it has the app's root in its environment.
fn handler_of(app: &Path) -> u32 {
    let app = app.canonicalize().expect("the app is there");
    let variable = format!("FUNCTIONS_APP_ROOT_PATH={}", app.display());
    fs::read_dir("/proc")
        .expect("this is Linux")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .find(|process| {
            let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|it| it == variable.as_bytes())
        })
        .expect("dev-host has started the handler")
}

/// Whether the command is there. If it is there and fails, there are no figures.
fn succeeds(program: &str, arguments: &[&str]) -> bool {
    match Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .status()
    {
        Ok(status) => {
            assert!(status.success(), "{program} {}", arguments.join(" "));
            true
        }
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("{program}: {error}"),
    }
}

/// A running one. It ends when this is dropped.
pub struct Server {
    pub port: u16,
    /// Of the handler, not of the host.
    process: u32,
    _child: Option<Killed>,
    _host: Option<(Running, TempDir)>,
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
        let status = fs::read_to_string(format!("/proc/{}/status", self.process));
        let status = status.expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        kib.expect("the kernel says it in kB") / 1024.0
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
