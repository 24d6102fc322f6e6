//! Other functions than RandomNumber: the one that README.md shows, and the routes on which the real
//! host was recorded.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;
use test_support::{checkout, client::Connection, core_tools, handler::Handler, project};

/// Takes any JSON, and fails.
const FAULTY: &str = r#"
    use actix_web::web::Json;

    pub async fn faulty(_: Json<serde_json::Value>) -> String {
        panic!("warnings\nfor all")
    }
"#;

/// Says which function it is, and with which parameters.
const ECHO: &str = r#"
    pub async fn echo(request: actix_web::HttpRequest) -> String {
        let parameters = request.match_info().iter();
        let mut parameters: Vec<_> = parameters.map(|(n, v)| format!("{n}={v}")).collect();
        parameters.sort();
        format!("echo {}", parameters.join(","))
    }
"#;

/// build.rs refuses these: see `what_cannot_be_translated_is_refused`.
const UNTRANSLATABLE: [&str; 3] = ["Def", "NumElse", "Space"];

const KEY: &str = "x-functions-key: key\r\n";

/// One test, because a build takes most of a minute.
#[test]
fn a_second_function_is_two_files() {
    let copy = copy();
    let [trigger, source] = readme_blocks();
    put(&copy, "Greeting/function.json", &trigger);
    put(&copy, "src/greeting.rs", &source);
    let faulty = trigger.replace("greeting/{name}", "faulty");
    let faulty = faulty.replace(r#""get""#, r#""post""#);
    put(&copy, "Faulty/function.json", &faulty);
    put(&copy, "src/faulty.rs", FAULTY);
    let recorded = Recorded::read();
    for (name, trigger) in &recorded.functions {
        put(&copy, &format!("{name}/function.json"), trigger);
        let module = module(name);
        let source = ECHO.replace("echo", &module);
        put(&copy, &format!("src/{module}.rs"), &source);
    }
    // The developer's own build must neither be used nor touched.
    put(&copy, "target/release/handler", "warm");

    succeeds(Command::new("./build.sh").current_dir(&copy));
    assert_eq!(read(&copy.join("target/release/handler")), "warm");
    is_static_and_silent_on_its_machine(&copy);
    let mut command = Command::new(copy.join("handler"));
    command.env("FUNCTIONS_CUSTOMHANDLER_PORT", "0");
    let handler = Handler::spawn(command).expect("it listens");
    recorded.are_answered_by(handler.port);
    what_a_function_leaves_unread_is_read(handler);

    for (name, _) in &recorded.functions {
        fs::remove_dir_all(copy.join(name)).unwrap();
    }
    let app = TempDir::new().unwrap();
    fs::write(app.path().join("zip"), core_tools::zip(&copy)).unwrap();
    succeeds(
        Command::new("unzip")
            .args(["-q", "zip", "-d", "app"])
            .current_dir(app.path()),
    );
    let app = app.path().join("app");
    let settings = read(&project().join("local.settings.json.example"));
    let settings = settings.replace(r#""Values": {"#, r#""Values": {"WORD": "Ahoy","#);
    put(&app, "local.settings.json", &settings);
    answers_behind_a_host(&app);
}

/// A copy of the project, always at the same place: what the last run has built there is used again.
fn copy() -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("own_function");
    for entry in fs::read_dir(&copy).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::remove_file(path).unwrap();
        } else if !path.ends_with("target") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    checkout::copy_to(&copy);
    copy
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
    let [line] = &*ended.stderr else {
        panic!("{ended:?}")
    };
    assert!(line.starts_with("ERROR panicked at "), "{line}");
    assert!(line.contains("w*rnings for all"), "{line}");
}

/// conformance/recorded/routes.jsonl: functions, and which of them the real host chose for a path.
struct Recorded {
    /// Name and function.json.
    functions: Vec<(String, String)>,
    rows: Vec<Value>,
}

impl Recorded {
    fn read() -> Self {
        let text = read(&project().join("conformance/recorded/routes.jsonl"));
        let mut rows = text.lines().map(|row| serde_json::from_str(row).unwrap());
        let functions: Value = rows.next().unwrap();
        let functions = functions["functions"].as_object().unwrap();
        Self {
            functions: functions
                .iter()
                .filter(|(name, _)| !UNTRANSLATABLE.contains(&name.as_str()))
                .map(|(name, trigger)| (name.clone(), trigger.to_string()))
                .collect(),
            rows: rows
                .filter(|row: &Value| row["params"].is_object())
                .filter(|row| !UNTRANSLATABLE.contains(&row["function"].as_str().unwrap()))
                .collect(),
        }
    }

