//! The handler behind dev-host, in both of the host's ways to pass a request on, against
//! conformance/conformance.json.

use std::time::Duration;

use conformance::{Summary, Target, run};
use dev_host::{Options, Running};
use tempfile::TempDir;
use test_support::app;

#[test]
fn proxying() {
    conforms(&app(|_| {}), false);
}

#[test]
fn forwarding() {
    let app = app(|host| {
        host["customHandler"]["enableProxyingHttpRequest"] = false.into();
    });
    conforms(&app, true);
}

#[test]
fn a_host_that_checks_no_key_is_found_out_and_left_as_it_was() {
    let app = app(|_| {});
    let host = dev_host::start(Options {
        auth: false,
        ..options(&app)
    })
    .unwrap();
    let before = keys(&host);
    let (summary, differences) = check(&host, false, false);
    assert!(summary.differing > 30, "{summary:?}");
    assert_eq!(differences.len(), summary.differing);
    assert_ne!(summary.skipped, 0);
    let no_key = "refused: no key: GET /api/RandomNumber: status 200, expected 401";
    assert!(
        differences.iter().any(|difference| difference == no_key),
        "{differences:?}"
    );
    assert_eq!(keys(&host), before);
}

#[test]
fn a_wrong_master_key_is_said_once() {
    let app = app(|_| {});
    let host = dev_host::start(options(&app)).unwrap();
    let target = Target {
        url: host.url().to_owned(),
        master_key: "wrong".to_owned(),
        is_dev_host: true,
        is_forwarding: false,
        patience: Duration::ZERO,
    };
    let mut differences = Vec::new();
    let error = run(&target, |difference| {
        differences.push(difference.to_owned());
    })
    .unwrap_err();
    assert!(error.contains("refuses the master key"), "{error}");
    assert_eq!(differences, Vec::<String>::new());
}

fn app(change: fn(&mut serde_json::Value)) -> TempDir {
    app::app(env!("CARGO_BIN_EXE_handler"), change)
}

fn options(app: &TempDir) -> Options {
    Options {
        app_root: app.path().to_owned(),
        ..Options::default()
    }
}

fn conforms(app: &TempDir, is_forwarding: bool) {
    let host = dev_host::start(options(app)).unwrap();
    let before = keys(&host);
    let (summary, differences) = check(&host, true, is_forwarding);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!((summary.differing, summary.skipped), (0, 0));
    assert!(summary.passed > 100, "{summary:?}");
    assert_eq!(keys(&host), before);
    host.stop().unwrap();
}

fn check(host: &Running, is_dev_host: bool, is_forwarding: bool) -> (Summary, Vec<String>) {
    let target = Target {
        url: host.url().to_owned(),
        master_key: host.master_key(),
        is_dev_host,
        is_forwarding,
        patience: Duration::ZERO,
    };
    let mut differences = Vec::new();
    let summary = run(&target, |difference| {
        differences.push(difference.to_owned());
    })
    .unwrap();
    (summary, differences)
}

/// All keys of the host.
fn keys(host: &Running) -> Vec<String> {
    [
        "functions/RandomNumber/keys",
        "host/keys",
        "host/systemkeys/_master",
    ]
    .map(|scope| {
        let url = format!("{}/admin/{scope}", host.url());
        let answer = ureq::get(url)
            .header("x-functions-key", host.master_key())
            .call();
        answer.unwrap().body_mut().read_to_string().unwrap()
    })
    .to_vec()
}
