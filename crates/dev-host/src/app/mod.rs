//! A function app as it lies on the disk: host.json, `*/function.json`, local.settings.json.

pub mod constraint;
pub mod function;
mod host_json;
pub mod launch;
mod throttle;
pub mod watch;

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use routes::{Parameters, read_json};
use serde::Deserialize;
use serde_json::json;

use crate::{
    app::{
        function::{Function, functions},
        host_json::{HostJson, misspelt, misspelt_in_host_json},
        launch::{Launch, expand},
    },
    console::Console,
};

/// What the host has to know of a function app. It is read as a whole and replaced as a whole.
pub struct App {
    pub root: PathBuf,
    pub host_json: HostJson,
    /// In the order of their names: the first one that fits gets the call.
    pub functions: Vec<Function>,
    /// `Values` of local.settings.json that the environment does not have.
    settings: BTreeMap<String, String>,
}

impl App {
    /// Reads the app in `root`, and warns of what the real host takes without a word although it
    /// can't be meant.
    pub fn read(root: &Path, console: &Console) -> Result<Self, String> {
        let root = root.canonicalize().map_err(|error| {
            let root = root.display();
            format!("no app root at {root} ({error}): give the folder with host.json")
        })?;
        let mut settings = settings(&root.join("local.settings.json"), console)?;
        // The environment goes first, as under `func start`.
        settings.retain(|name, _| env::var_os(name).is_none());
        let misspelt = misspelt_in_host_json(&root);
        let host_json = HostJson::read(&root, &settings);
        // It may be just what is missed.
        let host_json =
            host_json.map_err(|problem| [&[problem], &misspelt[..]].concat().join("; "))?;
        misspelt.iter().for_each(|line| console.warning(line));
        let mut app = Self {
            root,
            host_json,
            functions: Vec::new(),
            settings,
        };
        let prefix = &app.host_json.route_prefix;
        app.functions = functions(&app.root, prefix, |name| app.setting(name), console)?;
        Ok(app)
    }

    /// If it has that function under that route.
    pub fn has(&self, function: &Function) -> bool {
        let mut functions = self.functions.iter();
        functions.any(|it| it.name == function.name && it.route == function.route)
    }

    /// The function for a call, and the parameters of its route. A function that doesn't take the
    /// method is not found: the answer is 404, not 405.
    pub fn find(&self, method: &str, path: &str) -> Option<(&Function, Parameters<'_>)> {
        let is_it = |found: &String| found.eq_ignore_ascii_case(method);
        let takes = |methods: &Vec<String>| methods.iter().any(is_it);
        let functions = self.functions.iter();
        functions
            .filter(|function| function.methods.as_ref().is_none_or(takes))
            .find_map(|function| Some((function, function.parameters(path)?)))
    }

    /// `defaultExecutablePath`: a file in the app root, or else, taken as it is, a name on PATH.
    pub fn executable(&self) -> PathBuf {
        let name = expand(&self.host_json.executable, |name| self.setting(name));
        let file = self.root.join(&name);
        match file.is_file() || name.contains('/') {
            true => file,
            false => name.into(),
        }
    }

    /// The setting `WEBSITE_HOSTNAME`, or else the name that is given.
    pub fn host_name(&self, otherwise: &str) -> String {
        let name = self.setting("WEBSITE_HOSTNAME");
        name.unwrap_or_else(|| otherwise.to_owned())
    }

    /// An app setting.
    fn setting(&self, name: &str) -> Option<String> {
        let value = env::var(name).ok();
        value.or_else(|| self.settings.get(name).cloned())
    }

    /// How to start an executable as the handler of this app behind a host at `host_name`.
    pub fn launch(&self, executable: PathBuf, host_name: &str) -> Launch {
        let root = self.root.display().to_string();
        let own = [
            ("AZURE_FUNCTIONS_ENVIRONMENT", "Development"),
            ("FUNCTIONS_WORKER_RUNTIME", "custom"),
            ("WEBSITE_HOSTNAME", host_name),
        ]
        .into_iter()
        .filter(|(name, _)| env::var_os(name).is_none() && !self.settings.contains_key(*name))
        .chain([
            ("AzureWebJobsScriptRoot", root.as_str()),
            ("FUNCTIONS_APP_ROOT_PATH", root.as_str()),
        ])
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Launch {
            executable,
            arguments: self.host_json.arguments.clone(),
            working_directory: self.root.join(&self.host_json.working_directory),
            environment: self.settings.clone().into_iter().chain(own).collect(),
        }
    }
}

/// `Values` of local.settings.json; nothing if there is no such file.
fn settings(path: &Path, console: &Console) -> Result<BTreeMap<String, String>, String> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "PascalCase", default)]
    struct LocalSettings {
        is_encrypted: bool,
        values: BTreeMap<String, String>,
    }
    let file = path.display();
    let json = read_json(path)?.unwrap_or_else(|| json!({}));
    let known = "IsEncrypted Values Host ConnectionStrings";
    for line in misspelt("local.settings.json: ", &json, known) {
        console.warning(&line);
    }
    let mut values = json["Values"].as_object().into_iter().flatten();
    if let Some((name, value)) = values.find(|(_, value)| !value.is_string()) {
        return Err(format!("{file}: Values.{name} is {value}: give a text"));
    }
    let settings: LocalSettings =
        serde_json::from_value(json).map_err(|error| format!("{file}: {error}"))?;
    if settings.is_encrypted {
        return Err(format!(
            "{file}: encrypted settings are not supported here: run `func settings decrypt`"
        ));
    }
    Ok(settings.values)
}
