//! Levels and keys that the project's own app doesn't have. Keys of the usual kind are in
//! crates/conformance/conformance.json, routes and settings in crates/conformance/recorded/routes.jsonl.

mod common;

use common::{TestApp, call, status};
use serde_json::json;

#[test]
fn levels() {
    let app = TestApp::new();
    for level in ["Anonymous", "function", "ADMIN"] {
        let trigger = json!({"type": "HttpTrigger", "authLevel": level});
        app.function(&format!("At{level}"), trigger);
    }
    app.function("Off", json!({}));
    app.settings(json!({"AzureWebJobs.Off.Disabled": "true"}));
    let host = app.start();
    let statuses = |key| {
        ["AtAnonymous", "Atfunction", "AtADMIN", "Echo", "Off"]
            .map(|name| status(host.port(), &format!("/api/{name}"), key))
    };
    assert_eq!(statuses(""), [200, 401, 401, 401, 401]);
    assert_eq!(statuses("wrong"), [200, 401, 401, 401, 401]);
    assert_eq!(statuses("key"), [200, 200, 401, 200, 404]);
    assert_eq!(statuses("master"), [200, 200, 200, 200, 200]);
}

#[test]
fn a_key_opens_its_own_function_only() {
    let app = TestApp::new();
    app.function("Other", json!({}));
    let host = app.start();
    let answer = call(
        host.port(),
        "POST /admin/functions/Other/keys/mine?code=master",
        "",
    );
    assert_eq!(answer.status, 201);
    let key: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let key = key["value"].as_str().unwrap();
    assert_eq!(status(host.port(), "/api/Other", key), 200);
    assert_eq!(status(host.port(), "/api/Echo", key), 401);
}

#[test]
fn no_key_is_checked_without_auth() {
    let app = TestApp::new();
    app.function("Master", json!({"authLevel": "admin"}));
    let mut options = app.options();
    options.auth = false;
    let host = dev_host::start(options).unwrap();
    for (path, expected) in [
        ("/api/Echo", 200),
        ("/api/Echo?code=wrong", 200),
        ("/api/Master", 200),
        ("/admin/host/status", 200),
        ("/api/Nothing", 404),
    ] {
        assert_eq!(status(host.port(), path, ""), expected, "{path}");
    }
}
