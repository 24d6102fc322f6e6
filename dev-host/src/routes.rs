//! Which part of the host a request is for.

use percent_encoding::percent_decode_str;

use crate::{function_json::Function, template::Parameters};

pub enum Route<'a> {
    /// The page at `/`.
    Home,
    /// `/admin/host/status`
    Status,
    /// A call of the Key Management API. The keys are a function's or, if none is named,
    /// host-wide; `name` is that of one key.
    Keys {
        function: Option<String>,
        name: Option<String>,
    },
    /// `/admin/host/systemkeys/_master`
    MasterKey,
    Function(&'a Function),
}

/// The host decodes a path before it matches it, ignores letter case and one slash at the end,
/// and lets its own routes win over those of functions.
pub fn route<'a>(functions: &'a [Function], method: &str, path: &str) -> Option<Route<'a>> {
    let own = segments(path.strip_suffix('/').unwrap_or(path));
    let lower: Vec<String> = own.iter().map(|segment| segment.to_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    match lower.as_slice() {
        [""] => return Some(Route::Home),
        ["admin", "host", "status"] => return Some(Route::Status),
        ["admin", "functions", _, "keys", rest @ ..] if rest.len() < 2 => {
            return Some(Route::Keys {
                function: Some(own[2].clone()),
                name: own.get(4).cloned(),
            });
        }
        ["admin", "host", "keys" | "functionkeys", rest @ ..] if rest.len() < 2 => {
            return Some(Route::Keys {
                function: None,
                name: own.get(3).cloned(),
            });
        }
        ["admin", "host", "systemkeys", "_master"] => return Some(Route::MasterKey),
        _ => {}
    }
    find(functions, method, &segments(path)).map(|(function, _)| Route::Function(function))
}

/// The function for a call, and what its route's parameters are. A function that doesn't take the
/// method is not found: the answer is 404, not 405.
pub fn find<'a>(
    functions: &'a [Function],
    method: &str,
    path: &[String],
) -> Option<(&'a Function, Parameters)> {
    functions.iter().find_map(|function| {
        let takes = |methods: &Vec<String>| methods.iter().any(|m| m.eq_ignore_ascii_case(method));
        if !function.methods.as_ref().is_none_or(takes) {
            return None;
        }
        Some((function, function.template.matches(path)?))
    })
}

/// The decoded segments of a path, which begins with a slash. An escaped slash stays escaped.
pub fn segments(path: &str) -> Vec<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.replace("%2F", "%252F")
        .replace("%2f", "%252f")
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect()
}
