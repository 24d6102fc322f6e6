//! Checks that a host, this one or another, answers as described in `conformance.json`.
//!
//! That file holds cases in groups, run in their order. What a group gives for `each` holds for
//! those of its cases that don't have that member themselves. A case:
//!
//! | member | meaning |
//! |---|---|
//! | `name` | what it shows |
//! | `send` | method and path, with the query, sent byte for byte |
//! | `key` | the value of `x-functions-key` |
//! | `with` | more headers; a list of values makes one header each |
//! | `body` | text, sent as it is, or else JSON |
//! | `chunked` | the body is sent without its length |
//! | `status` | the status expected, or a list of those permitted |
//! | `headers` | headers expected; null: there must be none; a `*` at the end: begins with |
//! | `answer` | the body expected; empty text: there must be none; left out: anything |
//! | `keep` | values for later cases: a name, and where in the answer the value is |
//! | `only` | `dev-host`: the rule holds here alone |
//!
//! In texts `{master}` stands for the master key, `{random}` for a text that is new in each run,
//! `{url}` for the base URL, and `{NAME}` for what was kept as NAME. In an expected JSON body
//! `{"$integer": [least, greatest]}` is an integer in that range, `"$text"` any text but an empty one,
//! `{"$has": [...]}` an array with such elements among others, `{"$lacks": [...]}` one without,
//! and the member `"..."` permits an object to have more members.

use std::{
    collections::HashMap,
    io::Read,
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Map, Value};
use ureq::{
    Agent, SendBody,
    http::{Request, Response},
};
use uuid::Uuid;

/// The cases, as they lie beside the source.
const CASES: &str = include_str!("../conformance.json");

/// Which host to check.
pub struct Target {
    /// Without a slash at its end.
    pub url: String,
    pub master_key: String,
    pub is_dev_host: bool,
    /// For how long, in all, a case that differs is tried again: a host with several instances can
    /// refuse a key for up to a minute after it was set.
    pub patience: Duration,
}

/// How many cases there were of each kind.
#[derive(Debug, PartialEq)]
pub struct Summary {
    pub passed: usize,
    pub differing: usize,
    /// Those that hold for dev-host alone.
    pub skipped: usize,
}

/// Runs all cases and tells of each one that differs. The target's keys are afterwards as they
/// were: what a case has set and none has deleted is deleted.
///
/// # Errors
///
/// One line: the target can't be reached, or refuses the master key.
pub fn run(target: &Target, mut tell: impl FnMut(&str)) -> Result<Summary, String> {
    let groups: Vec<Group> = serde_json::from_str(CASES).expect("conformance.json holds groups");
    let mut run = Run::new(target);
    let mut summary = Summary {
        passed: 0,
        differing: 0,
        skipped: 0,
    };
    let unreachable = |error| format!("{} can't be asked: {error}", target.url);
    if !run.holds_master_key().map_err(unreachable)? {
        return Err(format!(
            "{} refuses the master key: give the one it has now",
            target.url
        ));
    }
    let mut outcome = Ok(());
    'all: for group in &groups {
        for case in group.cases() {
            if case.only.is_some() && !target.is_dev_host {
                summary.skipped += 1;
                continue;
            }
            match run.check(&case) {
                Ok(None) => summary.passed += 1,
                Ok(Some(difference)) => {
                    summary.differing += 1;
                    tell(&format!(
                        "{}: {}: {}: {difference}",
                        group.group, case.name, case.send
                    ));
                }
                Err(error) => {
                    outcome = Err(unreachable(error));
                    break 'all;
                }
            }
        }
    }
    run.clean_up();
    outcome.map(|()| summary)
}

#[derive(Deserialize)]
struct Group {
    group: String,
    #[serde(default)]
    each: Map<String, Value>,
    cases: Vec<Map<String, Value>>,
}

