//! A function app as it lies on the disk: host.json, `*/function.json`, local.settings.json.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
    sync::Once,
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{auth::Level, forward::Mode};

/// What the host has to know of a function app.
pub struct App {
    pub root: PathBuf,
    pub handler: Description,
    pub mode: Mode,
    pub functions: Vec<Function>,
    /// The app settings that are not in the environment anyway.
    pub settings: Vec<(String, String)>,
    /// One line each: what the real host takes without a word although it can't be meant.
    pub warnings: Vec<String>,
}

/// A function with an HTTP trigger.
pub struct Function {
    pub name: String,
    /// The whole route, prefix included, without a slash at either end.
    pub route: String,
    /// In capitals; empty stands for all.
    pub methods: Vec<String>,
    pub level: Level,
    pub disabled: bool,
    /// Used up when the handler first answers 404 to a call of the function.
    pub hint: Once,
}

impl App {
    /// Reads the app in `root`.
    ///
    /// # Errors
    ///
    /// One line: the file, its line if the JSON is at fault, and what is wrong.
    pub fn read(root: &Path) -> Result<Self, String> {
        let root = root.canonicalize().map_err(|error| {
            format!(
                "no app root at {} ({error}): give the folder with host.json",
                root.display()
            )
        })?;
        let host: HostJson = read(&root.join("host.json"), |_| {})?.ok_or_else(|| {
            format!(
                "{} has no host.json: give the folder of a function app (--app-root)",
                root.display()
            )
        })?;
        let settings: LocalSettings =
            read(&root.join("local.settings.json"), |_| {})?.unwrap_or_default();
        let refuse = |file, what| Err(format!("{}: {what}", root.join(file).display()));
        if host.version != "2.0" {
            return refuse("host.json", "the version has to be \"2.0\"");
        }
        if settings.is_encrypted {
            return refuse(
                "local.settings.json",
                "encrypted settings are not supported here: run `func settings decrypt`",
            );
        }
        let handler = host.custom_handler;
        let mode = if handler.enable_proxying_http_request {
            Mode::Proxying
        } else if handler.enable_forwarding_http_request {
            Mode::Forwarding
        } else {
            return refuse(
                "host.json",
                "without enableProxyingHttpRequest or enableForwardingHttpRequest in \
                 customHandler the handler gets its invocations as JSON, which is not supported \
                 here: set one to true",
            );
        };

        let mut warnings = Vec::new();
        let prefix = &host.extensions.http.route_prefix;
        Ok(Self {
            functions: functions(&root, prefix, &settings.values, &mut warnings)?,
            handler: handler.description,
            mode,
            // Core Tools leaves alone what the environment has already set.
            settings: settings
                .values
                .into_iter()
                .filter(|(name, _)| env::var_os(name).is_none())
                .collect(),
            warnings,
            root,
        })
    }
}

/// The methods that have a meaning: those of RFC 9110, and PATCH.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

fn functions(
    root: &Path,
    prefix: &str,
    settings: &BTreeMap<String, String>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Function>, String> {
    let unreadable = |error: io::Error| format!("{} can't be read: {error}", root.display());
    let mut functions = Vec::new();
    for entry in fs::read_dir(root).map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?;
        let path = folder.path().join("function.json");
        let file = path.display();
        let Some(json) = read::<FunctionJson>(&path, |member| {
            warnings.push(format!(
                "{file}: {member} has no effect here: is it misspelt?"
            ));
        })?
        else {
            continue;
        };
        let name = folder.file_name().to_string_lossy().into_owned();
        let trigger = trigger(json.bindings).ok_or_else(|| {
            format!(
                "{file}: not supported here: give one binding of type httpTrigger and direction \
                 in, one of type http and direction out, and no other"
            )
        })?;
        // An empty route is none (`WebScriptHostHttpRoutesManager`).
        let route = trigger.route.filter(|route| !route.is_empty());
        let route = route.as_deref().unwrap_or(&name).trim_matches('/');
        if route.contains(['{', '}', '*']) {
            return Err(format!(
                "{file}: the route {route:?} is a template, which is not supported here: only \
                 literal routes are"
            ));
        }
        let methods = trigger.methods.iter();
        let methods: Vec<String> = methods.map(|method| method.to_ascii_uppercase()).collect();
        for method in methods.iter().filter(|m| !METHODS.contains(&m.as_str())) {
            warnings.push(format!(
                "{file}: no method is called {method}: is it misspelt?"
            ));
        }
        functions.push(Function {
            route: format!("{prefix}/{route}").trim_matches('/').to_owned(),
            methods,
            level: trigger.auth_level,
            disabled: json.disabled || disabled_by_setting(&name, settings),
            name,
            hint: Once::new(),
        });
    }
    if functions.is_empty() {
        return Err(format!(
            "{} has no function: a function is a folder with a function.json",
            root.display()
        ));
    }
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(functions)
}

