//! Other functions than RandomNumber: the one that README.md shows, and the routes on which the
//! real host was recorded.

use std::{fs, path::Path, process::Command};

use regex::Regex;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use test_support::{
    checkout, client::Connection, core_tools, handler::Handler, process::succeeds, put, read,
};

/// Takes any JSON, and fails.
const FAULTY: &str = r#"
    use actix_web::web::Json;

    pub async fn faulty(_: Json<serde_json::Value>) -> String {
        panic!("warnings\nfor all")
    }
"#;

/// Says which function it is, and with which parameters.
const ECHO: &str = r#"
    use actix_web::{HttpRequest, web::Json};
    use serde_json::{Value, json};

    pub async fn echo(request: HttpRequest) -> Json<Value> {
        let params: std::collections::HashMap<_, _> = request.match_info().iter().collect();
        Json(json!({"function": "echo", "params": params}))
    }
"#;

const KEY: &str = "x-functions-key: key\r\n";

/// One test, because the first build takes long.
#[test]
fn a_second_function_is_two_files() {
    // Always at the same place: what the last run has built there is used again.
    let copy = &Path::new(env!("CARGO_TARGET_TMPDIR")).join("own_function");
    checkout::renew(copy);
    let [trigger, source] = readme_blocks();
    put(copy, "Greeting/function.json", &trigger);
    put(copy, "src/greeting.rs", source);
    let faulty = trigger.replace("greeting/{name}", "faulty");
    let faulty = faulty.replace(r#""get""#, r#""post""#);
    put(copy, "Faulty/function.json", faulty);
    put(copy, "src/faulty.rs", FAULTY);
    let (functions, rows) = recorded();
    for (name, trigger) in &functions {
        put(copy, &format!("{name}/function.json"), trigger.to_string());
        let module = module(name);
        let source = ECHO.replace("echo", &module);
        put(copy, &format!("src/{module}.rs"), source);
    }
    // The developer's own build must neither be used nor touched.
    put(copy, "target/release/handler", "warm");

    build(copy).unwrap();
    let warm = fs::read(copy.join("target/release/handler")).unwrap();
    assert_eq!(warm, b"warm");
    is_static_and_silent_on_its_machine(copy);
    let mut command = Command::new(copy.join("handler"));
    command.env("FUNCTIONS_CUSTOMHANDLER_PORT", "0");
    let handler = Handler::spawn(command).expect("it listens");
    are_answered_as_recorded(&rows, handler.port);
    what_a_function_leaves_unread_is_read(handler);

    for name in functions.keys() {
        fs::remove_dir_all(copy.join(name)).unwrap();
    }
    let app = TempDir::new().unwrap();
    put(app.path(), "zip", core_tools::zip(copy));
    let unzip = ["-q", "zip", "-d", "app"];
    succeeds(Command::new("unzip").args(unzip).current_dir(app.path()));
    let app = app.path().join("app");
    let settings = read("local.settings.json.example");
    let settings = settings.replace(r#""Values": {"#, r#""Values": {"WORD": "Ahoy","#);
    put(&app, "local.settings.json", settings);
    answers_behind_a_host(&app);
    what_cannot_be_translated_is_refused(copy, &trigger);
}

/// Runs build.sh, but without optimization, which takes long. Whether the executable is static,
/// what it says of the machine, and what it answers do not depend on it.
fn build(copy: &Path) -> Result<(), String> {
    let output = Command::new("./build.sh")
        .current_dir(copy)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

fn answers_behind_a_host(app: &Path) {
    let host = dev_host::start(dev_host::Options {
        app_root: app.to_owned(),
        function_key: Some("key".to_owned()),
        ..Default::default()
    });
    let host = host.unwrap();
    let mut client = Connection::to(host.port());
    assert_eq!(client.get("/api/greeting/Ada").status, 401);
    for target in ["/api/greeting/Ada", "/API/GREETING/Ada/?x"] {
        let answer = client.request("GET", target, KEY);
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.body.escape_ascii().to_string(), "Ahoy, Ada!");
    }
    assert_eq!(client.request("POST", "/api/greeting/Ada", KEY).status, 404);
    assert_eq!(client.request("GET", "/api/greeting", KEY).status, 404);
    let number = client.request("GET", "/api/RandomNumber", KEY).value();
    assert!((1..=999).contains(&number));
}

/// An extractor that refuses a body has not read it, nor one that panics later.
fn what_a_function_leaves_unread_is_read(handler: Handler) {
    let mut connection = handler.connect();
    for (content_type, status) in [("text/plain", 400), ("application/json", 413)] {
        connection.send(format!(
            "POST /api/faulty HTTP/1.1\r\nHost: h\r\nContent-Type: {content_type}\r\n\
             Content-Length: 20000000\r\n\r\n"
        ));
        connection.send(vec![b' '; 20_000_000]);
        assert_eq!(connection.answer().status, status);
    }
    // A panic is answered, and the connection goes on.
    connection.send(
        "POST /api/faulty HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\n\r\n{}",
    );
    assert_eq!(connection.answer().status, 500);
    assert_eq!(connection.get("/api/RandomNumber").status, 200);
    let ended = handler.stop();
    let line = ended.complaint();
    assert!(line.starts_with("ERROR panicked at "), "{line}");
    assert!(line.contains("w*rnings for all"), "{line}");
}

/// crates/conformance/recorded/routes.jsonl: functions, and which of them the real host chose for a path.
/// Without those that `what_cannot_be_translated_is_refused` is about.
fn recorded() -> (Map<String, Value>, Vec<Value>) {
    let text = read("crates/conformance/recorded/routes.jsonl");
    let mut rows: Vec<Value> = text
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let mut functions = rows[0]["functions"].as_object().unwrap().clone();
    let is_translated = |name: &str| !["Def", "NumElse", "Space"].contains(&name);
    functions.retain(|name, _| is_translated(name));
    rows.retain(|row| row["params"].is_object());
    rows.retain(|row| is_translated(row["function"].as_str().unwrap()));
    assert!(rows.len() > 50);
    (functions, rows)
}

fn are_answered_as_recorded(rows: &[Value], port: u16) {
    let mut connection = Connection::to(port);
    for row in rows {
        let (method, target) = row["send"].as_str().unwrap().split_once(' ').unwrap();
        let answer = connection.request(method, target, "");
        assert_eq!(answer.status, 200, "{row}");
        if method != "HEAD" {
            let mut params = row["params"].as_object().unwrap().clone();
            params.retain(|_, value| !value.is_null());
            let function = module(row["function"].as_str().unwrap());
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(
                body,
                json!({"function": function, "params": params}),
                "{row}"
            );
        }
    }
}

/// The module of a function: its name in snake case.
fn module(name: &str) -> String {
    let boundary = Regex::new("([a-z0-9])([A-Z])").unwrap();
    let name = boundary.replace_all(name, "${1}_$2");
    name.to_lowercase().replace('-', "_")
}

fn what_cannot_be_translated_is_refused(copy: &Path, trigger: &str) {
    let refused = |reason: &str| {
        let error = build(copy).expect_err(reason);
        assert!(error.contains(reason), "{reason} is not in {error}");
    };
    for (route, reason) in [
        ("def/{a=x}", r#""a=x" is no parameter"#),
        ("sp ace", "' ': give letters"),
        ("a/{b?}/c", "{b?} has to be the whole last part"),
        ("a/x{*b}", "{*b} has to be the whole last part"),
        ("a/{b", "a brace is not closed"),
        (
            "RANDOMNUMBER",
            "Greeting and RandomNumber have the same route",
        ),
    ] {
        let trigger = trigger.replace("greeting/{name}", route);
        put(copy, "Greeting/function.json", trigger);
        refused(reason);
    }
    put(copy, "Greeting/function.json", "{]");
    refused("Greeting/function.json: ");
    put(copy, "Greeting/function.json", r#"{"bindings": []}"#);
    refused("no binding has the type httpTrigger");
    put(copy, "Greeting/function.json", trigger);
    fs::remove_file(copy.join("src/greeting.rs")).unwrap();
    refused("Greeting/function.json needs src/greeting.rs");
}

/// What the kernel and the loader say of it, not build.sh.
fn is_static_and_silent_on_its_machine(folder: &Path) {
    let handler = folder.join("handler");
    let headers = succeeds(Command::new("readelf").arg("-hl").arg(&handler));
    for (text, is_there) in [("ELF64", true), ("X86-64", true), ("INTERP", false)] {
        assert_eq!(headers.contains(text), is_there, "{headers}");
    }
    let executable = fs::read(handler).unwrap();
    let executable = String::from_utf8_lossy(&executable);
    let sysroot = succeeds(Command::new("rustc").args(["--print", "sysroot"]));
    assert!(
        executable.contains("src/faulty.rs"),
        "names of sources are elsewhere"
    );
    for path in [folder.to_str().unwrap(), sysroot.trim(), "registry/src"] {
        assert!(!executable.contains(path), "{path}");
    }
}

/// The files that the README shows: function.json and the code.
fn readme_blocks() -> [String; 2] {
    let block = Regex::new(r"(?ms)^ *```(?:json|rust)\n(.*?)^ *```$").unwrap();
    let readme = read("README.md");
    let blocks = block.captures_iter(&readme);
    let blocks: Vec<_> = blocks.map(|block| block[1].to_owned()).collect();
    blocks.try_into().unwrap()
}
