//! Builds the handler of an app that is a Rust package.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

/// Builds the executable for development and says where it is; Cargo writes what it does to stderr.
///
/// # Errors
///
/// One line: Cargo isn't there or can't build it.
pub fn build(root: &Path, executable: &str) -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(cargo)
        // No --package: with the packages and features of `cargo start`, whose dependencies are
        // then not compiled again.
        .args(["build", "--bin", executable])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("`cargo build` can't be run: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "`cargo build --bin {executable}` failed in {} ({}): see above; the name is \
             host.json's defaultExecutablePath",
            root.display(),
            output.status
        ));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter_map(|message| message.executable)
        .next_back()
        .ok_or_else(|| format!("`cargo build` has not said where it put {executable}"))
}

/// What is built last is what was asked for.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}
