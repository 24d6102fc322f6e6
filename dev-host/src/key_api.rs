//! The Key Management API (`KeysController`). Only the holder of the master key gets here.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    keys::{Keys, Scope as KeyScope},
    routes::Scope,
};

const MASTER: &str = "_master";

const NO_VALUE: &str = "Invalid key value";
const NO_NAME: &str = "Invalid key name.";

/// The master key, which no scope lists.
pub fn master(value: &str, request: &HttpRequest) -> HttpResponse {
    if request.method() == Method::GET {
        key(request, StatusCode::OK, MASTER, value)
    } else {
        HttpResponse::NotFound().finish()
    }
}

pub fn answer(
    keys: &mut Keys,
    request: &HttpRequest,
    body: &[u8],
    scope: &Scope,
    name: Option<&str>,
) -> HttpResponse {
    let Some(name) = name else {
        return match (request.method(), scope_of(keys, scope)) {
            (&Method::GET, Some(scope)) => list(request, scope),
            _ => HttpResponse::NotFound().finish(),
        };
    };
    match *request.method() {
        Method::GET => get(keys, request, scope, name),
        Method::PUT => match value(body) {
            Some(value) => set(keys, request, scope, name, Some(value)),
            None => refusal(NO_VALUE),
        },
        Method::POST => set(keys, request, scope, name, None),
        Method::DELETE => delete(keys, scope, name),
        _ => HttpResponse::NotFound().finish(),
    }
}

fn scope_of<'a>(keys: &'a mut Keys, scope: &Scope) -> Option<&'a mut KeyScope> {
    match scope {
        Scope::Function(function) => keys.function(function),
        Scope::Host => Some(&mut keys.host),
    }
}

fn list(request: &HttpRequest, scope: &KeyScope) -> HttpResponse {
    let keys: Vec<Value> = scope
        .iter()
        .map(|key| json!({"name": key.name, "value": key.value}))
        .collect();
    resource(request, StatusCode::OK, json!({"keys": keys}))
}

fn get(keys: &mut Keys, request: &HttpRequest, scope: &Scope, name: &str) -> HttpResponse {
    match scope_of(keys, scope).and_then(|scope| scope.get(name)) {
        Some(found) => key(request, StatusCode::OK, name, &found.value),
        None => HttpResponse::NotFound().finish(),
    }
}

fn set(
    keys: &mut Keys,
    request: &HttpRequest,
    scope: &Scope,
    name: &str,
    value: Option<String>,
) -> HttpResponse {
    // In the scope of the host this name stands for the master key, which can't be changed here.
    let is_master = matches!(scope, Scope::Host) && name.eq_ignore_ascii_case(MASTER);
    let Some(scope) = scope_of(keys, scope).filter(|_| !is_master) else {
        return HttpResponse::NotFound().finish();
    };
    let (is_new, value) = scope.set(name, value);
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    key(request, status, name, &value)
}

fn delete(keys: &mut Keys, scope: &Scope, name: &str) -> HttpResponse {
    if name.starts_with('_') {
        return refusal(NO_NAME);
    }
    if scope_of(keys, scope).is_some_and(|scope| scope.remove(name)) {
        HttpResponse::NoContent().finish()
    } else {
        HttpResponse::NotFound().finish()
    }
}

fn key(request: &HttpRequest, status: StatusCode, name: &str, value: &str) -> HttpResponse {
    resource(request, status, json!({"name": name, "value": value}))
}

/// A resource with the link to itself that each has (`ApiModelUtility`).
fn resource(request: &HttpRequest, status: StatusCode, mut body: Value) -> HttpResponse {
    let connection = request.connection_info();
    let link = format!(
        "{}://{}{}",
        connection.scheme(),
        connection.host(),
        request.path()
    );
    body["links"] = json!([{"rel": "self", "href": link}]);
    let mut answer = HttpResponse::build(status);
    if status == StatusCode::CREATED {
        answer.insert_header((header::LOCATION, link));
    }
    answer
        .content_type("application/json; charset=utf-8")
        .body(body.to_string())
}

fn refusal(reason: &'static str) -> HttpResponse {
    HttpResponse::BadRequest()
        .content_type("text/plain; charset=utf-8")
        .body(reason)
}

/// The value in the body of a PUT. The name in it is not looked at: the path has it.
fn value(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Key {
        #[serde(alias = "Value")]
        value: Option<String>,
    }
    serde_json::from_slice::<Key>(body).ok()?.value
}
