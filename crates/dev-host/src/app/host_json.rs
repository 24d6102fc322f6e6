//! host.json. What the real host makes of it is in the table "host.json, measured"; what it does
//! not take ends the start here with one line that names the member.

use std::{collections::BTreeMap, env, path::Path, time::Duration};

use routes::read_json;
use serde_json::Value;

use crate::{
    app::throttle::Throttle,
    wire::message::{is_plain, is_token},
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
    pub throttle: Throttle,
}

impl HostJson {
    /// The settings are in the environment of the real host, so they replace members, too.
    pub fn read(root: &Path, settings: &BTreeMap<String, String>) -> Result<Self, String> {
        let settings = settings.iter();
        let settings = settings.map(|(name, value)| (name.into(), value.into()));
        let members = routes::HostJson::read(root, settings.chain(env::vars_os()))?;
        let description = "customHandler:description";
        let member = |name| members.text(&format!("{description}:{name}"));
        let executable = member("defaultExecutablePath").unwrap_or_default();
        if executable.is_empty() {
            return Err(members.problem(
                "customHandler.description.defaultExecutablePath is missing or empty: it says how to \
                 start the handler",
            ));
        }
        let list = format!("{description}:arguments");
        let mut arguments: Vec<String> = match members.text(&list) {
            // A setting holds the whole list, as JSON.
            Some(text) => serde_json::from_str(text)
                .map_err(|_| members.refuse(&list, "a list of texts in JSON"))?,
            None => members.list(&list).into_iter().map(|item| item.1).collect(),
        };
        // As in the host's DefaultWorkerProcessFactory: after the arguments. (The table has it as the
        // first argument; its place beside others is not verified.)
        let worker_path = member("defaultWorkerPath").filter(|path| !path.is_empty());
        arguments.extend(worker_path.map(|path| format!("\"{path}\"")));
        members.require_proxying()?;
        let custom_headers = members.list("extensions:http:customHeaders");
        for (name, value) in &custom_headers {
            if !is_token(name.as_bytes()) || !is_plain(value) {
                let name = format!("extensions.http.customHeaders.{name}");
                return Err(members.problem(&format!("{name} can't be sent as a header")));
            }
        }
        let count = |name| {
            let expected = "a number from 1 on, or -1 for no limit";
            let count = members.parse(name, expected, |text| match text {
                "-1" => Some(None),
                text => text.parse().ok().filter(|count| *count > 0).map(Some),
            });
            Ok::<_, String>(count?.flatten())
        };
        let timeout = members.parse("functionTimeout", "hours:minutes:seconds or -1", time_span)?;
        Ok(Self {
            executable: executable.to_owned(),
            arguments,
            working_directory: member("workingDirectory").unwrap_or_default().to_owned(),
            route_prefix: members.route_prefix()?,
            custom_headers,
            throttle: Throttle::new(
                timeout.flatten(),
                count("extensions:http:maxOutstandingRequests")?,
                count("extensions:http:maxConcurrentRequests")?,
            ),
        })
    }
}

/// What the host does not know of customHandler, and what is meant for a member beside it. The host
/// passes over both without a word.
pub fn misspelt_in_host_json(root: &Path) -> Vec<String> {
    let json = read_json(&root.join("host.json"));
    let json = json.ok().flatten().unwrap_or_default();
    let handler = &json["customHandler"];
    let known = "description enableForwardingHttpRequest enableProxyingHttpRequest http";
    let mut lines = misspelt("host.json: customHandler.", handler, known);
    let at = "host.json: customHandler.description.";
    let known = "arguments defaultExecutablePath defaultWorkerPath workingDirectory";
    lines.extend(misspelt(at, &handler["description"], known));
    let known = "aggregator concurrency customHandler extensionBundle extensions functionTimeout \
                 healthMonitor logging retry singleton telemetryMode version watchDirectories \
                 watchFiles";
    let outer = misspelt("host.json: ", &json, known).into_iter();
    lines.extend(outer.filter(|line| line.ends_with("meant?")));
    lines
}

/// A time of .NET's is shorter than so many days.
const MOST_DAYS: u64 = 10_675_199;

/// `[days.]hours:minutes[:seconds]`; -1 is no limit.
fn time_span(text: &str) -> Option<Option<Duration>> {
    if text == "-1" {
        return Some(None);
    }
    let below = |text: &str, limit| text.parse::<u64>().ok().filter(|number| *number < limit);
    let (days, time) = match text.split_once('.') {
        Some((days, time)) if !days.contains(':') => (below(days, MOST_DAYS)?, time),
        _ => (0, text),
    };
    let parts: Vec<&str> = time.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes] => (hours, minutes, "0"),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    let seconds = seconds.parse().ok().filter(|seconds| *seconds < 60.0)?;
    let minutes = (days * 24 + below(hours, 24)?) * 60 + below(minutes, 60)?;
    let span = Duration::from_secs(minutes * 60) + Duration::try_from_secs_f64(seconds).ok()?;
    (!span.is_zero()).then_some(Some(span))
}

/// One line for each member of an object that is not among the known ones, which have blanks between
/// them; with the one that was probably meant.
pub fn misspelt(at: &str, object: &Value, known: &str) -> Vec<String> {
    let known: Vec<&str> = known.split(' ').collect();
    let names = object
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name);
    let unknown = names.filter(|name| !known.iter().any(|known| known.eq_ignore_ascii_case(name)));
    let line = |name: &String| {
        let most_alike = known.iter().map(|known| (alike(name, known), known)).max();
        match most_alike {
            // Two thirds of it are the same.
            Some((count, meant)) if 3 * count >= 2 * meant.len() => {
                format!("{at}{name} is not known: is {meant} meant?")
            }
            _ => format!("{at}{name} is not known"),
        }
    };
    unknown.map(line).collect()
}

/// How many letters at the beginning and at the end of two words are the same.
fn alike(one: &str, other: &str) -> usize {
    let same = |(one, other): &(u8, u8)| one.eq_ignore_ascii_case(other);
    let start = one.bytes().zip(other.bytes()).take_while(same).count();
    let end = one.bytes().rev().zip(other.bytes().rev()).take_while(same);
    (start + end.count()).min(one.len()).min(other.len())
}
