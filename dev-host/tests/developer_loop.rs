//! Save, and it is served: a copy of the project is edited, broken and mended while calls go on.
//! None of them fails.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use test_support::{checkout, client::Connection, process::wait_until};

const KEY: &str = "x-functions-key: key\r\n";
const RANGE: &str = "random_range(1..=999)";

/// One test, because the first build takes long.
#[test]
fn edited_broken_mended_and_no_call_fails() {
    let copy = Copy::new();
    let host = DevHost::start(&copy);
    let load = Load::start(host.port);

    copy.edit("src/random_number.rs", RANGE, "random_range(1..=1)");
    host.says("changed: src/random_number.rs");
    host.says("serving the new handler");
    assert_eq!(host.get("/api/RandomNumber"), r#"{"value":1}"#);

    copy.edit("src/random_number.rs", "random_range(1..=1)", "broken(");
    host.says("failed in ");
    let errors = host.errors.lock().unwrap().join("\n");
    assert!(errors.contains("\nerror: "), "{errors}");
    assert_eq!(host.get("/api/RandomNumber"), r#"{"value":1}"#);
    copy.edit("src/random_number.rs", "broken(", "random_range(2..=2)");
    host.says("serving the new handler");
    assert_eq!(host.get("/api/RandomNumber"), r#"{"value":2}"#);

    // Cargo finds everything up to date.
    copy.write("Cargo.toml", &(copy.read("Cargo.toml") + "# A comment.\n"));
    host.says("nothing to do");

    // A function that comes, with a setting, and that changes.
    copy.write("src/greeting.rs", GREETING);
    host.says("serving the new handler");
    copy.write("Greeting/function.json", &function_json("greeting/{name}"));
    host.says("serving the new handler");
    assert_eq!(host.get("/api/greeting/Ada"), "Hello, Ada!");
    let settings = copy.read("local.settings.json.example");
    let settings = settings.replace(r#""Values": {"#, r#""Values": { "WORD": "Ahoy","#);
    copy.write("local.settings.json", &settings);
    host.says("serving the new handler");
    assert_eq!(host.get("/api/greeting/Ada"), "Ahoy, Ada!");
    copy.write("Greeting/function.json", &function_json("welcome/{name}"));
    host.says("serving the new handler");
    assert_eq!(host.get("/api/welcome/Ada"), "Ahoy, Ada!");

    copy.edit("host.json", r#""version": "2.0","#, "");
    host.says("version has to be \"2.0\"; the app is served as it was");
    let headers = r#"{ "http": { "customHeaders": { "X-Mark": "new" } } }"#;
    let members = format!(r#"{{ "version": "2.0", "extensions": {headers},"#);
    copy.edit("host.json", "{", &members);
    host.says("serving the new handler");
    let answer = host.call("/api/welcome/Ada");
    assert_eq!(answer.header("x-mark"), Some("new"));

    let (calls, failures) = load.end();
    assert_eq!(failures, Vec::<String>::new());
    assert!(calls > 100, "only {calls} calls");
}

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
    fn new() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("developer_loop");
        fs::create_dir_all(&root).unwrap();
        for entry in fs::read_dir(&root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::remove_file(path).unwrap();
            } else if !path.ends_with("target") {
                fs::remove_dir_all(path).unwrap();
            }
        }
        checkout::copy_to(&root);
        Self(root)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{from} is not in {file}");
        self.write(file, &text.replacen(from, to, 1));
    }
}

/// A running `cargo start`, killed when it goes out of scope.
struct DevHost {
    process: Child,
    port: u16,
    /// What it has printed and nobody has asked for.
    lines: Lines,
    /// What it, and Cargo, have printed to stderr.
    errors: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl DevHost {
    fn start(copy: &Copy) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_dev-host"))
            .args(["--port", "0", "--key", "key"])
            .current_dir(&copy.0)
            .env("CARGO_TARGET_DIR", copy.0.join("target"))
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = collect(BufReader::new(process.stderr.take().unwrap()).lines());
        let mut stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = loop {
            let line = stdout.next().expect("dev-host says where it is").unwrap();
            let url = line.split_once("] http://localhost:");
            if let Some((port, _)) = url.and_then(|(_, rest)| rest.split_once('/')) {
                break port.parse().unwrap();
            }
        };
        Self {
            process,
            port,
            lines: collect(stdout),
            errors,
        }
    }

    /// Waits for a line with this text, and forgets it and all before it.
    fn says(&self, text: &str) {
        wait_until(text, || {
            let mut lines = self.lines.lock().unwrap();
            let at = lines.iter().position(|line| line.contains(text));
            at.map(|at| lines.drain(..=at)).is_some()
        });
    }

    fn call(&self, target: &str) -> test_support::client::Answer {
        let answer = Connection::to(self.port).request("GET", target, KEY);
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        answer
    }

    fn get(&self, target: &str) -> String {
        String::from_utf8(self.call(target).body).unwrap()
    }
}

/// Reads all lines but those about the load.
fn collect(lines: impl Iterator<Item = io::Result<String>> + Send + 'static) -> Lines {
    let collected = Lines::default();
    let sink = Arc::clone(&collected);
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if !line.contains(" /api/RandomNumber ") {
                sink.lock().unwrap().push(line);
            }
        }
    });
    collected
}

impl Drop for DevHost {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Calls, one after the other on each of a few connections, half of them with a body.
struct Load {
    is_over: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(port: u16) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let calls = Arc::<AtomicUsize>::default();
        let threads = (0..4).map(|index| {
            let (is_over, calls) = (Arc::clone(&is_over), Arc::clone(&calls));
            thread::spawn(move || {
                let mut failures = Vec::new();
                let mut connection = Connection::to(port);
                while !is_over.load(Ordering::Relaxed) {
                    let answer = if index % 2 == 0 {
                        connection.request("GET", "/api/RandomNumber", KEY)
                    } else {
                        connection.send(format!(
                            "POST /api/RandomNumber HTTP/1.1\r\nHost: h\r\n{KEY}\
                             Content-Length: 5\r\n\r\nhello"
                        ));
                        connection.answer()
                    };
                    // The build needs the machine, too.
                    thread::sleep(Duration::from_millis(2));
                    calls.fetch_add(1, Ordering::Relaxed);
                    if answer.status != 200 {
                        failures.push(format!("{answer:?}"));
                    }
                }
                failures
            })
        });
        Self {
            threads: threads.collect(),
            is_over,
            calls,
        }
    }

    /// How many calls there were, and which have failed.
    fn end(self) -> (usize, Vec<String>) {
        self.is_over.store(true, Ordering::Relaxed);
        let failures = self.threads.into_iter().flat_map(|it| it.join().unwrap());
        let failures = failures.collect();
        (self.calls.load(Ordering::Relaxed), failures)
    }
}
