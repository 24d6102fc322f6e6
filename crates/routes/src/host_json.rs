//! host.json, and the variables that go before it.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use serde_json::Value;

use crate::{
    json::{kind, read_json},
    text::is_same,
};

/// A variable that begins so replaces a member of host.json; `__` goes between the names.
const OVERRIDE: &str = "AzureFunctionsJobHost";

/// The members of host.json that decide which function a call is for and how it is passed on.
const KNOWN: [(&str, &str); 8] = [
    ("version", "a text"),
    ("customHandler", "an object"),
    ("customHandler:description", "an object"),
    (PROXYING, "a boolean"),
    (FORWARDING, "a boolean"),
    ("extensions", "an object"),
    ("extensions:http", "an object"),
    (PREFIX, "a text"),
];
const PROXYING: &str = "customHandler:enableProxyingHttpRequest";
const FORWARDING: &str = "customHandler:enableForwardingHttpRequest";
const PREFIX: &str = "extensions:http:routePrefix";

/// host.json as .NET's configuration has it: each value is a text, under the names of its members
/// joined with colons, in any letter case.
pub struct HostJson {
    path: String,
    /// By the joined names in small letters; with the last name as it was written, and the value.
    members: BTreeMap<String, (String, String)>,
}

impl HostJson {
    /// Reads host.json in the app root. `variables` are the environment's, or those that the host
    /// will have in its environment.
    ///
    /// # Errors
    ///
    /// One line: the file, and what is wrong with which member.
    pub fn read(
        root: &Path,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, String> {
        let file = root.join("host.json");
        let path = file.display().to_string();
        let json = match read_json(&file) {
            Err(problem) if problem.ends_with("is empty") => Err(format!(
                "{problem}: the least that it needs is {{\"version\": \"2.0\", \"customHandler\": \
                 {{\"description\": {{\"defaultExecutablePath\": \"handler\"}}, \
                 \"enableProxyingHttpRequest\": true}}}}"
            )),
            Ok(None) => Err(format!(
                "{path} is missing: the app root is the folder that has it"
            )),
            read => read.map(Option::unwrap_or_default),
        }?;
        let mut host = Self {
            path,
            members: BTreeMap::new(),
        };
        host.add("", &json)
            .map_err(|problem| host.problem(&problem))?;
        // The one member that no variable replaces.
        if host.text("version") != Some("2.0") {
            return Err(host.problem("version has to be \"2.0\""));
        }
        host.replace(variables)?;
        Ok(host)
    }

    /// `extensions.http.routePrefix`: what stands before the route of each function.
    ///
    /// # Errors
    ///
    /// One line: the host could take it otherwise than it is written.
    pub fn route_prefix(&self) -> Result<String, String> {
        let prefix = self.text(PREFIX).unwrap_or("api");
        let is_odd = prefix.starts_with(['/', '~']) || prefix.ends_with('/');
        if is_odd || !prefix.is_empty() && prefix.trim().is_empty() {
            return Err(self.refuse(
                PREFIX,
                "a text without / or ~ at its beginning and without / at its end, or \"\" for none",
            ));
        }
        Ok(prefix.to_owned())
    }

    /// Whether calls are passed on as they come (`enableProxyingHttpRequest`), and in no other way.
    ///
    /// # Errors
    ///
    /// One line: what to write, and why.
    pub fn require_proxying(&self) -> Result<(), String> {
        let name = |name: &str| name.replace(':', ".");
        if self.flag(FORWARDING)? {
            return Err(self.problem(&format!(
                "{} is true: write \"enableProxyingHttpRequest\": true in its place, for when \
                 forwarding the host sends the handler another path than the one by which it has \
                 chosen the function and checked the key",
                name(FORWARDING)
            )));
        }
        match self.flag(PROXYING)? {
            true => Ok(()),
            false => Err(self.problem(&format!(
                "{} is not true: set it to true, for without it the host sends the handler JSON \
                 in place of the client's request",
                name(PROXYING)
            ))),
        }
    }

    /// The value of a member.
    pub fn text(&self, name: &str) -> Option<&str> {
        let member = self.members.get(&name.to_lowercase());
        member.map(|(_, value)| value.as_str())
    }

    /// The members below a name: their last names and values, list items in their order.
    pub fn list(&self, name: &str) -> Vec<(String, String)> {
        let start = format!("{}:", name.to_lowercase());
        let found = self.members.iter();
        let found = found.filter(|(name, _)| name.starts_with(&start));
        let mut found: Vec<_> = found.map(|(_, member)| member.clone()).collect();
        found.sort_by_key(|(name, _)| name.parse::<usize>().unwrap_or_default());
        found
    }

    /// A boolean, which may be written as a text; false if it isn't there.
    ///
    /// # Errors
    ///
    /// One line: it is neither true nor false.
    pub fn flag(&self, name: &str) -> Result<bool, String> {
        let flag = self.parse(name, "true or false", |text| {
            text.to_ascii_lowercase().parse().ok()
        });
        Ok(flag?.unwrap_or_default())
    }

    /// A value that is more than a text; none if it isn't there.
    ///
    /// # Errors
    ///
    /// One line: it can't be parsed, and what is expected.
    pub fn parse<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        match self.text(name) {
            None => Ok(None),
            Some(text) => match parse(text) {
                Some(value) => Ok(Some(value)),
                None => Err(self.refuse(name, expected)),
            },
        }
    }

