//! How to call a function, for the person at the keyboard.

use routes::{Constraint, Level};

use crate::{
    app::{App, function::Function},
    host::Host,
    proxy::outgoing::encoded_path,
};

impl Host {
    /// All functions, and the keys.
    pub fn greeting(&self) -> String {
        let app = &self.served().app;
        let calls = app.functions.iter().map(|it| self.how_to_call(app, it));
        let keys = match self.access.is_open {
            true => "No key is checked.\n".to_owned(),
            false => format!(
                "Master key, for every function and the Key Management API: {}\n",
                self.access.keys().master
            ),
        };
        calls.chain([keys]).collect::<Vec<_>>().join("\n")
    }

    /// Its methods and URL, and a command that calls it.
    pub fn how_to_call(&self, app: &App, function: &Function) -> String {
        let name = &function.name;
        let listed = match &function.methods {
            None => "any method".to_owned(),
            Some(methods) => methods.join(", "),
        };
        let state = if function.disabled { " (disabled)" } else { "" };
        let first_line = format!("{name}: [{listed}] {}/{}{state}", self.url, function.route);
        let method = match function.methods.as_deref().unwrap_or_default() {
            [first, others @ ..] if !others.iter().any(|other| other == "GET") => first,
            _ => "GET",
        };
        let option = match method {
            "GET" => String::new(),
            // With -X curl would wait for a body.
            "HEAD" => " --head".to_owned(),
            method => format!(" -X {method}"),
        };
        let mut keys = self.access.keys();
        let key = match function.level {
            _ if self.access.is_open => None,
            _ if function.disabled => Some(keys.master.clone()),
            Level::Anonymous => None,
            Level::Function => keys.default_of(name),
            Level::Admin => Some(keys.master.clone()),
        };
        let header = key.map(|key| format!(" -H {}", quoted(&format!("x-functions-key: {key}"))));
        let header = header.unwrap_or_default();
        let is_it = |path: &String| {
            let found = app.find(method, path);
            found.is_some_and(|(found, _)| found.name == *name)
        };
        let call = match function.example(texts).filter(is_it) {
            Some(path) => {
                let url = quoted(&format!("{}/{}", self.url, encoded_path(&path)));
                format!("curl{option}{header} {url}")
            }
            None => "(which path fits this route cannot be guessed here)".to_owned(),
        };
        format!("{first_line}\n  {call}")
    }
}

/// What may stand for a parameter: its name, or whatever one of its constraints may ask for.
fn texts(name: &str, constraints: &[Constraint]) -> Vec<String> {
    let arguments = constraints.iter().filter_map(|it| it.arguments.as_deref());
    let numbers = arguments.flat_map(|text| text.split(|c: char| !c.is_ascii_digit() && c != '-'));
    let numbers: Vec<&str> = numbers.filter(|number| !number.is_empty()).collect();
    let lengths = numbers.iter().filter_map(|number| number.parse().ok());
    let lengths = lengths.filter(|length| *length < 100).chain(1..=4);
    let repeated = lengths.flat_map(|length| ["1".repeat(length), "a".repeat(length)]);
    let guid = "0".repeat(32);
    let usual = [name, "1", "true", "2026-01-31", &guid].into_iter();
    let usual = usual.chain(numbers.iter().copied()).map(str::to_owned);
    usual.chain(repeated).collect()
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
