//! The handler behind dev-host, in both of the host's ways to pass a request on, against
//! dev-host/conformance.json.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use dev_host::{
    Options,
    conformance::{Summary, Target, run},
};

#[test]
fn proxying() {
    conforms(|_| {});
}

#[test]
fn forwarding() {
    conforms(|host| host["customHandler"]["enableProxyingHttpRequest"] = false.into());
}

/// Runs the suite on the project's own app, after a change to its host.json.
fn conforms(change: fn(&mut serde_json::Value)) {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let app = tempfile::tempdir().unwrap();
    let mut host = serde_json::from_slice(&fs::read(project.join("host.json")).unwrap()).unwrap();
    change(&mut host);
    fs::write(app.path().join("host.json"), host.to_string()).unwrap();
    symlink(
        project.join("RandomNumber"),
        app.path().join("RandomNumber"),
    )
    .unwrap();
    symlink(env!("CARGO_BIN_EXE_handler"), app.path().join("handler")).unwrap();

    let host = dev_host::start(Options {
        app_root: app.path().to_owned(),
        ..Options::default()
    })
    .unwrap();
    let target = Target {
        url: host.url().to_owned(),
        master_key: host.master_key(),
        is_dev_host: true,
        patience: Duration::ZERO,
    };
    let mut differences = Vec::new();
    let Summary {
        passed,
        differing,
        skipped,
    } = run(&target, |difference| {
        differences.push(difference.to_owned())
    })
    .unwrap();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!((differing, skipped), (0, 0));
    assert!(passed >= 120, "{passed} cases are too few");
    host.stop().unwrap();
}
