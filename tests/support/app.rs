//! The project's own function app in a folder of its own, for a host to start.

use std::{fs, os::unix::fs::symlink};

use tempfile::TempDir;

use crate::project;

/// With any handler, and after a change to host.json.
pub fn app(handler: &str, change: fn(&mut serde_json::Value)) -> TempDir {
    let app = tempfile::tempdir().expect("a folder");
    let host = fs::read(project().join("host.json")).expect("a file");
    let mut host = serde_json::from_slice(&host).expect("JSON");
    change(&mut host);
    fs::write(app.path().join("host.json"), host.to_string()).expect("room");
    for (original, name) in [
        (project().join("RandomNumber"), "RandomNumber"),
        (project().join(handler), "handler"),
    ] {
        symlink(original, app.path().join(name)).expect("an empty folder");
    }
    app
}
