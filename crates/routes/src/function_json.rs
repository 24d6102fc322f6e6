//! function.json: which functions an app has.

use std::{
    fmt::{self, Display, Formatter},
    fs, io,
    path::Path,
};

use serde_json::{Map, Value};

use crate::{
    json::{kind, read_json},
    template::Template,
    text::{host_order, is_same},
};

/// The methods that HTTP defines.
pub const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// The members of function.json that are read here.
const OUTER: [&str; 1] = ["bindings"];
const BINDING: [&str; 6] = ["authLevel", "direction", "methods", "name", "route", "type"];

/// A function with an HTTP trigger.
pub struct Function {
    /// That of its folder.
    pub name: String,
    /// The path of its function.json, for messages.
    pub file: String,
    /// The whole route as it is written, prefix included, without a slash at either end.
    pub route: String,
    pub template: Template,
    /// As function.json lists them, but in capitals; none if it has no list, which stands for all.
    /// (The host takes an empty list for no method at all.)
    pub methods: Option<Vec<String>>,
    pub level: Level,
    /// The route is one of the host's own, so that the host does not serve the function.
    pub is_reserved: bool,
    /// What the host takes without a word, although it can't be meant.
    pub warnings: Vec<String>,
}

/// `authLevel`: what a caller has to show. The later ones ask for more.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum Level {
    Anonymous,
    Function,
    Admin,
}

impl Display for Level {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Anonymous => "anonymous",
            Self::Function => "function",
            Self::Admin => "admin",
        })
    }
}

/// Reads the functions of an app: the folders in the app root that have a function.json. They come
/// in the order of their names, in which the host looks for the one that fits a call (measured:
/// `items/{id}` of Items goes before `items/special` of ItemsSpecial).
///
/// # Errors
///
/// One line: the file, what is wrong in it, and what to write.
pub fn functions(root: &Path, prefix: &str) -> Result<Vec<Function>, String> {
    let names = fs::read_dir(root).and_then(|entries| {
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name());
        entries.map(name).collect::<io::Result<Vec<_>>>()
    });
    let names = names.map_err(|error| format!("{} can't be read: {error}", root.display()))?;
    let mut functions: Vec<Function> = Vec::new();
    for name in names {
        let path = root.join(&name).join("function.json");
        if let Some(json) = read_json(&path)? {
            let file = path.display().to_string();
            let function = function(&name.to_string_lossy(), &file, prefix, &json);
            functions.push(function.map_err(|problem| format!("{file}: {problem}"))?);
        }
    }
    functions.sort_by_cached_key(|function| host_order(&function.name));
    for pair in functions.windows(2) {
        if let [one, other] = pair
            && is_same(&one.name, &other.name)
        {
            return Err(format!(
                "{}: the folders {} and {} differ in letter case alone: rename one of them",
                root.display(),
                one.name,
                other.name
            ));
        }
    }
    Ok(functions)
}

fn function(name: &str, file: &str, prefix: &str, json: &Value) -> Result<Function, String> {
    let mut warnings = Vec::new();
    let json = members("", json, &OUTER, &mut warnings)?;
    let bindings = match json.get("bindings") {
        Some(Value::Array(bindings)) => bindings.iter().enumerate(),
        other => return Err(wrong("bindings", other, "a list")),
    };
    let bindings = bindings
        .map(|(index, binding)| {
            let at = format!("bindings.{index}.");
            Binding::read(&at, members(&at, binding, &BINDING, &mut warnings)?)
        })
        .collect::<Result<Vec<_>, String>>()?;
    let trigger = trigger(bindings).ok_or(
        "not supported here: give one binding of type httpTrigger and direction in, one of type \
         http and direction out, and no other",
    )?;
    let route = match trigger.route {
        None | Some("") => name,
        Some(route) => route,
    };
    if route.starts_with(['/', '~']) || route.trim().is_empty() {
        return Err(format!(
            "the route {route:?} is blank, or begins with / or ~: write it without"
        ));
    }
    let whole = format!("{prefix}/{route}").trim_matches('/').to_owned();
    let template =
        Template::parse(&whole).map_err(|problem| format!("the route {route:?} {problem}"))?;
    for method in trigger.methods.iter().flatten() {
        if !METHODS.contains(&method.as_str()) {
            warnings.push(format!("no method is called {method}: is it misspelt?"));
        }
    }
    let own = route.to_ascii_lowercase();
    Ok(Function {
        name: name.to_owned(),
        file: file.to_owned(),
        route: whole,
        template,
        methods: trigger.methods,
        level: trigger.level,
        is_reserved: own.starts_with("admin") || own.starts_with("runtime"),
        warnings,
    })
}

