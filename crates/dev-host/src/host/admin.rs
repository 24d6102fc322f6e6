//! What the host itself answers below `/admin`: the rows of the kind outside. What is left out here
//! is answered as to a caller who may not have it.

use std::{fs, time::Duration};

use routes::{Level, read_json};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::{
    app::{App, function::Function},
    host::keys::{Access, Scope},
    proxy::outgoing::HOST_VERSION,
    wire::{
        message::{Answer, Request},
        reader::Body,
    },
};

const MASTER: &str = "_master";

/// Calls below `/admin/host` that dev-host does not have.
const LEFT_OUT: &str = "config debug drain log restart resume state synctriggers";

const JSON: &str = "application/json; charset=utf-8";

/// None if the request is not for the host itself.
pub async fn admin(
    access: &Access,
    app: &App,
    uptime: Duration,
    request: &Request,
    body: &mut Body<'_>,
) -> Option<Answer> {
    let path = request.path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let names: Vec<&str> = path.split('/').collect();
    let lower = path.to_lowercase();
    let lower: Vec<&str> = lower.split('/').collect();
    let method = request.method.to_ascii_uppercase();
    let path = match (method.as_str(), lower.as_slice()) {
        ("GET", ["admin", "warmup"]) => return Some(Answer::empty(200)),
        ("GET" | "POST", ["admin", "host", "ping"]) => {
            let mut answer = Answer::empty(200);
            answer.headers.add("Cache-Control", "no-store,no-cache");
            answer.headers.add("Pragma", "no-cache");
            return Some(answer);
        }
        // Only Azure's own infrastructure is let in.
        (_, ["admin", "vfs", ..]) => {
            let is_known = access.grant(request, None) == Level::Admin;
            return Some(Answer::empty(if is_known { 403 } else { 401 }));
        }
        (_, ["admin", path @ ..]) if is_served(&method, path) => path,
        (_, ["admin", ..]) => return Some(Answer::empty(404)),
        (_, ["runtime", "webhooks", ..]) => &[],
        _ => return None,
    };

    match access.grant(request, None) {
        Level::Admin => {}
        Level::Function => return Some(Answer::empty(403)),
        Level::Anonymous => {
            let mut answer = Answer::empty(401);
            answer.headers.add("WWW-Authenticate", "Bearer");
            return Some(answer);
        }
    }
    let function = |name: &str| {
        let mut functions = app.functions.iter();
        functions.find(|function| function.name.eq_ignore_ascii_case(name))
    };
    let base = format!("http://{}", request.host());
    Some(match path {
        ["host", "status"] => status(uptime),
        ["host", "extensions"] => resource(request, 200, &json!({"extensions": []})),
        ["functions"] => {
            let base = format!("https://{}", app.host_name(request.host()));
            let all = app.functions.iter().map(|f| described(app, f, &base));
            let all = all.collect::<Vec<_>>().join(",");
            Answer::text(200, JSON, format!("[{all}]"))
        }
        ["functions", name] => match function(name) {
            None => Answer::empty(404),
            // The handler is not asked (row "outside: invoke by admin").
            Some(_) if method == "POST" => Answer::empty(202),
            Some(function) => Answer::text(200, JSON, described(app, function, &base)),
        },
        ["functions", name, "status"] => match function(name) {
            None => Answer::empty(404),
            Some(_) => Answer::text(200, JSON, "{}"),
        },
        ["host", "systemkeys"] => resource(request, 200, &json!({"keys": []})),
        ["host", "systemkeys", MASTER] if method == "GET" => {
            key(request, 200, MASTER, &access.keys().master)
        }
        ["host", "keys" | "functionkeys", ..] => {
            keys(access, request, body, None, names.get(3)).await
        }
        ["functions", _, "keys", ..] => {
            keys(access, request, body, Some(names[2]), names.get(4)).await
        }
        // dev-host has no webhooks, and no other system keys than the master key.
        [] | ["host", "systemkeys", _] => Answer::empty(404),
        // What is left out.
        _ => Answer::empty(403),
    })
}

/// If the host knows such a call below `/admin`. Any other is 404 for everyone (rows "outside: admin
/// unknown").
fn is_served(method: &str, path: &[&str]) -> bool {
    match path {
        ["functions"]
        | ["functions", _, "keys" | "status"]
        | [
            "host",
            "extensions" | "functionkeys" | "keys" | "status" | "systemkeys",
        ] => method == "GET",
        ["functions", _] => matches!(method, "GET" | "POST"),
        ["functions", _, "keys", _] | ["host", "functionkeys" | "keys" | "systemkeys", _] => {
            matches!(method, "GET" | "PUT" | "POST" | "DELETE")
        }
        ["host", call] => LEFT_OUT.split(' ').any(|left_out| left_out == *call),
        _ => false,
    }
}

