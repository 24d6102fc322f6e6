//! Apps with the tests' handler, hosts for them, and requests written byte for byte.

// Each test file uses a part of this.
#![allow(dead_code)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use dev_host::{Console, Options, Running};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
pub use test_support::process::{eventually, wait_until};
use test_support::{client::Connection, put};

pub const HANDLER: &str = env!("CARGO_BIN_EXE_test-handler");

/// The header with the function key.
pub const KEY: &str = "x-functions-key: key\r\n";

/// A function app in a folder of its own.
pub struct TestApp(TempDir);

impl TestApp {
    /// With the function Echo, which takes every method and, by the function key `key`, anyone.
    pub fn new() -> Self {
        let app = Self(tempfile::tempdir().unwrap());
        app.describe(json!({}));
        app.function("Echo", json!({}));
        app
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, file: &str, content: impl ToString) {
        put(self.path(), file, content.to_string());
    }

    /// host.json with these members.
    pub fn host_json(&self, members: Value) {
        let mut host = json!({"version": "2.0", "customHandler": {
            "description": {"defaultExecutablePath": HANDLER},
            "enableProxyingHttpRequest": true,
        }});
        merge(&mut host, members);
        self.write("host.json", host);
    }

    /// host.json with these members of the handler's description.
    pub fn describe(&self, description: Value) {
        self.host_json(json!({"customHandler": {"description": description}}));
    }

    pub fn settings(&self, values: Value) {
        self.write("local.settings.json", json!({"Values": values}));
    }

    /// A function, with these members of its trigger.
    pub fn function(&self, name: &str, mut trigger: Value) {
        if trigger["type"].is_null() {
            trigger["type"] = json!("httpTrigger");
        }
        trigger["name"] = json!("req");
        let answer = json!({"type": "http", "direction": "out", "name": "$return"});
        let function = json!({"bindings": [trigger, answer]});
        self.write(&format!("{name}/function.json"), function);
    }

    /// The process ids of all starts of the handler.
    pub fn starts(&self) -> Vec<u32> {
        let starts = fs::read_to_string(self.path().join("starts")).unwrap_or_default();
        starts.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Waits until the handler was started so often.
    pub fn started(&self, count: usize) {
        let what = format!("start {count} of the handler");
        wait_until(&what, || self.starts().len() >= count);
    }

    /// Waits until none of the handlers that were started runs any more.
    pub fn all_gone(&self) {
        self.starts().into_iter().for_each(gone);
    }

    pub fn options(&self) -> Options {
        Options {
            app_root: self.path().to_owned(),
            function_key: Some("key".to_owned()),
            master_key: Some("master".to_owned()),
            ..Options::default()
        }
    }

    pub fn start(&self) -> Running {
        dev_host::start(self.options()).unwrap()
    }

    /// A host that watches the files, and what it says.
    pub fn start_watching(&self) -> (Running, Lines) {
        let lines = Lines::default();
        let mut options = self.options();
        (options.console, options.watch) = (lines.console(), true);
        (dev_host::start(options).unwrap(), lines)
    }

    /// A host, and what it says.
    pub fn start_heard(&self) -> (Running, Lines) {
        let lines = Lines::default();
        let mut options = self.options();
        options.console = lines.console();
        (dev_host::start(options).unwrap(), lines)
    }

    /// The one line that says why the host can't be started.
    pub fn error(&self) -> String {
        let error = dev_host::start(self.options()).err().expect("an error");
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    }
}

/// Puts members into an object, and theirs into theirs.
fn merge(object: &mut Value, members: Value) {
    match members {
        Value::Object(members) => {
            for (name, value) in members {
                merge(&mut object[name], value);
            }
        }
        value => *object = value,
    }
}

/// A console that remembers.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub fn console(&self) -> Console {
        let lines = self.clone();
        Console::new(move |line| lines.push(line))
    }

    fn push(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }

    /// Those with this text.
    pub fn with(&self, text: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let found = lines.iter().filter(|line| line.contains(text));
        found.cloned().collect()
    }

    /// Waits for a line with this text.
    pub fn wait_for(&self, text: &str) -> String {
        let what = format!("a line with {text:?}");
        eventually(&what, || self.with(text).into_iter().next())
    }

    /// Waits for a line with this text, and forgets it and all before it.
    pub fn next(&self, text: &str) {
        wait_until(text, || {
            let mut lines = self.0.lock().unwrap();
            let at = lines.iter().position(|line| line.contains(text));
            let end = at.map_or(lines.len(), |at| at + 1);
            lines.drain(..end);
            at.is_some()
        });
    }
}

/// `dev-host` as a process, which is killed when this is dropped.
pub struct Host {
    child: Child,
    pub lines: Lines,
    pub errors: Lines,
    readers: [JoinHandle<()>; 2],
}

impl Host {
    /// With any port and the key `key`, if the arguments say nothing else.
    pub fn spawn(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dev-host"));
        for default in [["--port", "0"], ["--key", "key"]] {
            if !arguments.contains(&default[0]) {
                command.args(default);
            }
        }
        Self::run(command.args(arguments).current_dir(folder))
    }

