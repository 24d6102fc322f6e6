//! The Key Management API (`KeysController`). Only the holder of the master key gets here.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::keys::{Keys, Scope};

const MASTER: &str = "_master";

/// The master key, which no scope lists.
pub fn master(value: &str, request: &HttpRequest) -> HttpResponse {
    if request.method() == Method::GET {
        key(request, StatusCode::OK, MASTER, value)
    } else {
        HttpResponse::NotFound().finish()
    }
}

/// Answers a call for the keys of a function or, if none is named, for the host-wide ones; `name`
/// is that of one key.
pub fn answer(
    keys: &mut Keys,
    request: &HttpRequest,
    body: &[u8],
    function: Option<&str>,
    name: Option<&str>,
) -> HttpResponse {
    let Some(scope) = keys.scope(function) else {
        return HttpResponse::NotFound().finish();
    };
    let Some(name) = name else {
        return match *request.method() {
            Method::GET => list(request, scope),
            _ => HttpResponse::NotFound().finish(),
        };
    };
    // Among the host-wide keys this name stands for the master key, which can't be changed here.
    let is_master = function.is_none() && name.eq_ignore_ascii_case(MASTER);
    match *request.method() {
        Method::GET => match scope.get(name) {
            Some(found) => key(request, StatusCode::OK, name, &found.value),
            None => HttpResponse::NotFound().finish(),
        },
        Method::PUT | Method::POST if is_master => HttpResponse::NotFound().finish(),
        Method::PUT => match value(body) {
            Some(value) => set(request, scope, name, Some(value)),
            None => refusal("Invalid key value"),
        },
        Method::POST => set(request, scope, name, None),
        Method::DELETE if name.starts_with('_') => refusal("Invalid key name."),
        Method::DELETE if scope.remove(name) => HttpResponse::NoContent().finish(),
        _ => HttpResponse::NotFound().finish(),
    }
}

fn list(request: &HttpRequest, scope: &Scope) -> HttpResponse {
    let keys: Vec<Value> = scope
        .iter()
        .map(|key| json!({"name": key.name, "value": key.value}))
        .collect();
    resource(request, StatusCode::OK, json!({"keys": keys}))
}

fn set(
    request: &HttpRequest,
    scope: &mut Scope,
    name: &str,
    value: Option<String>,
) -> HttpResponse {
    let (is_new, value) = scope.set(name, value);
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    key(request, status, name, &value)
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
    HttpResponse::build(status)
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
