//! Functions beside RandomNumber: those that README.md and docs/functions.md show, built and
//! published as they say.

use std::{fs, path::Path, process::Command};

use regex::Regex;
use tempfile::TempDir;
use test_support::{checkout, client::Connection, core_tools, process::succeeds, put, read};

const KEY: &str = "x-functions-key: key\r\n";

/// One test, because the first build takes long.
#[test]
fn functions_of_the_documents() {
    // Always at the same place: what the last run has built there is used again.
    let copy = &Path::new(env!("CARGO_TARGET_TMPDIR")).join("own_function");
    checkout::renew(copy);
    for function in checkout::functions() {
        if function != "RandomNumber" {
            fs::remove_dir_all(copy.join(function)).unwrap();
        }
    }
    let [order, main, order_json, test] = blocks("docs/functions.md");
    put(copy, "tests/order.rs", test);
    put(copy, "src/order.rs", order);
    put(copy, "src/main.rs", main);
    put(copy, "Order/function.json", order_json);
    // The developer's own build must neither be used nor touched.
    put(copy, "target/release/handler", "warm");
    build(copy).unwrap();
    let warm = fs::read(copy.join("target/release/handler")).unwrap();
    assert_eq!(warm, b"warm");
    is_static_and_silent_on_its_machine(copy);
    orders_are_numbered(&published(copy, r#""SHOP": "Ada's""#));
    passes(copy, "order");

    fs::remove_dir_all(copy.join("Order")).unwrap();
    let [greeting, main, greeting_json] = blocks("README.md");
    put(copy, "src/greeting.rs", greeting);
    put(copy, "Greeting/function.json", greeting_json);
    let error = build(copy).expect_err("a function that is not registered");
    let expected = "Greeting/function.json is there, but no function Greeting is registered";
    assert!(error.contains(expected), "{error}");
    put(copy, "src/main.rs", main);
    build(copy).unwrap();
    ada_is_greeted(&published(copy, r#""X": "y""#));
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

/// Runs one of its tests. What it needs was built for the copy of
/// crates/dev-host/tests/developer_loop.rs, or is built now.
fn passes(copy: &Path, name: &str) {
    let target = copy.with_file_name("developer_loop").join("target");
    let mut test = Command::new(env!("CARGO"));
    test.args(["test", "--quiet", "--test", name]);
    succeeds(test.current_dir(copy).env("CARGO_TARGET_DIR", target));
}

/// What func publishes of it, in a folder of its own, with one setting.
fn published(copy: &Path, setting: &str) -> TempDir {
    let app = TempDir::new().unwrap();
    put(app.path(), "zip", core_tools::zip(copy));
    succeeds(
        Command::new("unzip")
            .args(["-q", "zip"])
            .current_dir(app.path()),
    );
    let settings = read("local.settings.json.example");
    let settings = settings.replace(r#""Values": {"#, &format!(r#""Values": {{{setting},"#));
    put(app.path(), "local.settings.json", settings);
    app
}

/// Behind a host, which asks for the key.
fn start(app: &TempDir) -> dev_host::Running {
    let started = dev_host::start(dev_host::Options {
        app_root: app.path().to_owned(),
        function_key: Some("key".to_owned()),
        ..Default::default()
    });
    started.unwrap()
}

fn orders_are_numbered(app: &TempDir) {
    let host = start(app);
    let mut client = Connection::to(host.port());
    let mut order = |headers: &str, body: &str| {
        let length = body.len();
        client.send(format!(
            "POST /api/orders HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n{headers}\
             Content-Length: {length}\r\n\r\n{body}"
        ));
        let answer = client.answer();
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    let tea = r#"{"item": "tea", "count": 2}"#;
    assert_eq!(order("", tea).0, 401);
    for number in 1..=2 {
        let receipt = format!(r#"{{"number":{number},"text":"2 × tea from Ada's"}}"#);
        assert_eq!(order(KEY, tea), (200, receipt));
    }
    let none = r#"{"item": "tea", "count": 0}"#;
    assert_eq!(
        order(KEY, none),
        (400, "count is 0: give 1 or more".to_owned())
    );
    assert_eq!(order(KEY, r#"{"item": "tea"}"#).0, 400);
    let number = client.request("GET", "/api/RandomNumber", KEY).value();
    assert!((1..=999).contains(&number));
}

fn ada_is_greeted(app: &TempDir) {
    let host = start(app);
    let mut client = Connection::to(host.port());
    assert_eq!(client.get("/api/greeting/Ada").status, 401);
    for target in ["/api/greeting/Ada", "/API/GREETING/Ada/?x"] {
        let answer = client.request("GET", target, KEY);
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.body.escape_ascii().to_string(), "Hello, Ada!");
    }
    assert_eq!(client.request("POST", "/api/greeting/Ada", KEY).status, 404);
    assert_eq!(client.request("GET", "/api/greeting", KEY).status, 404);
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
        executable.contains("crates/custom-handler/src/"),
        "names of sources are elsewhere"
    );
    for path in [folder.to_str().unwrap(), sysroot.trim(), "registry/src"] {
        assert!(!executable.contains(path), "{path}");
    }
}

/// The files that a document shows: the function, main.rs, function.json, and perhaps a test.
fn blocks<const COUNT: usize>(document: &str) -> [String; COUNT] {
    let block = Regex::new(r"(?ms)^ *```(?:json|rust)\n(.*?)^ *```$").unwrap();
    let text = read(document);
    let blocks = block.captures_iter(&text);
    let blocks: Vec<_> = blocks.map(|block| block[1].to_owned()).collect();
    blocks.try_into().unwrap()
}
