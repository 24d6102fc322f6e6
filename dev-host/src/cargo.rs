//! Builds the handler of an app that is a Rust package.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

/// Builds the executable for release and says where it is; Cargo writes what it does to stderr.
///
/// # Errors
///
/// One line: Cargo isn't there or can't build it.
pub fn build(root: &Path, executable: &str) -> Result<PathBuf, String> {
    let package = run(root, &["pkgid"])?;
    let messages = run(
        root,
        &[
            "build",
            "--release",
            // Only this package, so that what others of its workspace ask of a dependency
            // doesn't get into what is run here.
            "--package",
            package.trim(),
            "--bin",
            executable,
            "--message-format",
            "json-render-diagnostics",
        ],
    )?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| {
            message
                .target
                .as_ref()
                .is_some_and(|t| t.name == executable)
        })
        .find_map(|message| message.executable)
        .ok_or_else(|| format!("`cargo build` has not said where it put {executable}"))
}

#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

fn run(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let command = format!("`cargo {}`", arguments[0]);
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{command} can't be run: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{command} failed in {} ({}): see above",
            root.display(),
            output.status
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
