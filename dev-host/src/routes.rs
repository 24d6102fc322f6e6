//! Which part of the host a request is for.

use percent_encoding::percent_decode_str;

use crate::app::Function;

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
/// and lets its own routes win over those of functions. A function that doesn't take the method
/// isn't found either: the answer is 404, not 405.
pub fn route<'a>(functions: &'a [Function], method: &str, path: &str) -> Option<Route<'a>> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<String> = path
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let lower: Vec<String> = segments
        .iter()
        .map(|segment| segment.to_lowercase())
        .collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();

    match lower.as_slice() {
        [""] => return Some(Route::Home),
        ["admin", "host", "status"] => return Some(Route::Status),
        ["admin", "functions", _, "keys", rest @ ..] if rest.len() < 2 => {
            return Some(Route::Keys {
                function: Some(segments[2].clone()),
                name: segments.get(4).cloned(),
            });
        }
        ["admin", "host", "keys" | "functionkeys", rest @ ..] if rest.len() < 2 => {
            return Some(Route::Keys {
                function: None,
                name: segments.get(3).cloned(),
            });
        }
        ["admin", "host", "systemkeys", "_master"] => return Some(Route::MasterKey),
        _ => {}
    }
    functions
        .iter()
        .find(|function| {
            function
                .route
                .to_lowercase()
                .split('/')
                .eq(lower.iter().copied())
                && (function.methods.is_empty() || function.methods.iter().any(|m| m == method))
        })
        .map(Route::Function)
}