impl Group {
    fn cases(&self) -> impl Iterator<Item = Case> {
        self.cases.iter().map(|case| {
            let mut whole = self.each.clone();
            whole.extend(case.clone());
            serde_json::from_value(Value::Object(whole)).expect("conformance.json holds cases")
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    send: String,
    key: Option<String>,
    #[serde(default)]
    with: HashMap<String, OneOrMore<String>>,
    body: Option<Value>,
    #[serde(default)]
    chunked: bool,
    status: OneOrMore<u16>,
    #[serde(default)]
    headers: HashMap<String, Option<String>>,
    answer: Option<Value>,
    #[serde(default)]
    keep: HashMap<String, String>,
    only: Option<DevHost>,
}

#[derive(Deserialize)]
enum DevHost {
    #[serde(rename = "dev-host")]
    DevHost,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn all(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(all) => all,
        }
    }
}

struct Run<'a> {
    target: &'a Target,
    agent: Agent,
    names: HashMap<String, String>,
    /// The paths of the keys that were set.
    set: Vec<String>,
    patience_ends: Option<Instant>,
}

impl<'a> Run<'a> {
    fn new(target: &'a Target) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        let names = HashMap::from([
            ("master".to_owned(), target.master_key.clone()),
            ("random".to_owned(), Uuid::new_v4().simple().to_string()),
            ("url".to_owned(), target.url.clone()),
        ]);
        Self {
            target,
            agent,
            names,
            set: Vec::new(),
            patience_ends: None,
        }
    }

    /// Without it most cases would differ, and not for what they are about.
    fn holds_master_key(&self) -> Result<bool, ureq::Error> {
        let answer = self
            .agent
            .get(format!("{}/admin/host/keys", self.target.url))
            .header("x-functions-key", &self.target.master_key)
            .call()?;
        Ok(answer.status() == 200)
    }

    fn check(&mut self, case: &Case) -> Result<Option<String>, ureq::Error> {
        loop {
            let (answer, body) = self.send(case)?;
            let difference = self.difference(case, &answer, &body);
            if difference.is_none() {
                self.keep(case, &answer, &body);
                return Ok(None);
            }
            let ends = *self
                .patience_ends
                .get_or_insert_with(|| Instant::now() + self.target.patience);
            // Only a call of a function is sure to do no harm when it is repeated.
            if self.is_admin(case) || Instant::now() >= ends {
                self.keep(case, &answer, &body);
                return Ok(difference);
            }
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn is_admin(&self, case: &Case) -> bool {
        case.send.to_ascii_lowercase().contains(" /admin")
    }

    fn send(&self, case: &Case) -> Result<(Response<()>, Vec<u8>), ureq::Error> {
        let send = self.filled(&case.send);
        let (method, path) = send.split_once(' ').expect("send is a method and a path");
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.target.url));
        if let Some(key) = &case.key {
            request = request.header("x-functions-key", self.filled(key));
        }
        for (name, values) in &case.with {
            for value in values.all() {
                request = request.header(name, self.filled(value));
            }
        }
        let body = match &case.body {
            None => None,
            Some(Value::String(text)) => Some(self.filled(text)),
            Some(json) => {
                request = request.header("content-type", "application/json");
                Some(self.filled(&json.to_string()))
            }
        };
        let answer = match body {
            // With no body at all the client would send an empty one in chunks.
            None if matches!(method, "POST" | "PUT") => self.agent.run(request.body("")?)?,
            None => self.agent.run(request.body(())?)?,
            Some(body) if case.chunked => {
                let mut reader = body.as_bytes();
                self.agent
                    .run(request.body(SendBody::from_reader(&mut reader))?)?
            }
            Some(body) => self.agent.run(request.body(body)?)?,
        };
        let (head, body) = answer.into_parts();
        let mut bytes = Vec::new();
        body.into_reader()
            .read_to_end(&mut bytes)
            .map_err(ureq::Error::Io)?;
        Ok((Response::from_parts(head, ()), bytes))
    }

    /// What differs, if anything does.
    fn difference(&self, case: &Case, answer: &Response<()>, body: &[u8]) -> Option<String> {
        let status = answer.status().as_u16();
        if !case.status.all().contains(&status) {
            let expected: Vec<String> = case.status.all().iter().map(u16::to_string).collect();
            return Some(format!(
                "status {status}, expected {}",
                expected.join(" or ")
            ));
        }
        for (name, expected) in &case.headers {
            let found = answer
                .headers()
                .get(name)
                .map(|v| String::from_utf8_lossy(v.as_bytes()));
            let expected = expected.as_ref().map(|expected| self.filled(expected));
            let same = match (&expected, &found) {
                (None, None) => true,
                (Some(expected), Some(found)) => match expected.strip_suffix('*') {
                    Some(start) => found.starts_with(start),
                    None => expected == found,
                },
                _ => false,
            };
            if !same {
                return Some(format!("header {name} is {found:?}, expected {expected:?}"));
            }
        }
        let expected = case.answer.as_ref()?;
        if let Value::String(text) = expected {
            let same = self.filled(text).as_bytes() == body;
            return (!same).then(|| format!("a body of {} bytes, expected {text:?}", body.len()));
        }
        match serde_json::from_slice(body) {
            Ok(found) => self.mismatch(expected, &found, "the body"),
            Err(_) => Some(format!("a body of {} bytes that is no JSON", body.len())),
        }
    }

    /// Where the JSON found is not what is expected. What was found is not told: it can be a key.
    fn mismatch(&self, expected: &Value, found: &Value, at: &str) -> Option<String> {
        let unlike = || Some(format!("{at} is not as expected: {expected}"));
        match (expected, found) {
            (Value::String(text), _) if text == "$text" => match found.as_str() {
                None | Some("") => unlike(),
                Some(_) => None,
            },
            (Value::String(text), Value::String(found)) if self.filled(text) == *found => None,
            (Value::Object(members), _) if members.contains_key("$integer") => {
                let [least, greatest] = [0, 1].map(|index| {
                    let bound = members["$integer"][index].as_i64();
                    bound.expect("$integer is a list of two integers")
                });
                match found.as_i64() {
                    Some(number) if (least..=greatest).contains(&number) => None,
                    _ => unlike(),
                }
            }
            (Value::Object(members), Value::Array(elements))
                if members.contains_key("$has") || members.contains_key("$lacks") =>
            {
                let matches = |expected: &Value| {
                    elements
                        .iter()
                        .any(|e| self.mismatch(expected, e, at).is_none())
                };
                let each = |name| {
                    members
                        .get(name)
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten()
                };
                let fits = each("$has").all(matches) && !each("$lacks").any(matches);
                if fits { None } else { unlike() }
            }
            (Value::Object(members), Value::Object(found)) => {
                let more = members.contains_key("...");
                let unknown = found.keys().find(|name| !members.contains_key(*name));
                if let Some(name) = unknown.filter(|_| !more) {
                    return Some(format!(
                        "{at} has the member {name:?}, which is not expected"
                    ));
                }
                members
                    .iter()
                    .filter(|(name, _)| *name != "...")
                    .find_map(|(name, expected)| {
                        let found = found.get(name).unwrap_or(&Value::Null);
                        self.mismatch(expected, found, &format!("{at}/{name}"))
                    })
            }
            (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
                let mut pairs = expected.iter().zip(found).enumerate();
                pairs.find_map(|(index, (e, f))| self.mismatch(e, f, &format!("{at}/{index}")))
            }
            _ if expected == found => None,
            _ => unlike(),
        }
    }

    /// Remembers what later cases, and the clean-up, need of an answer.
    fn keep(&mut self, case: &Case, answer: &Response<()>, body: &[u8]) {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        for (name, pointer) in &case.keep {
            if let Some(value) = json.pointer(pointer).and_then(Value::as_str) {
                self.names.insert(name.clone(), value.to_owned());
            }
        }
        let send = self.filled(&case.send);
        let (method, path) = send.split_once(' ').unwrap_or_default();
        let sets = matches!(method, "PUT" | "POST") && self.is_admin(case);
        if sets && answer.status().is_success() {
            self.set.push(path.to_owned());
        }
    }

    /// Deletes what was set; most of it some case has deleted already.
    fn clean_up(&mut self) {
        for path in &self.set {
            let _ = self
                .agent
                .delete(format!("{}{path}", self.target.url))
                .header("x-functions-key", &self.target.master_key)
                .call();
        }
    }

    /// A text with its names replaced by what they stand for.
    fn filled(&self, text: &str) -> String {
        self.names
            .iter()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("{{{name}}}"), value)
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(expected: Value, found: Value) -> bool {
        let target = Target {
            url: "http://localhost".to_owned(),
            master_key: "m".to_owned(),
            is_dev_host: true,
            patience: Duration::ZERO,
        };
        let run = Run::new(&target);
        run.mismatch(&expected, &found, "the body").is_none()
    }

    #[test]
    #[should_panic = "two integers"]
    fn a_malformed_range_matches_nothing() {
        matches(json!({"$integer": [1, "999"]}), json!(1));
    }

    #[test]
    fn a_body_is_matched_by_its_shape() {
        let range = json!({"value": {"$integer": [1, 999]}});
        for (expected, found, is_match) in [
            (range.clone(), json!({"value": 1}), true),
            (range.clone(), json!({"value": 999}), true),
            (range.clone(), json!({"value": 0}), false),
            (range.clone(), json!({"value": 1000}), false),
            (range.clone(), json!({"value": "1"}), false),
            (range.clone(), json!({"value": 1, "more": 1}), false),
            (range, json!({}), false),
            (json!({"a": 1, "...": 1}), json!({"a": 1, "b": 2}), true),
            (json!({"a": 1, "...": 1}), json!({"b": 2}), false),
            (json!("$text"), json!("x"), true),
            (json!("$text"), json!(""), false),
            (json!("{master}"), json!("m"), true),
            (json!("{master}"), json!("n"), false),
            (json!({"$has": [1]}), json!([2, 1]), true),
            (json!({"$has": [1]}), json!([2]), false),
            (json!({"$lacks": [1]}), json!([2]), true),
            (json!({"$lacks": [1]}), json!([2, 1]), false),
            (json!([1, 2]), json!([1, 3]), false),
        ] {
            let case = format!("{expected} and {found}");
            assert_eq!(matches(expected, found), is_match, "{case}");
        }
    }
}