    /// One line that says what to give for a member.
    pub fn refuse(&self, name: &str, expected: &str) -> String {
        let value = self.text(name).unwrap_or_default();
        let name = name.replace(':', ".");
        self.problem(&format!("{name} is {value:?}: give {expected}"))
    }

    /// One line that begins with the file.
    pub fn problem(&self, problem: &str) -> String {
        format!("{}: {problem}", self.path)
    }

    fn add(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let shown = name.replace(':', ".");
        if let Some((known, expected)) = KNOWN.iter().find(|(known, _)| is_same(known, name)) {
            if *known != name {
                let known = known.replace(':', ".");
                return Err(format!("{shown} is in another letter case: write {known}"));
            }
            let is_flag = *expected == "a boolean" && value.is_string();
            if kind(value) != *expected && !is_flag {
                return Err(format!("{shown} is {}: give {expected}", kind(value)));
            }
        }
        let mut below = |inner: &str, value| match (inner.contains(':'), name) {
            (true, _) => Err(format!(
                "{inner:?} has a colon in its name: write an object within an object instead"
            )),
            (false, "") => self.add(inner, value),
            (false, name) => self.add(&format!("{name}:{inner}"), value),
        };
        match value {
            Value::Object(members) => members
                .iter()
                .try_for_each(|(inner, value)| below(inner, value)),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| below(&index.to_string(), value)),
            Value::Null => Ok(()),
            Value::String(text) => {
                self.set(name, text.clone());
                Ok(())
            }
            other => {
                self.set(name, other.to_string());
                Ok(())
            }
        }
    }

    fn set(&mut self, name: &str, value: String) {
        let last = name.rsplit(':').next().unwrap_or_default().to_owned();
        self.members.insert(name.to_lowercase(), (last, value));
    }

    fn replace(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), String> {
        let mut replaced: BTreeMap<String, (String, String)> = BTreeMap::new();
        for (variable, value) in variables {
            let (Ok(variable), Ok(value)) = (variable.into_string(), value.into_string()) else {
                continue;
            };
            let Some((start, rest)) = variable.split_at_checked(OVERRIDE.len()) else {
                continue;
            };
            if !start.eq_ignore_ascii_case(OVERRIDE)
                || !rest.starts_with("__") && !rest.starts_with(':')
            {
                continue;
            }
            if rest.contains(':') {
                return Err(format!(
                    "the variable {variable} has a colon in its name: write __ in its place"
                ));
            }
            let name = rest[2..].replace("__", ":");
            let known = replaced.insert(name.to_lowercase(), (variable.clone(), value.clone()));
            if let Some((other, known)) = known
                && known != value
            {
                return Err(format!(
                    "the variables {other} and {variable} stand for one member of host.json, with \
                     different values: unset one of them"
                ));
            }
            self.set(&name, value);
        }
        Ok(())
    }
}
