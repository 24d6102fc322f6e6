//! Builds the handler of an app that is a Rust package.

use std::{env, ffi::OsString, path::PathBuf, process::Stdio};

use serde::Deserialize;
use tokio::process::Command;

use crate::{app::App, console::Console};

pub struct Built {
    pub executable: PathBuf,
    /// False if Cargo found it up to date, or if there was nothing to build.
    pub is_new: bool,
}

/// As `build`, and says so.
pub async fn first_build(app: &App, is_release: bool, console: &Console) -> Result<Built, String> {
    if is_package(app) {
        console.host("building the handler");
    }
    build(app, is_release, false).await
}

/// Builds the handler if the app is a Rust package. Cargo writes errors and warnings to stderr, and,
/// unless it is to be quiet, what it does.
///
/// # Errors
///
/// One line: Cargo isn't there or can't build it.
pub async fn build(app: &App, is_release: bool, is_quiet: bool) -> Result<Built, String> {
    let executable = app.executable();
    if !is_package(app) {
        return Ok(Built {
            executable,
            is_new: false,
        });
    }
    let name = executable.file_name().unwrap_or_default();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let build = Command::new(&cargo)
        // No --package: with the packages and features of `cargo start`, whose dependencies are
        // then not compiled again.
        .args(["build", "--bin"])
        .arg(name)
        .args(is_release.then_some("--release"))
        .args(is_quiet.then_some("--quiet"))
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(&app.root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            format!(
                "`{}` can't be run ({error}): is Rust installed?",
                cargo.display()
            )
        })?;
    let output = build
        .wait_with_output()
        .await
        .map_err(|error| format!("`cargo build` can't be awaited: {error}"))?;
    let name = name.display();
    if !output.status.success() {
        return Err(format!(
            "`cargo build --bin {name}` failed in {}: see above",
            app.root.display()
        ));
    }
    // The executable is built last.
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .filter_map(|artifact| {
            Some(Built {
                executable: artifact.executable?,
                is_new: !artifact.fresh,
            })
        })
        .next_back()
        .ok_or_else(|| format!("`cargo build` has not said where it put {name}"))
}

fn is_package(app: &App) -> bool {
    app.root.join("Cargo.toml").is_file()
}

/// One of the messages that Cargo prints.
#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
    fresh: bool,
}
