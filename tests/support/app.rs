//! The function app of the conformance suite in a folder of its own, for a host to start.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use crate::project;

/// With any handler.
pub fn app(handler: &str) -> TempDir {
    let (app, original) = (
        TempDir::new().unwrap(),
        project().join("crates/conformance/app"),
    );
    let link = |original, name| symlink(original, app.path().join(name)).unwrap();
    link(original.join("host.json"), "host.json");
    link(original.join("RandomNumber"), "RandomNumber");
    link(handler.into(), "handler");
    app
}
