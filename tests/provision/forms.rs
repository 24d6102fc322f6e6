//! The form of what the real Resource Manager answers: `forms.json` has it for each recorded
//! exchange, derived from the recordings by `derive`. What the stand-in answers is filled into such
//! a form, and each of its answers is compared with one.
//!
//! A form of a JSON value: the name of its type; for an object the forms of its members; for an
//! array the forms that its elements have. `*` stands for any member of an object whose members'
//! names are data, such as tags.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde_json::{Map, Value, json};

use crate::http::{Reply, Request};

/// The headers of an answer that the Azure CLI reads. It also reads `Retry-After`, which those who
/// recorded have struck out or changed.
const HEADERS: [&str; 4] = [
    "azure-asyncoperation",
    "content-type",
    "location",
    "www-authenticate",
];

/// Members whose own members' names are data.
const DICTIONARIES: [&str; 6] = [
    "tags",
    "functionKeys",
    "systemKeys",
    "regions",
    "parameters",
    "outputs",
];

/// Answers of the stand-in that no recording shows, or that differ from it, each with the reason.
const NOT_VERIFIED: &str = "
deployment-GET-404: az was seen to exit with 3 after such an answer; nobody recorded the whole of it
group-GET-deleting: that a group in deletion says Deleting is known from the documentation only
provider-GET: az asks it for the API versions of what it deletes, and nobody recorded it
function-listkeys: asked for by the command that a run ends with, and never recorded
missing-DELETE: recorded for sites (48) and workspaces (111), not for the rest
resource-DELETE: recorded for sites, workspaces and components, not for the rest
not-known: no request of the real clients; a test has to fail
";

fn forms() -> &'static BTreeMap<String, Value> {
    static FORMS: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    FORMS.get_or_init(|| serde_json::from_str(include_str!("forms.json")).expect("forms.json"))
}

/// The form of the exchange with this number, or with a name that begins like this.
fn form(recording: &str) -> &'static Value {
    let begins = format!("{recording}-");
    let mut matching = forms()
        .iter()
        .filter(|(name, _)| *name == recording || name.starts_with(&begins));
    let (name, form) = matching
        .next()
        .unwrap_or_else(|| panic!("no form {recording}"));
    assert!(
        name == recording || matching.next().is_none(),
        "several {recording}"
    );
    form
}

/// An answer like the one recorded: its members have the values that `content` has for them, or
/// else any.
pub fn like(recording: &str, content: &Value) -> Reply {
    let form = form(recording);
    let status = form["status"].as_u64().expect("a status") as u16;
    let has = |name| form["headers"].as_array().unwrap().contains(&json!(name));
    let reply = match &form["body"] {
        body if has("content-type") && *body != "null" => Reply::json(status, &fill(body, content)),
        _ if has("content-type") => {
            Reply::status(status).with("Content-Type", "text/plain; charset=utf-8")
        }
        _ => Reply::status(status),
    };
    reply.like(recording)
}

fn fill(form: &Value, content: &Value) -> Value {
    match form {
        Value::Object(members) if members.contains_key("*") => match content {
            Value::Object(_) => content.clone(),
            _ => json!({}),
        },
        Value::Object(members) => members
            .iter()
            .map(|(name, form)| (name.clone(), fill(form, &content[name])))
            .chain(tags(content).filter(|_| !members.contains_key("tags")))
            .collect(),
        Value::Array(forms) => match content.as_array() {
            Some(elements) => elements
                .iter()
                .map(|element| fill(best(forms, element), element))
                .collect(),
            None => json!([]),
        },
        Value::String(kind) => {
            if type_of(content) == kind || kind == "date" && content.is_string() {
                return content.clone();
            }
            match kind.as_str() {
                "null" => Value::Null,
                "boolean" => json!(false),
                "number" => json!(0),
                "date" => json!("2026-11-24T12:00:00Z"),
                _ => json!(""),
            }
        }
        _ => unreachable!("not a form: {form}"),
    }
}

/// Answers have tags if the resource has any (70), whether it had some when it was recorded or not.
fn tags(content: &Value) -> impl Iterator<Item = (String, Value)> {
    let tags = content["tags"].as_object();
    tags.into_iter()
        .map(|tags| ("tags".to_owned(), json!(tags)))
}

