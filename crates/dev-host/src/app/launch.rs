//! How the handler is started.

use std::{collections::BTreeMap, path::PathBuf};

/// How to start the handler.
#[derive(Clone)]
pub struct Launch {
    pub executable: PathBuf,
    /// As host.json has them.
    pub arguments: Vec<String>,
    pub working_directory: PathBuf,
    /// Added to the host's own environment.
    pub environment: BTreeMap<String, String>,
}

/// Replaces each %NAME% by the value of a variable, or by nothing if it isn't set.
pub fn expand(text: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%')
        && let Some((name, after)) = after.split_once('%')
    {
        expanded += before;
        expanded += &variable(name).unwrap_or_default();
        rest = after;
    }
    expanded + rest
}
