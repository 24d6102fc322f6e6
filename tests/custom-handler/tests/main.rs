//! A program that uses the library, started as a Functions host starts it and called over TCP.

mod bodies;
mod logs;
mod process;
mod routes;
mod start;

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{
    handler::{Ended, Handler},
    put,
};

const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// A function app whose functions the handler has.
struct App(TempDir);

impl App {
    fn new() -> Self {
        let app = Self(TempDir::new().unwrap());
        app.host_json(json!({}));
        app
    }

    /// Of functions that take every call of their name.
    fn of(names: &[&str]) -> Self {
        let app = Self::new();
        for name in names {
            app.function(name, json!({}));
        }
        app
    }

    /// host.json with these members, beside those that it needs.
    fn host_json(&self, members: Value) {
        let mut host = json!({"version": "2.0", "customHandler": {
            "description": {"defaultExecutablePath": "handler"},
            "enableProxyingHttpRequest": true,
        }});
        for (name, value) in members.as_object().unwrap() {
            host[name] = value.clone();
        }
        self.write("host.json", host);
    }

    /// A function with these members of its trigger.
    fn function(&self, name: &str, trigger: Value) {
        let mut all = json!({"type": "httpTrigger", "direction": "in", "name": "req"});
        for (name, value) in trigger.as_object().unwrap() {
            all[name] = value.clone();
        }
        let answer = json!({"type": "http", "direction": "out", "name": "$return"});
        let bindings = json!({"bindings": [all, answer]});
        self.write(&format!("{name}/function.json"), bindings);
    }

    fn write(&self, file: &str, content: impl ToString) {
        put(self.0.path(), file, content.to_string());
    }

    /// The handler, with no variable but these.
    fn command(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_echo-handler"));
        command.current_dir(self.0.path()).env_clear();
        command.envs(variables.iter().copied());
        command
    }

    fn spawn(&self, variables: &[(&str, &str)]) -> Result<Handler, Ended> {
        Handler::spawn(self.command(variables))
    }

    /// On a free port.
    fn start(&self) -> Handler {
        self.start_with(&[])
    }

    fn start_with(&self, variables: &[(&str, &str)]) -> Handler {
        let mut all = vec![(PORT, "0")];
        all.extend(variables);
        self.spawn(&all).expect("it listens")
    }

    /// The line with which the handler refuses to start.
    fn refusal(&self, variables: &[(&str, &str)]) -> String {
        let mut all = vec![(PORT, "0")];
        all.extend(variables);
        let ended = self.spawn(&all).err().expect("a refusal");
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert_eq!(ended.stdout, Vec::<String>::new(), "{ended:?}");
        let line = ended.stderr.last().unwrap().clone();
        assert!(line.starts_with("ERROR - "), "{line}");
        line
    }
}

/// The function that the tests call where it doesn't matter which.
const ENDPOINT: &str = "/api/Echo";

fn start() -> Handler {
    App::of(&["Echo"]).start()
}