/// The form that has the most members in common with the content.
fn best<'a>(forms: &'a [Value], content: &Value) -> &'a Value {
    let common = |form: &Value| match (form, content) {
        (Value::Object(form), Value::Object(content)) => {
            let known = content
                .keys()
                .filter(|name| form.contains_key(*name))
                .count();
            (known, usize::MAX - form.len())
        }
        _ => (0, 0),
    };
    forms
        .iter()
        .max_by_key(|form| common(form))
        .unwrap_or(&Value::Null)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(text) if is_date(text) => "date",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The SDKs parse these.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 16 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[10] == b'T'
}

/// In what an answer of the stand-in to this request differs from the recording that it is said to
/// be like. The body has its form already, by `like`.
pub fn differences(request: &Request, reply: &Reply) -> Option<String> {
    let Reply::Answer(answer) = reply else {
        return None;
    };
    let (status, recording) = (answer.status, &*answer.like);
    if NOT_VERIFIED.contains(&format!("\n{recording}: ")) {
        return None;
    }
    let form = form(recording);
    let path = kind(&request.path);
    // Refusals are of the same form whatever was asked for. Recorded elsewhere: the resources of a
    // group as azd asks for them, the role assignments of a group, a deployment of a subscription.
    let is_asked_elsewhere = [
        "/resources",
        "/microsoft.authorization/roleassignments",
        "/microsoft.resources/deployments/{}",
    ];
    let is_same = status >= 400
        || form["method"] == request.method
            && (form["path"] == path || is_asked_elsewhere.iter().any(|it| path.ends_with(it)));
    let mut names: Vec<String> = answer
        .headers
        .iter()
        .map(|(name, _)| name.to_lowercase())
        .collect();
    names.retain(|name| HEADERS.contains(&&**name));
    names.sort();
    (!is_same || json!(names) != form["headers"])
        .then(|| format!("{} {path}: not as {recording}; {names:?}", request.method))
}

/// A path with all names taken out, in lower case.
pub fn kind(path: &str) -> String {
    let path = path.to_lowercase();
    let mut segments = path.trim_matches('/').split('/');
    let mut kind = String::new();
    while let Some(segment) = segments.next() {
        kind = kind + "/" + segment;
        if let Some(next) = segments.next() {
            kind += if segment == "providers" { "/" } else { "/{}" };
            kind += if segment == "providers" { next } else { "" };
        }
    }
    kind
}

/// The form of a recorded exchange.
fn derive(exchange: &Value) -> Value {
    let (request, response) = (&exchange["request"], &exchange["response"]);
    let uri = request["uri"].as_str().unwrap();
    let (_, path) = uri.split_once("://").unwrap().1.split_once('/').unwrap();
    let path = path.split('?').next().unwrap();
    let headers = response["headers"].as_object().unwrap().keys();
    let mut headers: Vec<&String> = headers.filter(|name| HEADERS.contains(&&***name)).collect();
    headers.sort();
    let mut body = form_of(&response["body"]);
    if kind(path).contains("/config/") && !path.ends_with("/web") {
        body["properties"] = json!({"*": "string"});
    }
    json!({
        "method": request["method"], "path": kind(path), "status": response["status"],
        "headers": headers, "body": body,
    })
}

fn form_of(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let form = members.iter().map(|(name, value)| {
                let form = match value.as_object() {
                    Some(members) if DICTIONARIES.contains(&&**name) => {
                        let texts = members.values().all(Value::is_string);
                        json!({"*": if texts { "string" } else { "any" }})
                    }
                    _ => form_of(value),
                };
                (name.clone(), form)
            });
            Value::Object(form.collect::<Map<_, _>>())
        }
        Value::Array(elements) => {
            let mut forms = Vec::new();
            for element in elements {
                let form = form_of(element);
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
            forms.into()
        }
        scalar => json!(type_of(scalar)),
    }
}

/// The recordings don't belong to this project: where they lie beside it, the forms are compared
/// with them.
#[test]
fn the_forms_are_those_of_the_recordings() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(files) = fs::read_dir(project.join("../shared/azure-recorded")) else {
        // `.ci/run` says so.
        return;
    };
    let files = files.map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|file| file.extension() == Some("json".as_ref()))
        .collect();
    files.sort();
    let derived = files.iter().map(|file| {
        let exchange: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        format!("{}: {}", json!(name), derive(&exchange))
    });
    let derived = format!("{{\n{}\n}}\n", derived.collect::<Vec<_>>().join(",\n"));
    let kept = fs::read_to_string(project.join("tests/provision/forms.json")).unwrap();
    if kept != derived {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("forms.json");
        fs::write(&target, derived).unwrap();
        panic!("tests/provision/forms.json is not what the recordings give: {target:?}");
    }
}
