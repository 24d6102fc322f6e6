//! How to call a function, for the person at the keyboard.

use routes::{Level, Template};

use crate::{
    app::{App, constraint::check, function::Function},
    host::Host,
    proxy::outgoing::encoded_path,
};

impl Host {
    /// All functions, and the keys.
    pub fn greeting(&self) -> String {
        let served = self.served();
        let mut lines = String::new();
        for function in &served.app.functions {
            lines += &self.how_to_call(&served.app, function);
            lines.push('\n');
        }
        lines += &match self.access.is_open {
            true => "No key is checked.\n".to_owned(),
            false => format!(
                "Master key, for every function and the Key Management API: {}\n",
                self.access.keys().master
            ),
        };
        lines
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
        let mut methods = function.methods.iter().flatten().map(String::as_str);
        let method = match methods.clone().find(|method| *method == "GET") {
            Some(get) => get,
            None => methods.next().unwrap_or("GET"),
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
        let header = match key {
            Some(key) => format!(" -H {}", quoted(&format!("x-functions-key: {key}"))),
            None => String::new(),
        };
        let is_it = |path: &String| {
            let found = app.find(method, path);
            found.is_some_and(|(found, _)| found.name == *name)
        };
        let call = match example(&function.route).filter(is_it) {
            Some(path) => {
                let url = quoted(&format!("{}/{}", self.url, encoded_path(&path)));
                format!("curl{option}{header} {url}")
            }
            None => "(which path fits this route cannot be guessed here)".to_owned(),
        };
        format!("{first_line}\n  {call}")
    }
}

/// A path that fits a route.
fn example(route: &str) -> Option<String> {
    let mut depth = 0;
    let segments = route.split(|character| {
        depth += depth_change(character);
        depth == 0 && character == '/'
    });
    Some(segments.map(fitting).collect::<Option<Vec<_>>>()?.join("/"))
}

fn depth_change(character: char) -> i32 {
    i32::from(character == '{') - i32::from(character == '}')
}

/// A text that fits what stands between two slashes.
fn fitting(segment: &str) -> Option<String> {
    let template = Template::parse(segment).ok()?;
    let mut depth = 0;
    let pieces = segment.split_inclusive(|character| {
        depth += depth_change(character);
        depth == 0 && character == '}'
    });
    let texts = pieces
        .map(values)
        .fold(vec![String::new()], |texts, values| {
            let append = |text: String| values.iter().map(move |value| text.clone() + value);
            texts.into_iter().flat_map(append).collect()
        });
    texts.into_iter().find(|text| {
        let fits = |constraint: &_, text: &_| check(constraint).is_ok_and(|fits| fits(text));
        template.parameters(text, fits).is_some()
    })
}

/// What may stand for a piece of a route, a literal with a parameter at its end: in the parameter's
/// place its name, or whatever one of the constraints may ask for.
fn values(piece: &str) -> Vec<String> {
    let Some((literal, parameter)) = piece.split_once('{') else {
        return vec![piece.to_owned()];
    };
    let parameter = parameter.trim_start_matches('*');
    let name = parameter.split([':', '=', '?', '}']).next();
    let numbers = parameter.split(|c: char| !c.is_ascii_digit() && c != '-');
    let numbers: Vec<&str> = numbers.filter(|number| !number.is_empty()).collect();
    let lengths = numbers.iter().filter_map(|number| number.parse().ok());
    let lengths = lengths.filter(|length| *length < 100).chain(1..=4);
    let repeated = lengths.flat_map(|length| ["1".repeat(length), "a".repeat(length)]);
    let guid = "0".repeat(32);
    let usual = ["true", "2026-01-31", &guid].into_iter();
    let texts = name.into_iter().chain(usual).chain(numbers.iter().copied());
    let texts = texts.map(str::to_owned).chain(repeated);
    texts.map(|text| literal.to_owned() + &text).collect()
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
