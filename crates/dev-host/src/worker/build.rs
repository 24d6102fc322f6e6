//! Builds the handler of an app that is a Rust package.

use std::{env, ffi::OsString, path::PathBuf, process::Stdio};

use serde::Deserialize;
use tokio::process::Command;

use crate::{app::App, console::Console};

/// What Cargo prints for an executable, among other messages.
#[derive(Deserialize)]
pub struct Built {
    pub executable: PathBuf,
    /// Cargo found it up to date, or there was nothing to build.
    pub fresh: bool,
}

/// Builds the handler if the app is a Rust package. Cargo writes errors and warnings to stderr; for
/// the first build it is said that it runs, and Cargo says what it does.
pub async fn build(app: &App, is_release: bool, first: Option<&Console>) -> Result<Built, String> {
    let executable = app.executable();
    if !app.root.join("Cargo.toml").is_file() {
        return Ok(Built {
            executable,
            fresh: true,
        });
    }
    if let Some(console) = first {
        console.host("building the handler");
    }
    let name = executable.file_name().unwrap_or_default();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let build = Command::new(&cargo)
        // No --package: with the packages and features of `cargo start`, whose dependencies are
        // then not compiled again.
        .args(["build", "--bin"])
        .arg(name)
        .args(is_release.then_some("--release"))
        .args(first.is_none().then_some("--quiet"))
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(&app.root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let output = async { build?.wait_with_output().await }.await;
    let output = output.map_err(|error| {
        let cargo = cargo.display();
        format!("`{cargo}` can't be run ({error}): is Rust installed?")
    })?;
    let name = name.display();
    if !output.status.success() {
        let root = app.root.display();
        return Err(format!(
            "`cargo build --bin {name}` failed in {root}: see above"
        ));
    }
    // The executable is built last.
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok())
        .ok_or_else(|| format!("`cargo build` has not said where it put {name}"))
}
