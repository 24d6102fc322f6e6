//! The project's own function app in a folder of its own, for a host to start.

use std::os::unix::fs::symlink;

use serde_json::Value;
use tempfile::TempDir;

use crate::{project, put, read};

/// With any handler, and after a change to host.json.
pub fn app(handler: &str, change: impl Fn(&mut Value)) -> TempDir {
    let app = TempDir::new().unwrap();
    let mut host = serde_json::from_str(&read("host.json")).unwrap();
    change(&mut host);
    put(app.path(), "host.json", host.to_string());
    let link = |original, name| symlink(project().join(original), app.path().join(name));
    link("RandomNumber", "RandomNumber").unwrap();
    link(handler, "handler").unwrap();
    app
}