    pub fn run(command: &mut Command) -> Self {
        let command = command.process_group(0);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (lines, errors) = (Lines::default(), Lines::default());
        let readers = [
            collect(child.stdout.take().unwrap(), &lines),
            collect(child.stderr.take().unwrap(), &errors),
        ];
        Self {
            child,
            lines,
            errors,
            readers,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the host says what to call.
    pub fn port(&self) -> u16 {
        let line = self.lines.wait_for("] http://localhost:");
        let (_, rest) = line.split_once("http://localhost:").unwrap();
        rest.split('/').next().unwrap().parse().unwrap()
    }

    /// Signals the whole group, as a terminal does.
    pub fn signal(&self, signal: Signal) {
        kill_process_group(pid(self.child.id()), signal).unwrap();
    }

    /// How the host has ended, and what it wrote to stderr.
    pub fn end(&mut self) -> (ExitStatus, String) {
        let status = eventually("the end of the host", || self.child.try_wait().unwrap());
        let is_over = || self.readers.iter().all(JoinHandle::is_finished);
        wait_until("the end of what it prints", is_over);
        (status, self.errors.with("").join("\n"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stream: impl Read + Send + 'static, lines: &Lines) -> JoinHandle<()> {
    let lines = lines.clone();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            lines.push(&line.unwrap());
        }
    })
}

/// Waits for the end of a handler.
pub fn gone(id: u32) {
    wait_until(&format!("the end of handler {id}"), || {
        // Of a process that nobody has reaped nothing is left but its state.
        fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|s| s.contains(") Z "))
            || test_kill_process(pid(id)).is_err()
    });
}

pub fn pid(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed()).unwrap()
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// All that comes until the connection is closed.
    pub fn read(mut connection: Connection) -> Self {
        let text = connection.rest();
        let parts = text.split_once("\r\n\r\n");
        let (head, body) = parts.unwrap_or_else(|| panic!("{text:?}"));
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// A header that the handler was sent, and has sent back.
    pub fn echoed_header(&self, name: &str) -> Option<&str> {
        header(self.body.split_once("\r\n\r\n").unwrap().0, name)
    }

    pub fn echoed_body(&self) -> &str {
        self.body.split_once("\r\n\r\n").unwrap().1
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut values = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    let value = values.next().map(|(_, value)| value);
    assert!(values.next().is_none(), "{name} twice");
    value
}

/// Sends a request as it is written here, and `connection: close`, and reads the answer.
pub fn send(port: u16, request: &str) -> Answer {
    let mut connection = Connection::to(port);
    connection.send(request.replacen("\r\n", "\r\nconnection: close\r\n", 1));
    Answer::read(connection)
}

/// Method and path, and any headers.
pub fn call(port: u16, what: &str, headers: &str) -> Answer {
    let request = format!("{what} HTTP/1.1\r\nhost: test\r\n{headers}\r\n");
    send(port, &request)
}

/// GET with the function key and, if it isn't empty, an order for the handler.
pub fn get(port: u16, path: &str, order: &str) -> Answer {
    let headers = format!("{KEY}x-do: {order}\r\n");
    call(port, &format!("GET {path}"), &headers)
}

/// The status of a POST with a body, which is never sent again.
pub fn post(port: u16, order: &str) -> u16 {
    let headers = format!("{KEY}x-do: {order}\r\ncontent-length: 1\r\n");
    let request = format!("POST /api/Echo HTTP/1.1\r\nhost: test\r\n{headers}\r\nb");
    send(port, &request).status
}

/// The status of a GET with any key.
pub fn status(port: u16, path: &str, key: &str) -> u16 {
    let header = format!("x-functions-key: {key}\r\n");
    call(port, &format!("GET {path}"), &header).status
}

/// A variable in the environment of the handler.
pub fn variable(port: u16, name: &str) -> String {
    let environment = get(port, "/api/Echo", "environment").body;
    let mut lines = environment.lines().filter_map(|line| line.split_once('='));
    let value = lines.find_map(|(found, value)| (found == name).then(|| value.to_owned()));
    value.unwrap_or_else(|| panic!("{name}: {environment}"))
}

pub fn has(text: &str, part: &str) {
    assert!(text.contains(part), "{text}\nshould have: {part}");
}

/// Calls again and again, on four threads.
pub struct Load {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<u16>>>,
}

impl Load {
    /// Each thread has a caller of its own.
    pub fn start<C: FnMut() -> u16 + Send + 'static>(caller: impl Fn() -> C) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let threads = (0..4).map(|_| {
            let (is_over, mut call) = (Arc::clone(&is_over), caller());
            thread::spawn(move || {
                let mut statuses = Vec::new();
                while !is_over.load(Relaxed) {
                    statuses.push(call());
                }
                statuses
            })
        });
        let threads = threads.collect();
        Self { is_over, threads }
    }

    /// How many calls there were; none has failed.
    pub fn end(self) -> usize {
        self.is_over.store(true, Relaxed);
        let statuses = self.threads.into_iter().flat_map(|it| it.join().unwrap());
        statuses.inspect(|status| assert_eq!(*status, 200)).count()
    }
}
