//! Apps with the tests' handler, hosts for them, and requests written byte for byte.

// Each test file uses a part of this.
#![allow(dead_code)]

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use dev_host::{Console, Options, Running};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::client::Connection;
pub use test_support::process::eventually;

pub const PROXYING: bool = true;
pub const FORWARDING: bool = false;

/// A function app in a folder of its own.
pub struct TestApp(TempDir);

impl TestApp {
    /// With the function Echo, which takes every method and, by the function key `key`, anyone.
    pub fn new() -> Self {
        let app = Self(tempfile::tempdir().unwrap());
        app.host_json(PROXYING, &[]);
        app.function("Echo", json!({"type": "httpTrigger"}));
        app
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, file: &str, content: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn host_json(&self, is_proxying: bool, arguments: &[&str]) {
        let host = json!({
            "version": "2.0",
            "customHandler": {
                "description": {
                    "defaultExecutablePath": env!("CARGO_BIN_EXE_test-handler"),
                    "arguments": arguments,
                },
                "enableProxyingHttpRequest": is_proxying,
                "enableForwardingHttpRequest": true,
            },
        });
        self.write("host.json", &host.to_string());
    }

    /// As at the start, and with other members.
    pub fn host_json_with(&self, members: &Value) {
        self.host_json(PROXYING, &[]);
        let text = fs::read_to_string(self.path().join("host.json")).unwrap();
        let mut host: Value = serde_json::from_str(&text).unwrap();
        for (name, value) in members.as_object().unwrap() {
            host[name] = value.clone();
        }
        self.write("host.json", &host.to_string());
    }

    pub fn function(&self, name: &str, mut trigger: Value) {
        trigger["name"] = json!("req");
        let answer = json!({"type": "http", "direction": "out", "name": "$return"});
        let function = json!({"bindings": [trigger, answer]});
        self.write(&format!("{name}/function.json"), &function.to_string());
    }

    /// The process ids of all starts of the handler.
    pub fn starts(&self) -> Vec<u32> {
        fs::read_to_string(self.path().join("starts"))
            .unwrap_or_default()
            .lines()
            .map(|line| line.parse().unwrap())
            .collect()
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
}

/// A console that remembers.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub fn console(&self) -> Console {
        let lines = self.clone();
        Console::new(move |line| lines.push(line))
    }

    pub fn push(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn wait_for(&self, text: &str) -> String {
        eventually(&format!("a line with {text:?}"), || {
            self.all().into_iter().find(|line| line.contains(text))
        })
    }
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
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{text:?}"));
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// The head that the handler was sent, which it has sent back, its header lines sorted.
    pub fn echoed(&self) -> (String, Vec<String>) {
        let (head, _) = self.body.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n").map(str::to_owned);
        let first = lines.next().unwrap();
        let mut headers: Vec<String> = lines.collect();
        headers.sort();
        (first, headers)
    }

    pub fn echoed_body(&self) -> &str {
        self.body.split_once("\r\n\r\n").unwrap().1
    }

    pub fn echoed_header(&self, name: &str) -> Option<String> {
        let (_, headers) = self.echoed();
        headers.iter().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    }
}

/// Sends a request as it is written here, and `connection: close`, and reads the answer.
pub fn send(port: u16, request: &str) -> Answer {
    let mut connection = Connection::to(port);
    connection.send(request.replacen("\r\n", "\r\nconnection: close\r\n", 1));
    Answer::read(connection)
}

/// GET with the function key and, if it isn't empty, an order for the handler.
pub fn get(port: u16, path: &str, order: &str) -> Answer {
    let order = match order {
        "" => String::new(),
        order => format!("x-do: {order}\r\n"),
    };
    send(
        port,
        &format!("GET {path} HTTP/1.1\r\nhost: test\r\nx-functions-key: key\r\n{order}\r\n"),
    )
}