/// The members of an object. Those that nobody reads are a warning: `disabled` is one of them, for
/// it has no effect (measured).
fn members<'a>(
    at: &str,
    value: &'a Value,
    known: &[&str],
    warnings: &mut Vec<String>,
) -> Result<&'a Map<String, Value>, String> {
    let Value::Object(object) = value else {
        let at = match at.trim_end_matches('.') {
            "" => "the whole",
            at => at,
        };
        return Err(wrong(at, Some(value), "an object"));
    };
    for name in object.keys() {
        match known.iter().find(|known| is_same(known, name)) {
            Some(known) if known == name => {}
            Some(known) => {
                return Err(format!(
                    "{at}{name} is in another letter case: write {at}{known}"
                ));
            }
            None => warnings.push(format!("{at}{name} has no effect here: is it misspelt?")),
        }
    }
    Ok(object)
}

fn wrong(name: &str, value: Option<&Value>, expected: &str) -> String {
    let found = value.map_or("missing", kind);
    format!("{name} is {found}: give {expected}")
}

struct Binding<'a> {
    kind: &'a str,
    is_out: bool,
    level: Level,
    methods: Option<Vec<String>>,
    route: Option<&'a str>,
}

impl<'a> Binding<'a> {
    fn read(at: &str, members: &'a Map<String, Value>) -> Result<Self, String> {
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            other => Err(wrong(&format!("{at}{name}"), other, "a text")),
        };
        let required =
            |name: &str| text(name)?.ok_or_else(|| wrong(&format!("{at}{name}"), None, "a text"));
        // The host loads no function with a binding that has no name (`Utility.ValidateBinding`).
        required("name")?;
        // `BindingMetadata`: without a direction a binding is an input.
        let is_out = match text("direction")?.map(str::to_ascii_lowercase).as_deref() {
            None | Some("in") => false,
            Some("out") => true,
            Some(other) => return Err(format!("{at}direction is {other:?}: give in or out")),
        };
        let level = match text("authLevel")?.map(str::to_ascii_lowercase).as_deref() {
            Some("anonymous") => Level::Anonymous,
            None | Some("function") => Level::Function,
            Some("admin") => Level::Admin,
            Some(other) => {
                return Err(format!(
                    "{at}authLevel is {other:?}: give anonymous, function or admin"
                ));
            }
        };
        let methods = match members.get("methods") {
            None => None,
            Some(Value::Array(methods)) => {
                let texts = methods.iter().map(|method| match method {
                    Value::String(method) => Ok(method.to_ascii_uppercase()),
                    other => Err(wrong(&format!("{at}methods"), Some(other), "texts")),
                });
                Some(texts.collect::<Result<_, _>>()?)
            }
            other => return Err(wrong(&format!("{at}methods"), other, "a list of texts")),
        };
        Ok(Self {
            kind: required("type")?,
            is_out,
            level,
            methods,
            route: text("route")?,
        })
    }

    fn is(&self, kind: &str, is_out: bool) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.is_out == is_out
    }
}

/// The trigger of a function whose only other binding is the HTTP answer. Only to such a function
/// the host passes on the request itself (`FunctionMetadataExtensions.IsHttpInAndOutFunction`).
fn trigger(mut bindings: Vec<Binding<'_>>) -> Option<Binding<'_>> {
    let position = bindings.iter().position(|b| b.is("httpTrigger", false))?;
    let trigger = bindings.swap_remove(position);
    matches!(&bindings[..], [answer] if answer.is("http", true)).then_some(trigger)
}
