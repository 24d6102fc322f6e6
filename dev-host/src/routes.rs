//! Which function a path means.

use crate::{function_json::Function, template::Parameters};

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

/// The segments of a path that begins with a slash.
pub fn segments(path: &str) -> Vec<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}