    fn are_answered_by(&self, port: u16) {
        assert!(self.rows.len() > 50);
        let mut connection = Connection::to(port);
        for row in &self.rows {
            let (method, target) = row["send"].as_str().unwrap().split_once(' ').unwrap();
            let answer = connection.request(method, target, "");
            assert_eq!(answer.status, 200, "{row}");
            let parameters = row["params"].as_object().unwrap();
            let mut parameters: Vec<_> = parameters
                .iter()
                .filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
                .collect();
            parameters.sort();
            let module = module(row["function"].as_str().unwrap());
            let expected = format!("{module} {}", parameters.join(","));
            let is_head = method == "HEAD";
            assert!(
                is_head || answer.body == expected.as_bytes(),
                "{row}: {answer:?}"
            );
        }
    }
}

/// The module of a function: its name in snake case.
fn module(name: &str) -> String {
    let mut module = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !module.is_empty() {
            module.push('_');
        }
        module.extend(character.to_lowercase());
    }
    module.replace('-', "_")
}

/// In a package of build.rs alone, for the whole one takes long to build.
#[test]
fn what_cannot_be_translated_is_refused() {
    let copy = TempDir::new().unwrap();
    for file in [
        "build.rs",
        "Cargo.lock",
        "host.json",
        "RandomNumber/function.json",
    ] {
        put(copy.path(), file, &read(&project().join(file)));
    }
    put(
        copy.path(),
        "Cargo.toml",
        "[package]\nname = \"own-function\"\nedition = \"2024\"\n\
         [build-dependencies]\nserde_json = \"1\"\n",
    );
    for file in ["src/lib.rs", "src/random_number.rs", "src/greeting.rs"] {
        put(copy.path(), file, "");
    }
    let [trigger, _] = readme_blocks();
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
        put(copy.path(), "Greeting/function.json", &trigger);
        refused(copy.path(), reason);
    }
    put(copy.path(), "Greeting/function.json", "{]");
    refused(copy.path(), "Greeting/function.json: ");
    put(copy.path(), "Greeting/function.json", r#"{"bindings": []}"#);
    refused(copy.path(), "no binding has the type httpTrigger");
    put(copy.path(), "Greeting/function.json", &trigger);
    fs::remove_file(copy.path().join("src/greeting.rs")).unwrap();
    refused(copy.path(), "Greeting/function.json needs src/greeting.rs");
}

/// Cargo prints build.rs's one line.
fn refused(folder: &Path, reason: &str) {
    let output = Command::new("cargo")
        .args(["check", "--offline"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{reason}");
    assert!(stderr.contains(reason), "{reason} is not in {stderr}");
}

/// What the kernel and the loader say of it, not build.sh.
fn is_static_and_silent_on_its_machine(folder: &Path) {
    let headers = succeeds(
        Command::new("readelf")
            .args(["-hl", "handler"])
            .current_dir(folder),
    );
    assert!(headers.contains("ELF64"), "{headers}");
    assert!(headers.contains("X86-64"), "{headers}");
    assert!(!headers.contains("INTERP"), "{headers}");

    let executable = fs::read(folder.join("handler")).unwrap();
    let contains = |text: &str| {
        let mut windows = executable.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    };
    let sysroot = succeeds(Command::new("rustc").args(["--print", "sysroot"]));
    assert!(contains("src/faulty.rs"), "names of sources are elsewhere");
    for path in [folder.to_str().unwrap(), sysroot.trim(), "registry/src"] {
        assert!(!contains(path), "{path}");
    }
}

/// The files that the README shows: function.json and the code.
fn readme_blocks() -> [String; 2] {
    let readme = read(&project().join("README.md"));
    let (_, section) = readme.split_once("\n## Your own function\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks: Vec<String> = section
        .split("```")
        .filter_map(|block| {
            let (kind, text) = block.split_once('\n')?;
            ["json", "rust"].contains(&kind).then(|| text.to_owned())
        })
        .collect();
    blocks.try_into().unwrap()
}

fn put(folder: &Path, file: &str, content: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Its standard output.
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
