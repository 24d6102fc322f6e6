//! function.json: which functions an app has.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Once,
};

use serde::Deserialize;
use serde_json::Value;

use crate::{auth::Level, console::Console, http::METHODS, json::read_json, template::Template};

/// A function with an HTTP trigger.
pub struct Function {
    pub name: String,
    /// The whole route, prefix included, without a slash at either end.
    pub route: String,
    pub template: Template,
    /// In capitals; none stands for all.
    pub methods: Option<Vec<String>>,
    pub level: Level,
    pub disabled: bool,
    /// For the one hint that is printed when the handler answers 404 to a call of the function.
    pub hint: Once,
}

/// Reads the functions of an app, in the order of their names: the first whose route fits gets the
/// call (routes.jsonl: `items/{id}` before `items/special`).
///
/// # Errors
///
/// One line: the file, and what is wrong.
pub fn functions(
    root: &Path,
    prefix: &str,
    setting: impl Fn(&str) -> Option<String>,
    console: &Console,
) -> Result<Vec<Function>, String> {
    let mut functions = Vec::new();
    for folder in folders(root)? {
        let path = folder.join("function.json");
        let Some(json) = read_json(&path)? else {
            continue;
        };
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match function(&name, prefix, json, &setting, console) {
            Ok(Some(function)) => functions.push(function),
            Ok(None) => {}
            Err(message) => return Err(format!("{}: {message}", path.display())),
        }
    }
    if functions.is_empty() {
        return Err(format!(
            "{} has no function: a function is a folder with a function.json",
            root.display()
        ));
    }
    Ok(functions)
}

fn folders(root: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(root).and_then(|entries| {
        entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()
    });
    let mut folders =
        entries.map_err(|error| format!("{} can't be read: {error}", root.display()))?;
    folders.sort();
    Ok(folders)
}

/// None for a function that the real host leaves out, too.
fn function(
    name: &str,
    prefix: &str,
    json: Value,
    setting: impl Fn(&str) -> Option<String>,
    console: &Console,
) -> Result<Option<Function>, String> {
    for member in unused(&json) {
        console.warning(&format!(
            "{name}/function.json: {member} has no effect here: is it misspelt?"
        ));
    }
    let json: FunctionJson = serde_json::from_value(json).map_err(|error| error.to_string())?;
    let trigger = trigger(json.bindings).ok_or(
        "not supported here: give one binding of type httpTrigger and direction in, one of type \
         http and direction out, and no other",
    )?;
    let route = match trigger
        .route
        .as_deref()
        .map(|route| route.trim_matches('/'))
    {
        None | Some("") => name,
        Some(route) => route,
    };
    if ["admin", "runtime"]
        .iter()
        .any(|own| route.to_lowercase().starts_with(own))
    {
        console.warning(&format!(
            "{name} is not served, as on Azure: routes that begin with \"admin\" or \"runtime\" \
             are the host's own: give {name}/function.json another \"route\""
        ));
        return Ok(None);
    }
    let whole = format!("{prefix}/{route}").trim_matches('/').to_owned();
    let template =
        Template::parse(&whole).map_err(|problem| format!("the route {route:?} {problem}"))?;
    let methods: Option<Vec<String>> = trigger
        .methods
        .map(|methods| methods.iter().map(|m| m.to_ascii_uppercase()).collect());
    for method in methods.iter().flatten() {
        if !METHODS.contains(&method.as_str()) {
            console.warning(&format!(
                "{name}/function.json: no method is called {method}: is it misspelt?"
            ));
        }
    }
    // Measured: both of these disable a function, `AzureWebJobs__NAME__Disabled` does not.
    let disabled = [
        format!("AzureWebJobs.{name}.Disabled"),
        format!("AzureWebJobs_{name}_Disabled"),
    ]
    .iter()
    .filter_map(|name| setting(name))
    .any(|value| value == "1" || value.eq_ignore_ascii_case("true"));
    Ok(Some(Function {
        name: name.to_owned(),
        route: whole,
        template,
        methods,
        level: trigger.auth_level,
        disabled,
        hint: Once::new(),
    }))
}

/// The members that nothing here reads. `disabled` is one of them: measured, it has no effect.
fn unused(json: &Value) -> impl Iterator<Item = String> {
    let names = |json: &Value| -> Vec<String> {
        let members = json.as_object().into_iter().flatten();
        members.map(|(name, _)| name.clone()).collect()
    };
    let bindings = json["bindings"].as_array().into_iter().flatten();
    let inner = bindings.enumerate().flat_map(move |(index, binding)| {
        let unused = names(binding).into_iter();
        unused
            .filter(|name| !BINDING.contains(&name.as_str()))
            .map(move |name| format!("bindings.{index}.{name}"))
    });
    let outer = names(json).into_iter().filter(|name| name != "bindings");
    outer.chain(inner.collect::<Vec<_>>())
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

#[derive(Deserialize)]
struct FunctionJson {
    bindings: Vec<Binding>,
}

const BINDING: [&str; 6] = ["authLevel", "direction", "methods", "name", "route", "type"];

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
    methods: Option<Vec<String>>,
    route: Option<String>,
}
