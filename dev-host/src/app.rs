//! A function app as it lies on the disk: host.json, `*/function.json`, local.settings.json.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{auth::Level, forward::Mode};

/// What the host has to know of a function app.
pub struct App {
    pub root: PathBuf,
    /// `defaultExecutablePath` as it is written.
    pub executable: String,
    pub arguments: Vec<String>,
    pub working_directory: PathBuf,
    pub mode: Mode,
    pub functions: Vec<Function>,
    /// The app settings that are not in the environment anyway.
    pub settings: Vec<(String, String)>,
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
}

impl App {
    /// Reads the app in `root`.
    ///
    /// # Errors
    ///
    /// One line: which file, which line of it and what is wrong there.
    pub fn read(root: &Path) -> Result<Self, String> {
        let root = root.canonicalize().map_err(|error| {
            format!(
                "no app root at {} ({error}): give the folder with host.json",
                root.display()
            )
        })?;
        let host: HostJson = read(&root.join("host.json"))?.ok_or_else(|| {
            format!(
                "{} has no host.json: give the folder of a function app (--app-root)",
                root.display()
            )
        })?;
        let settings: LocalSettings = read(&root.join("local.settings.json"))?.unwrap_or_default();
        if settings.is_encrypted {
            return Err(format!(
                "{}: encrypted settings are not supported here: run `func settings decrypt`",
                root.join("local.settings.json").display()
            ));
        }

        let handler = host.custom_handler;
        let mode = if handler.enable_proxying_http_request {
            Mode::Proxying
        } else if handler.enable_forwarding_http_request {
            Mode::Forwarding
        } else {
            return Err(format!(
                "{}: without enableProxyingHttpRequest or enableForwardingHttpRequest in \
                 customHandler the handler gets its invocations as JSON, which is not supported \
                 here: set one to true",
                root.join("host.json").display()
            ));
        };
        let functions = functions(&root, &host.extensions.http.route_prefix, &settings.values)?;
        let description = handler.description;
        Ok(Self {
            executable: description.default_executable_path,
            arguments: description.arguments,
            working_directory: root.join(description.working_directory),
            mode,
            functions,
            // Core Tools leaves alone what the environment has already set.
            settings: settings
                .values
                .into_iter()
                .filter(|(name, _)| env::var_os(name).is_none())
                .collect(),
            root,
        })
    }
}

fn functions(
    root: &Path,
    prefix: &str,
    settings: &BTreeMap<String, String>,
) -> Result<Vec<Function>, String> {
    let unreadable = |error: io::Error| format!("{} can't be read: {error}", root.display());
    let mut functions = Vec::new();
    for entry in fs::read_dir(root).map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?;
        let path = folder.path().join("function.json");
        let Some(json) = read::<FunctionJson>(&path)? else {
            continue;
        };
        let name = folder.file_name().to_string_lossy().into_owned();
        let trigger =
            trigger(json.bindings).map_err(|what| format!("{}: {what}", path.display()))?;
        let route = trigger.route.map_or_else(|| name.clone(), |route| route.0);
        functions.push(Function {
            route: format!("{prefix}/{route}").trim_matches('/').to_owned(),
            methods: trigger
                .methods
                .iter()
                .map(|method| method.to_ascii_uppercase())
                .collect(),
            level: trigger.auth_level,
            disabled: json.disabled || disabled_by_setting(&name, settings),
            name,
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
/// the host passes on the request itself (`FunctionMetadata.IsHttpInAndOutFunction`).
fn trigger(bindings: Vec<Binding>) -> Result<Binding, &'static str> {
    let (mut triggers, others): (Vec<_>, Vec<_>) = bindings
        .into_iter()
        .partition(|binding| binding.kind == Kind::HttpTrigger);
    match (triggers.pop(), triggers.len(), others.len()) {
        (Some(trigger), 0, 1) => Ok(trigger),
        _ => Err("not supported here: give one httpTrigger and one http binding and no other"),
    }
}

/// The app setting `AzureWebJobs.NAME.Disabled` (`Utility.IsFunctionDisabled`).
fn disabled_by_setting(name: &str, settings: &BTreeMap<String, String>) -> bool {
    let setting = format!("AzureWebJobs.{name}.Disabled");
    let value = env::var(&setting)
        .ok()
        .or_else(|| settings.get(&setting).cloned());
    value.is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}

/// The file's content, or none if there is no such file.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(format!("{} can't be read: {error}", path.display())),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        let what = error.to_string();
        let position = format!(" at line {} column {}", error.line(), error.column());
        format!(
            "{}:{}: {}",
            path.display(),
            error.line(),
            what.strip_suffix(&position).unwrap_or(&what)
        )
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HostJson {
    #[serde(rename = "version")]
    _version: Version,
    custom_handler: CustomHandler,
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Version;

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "2.0" => Ok(Self),
            _ => Err(format!("version is {text:?}: give \"2.0\"")),
        }
    }
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    default_executable_path: String,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    working_directory: String,
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
    kind: Kind,
    #[serde(default)]
    auth_level: Level,
    #[serde(default)]
    methods: Vec<String>,
    route: Option<Route>,
}

#[derive(Deserialize, PartialEq)]
#[serde(try_from = "String")]
enum Kind {
    HttpTrigger,
    Http,
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "httptrigger" => Ok(Self::HttpTrigger),
            "http" => Ok(Self::Http),
            _ => Err(format!(
                "{text} is not supported here: only httpTrigger and http are"
            )),
        }
    }
}

/// A route without parameters.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Route(String);

impl TryFrom<String> for Route {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.contains(['{', '}', '*']) {
            return Err(format!(
                "the route {text:?} is a template, which is not supported here: only literal \
                 routes are"
            ));
        }
        Ok(Self(text.trim_matches('/').to_owned()))
    }
}
