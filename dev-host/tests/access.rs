//! Levels, routes and settings that the project's own app doesn't have. Keys and paths of the
//! usual kind are in conformance/conformance.json.

mod common;

use common::{TestApp, get, send};
use dev_host::Options;
use serde_json::json;

fn status(port: u16, path: &str, key: &str) -> u16 {
    send(
        port,
        &format!("GET {path} HTTP/1.1\r\nhost: test\r\nx-functions-key: {key}\r\n\r\n"),
    )
    .status
}

#[test]
fn levels() {
    let app = TestApp::new();
    for level in ["Anonymous", "function", "ADMIN"] {
        app.function(
            &format!("At{level}"),
            json!({"type": "HttpTrigger", "authLevel": level}),
        );
    }
    let host = app.start();
    let statuses = |key| {
        ["AtAnonymous", "Atfunction", "AtADMIN", "Echo"]
            .map(|name| status(host.port(), &format!("/api/{name}"), key))
    };
    assert_eq!(statuses(""), [200, 401, 401, 401]);
    assert_eq!(statuses("wrong"), [200, 401, 401, 401]);
    assert_eq!(statuses("key"), [200, 200, 401, 200]);
    assert_eq!(statuses("master"), [200, 200, 200, 200]);
}

#[test]
fn a_key_opens_its_own_function_only() {
    let app = TestApp::new();
    app.function("Other", json!({"type": "httpTrigger"}));
    let host = app.start();
    let body = r#"{"value":"other"}"#;
    let answer = send(
        host.port(),
        &format!(
            "PUT /admin/functions/Other/keys/mine HTTP/1.1\r\nhost: test\r\n\
             x-functions-key: master\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert_eq!(answer.status, 201);
    assert_eq!(status(host.port(), "/api/Other", "other"), 200);
    assert_eq!(status(host.port(), "/api/Echo", "other"), 401);
}

#[test]
fn no_key_is_checked_without_auth() {
    let app = TestApp::new();
    app.function(
        "Master",
        json!({"type": "httpTrigger", "authLevel": "admin"}),
    );
    let host = dev_host::start(Options {
        auth: false,
        ..app.options()
    })
    .unwrap();
    for path in [
        "/api/Echo",
        "/api/Echo?code=wrong",
        "/api/Master",
        "/admin/host/status",
    ] {
        assert_eq!(status(host.port(), path, ""), 200, "{path}");
    }
    assert_eq!(status(host.port(), "/api/Nothing", ""), 404);
    assert!(
        host.greeting().contains("No key is checked"),
        "{}",
        host.greeting()
    );
}

#[test]
fn a_disabled_function_is_for_the_master_key_alone() {
    let app = TestApp::new();
    app.function("BySetting", json!({"type": "httpTrigger"}));
    app.write(
        "local.settings.json",
        r#"{"Values": {"AzureWebJobs.BySetting.Disabled": "true"}}"#,
    );
    let host = app.start();
    let path = "/api/BySetting";
    assert_eq!(status(host.port(), path, ""), 401);
    assert_eq!(status(host.port(), path, "key"), 404);
    assert_eq!(status(host.port(), path, "master"), 200);
}

#[test]
fn routes_and_methods_of_function_json() {
    let app = TestApp::new();
    app.function(
        "Long",
        json!({"type": "httpTrigger", "route": "/One/two/", "methods": ["get", "Put"]}),
    );
    app.function("Empty", json!({"type": "httpTrigger", "route": ""}));
    let host = app.start();
    assert_eq!(status(host.port(), "/api/Empty", "key"), 200);
    assert_eq!(status(host.port(), "/api/one/TWO", "key"), 200);
    assert_eq!(status(host.port(), "/api/Long", "key"), 404);
    assert_eq!(status(host.port(), "/api/one", "key"), 404);
    let method = |method| {
        let request =
            format!("{method} /api/One/two HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n\r\n");
        send(host.port(), &request).status
    };
    assert_eq!(["PUT", "POST", "DELETE"].map(method), [200, 404, 404]);
    assert!(
        host.greeting()
            .contains(&format!("Long: [GET, PUT] {}/api/One/two", host.url())),
        "{}",
        host.greeting()
    );
}

#[test]
fn paths_that_come_near() {
    let app = TestApp::new();
    let host = app.start();
    for path in [
        "/api/Echo//",
        "/api//Echo",
        "//api/Echo",
        "/api%2FEcho",
        "/api/Echo%2F",
    ] {
        assert_eq!(status(host.port(), path, "key"), 404, "{path}");
    }
}

#[test]
fn the_route_prefix_of_host_json() {
    let app = TestApp::new();
    let host_json = std::fs::read_to_string(app.path().join("host.json")).unwrap();
    for (prefix, path) in [("", "/Echo"), ("v1/x", "/V1/x/echo")] {
        let mut json: serde_json::Value = serde_json::from_str(&host_json).unwrap();
        json["extensions"] = json!({"http": {"routePrefix": prefix}});
        app.write("host.json", &json.to_string());
        let host = app.start();
        assert_eq!(status(host.port(), path, "key"), 200);
        assert_eq!(status(host.port(), "/api/Echo", "key"), 404);
    }
}

#[test]
fn the_handler_gets_its_port_the_app_root_and_the_settings() {
    let app = TestApp::new();
    let path = std::env::var("PATH").unwrap();
    app.write(
        "local.settings.json",
        r#"{"IsEncrypted": false, "Values": {"MY_SETTING": "mine", "PATH": "not this one"}}"#,
    );
    let host = app.start();
    let environment = get(host.port(), "/api/Echo", "environment").body;
    let value = |name: &str| {
        let start = format!("{name}=");
        let mut lines = environment.lines();
        lines
            .find_map(|line| line.strip_prefix(&start))
            .map(str::to_owned)
    };
    let root = app.path().canonicalize().unwrap().display().to_string();
    assert_eq!(value("MY_SETTING").unwrap(), "mine");
    assert_eq!(value("PATH").unwrap(), path);
    assert_eq!(value("FUNCTIONS_APP_ROOT_PATH").unwrap(), root);
    assert_eq!(value("cwd").unwrap(), root);
    let port = value("FUNCTIONS_CUSTOMHANDLER_PORT").unwrap();
    assert_ne!(port.parse::<u16>().unwrap(), host.port());
    assert_eq!(value("FUNCTIONS_HTTPWORKER_PORT").unwrap(), port);
    let id = value("FUNCTIONS_CUSTOMHANDLER_WORKER_ID").unwrap();
    assert_eq!(value("FUNCTIONS_HTTPWORKER_ID").unwrap(), id);
    assert_eq!(id.len(), 36);
}

#[test]
fn the_working_directory_of_host_json() {
    let app = TestApp::new();
    std::fs::create_dir(app.path().join("below")).unwrap();
    let host_json = std::fs::read_to_string(app.path().join("host.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&host_json).unwrap();
    json["customHandler"]["description"]["workingDirectory"] = json!("below");
    app.write("host.json", &json.to_string());
    let host = app.start();
    let environment = get(host.port(), "/api/Echo", "environment").body;
    let root = app.path().canonicalize().unwrap();
    for (name, folder) in [
        ("cwd", root.join("below")),
        ("FUNCTIONS_APP_ROOT_PATH", root.clone()),
    ] {
        let line = format!("{name}={}", folder.display());
        assert!(environment.lines().any(|found| found == line), "{line}");
    }
}
