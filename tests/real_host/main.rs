//! The conformance suite against the real Functions host: `func start` of Core Tools, with the
//! handler behind it. Most machines have no Core Tools, so the test has to be asked for:
//!
//!     cargo test --test real_host -- --ignored

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use conformance::{Target, run};
use serde_json::Value;
use tempfile::TempDir;
use test_support::{app, process::wait_until, project};

#[test]
#[ignore = "it needs `func` of Azure Functions Core Tools, version 4"]
fn the_real_host_answers_as_described() {
    let built = Command::new(project().join("build.sh")).status();
    assert!(built.expect("the script can be run").success());
    conforms("func", &project().join("handler"));
}

/// What the test above rests on, tried with a stand-in (`tests/real_host/func`).
#[test]
fn a_stand_in_for_func_answers_as_described() {
    let stand_in = project().join("tests/real_host/func");
    let stand_in = stand_in.to_str().expect("the path is text");
    conforms(stand_in, Path::new(env!("CARGO_BIN_EXE_handler")));
}

fn conforms(func: &str, handler: &Path) {
    let host = FuncStart::new(func, handler.to_str().expect("the path is text"));
    let target = Target {
        url: format!("http://localhost:{}", host.port),
        master_key: host.master_key(),
        is_dev_host: false,
        is_forwarding: false,
        patience: Duration::from_secs(90),
    };
    let mut differences = Vec::new();
    let summary = run(&target, |difference| {
        differences.push(difference.to_owned());
    });
    let summary = summary.unwrap_or_else(|error| panic!("{error}"));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(summary.passed > 100, "{summary:?}");
}

/// A running `func start --enableAuth`. It ends when this is dropped.
struct FuncStart {
    port: u16,
    app: TempDir,
    func: Child,
}

impl FuncStart {
    fn new(func: &str, handler: &str) -> Self {
        let app = app::app(handler, |_| {});
        let settings = fs::read(project().join("local.settings.json.example"));
        let settings = settings.expect("the example is there");
        fs::write(app.path().join("local.settings.json"), settings).expect("there is room");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("there is a free port")
            .port();
        let func = Command::new(func)
            .args(["start", "--enableAuth", "--port", &port.to_string()])
            .current_dir(app.path())
            // Core Tools keep the keys there, for every app of the machine alike.
            .env("TMPDIR", app.path())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{func} can't be started: {error}"));
        Self { port, app, func }
    }

    /// Core Tools make the keys at the first call that shows one, and print none.
    fn master_key(&self) -> String {
        let url = format!("http://localhost:{}/api/RandomNumber", self.port);
        wait_until("func answers 401 to a wrong key", || {
            let answer = ureq::get(&url).header("x-functions-key", "wrong").call();
            matches!(answer, Err(ureq::Error::StatusCode(401)))
        });
        let file = self.app.path().join("secrets/functions/secrets/host.json");
        wait_until("the key file is there", || file.is_file());
        let keys = fs::read_to_string(file).expect("the file can be read");
        // The members are those of `HostSecrets` in Azure/azure-functions-host.
        let keys: Value = serde_json::from_str(keys.trim_start_matches('\u{feff}'))
            .unwrap_or_else(|error| panic!("{keys:?}: {error}"));
        let key = keys["masterKey"]["value"].as_str();
        key.unwrap_or_else(|| panic!("no master key among {keys}"))
            .to_owned()
    }
}

impl Drop for FuncStart {
    fn drop(&mut self) {
        // To all that func has started, too.
        let group = format!("-{}", self.func.id());
        let _ = Command::new("kill")
            .args(["-s", "TERM", "--", &group])
            .status();
        let _ = self.func.wait();
    }
}
