//! Save, and it is served: a copy of the project is edited, broken and mended while calls go on.
//! None of them fails.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use common::{Host, KEY, Load};
use test_support::{checkout, client::Connection, process::succeeds, put};

/// One test, because the first build takes long.
#[test]
fn edited_broken_mended_and_no_call_fails() {
    let copy = Copy::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev-host"));
    command.args(["--port", "0", "--key", "key"]);
    command.env("CARGO_TARGET_DIR", copy.0.join("target"));
    command.current_dir(&copy.0).env("RUST_LOG", "warn");
    let host = Host::run(&mut command);
    let port = host.port();
    let says = |text: &str| host.lines.next(text);
    let get = |path: &str| {
        let answer = Connection::to(port).request("GET", path, KEY);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        String::from_utf8(answer.body).unwrap()
    };
    let load = Load::start(|| {
        let mut connection = Connection::to(port);
        move || {
            // The build needs the machine, too.
            thread::sleep(Duration::from_millis(2));
            let get = connection.request("GET", "/api/Number", KEY).status;
            let post = format!("POST /api/Number HTTP/1.1\r\nHost: h\r\n{KEY}");
            connection.send(post + "Content-Length: 5\r\n\r\nhello");
            connection.answer().status.max(get)
        }
    });

    copy.edit("src/number.rs", "434", "1");
    says("changed: src/number.rs");
    says("serving the new handler");
    assert_eq!(get("/api/Number"), "1");

    copy.edit("src/number.rs", "1", "broken(");
    says("failed in ");
    host.errors.wait_for("error: ");
    assert_eq!(get("/api/Number"), "1");
    copy.edit("src/number.rs", "broken(", "2");
    says("serving the new handler");
    assert_eq!(get("/api/Number"), "2");

    // Cargo finds everything up to date.
    copy.write("Cargo.toml", &(copy.read("Cargo.toml") + "# A comment.\n"));
    says("nothing to do");

    // A function that comes, with a setting, and that changes: first it is registered.
    copy.write("src/greeting.rs", GREETING);
    let main = copy.read("src/main.rs");
    let main = main.replacen("mod number;", "mod greeting;\nmod number;", 1);
    let register = "functions.add(\"Greeting\", greeting::greeting);\n functions.add";
    copy.write("src/main.rs", &main.replacen("functions.add", register, 1));
    says("the function Greeting is registered, but");
    says("serving the new handler");
    copy.write("Greeting/function.json", &function_json("greeting/{name}"));
    says("serving the new handler");
    assert_eq!(get("/api/greeting/Ada"), "Hello, Ada!");
    let settings = copy.read("local.settings.json.example");
    let settings = settings.replace(r#""Values": {"#, r#""Values": { "WORD": "Ahoy","#);
    copy.write("local.settings.json", &settings);
    says("serving the new handler");
    assert_eq!(get("/api/greeting/Ada"), "Ahoy, Ada!");
    copy.write("Greeting/function.json", &function_json("welcome/{name}"));
    says("serving the new handler");
    assert_eq!(get("/api/welcome/Ada"), "Ahoy, Ada!");

    // A mistake that the handler finds at its start: a call could be for both functions.
    copy.write("Greeting/function.json", &function_json("{name}"));
    says("the new handler exited with 1 before it answered GET /; its last lines on stderr: ");
    assert_eq!(get("/api/welcome/Ada"), "Ahoy, Ada!");
    assert_eq!(get("/api/Number"), "2");
    copy.write("Greeting/function.json", &function_json("welcome/{name}"));
    says("serving the new handler");

    copy.edit("host.json", r#""version": "2.0","#, "");
    says("version has to be \"2.0\"; the app is served as it was");
    let headers = r#"{ "http": { "customHeaders": { "X-Mark": "new" } } }"#;
    let members = format!(r#"{{ "version": "2.0", "extensions": {headers},"#);
    copy.edit("host.json", "{", &members);
    says("serving the new handler");
    let answer = Connection::to(port).request("GET", "/api/welcome/Ada", KEY);
    assert_eq!(answer.header("x-mark"), Some("new"));

    let calls = load.end();
    assert!(calls > 100, "only {calls} calls");
}

const MAIN: &str = r#"
mod number;

#[actix_web::main]
async fn main() -> std::process::ExitCode {
    custom_handler::run(&[env!("CARGO_CRATE_NAME")], |functions| {
        functions.add("Number", number::number);
    })
    .await
}
"#;

const NUMBER: &str = r#"
pub async fn number() -> String {
    434.to_string()
}
"#;

const GREETING: &str = r#"
pub async fn greeting(name: actix_web::web::Path<String>) -> String {
    let word = std::env::var("WORD").unwrap_or("Hello".to_owned());
    format!("{word}, {name}!")
}
"#;

fn function_json(route: &str) -> String {
    let trigger = r#"{"type": "httpTrigger", "direction": "in", "name": "req""#;
    let answer = r#"{"type": "http", "direction": "out", "name": "$return"}"#;
    format!(r#"{{"bindings": [{trigger}, "route": "{route}"}}, {answer}]}}"#)
}

/// The project in a folder that is the same at each run, so that what Cargo has built there before
/// is of use again.
struct Copy(PathBuf);

impl Copy {
    /// With one function, Number, in place of those of the project. It is built, which may take
    /// minutes.
    fn new() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("developer_loop");
        checkout::renew(&root);
        for function in checkout::functions() {
            fs::remove_dir_all(root.join(function)).unwrap();
        }
        let copy = Self(root);
        copy.write("src/main.rs", MAIN);
        copy.write("src/number.rs", NUMBER);
        copy.write("Number/function.json", &function_json("Number"));
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--bin", "handler"]);
        build.env("CARGO_TARGET_DIR", copy.0.join("target"));
        succeeds(build.current_dir(&copy.0));
        copy
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        put(&self.0, file, text);
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{from} is not in {file}");
        self.write(file, &text.replacen(from, to, 1));
    }
}
