//! The form of what the real Resource Manager answers. `forms.json` has it for each recorded
//! exchange: the answer's status, the headers that az reads, and the body with other values of the
//! same types, made by `derive`. What the stand-in answers is filled into such a form, so it has the
//! members of the recorded answer and no others.

use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock};

use serde_json::{Value, json};
use test_support::project;

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
function-listkeys: asked for by an update and by the command that a run ends with; never recorded
resource-DELETE: recorded for sites, workspaces and components, not for the rest
not-known: no request of the real clients; a test has to fail
";

/// The form of the exchange with this number, or with a name that begins like this.
pub fn form(recording: &str) -> &'static Value {
    static FORMS: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    let forms = FORMS.get_or_init(|| serde_json::from_str(include_str!("forms.json")).unwrap());
    let begins = format!("{recording}-");
    let is_meant = |name: &str| name == recording || name.starts_with(&begins);
    let mut matching = forms.iter().filter(|(name, _)| is_meant(name));
    let form = matching.next().expect(recording);
    assert!(form.0 == recording || matching.next().is_none());
    form.1
}

/// An answer like the one recorded: its members have the values that `content` has for them, or
/// else any.
pub fn like(recording: &str, content: &Value) -> Reply {
    let form = form(recording);
    let status = form["status"].as_u64().unwrap() as u16;
    let has_type = form["headers"].to_string().contains("content-type");
    let reply = match &form["body"] {
        Value::Null if has_type => Reply::status(status).with("Content-Type", "text/plain"),
        Value::Null => Reply::status(status),
        body => Reply::json(status, &fill(body, content)),
    };
    reply.like(recording)
}

fn fill(form: &Value, content: &Value) -> Value {
    match (form, content) {
        (Value::Object(form), Value::Object(content)) if form.contains_key("*") => json!(content),
        (Value::Object(members), _) => {
            let filled = members.iter().filter(|(name, _)| *name != "*");
            let filled = filled.map(|(name, form)| (name.clone(), fill(form, &content[name])));
            // Answers have tags if the resource has any (70), whether or not it had some when it was
            // recorded.
            let tags = Some(content["tags"].clone()).filter(Value::is_object);
            let tags = tags.map(|tags| ("tags".to_owned(), tags));
            filled.chain(tags).collect()
        }
        (Value::Array(forms), Value::Array(elements)) => {
            let filled = elements.iter().map(|element| fill(&forms[0], element));
            filled.collect()
        }
        (Value::Array(_), _) => json!([]),
        _ if std::mem::discriminant(form) == std::mem::discriminant(content) => content.clone(),
        _ => form.clone(),
    }
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
    let elsewhere = [
        "/resources",
        "/roleassignments",
        "/microsoft.resources/deployments/{}",
    ];
    let is_same_path = form["path"] == path || elsewhere.iter().any(|it| path.ends_with(it));
    let is_same = status >= 400 || form["method"] == request.method && is_same_path;
    let names = answer.headers.iter().map(|(name, _)| name.to_lowercase());
    let mut names: Vec<_> = names.collect();
    names.retain(|name| HEADERS.contains(&&**name));
    names.sort();
    let difference = format!("{} {path}: not as {recording}; {names:?}", request.method);
    (!is_same || json!(names) != form["headers"]).then_some(difference)
}

/// A path with all names taken out, in lower case.
pub fn kind(path: &str) -> String {
    let path = path.to_lowercase();
    let mut segments = path.trim_matches('/').split('/');
    let mut kind = String::new();
    while let Some(segment) = segments.next() {
        kind = kind + "/" + segment;
        match segments.next() {
            Some(next) if segment == "providers" => kind = kind + "/" + next,
            Some(_) => kind += "/{}",
            None => {}
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
    json!({
        "method": request["method"], "path": kind(path), "status": response["status"],
        "headers": headers, "body": form_of(&response["body"]),
    })
}

fn form_of(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let form = |(name, value): (&String, &Value)| match value {
                Value::Object(_) if DICTIONARIES.contains(&&**name) => {
                    (name.clone(), json!({"*": 0}))
                }
                _ => (name.clone(), form_of(value)),
            };
            members.iter().map(form).collect()
        }
        Value::Array(elements) => elements.iter().take(1).map(form_of).collect(),
        Value::Null => Value::Null,
        Value::Bool(_) => json!(false),
        Value::Number(_) => json!(0),
        // The SDKs parse dates.
        Value::String(text) if text.get(10..11) == Some("T") && text.get(4..5) == Some("-") => {
            json!("2026-11-24T12:00:00Z")
        }
        Value::String(_) => json!(""),
    }
}

/// The recordings don't belong to this project: where they lie beside it, the forms are compared
/// with them.
#[test]
fn the_forms_are_those_of_the_recordings() {
    let Ok(files) = fs::read_dir(project().join("../shared/azure-recorded")) else {
        // `.ci/run` says so.
        return;
    };
    let files = files.map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.retain(|file| file.extension() == Some("json".as_ref()));
    files.sort();
    let derived = files.iter().map(|file| {
        let exchange = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        format!("{}: {}", json!(name), derive(&exchange))
    });
    let derived = format!("{{\n{}\n}}\n", derived.collect::<Vec<_>>().join(",\n"));
    if include_str!("forms.json") != derived {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("forms.json");
        fs::write(&target, derived).unwrap();
        panic!("tests/provision/forms.json is not what the recordings give: {target:?}");
    }
}