/// The trigger of a function whose only other binding is the HTTP answer. Only to such a function
/// the host passes on the request itself (`FunctionMetadataExtensions.IsHttpInAndOutFunction`).
fn trigger(mut bindings: Vec<Binding>) -> Option<Binding> {
    let is = |binding: &Binding, kind: &str, direction: &str| {
        // `BindingMetadata`: without a direction a binding is an input.
        let found = binding.direction.as_deref().unwrap_or("in");
        binding.kind.eq_ignore_ascii_case(kind) && found.eq_ignore_ascii_case(direction)
    };
    let position = bindings.iter().position(|b| is(b, "httpTrigger", "in"))?;
    let trigger = bindings.swap_remove(position);
    matches!(&bindings[..], [answer] if is(answer, "http", "out")).then_some(trigger)
}

/// The app setting `AzureWebJobs.NAME.Disabled` (`Utility.IsFunctionDisabled`).
fn disabled_by_setting(name: &str, settings: &BTreeMap<String, String>) -> bool {
    let setting = format!("AzureWebJobs.{name}.Disabled");
    let value = env::var(&setting)
        .ok()
        .or_else(|| settings.get(&setting).cloned());
    value.is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}

/// The file's content, or none if there is no such file. Members that nothing here reads go to
/// `ignored`.
fn read<T: DeserializeOwned>(
    path: &Path,
    mut ignored: impl FnMut(String),
) -> Result<Option<T>, String> {
    if !path.is_file() {
        return Ok(None);
    }
    let file = path.display();
    let text =
        fs::read_to_string(path).map_err(|error| format!("{file} can't be read: {error}"))?;
    let mut json = serde_json::Deserializer::from_str(&text);
    serde_ignored::deserialize(&mut json, |member| ignored(member.to_string()))
        .and_then(|content| json.end().map(|()| Some(content)))
        .map_err(|error| format!("{file}: {error}"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HostJson {
    version: String,
    custom_handler: CustomHandler,
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomHandler {
    description: Description,
    #[serde(default)]
    enable_proxying_http_request: bool,
    #[serde(default)]
    enable_forwarding_http_request: bool,
}

/// How to start the handler, as host.json has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    pub default_executable_path: String,
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Relative to the app root.
    #[serde(default)]
    pub working_directory: String,
}

#[derive(Deserialize, Default)]
struct Extensions {
    #[serde(default)]
    http: Http,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Http {
    route_prefix: String,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            route_prefix: "api".to_owned(),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct LocalSettings {
    is_encrypted: bool,
    values: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct FunctionJson {
    bindings: Vec<Binding>,
    #[serde(default)]
    disabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    #[serde(rename = "type")]
    kind: String,
    direction: Option<String>,
    /// The host loads no function with a binding that has none (`Utility.ValidateBinding`).
    #[serde(rename = "name")]
    _name: String,
    #[serde(default)]
    auth_level: Level,
    #[serde(default)]
    methods: Vec<String>,
    route: Option<String>,
}
