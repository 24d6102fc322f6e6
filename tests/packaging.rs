//! build.sh and .funcignore: what is published. (tests/own_function.rs looks at the executable.)

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use tempfile::TempDir;
use test_support::{checkout, core_tools, process::succeeds, put, put_executable};

/// A copy of the project in a folder of its own.
fn checkout() -> TempDir {
    let folder = TempDir::new().unwrap();
    checkout::copy_to(folder.path());
    folder
}

fn build(folder: &Path) -> Command {
    let mut command = Command::new("./build.sh");
    command.current_dir(folder);
    command
}

/// The one line with which build.sh gives up.
fn refusal(build: &mut Command) -> String {
    let output = build.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("build.sh: "), "{stderr}");
    stderr
}

#[test]
fn the_handler_host_json_and_the_functions_go() {
    let folder = checkout();
    put(folder.path(), "Number/function.json", "{}");
    // Whatever else lies about.
    let files = "handler target/release/handler target/debug/deps/handler-0123 local.settings.json \
             .env .vscode/settings.json .DS_Store #main.rs# src/main.rs~ host2.json \
             Number2/x Number2/function/json Number2/my-function.json \
             function.json src/nested/function.json Number/x Number/nested/function.json \
             nested/handler nested/host.json nested/Number/function.json -/x Handler";
    for file in files.split_whitespace() {
        put(folder.path(), file, "{}");
    }
    put(folder.path(), "target/zip", core_tools::zip(folder.path()));
    let zip = folder.path().join("target/zip");
    let listing = succeeds(Command::new("unzip").arg("-Z").arg(zip));
    // Each line begins with the mode and ends with the name.
    let entries: Vec<_> = listing
        .lines()
        .filter(|line| line.starts_with('-'))
        .map(|line| (&line[..10], line.rsplit(' ').next().unwrap().to_owned()))
        .collect();
    let functions = checkout::functions().into_iter();
    let functions = functions.map(|name| ("-rw-rw-rw-", format!("{name}/function.json")));
    let mut expected: Vec<_> = functions.collect();
    expected.push(("-rw-rw-rw-", "Number/function.json".to_owned()));
    expected.push(("-rwxrwxrwx", "handler".to_owned()));
    expected.push(("-rw-rw-rw-", "host.json".to_owned()));
    expected.sort_by(|one, other| one.1.cmp(&other.1));
    assert_eq!(entries, expected, "{listing}");
}

/// What no `.funcignore` can keep out of every version of Core Tools, build.sh does not let happen.
#[test]
fn files_that_would_slip_through_are_refused() {
    const OLDER_VERSIONS_ONLY: [&str; 3] = ["handlers", "host.jsonc", "Other/function.json5"];

    let folder = checkout();
    let refused = |stray: &str| {
        let line = refusal(&mut build(folder.path()));
        assert!(line.contains(&format!("./{stray}\n")), "{line}");
        assert!(line.contains("move them away or rename them"), "{line}");
        assert!(!folder.path().join("handler").exists());
    };
    let strays = "handler-old handler.exe handler.d/nested/x host.json.bak \
             Number/function.json~ target/function.json.bak .hidden/function.json/x --- é";
    for stray in strays.split_whitespace().chain(OLDER_VERSIONS_ONLY) {
        put(folder.path(), stray, "");
        let files = core_tools::included_files(folder.path());
        let slips_through = files.iter().any(|file| file == stray);
        let is_expected = !OLDER_VERSIONS_ONLY.contains(&stray);
        assert_eq!(slips_through, is_expected, "{stray}");
        refused(stray);
        fs::remove_file(folder.path().join(stray)).unwrap();
    }
    // A link is published as the file it leads to.
    symlink("Cargo.toml", folder.path().join("handler-link")).unwrap();
    refused("handler-link");
}

/// With "./" before its name, Core Tools does not know the executable again and publishes it without
/// its executable bits (measured).
#[test]
fn the_executable_has_its_bare_name_in_host_json() {
    let folder = checkout();
    let host = fs::read_to_string(folder.path().join("host.json")).unwrap();
    let path = r#""defaultExecutablePath": "handler""#;
    assert!(host.contains(path));
    for other in [
        r#""defaultExecutablePath": "./handler""#,
        "\"defaultExecutablePath\"\n:\"./handler\"",
    ] {
        put(folder.path(), "host.json", host.replace(path, other));
        let line = refusal(&mut build(folder.path()));
        assert!(
            line.contains("in \"defaultExecutablePath\" leave out the \"./\""),
            "{line}"
        );
    }
}

#[test]
fn what_it_cannot_do_is_said() {
    let (folder, tools) = (checkout(), TempDir::new().unwrap());
    let line = refusal(build(folder.path()).arg("--release"));
    assert_eq!(
        line,
        "build.sh: --release: give --dev, --tools, --functions, or no argument\n"
    );

    // On another kind of machine, what cross-compiling takes.
    for (name, script) in [
        ("uname", "#!/bin/sh\necho Darwin arm64\n"),
        ("cargo", "#!/bin/sh\n"),
    ] {
        put_executable(tools.path(), name, script);
    }
    let path = format!("{}:/usr/bin:/bin", tools.path().display());
    let line = refusal(build(folder.path()).env("PATH", &path));
    assert_eq!(
        line,
        refusal(build(folder.path()).arg("--tools").env("PATH", path))
    );
    for part in [
        "Darwin arm64",
        "cargo install cargo-zigbuild",
        "pip3 install ziglang",
        "rustup target add x86_64-unknown-linux-musl",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
#[ignore = "it builds twice from nothing"]
fn two_builds_give_the_same_file() {
    let [one, other] = [checkout(), checkout()].map(|folder| {
        succeeds(&mut build(folder.path()));
        fs::read(folder.path().join("handler")).unwrap()
    });
    assert!(one == other, "two builds differ");
}