fn status(uptime: Duration) -> Answer {
    let members = json!([
        ["id", "dev-host"],
        ["state", "Running"],
        ["version", HOST_VERSION],
        ["versionDetails", HOST_VERSION],
        ["platformVersion", ""],
        ["instanceId", ""],
        ["computerName", ""],
        ["processUptime", uptime.as_millis()],
        ["functionAppContentEditingState", "Unknown"],
    ]);
    Answer::text(200, JSON, format!("{{{}}}", in_order(&members)))
}

/// Members in the order of the recording.
fn in_order(members: &Value) -> String {
    let members = members.as_array().into_iter().flatten();
    let members = members.map(|member| format!("{}:{}", member[0], member[1]));
    members.collect::<Vec<_>>().join(",")
}

/// A function in JSON.
fn described(app: &App, function: &Function, base: &str) -> String {
    let name = &function.name;
    let folder = app.root.join(name);
    let file = folder.join("function.json");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let config = match serde_json::from_str::<IgnoredAny>(&text) {
        Ok(_) => compact(&text),
        // It has comments, say. Without them the order of the members is lost.
        Err(_) => read_json(&file)
            .ok()
            .flatten()
            .unwrap_or_default()
            .to_string(),
    };
    let folder = folder.display().to_string();
    let files = format!("{base}/admin/vfs/{}/", folder.trim_start_matches('/'));
    let members = json!([
        ["name", name],
        ["script_root_path_href", files],
        ["script_href", null],
        ["config_href", format!("{files}function.json")],
        [
            "test_data_href",
            format!("{base}/admin/vfs/tmp/FunctionsData/{name}.dat")
        ],
        ["href", format!("{base}/admin/functions/{name}")],
        [
            "invoke_url_template",
            format!("{base}/{}", function.route.to_lowercase())
        ],
        ["language", null],
    ]);
    let rest = json!([
        ["files", null],
        ["test_data", ""],
        ["isDisabled", function.disabled],
        ["isDirect", false],
        ["isProxy", false],
    ]);
    format!(
        "{{{},\"config\":{config},{}}}",
        in_order(&members),
        in_order(&rest)
    )
}

/// Takes the space between the parts of a JSON text away, and leaves their order.
fn compact(json: &str) -> String {
    let (mut is_text, mut is_escaped) = (false, false);
    json.chars()
        .filter(|character| {
            is_text ^= *character == '"' && !is_escaped;
            is_escaped = *character == '\\' && !is_escaped;
            is_text || !character.is_whitespace()
        })
        .collect()
}

/// Answers a call for the keys of a function or, if none is named, for the host-wide ones; `name`
/// is that of one key.
async fn keys(
    access: &Access,
    request: &Request,
    body: &mut Body<'_>,
    function: Option<&str>,
    name: Option<&&str>,
) -> Answer {
    let Some(body) = body.whole().await else {
        return Answer::last(400);
    };
    let mut keys = access.keys();
    let Some(scope) = keys.scope(function) else {
        return Answer::empty(404);
    };
    // Without a name it is a GET.
    let Some(name) = name else {
        return resource(request, 200, &json!({"keys": scope.0}));
    };
    // Among the host-wide keys this name stands for the master key, which can't be changed here.
    let is_master = function.is_none() && name.eq_ignore_ascii_case(MASTER);
    match request.method.as_str() {
        "GET" => match scope.get(name) {
            Some(found) => key(request, 200, name, &found.value),
            None => Answer::empty(404),
        },
        "PUT" | "POST" if is_master => Answer::empty(404),
        "PUT" => match value(&body) {
            Some(value) => set(request, scope, name, Some(value)),
            None => refusal("Invalid key value"),
        },
        "POST" => set(request, scope, name, None),
        "DELETE" if name.eq_ignore_ascii_case(MASTER) => refusal("Invalid key name."),
        "DELETE" if scope.remove(name) => Answer::empty(204),
        _ => Answer::empty(404),
    }
}

fn set(request: &Request, scope: &mut Scope, name: &str, value: Option<String>) -> Answer {
    let (is_new, value) = scope.set(name, value);
    key(request, if is_new { 201 } else { 200 }, name, &value)
}

fn key(request: &Request, status: u16, name: &str, value: &str) -> Answer {
    resource(request, status, &json!({"name": name, "value": value}))
}

/// A resource with the link to itself that each has, in the order of the recording.
fn resource(request: &Request, status: u16, body: &Value) -> Answer {
    let body = body.to_string();
    let members = &body[..body.len() - 1];
    let link = json!(format!("http://{}{}", request.host(), request.path));
    let links = format!("{members},\"links\":[{{\"rel\":\"self\",\"href\":{link}}}]}}");
    Answer::text(status, JSON, links)
}

fn refusal(reason: &str) -> Answer {
    Answer::text(400, "text/plain; charset=utf-8", reason)
}

/// The value in the body of a PUT. The name in it is not looked at: the path has it.
fn value(body: &[u8]) -> Option<String> {
    let key: Value = serde_json::from_slice(body).ok()?;
    let value = key.get("value").or_else(|| key.get("Value"))?;
    Some(value.as_str()?.to_owned())
}
