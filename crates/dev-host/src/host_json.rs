//! host.json. What the real host makes of it is in the table "host.json, measured"; what it does
//! not take ends the start here with one line that names the member.

use std::{collections::BTreeMap, env, time::Duration};

use serde_json::Value;

use crate::{
    http::{is_plain, is_token},
    limits::CallLimits,
};

pub struct HostJson {
    pub executable: String,
    pub arguments: Vec<String>,
    /// Relative to the app root.
    pub working_directory: String,
    /// Without a slash at either end.
    pub route_prefix: String,
    /// On every answer of the host.
    pub custom_headers: Vec<(String, String)>,
    pub limits: CallLimits,
}

/// A setting that begins so replaces a member of host.json; `__` goes between the names.
const OVERRIDE: &str = "AzureFunctionsJobHost__";

impl HostJson {
    /// # Errors
    ///
    /// What is wrong, with the member's name.
    pub fn read(json: &Value, settings: &BTreeMap<String, String>) -> Result<Self, String> {
        // Unlike all other names this one has to be in small letters, and no setting replaces it.
        if json["version"] != "2.0" {
            return Err("version has to be \"2.0\"".to_owned());
        }
        let members = Members::new(json, settings);
        let description = "customHandler:description";
        if members.list(description).is_empty() {
            return Err(
                "customHandler.description is missing: it says how to start the handler".to_owned(),
            );
        }
        let member = |name| members.text(&format!("{description}:{name}"));
        let executable = member("defaultExecutablePath").unwrap_or_default();
        if executable.is_empty() {
            return Err(
                "customHandler.description.defaultExecutablePath is empty: give the handler's \
                 executable"
                    .to_owned(),
            );
        }
        let list = format!("{description}:arguments");
        let mut arguments: Vec<String> = match members.text(&list) {
            // A setting holds the whole list, as JSON.
            Some(text) => serde_json::from_str(text)
                .map_err(|_| members.refuse(&list, "a list of texts in JSON"))?,
            None => members
                .list(&list)
                .into_iter()
                .map(|(_, value)| value)
                .collect(),
        };
        // As in the host's DefaultWorkerProcessFactory: after the arguments. (The table has it as the
        // first argument; its place beside others is not verified.)
        arguments.extend(
            member("defaultWorkerPath")
                .filter(|path| !path.is_empty())
                .map(|path| format!("\"{path}\"")),
        );
        let flag = |name| -> Result<bool, String> {
            let flag = members.parse(name, "true or false", |text| {
                text.to_ascii_lowercase().parse().ok()
            });
            Ok(flag?.unwrap_or_default())
        };
        let is_forwarding = flag("customHandler:enableForwardingHttpRequest")?;
        if !flag("customHandler:enableProxyingHttpRequest")? {
            // For forwarding: routes-odd.jsonl, `items/..%5CRandomNumber`.
            let why = match is_forwarding {
                true => {
                    "enableForwardingHttpRequest alone can send the handler another path than the \
                     one whose key was checked"
                }
                false => "without it the handler gets its calls as JSON",
            };
            return Err(format!(
                "customHandler needs \"enableProxyingHttpRequest\": true; {why}, which is not \
                 supported here"
            ));
        }
        let custom_headers = members
            .list("extensions:http:customHeaders")
            .into_iter()
            .map(
                |(name, value)| match is_token(name.as_bytes()) && is_plain(&value) {
                    true => Ok((name, value)),
                    false => Err(format!(
                        "extensions.http.customHeaders.{name} can't be sent as a header"
                    )),
                },
            )
            .collect::<Result<_, _>>()?;
        let count = |name| {
            let count =
                members.parse(
                    name,
                    "a number from 1 on, or -1 for no limit",
                    |text| match text {
                        "-1" => Some(None),
                        text => text.parse().ok().filter(|count| *count > 0).map(Some),
                    },
                );
            Ok::<_, String>(count?.flatten())
        };
        let timeout = members.parse("functionTimeout", "hours:minutes:seconds or -1", time_span)?;
        Ok(Self {
            executable: executable.to_owned(),
            arguments,
            working_directory: member("workingDirectory").unwrap_or_default().to_owned(),
            route_prefix: members
                .text("extensions:http:routePrefix")
                .unwrap_or("api")
                .trim_matches('/')
                .to_owned(),
            custom_headers,
            limits: CallLimits::new(
                timeout.flatten(),
                count("extensions:http:maxOutstandingRequests")?,
                count("extensions:http:maxConcurrentRequests")?,
            ),
        })
    }
}

/// The members by their names joined with colons, in small letters, as .NET's configuration has
/// them: every value is text. The last name is kept as it was written.
struct Members(BTreeMap<String, (String, String)>);

impl Members {
    fn new(json: &Value, settings: &BTreeMap<String, String>) -> Self {
        let mut members = Self(BTreeMap::new());
        members.add(String::new(), json);
        let settings = settings.clone().into_iter();
        // The environment comes last, for it goes before local.settings.json.
        let environment = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        for (name, value) in settings.chain(environment) {
            if let Some((start, member)) = name.split_at_checked(OVERRIDE.len())
                && start.eq_ignore_ascii_case(OVERRIDE)
            {
                members.set(member.replace("__", ":"), value);
            }
        }
        members
    }

    fn add(&mut self, name: String, value: &Value) {
        let below = |inner: &str| match name.as_str() {
            "" => inner.to_owned(),
            name => format!("{name}:{inner}"),
        };
        match value {
            Value::Object(members) => {
                for (inner, value) in members {
                    self.add(below(inner), value);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    self.add(below(&index.to_string()), value);
                }
            }
            Value::Null => {}
            Value::String(text) => self.set(name, text.clone()),
            other => self.set(name, other.to_string()),
        }
    }

    fn set(&mut self, name: String, value: String) {
        let last = name.rsplit(':').next().unwrap_or_default().to_owned();
        self.0.insert(name.to_lowercase(), (last, value));
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(&name.to_lowercase())
            .map(|(_, value)| value.as_str())
    }

    /// The members below a name: their last names and values, list items in their order.
    fn list(&self, name: &str) -> Vec<(String, String)> {
        let start = format!("{}:", name.to_lowercase());
        let mut found: Vec<_> = self
            .0
            .iter()
            .filter(|(name, _)| name.starts_with(&start))
            .map(|(_, member)| member.clone())
            .collect();
        found.sort_by_key(|(name, _)| name.parse::<usize>().unwrap_or_default());
        found
    }

    fn parse<T>(
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

    fn refuse(&self, name: &str, expected: &str) -> String {
        let value = self.text(name).unwrap_or_default();
        format!("{} is {value:?}: give {expected}", name.replace(':', "."))
    }
}

/// `[days.]hours:minutes[:seconds]`; -1 is no limit.
fn time_span(text: &str) -> Option<Option<Duration>> {
    if text == "-1" {
        return Some(None);
    }
    let (days, time) = match text.split_once('.') {
        Some((days, time)) if !days.contains(':') => (days.parse().ok()?, time),
        _ => (0, text),
    };
    let parts: Vec<&str> = time.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes] => (hours, minutes, "0"),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    let below = |text: &str, limit| text.parse::<u64>().ok().filter(|number| *number < limit);
    let seconds = seconds.parse().ok().filter(|seconds| *seconds < 60.0)?;
    let minutes = (days * 24 + below(hours, 24)?) * 60 + below(minutes, 60)?;
    let span = Duration::from_secs(minutes * 60) + Duration::try_from_secs_f64(seconds).ok()?;
    (!span.is_zero()).then_some(Some(span))
}
