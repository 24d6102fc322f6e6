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
const DICTIONARIES: [&str; 4] = ["tags", "functionKeys", "systemKeys", "regions"];

/// Answers of the stand-in that no recording shows, or that differ from it, each with the reason.
const NOT_VERIFIED: &str = "
group-GET-deleting: that a group in deletion says Deleting is known from the documentation only
storage-GET-not-ready: a value of the documented enumeration; nobody recorded an account in it
storage-not-ready-409: the code is known from users' reports
resource-graph: func alone asks it, and nobody recorded it; the lag is known from users' reports
scm-503: the deployment site's 503 is known from users' reports; its body is made up
container-PUT-existing: recorded is the creation only
storage-PUT-existing: recorded is the creation only
function-listkeys: asked for by the command that a run ends with, and never recorded
missing-DELETE: recorded for sites (48) and workspaces (111), not for the rest
storage-DELETE: recorded are deletions of containers only
plan-has-apps-409: the refusal to delete a plan with an app is not recorded
alert-rule: what Azure adds for a component is known from users' reports
subscriptions: az login asks for these; the recordings begin after it
refused-by-the-stand-in: no request of the real clients; a test has to fail
fault: a test has asked for an answer of this status, whatever the call is
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
pub fn like(recording: &'static str, content: &Value) -> Reply {
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
/// be like.
pub fn differences(request: &Request, reply: &Reply) -> Vec<String> {
    let Reply::Answer {
        status,
        headers,
        body,
        like,
    } = reply
    else {
        return Vec::new();
    };
    let call = format!("{} {}: {status}", request.method, request.path);
    let Some(recording) = like else {
        return vec![format!("{call} is like no recording")];
    };
    if NOT_VERIFIED.contains(&format!("\n{recording}: ")) {
        return Vec::new();
    }
    let form = form(recording);
    let mut found = Vec::new();
    if form["status"] != *status {
        found.push(format!("status {}", form["status"]));
    }
    // Refusals are of the same form whatever was asked for.
    let mut asked = [request.method.clone(), kind(&request.path)];
    // az asks for a group's resources in another way than azd, which was recorded.
    if asked[1] == "/subscriptions/{}/resources" {
        asked[1] = "/subscriptions/{}/resourcegroups/{}/resources".to_owned();
    }
    if *status < 400 && asked != [&form["method"], &form["path"]].map(|m| m.as_str().unwrap()) {
        found.push(format!("{} {}", form["method"], form["path"]));
    }
    let mut names: Vec<String> = headers
        .iter()
        .map(|(name, _)| name.to_lowercase())
        .collect();
    names.retain(|name| HEADERS.contains(&&**name));
    names.sort();
    if json!(names) != form["headers"] {
        found.push(format!("headers {} and not {names:?}", form["headers"]));
    }
    let body = serde_json::from_slice(body).unwrap_or_default();
    compare(&form["body"], &body, "body", &mut found);
    found
        .iter()
        .map(|difference| format!("{call}, but recorded ({recording}): {difference}"))
        .collect()
}

fn compare(form: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    match (form, value) {
        (Value::Object(form), Value::Object(value)) => {
            for name in form.keys().filter(|name| *name != "*") {
                match value.get(name) {
                    Some(value) => compare(&form[name], value, &format!("{place}.{name}"), found),
                    None => found.push(format!("{place} has {name}")),
                }
            }
            for (name, value) in value.iter().filter(|(name, _)| !form.contains_key(*name)) {
                match form.get("*") {
                    Some(form) => compare(form, value, &format!("{place}.{name}"), found),
                    None if name == "tags" => {}
                    None => found.push(format!("{place} has no {name}")),
                }
            }
        }
        (Value::Array(forms), Value::Array(values)) => {
            for (index, value) in values.iter().enumerate() {
                let place = format!("{place}[{index}]");
                compare(best(forms, value), value, &place, found);
            }
        }
        (Value::String(kind), value) if kind == type_of(value) => {}
        (Value::String(kind), Value::String(_)) if kind == "date" || kind == "string" => {}
        _ => found.push(format!("{place} is {form} and not {value}")),
    }
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
                let is_dictionary = DICTIONARIES.contains(&&**name) && value.is_object();
                let form = if is_dictionary {
                    json!({"*": "string"})
                } else {
                    form_of(value)
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

#[test]
fn a_difference_is_found() {
    let form = json!({"a": "string", "b": [{"c": "number"}, {"c": "null", "d": "date"}], "t": {"*": "string"}});
    let found = |value: Value| {
        let mut found = Vec::new();
        compare(&form, &value, "body", &mut found);
        found
    };
    assert!(found(json!({"a": "", "b": [], "t": {"x": "y"}})).is_empty());
    assert!(found(json!({"a": "", "b": [{"c": 1}, {"c": null, "d": "x"}], "t": {}})).is_empty());
    assert_eq!(found(json!({"b": [], "t": {}})), ["body has a"]);
    assert_eq!(
        found(json!({"a": "", "b": [], "t": {}, "z": 1})),
        ["body has no z"]
    );
    assert_eq!(
        found(json!({"a": "", "b": [{"c": "1"}], "t": {"x": 1}})).len(),
        2
    );
    assert!(found(fill(&form, &Value::Null)).is_empty());
    assert_eq!(
        kind(
            "/subscriptions/1/resourceGroups/g/providers/Microsoft.Web/sites/a/host/default/listkeys"
        ),
        "/subscriptions/{}/resourcegroups/{}/providers/microsoft.web/sites/{}/host/{}/listkeys"
    );
}
