//! Hosts with the suite's own app, against conformance.json.

use std::{fs, path::Path, process::Command, time::Duration};

use conformance::{Summary, Target, run};
use dev_host::{Options, Running};
use serde_json::Value;
use tempfile::TempDir;
use test_support::{
    app::app,
    free_port,
    process::{Group, wait_until},
    project, put, read,
};

const HANDLER: &str = env!("CARGO_BIN_EXE_conformance-handler");

#[test]
fn dev_host_answers_as_described() {
    let app = app(HANDLER);
    let host = start(&app, true);
    let before = keys(&host);
    conforms(&target(&host));
    assert_eq!(keys(&host), before);
    let error = check(&Target {
        master_key: "wrong".to_owned(),
        ..target(&host)
    });
    let error = error.unwrap_err();
    assert!(error.contains("refuses the master key"), "{error}");
    host.stop().unwrap();
}

#[test]
fn a_host_that_checks_no_key_is_found_out_and_left_as_it_was() {
    let app = app(HANDLER);
    let host = start(&app, false);
    let before = keys(&host);
    let (summary, differences) = check(&target(&host)).unwrap();
    assert!(summary.differing > 30, "{summary:?}");
    assert_eq!(differences.len(), summary.differing);
    let no_key = "refused: no key: GET /api/RandomNumber: status 200, expected 401";
    assert!(differences.contains(&no_key.into()), "{differences:?}");
    assert_eq!(keys(&host), before);
}

/// The real Functions host: `func start` of Core Tools. Most machines have none, so the test has to
/// be asked for.
#[test]
#[ignore = "it needs `func` of Azure Functions Core Tools, version 4"]
fn the_real_host_answers_as_described() {
    func_conforms(Path::new("func"));
}

/// What the test above rests on, tried with a stand-in.
#[test]
fn a_stand_in_for_func_answers_as_described() {
    func_conforms(&project().join("crates/conformance/tests/func"));
}

fn func_conforms(func: &Path) {
    let app = app(HANDLER);
    let settings = read("local.settings.json.example");
    put(app.path(), "local.settings.json", settings);
    let port = free_port().to_string();
    let mut start = Command::new(func);
    start
        .args(["start", "--enableAuth", "--port", &port])
        .current_dir(app.path())
        // Core Tools keep the keys there, for every app of the machine alike.
        .env("TMPDIR", app.path());
    let _func = Group::start(&mut start);
    // They make the keys at the first call that shows one, and print none.
    let url = format!("http://localhost:{port}");
    wait_until("func answers 401 to a wrong key", || {
        let call = ureq::get(format!("{url}/api/RandomNumber"));
        let answer = call.header("x-functions-key", "wrong").call();
        matches!(answer, Err(ureq::Error::StatusCode(401)))
    });
    let file = app.path().join("secrets/functions/secrets/host.json");
    wait_until("the key file is there", || file.is_file());
    let keys = fs::read_to_string(file).unwrap();
    // The members are those of `HostSecrets` in Azure/azure-functions-host.
    let keys: Value = serde_json::from_str(keys.trim_start_matches('\u{feff}')).unwrap();
    conforms(&Target {
        url,
        master_key: keys["masterKey"]["value"].as_str().unwrap().to_owned(),
        is_dev_host: false,
        patience: Duration::from_secs(90),
    });
}

fn start(app: &TempDir, auth: bool) -> Running {
    let started = dev_host::start(Options {
        app_root: app.path().to_owned(),
        auth,
        ..Options::default()
    });
    started.unwrap()
}

fn target(host: &Running) -> Target {
    Target {
        url: host.url().to_owned(),
        master_key: host.master_key(),
        is_dev_host: true,
        patience: Duration::ZERO,
    }
}

/// How many cases there were, and each that differs.
fn check(target: &Target) -> Result<(Summary, Vec<String>), String> {
    let mut differences = Vec::new();
    let summary = run(target, |difference| differences.push(difference.to_owned()))?;
    Ok((summary, differences))
}

fn conforms(target: &Target) {
    let (summary, differences) = check(target).unwrap();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(summary.passed > 100, "{summary:?}");
}

/// All keys of the host.
fn keys(host: &Running) -> Vec<String> {
    let scopes = "functions/RandomNumber/keys host/keys host/systemkeys/_master";
    let get = |scope| {
        let call = ureq::get(format!("{}/admin/{scope}", host.url()));
        let answer = call.header("x-functions-key", host.master_key()).call();
        answer.unwrap().body_mut().read_to_string().unwrap()
    };
    scopes.split(' ').map(get).collect()
}
