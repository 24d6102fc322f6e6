//! build.sh and .funcignore: what is published, and that it runs anywhere.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use regex::Regex;
use tempfile::TempDir;
use test_support::{checkout, core_tools};

/// A copy of the project in a folder of its own.
fn checkout() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    checkout::copy_to(folder.path());
    folder
}

fn put(folder: &Path, file: &str, content: &[u8]) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("ours");
    fs::write(path, content).expect("ours");
}

fn build(folder: &Path) -> Output {
    Command::new("./build.sh")
        .current_dir(folder)
        .output()
        .expect("bash is there")
}

/// The one line with which build.sh gives up.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("build.sh: "), "{stderr}");
    stderr
}

#[test]
fn exactly_three_files_go() {
    let folder = checkout();
    // Whatever else lies about. The folder of another function would go as well, for to the host
    // each folder with a function.json is one.
    for file in [
        "handler",
        "target/release/handler",
        "target/debug/deps/handler-0123",
        "local.settings.json",
        ".env",
        ".vscode/settings.json",
        ".idea/workspace.xml",
        ".DS_Store",
        "#main.rs#",
        ".#main.rs",
        "src/main.rs~",
        "4913",
        "host2.json",
        "RandomNumber2/x",
        "RandomNumber2/function/json",
        "RandomNumber2/my-function.json",
        "function.json",
        "target/debug/function.json",
        "src/nested/function.json",
        "RandomNumber/x",
        "RandomNumber/nested/function.json",
        "nested/handler",
        "nested/host.json",
        "nested/RandomNumber/function.json",
        "-/x",
        "Handler",
    ] {
        put(folder.path(), file, b"{}");
    }
    put(folder.path(), "target/zip", &core_tools::zip(folder.path()));
    let listing = Command::new("unzip")
        .args(["-Z", "target/zip"])
        .current_dir(folder.path())
        .output()
        .expect("unzip is there");
    let listing = String::from_utf8(listing.stdout).expect("UTF-8");
    // Each line begins with the mode and ends with the name.
    let entries: Vec<_> = listing
        .lines()
        .filter(|line| line.starts_with('-'))
        .map(|line| (&line[..10], line.rsplit(' ').next().expect("a name")))
        .collect();
    assert_eq!(
        entries,
        [
            ("-rw-rw-rw-", "RandomNumber/function.json"),
            ("-rwxrwxrwx", "handler"),
            ("-rw-rw-rw-", "host.json"),
        ],
        "{listing}"
    );
}

/// What no `.funcignore` can keep out of every version of Core Tools, build.sh does not let happen.
#[test]
fn files_that_would_slip_through_are_refused() {
    const OLDER_VERSIONS_ONLY: [&str; 4] = [
        "handlers",
        "handler_old",
        "host.jsonc",
        "Other/function.json5",
    ];

    for stray in [
        "handler-old",
        "handler.exe",
        "handler~",
        "handler /x",
        "handler.d/nested/x",
        "host.json.bak",
        "host.json-2026",
        "RandomNumber/function.json.orig",
        "RandomNumber/function.json~",
        "Other/function.json-old",
        "target/function.json.bak",
        ".hidden/function.json/x",
        "---",
        "é",
    ]
    .into_iter()
    .chain(OLDER_VERSIONS_ONLY)
    {
        let folder = checkout();
        put(folder.path(), stray, b"");
        let files = core_tools::included_files(folder.path());
        let slips_through = files.iter().any(|file| file == stray);
        assert_eq!(
            slips_through,
            !OLDER_VERSIONS_ONLY.contains(&stray),
            "{stray}"
        );
        let line = refusal(&build(folder.path()));
        assert!(line.contains(&format!("./{stray}\n")), "{line}");
        assert!(line.contains("move them away or rename them"), "{line}");
        assert!(!folder.path().join("handler").exists());
    }

    // A link is published as the file it leads to.
    let folder = checkout();
    symlink("Cargo.toml", folder.path().join("handler-link")).expect("ours");
    let line = refusal(&build(folder.path()));
    assert!(line.contains("./handler-link\n"), "{line}");
}

#[test]
fn on_another_machine_it_says_what_cross_compiling_takes() {
    let folder = checkout();
    let tools = TempDir::new().expect("a folder");
    for (name, script) in [
        ("uname", "#!/bin/sh\necho Darwin arm64\n"),
        ("cargo", "#!/bin/sh\n"),
    ] {
        put(tools.path(), name, script.as_bytes());
        fs::set_permissions(tools.path().join(name), fs::Permissions::from_mode(0o755))
            .expect("ours");
    }
    let output = Command::new("./build.sh")
        .current_dir(folder.path())
        .env("PATH", format!("{}:/usr/bin:/bin", tools.path().display()))
        .output()
        .expect("bash is there");
    let line = refusal(&output);
    for part in [
        "Darwin arm64",
        "cargo install cargo-zigbuild",
        "pip3 install ziglang",
        "rustup target add x86_64-unknown-linux-musl",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

/// Takes two builds from nothing, in folders of different names.
#[test]
fn the_executable_is_static_reproducible_silent_on_its_machine_and_runs_out_of_the_zip() {
    let folders = [checkout(), checkout()];
    let executables = folders.each_ref().map(|folder| {
        // The developer's own build must neither be used nor touched.
        put(folder.path(), "target/release/handler", b"warm");
        let output = build(folder.path());
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            fs::read(folder.path().join("target/release/handler")).expect("ours"),
            b"warm"
        );
        let path = folder.path().join("handler");
        let executable = fs::read(&path).expect("built");
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(
            stdout.contains(&format!("{} bytes", executable.len())),
            "{stdout}"
        );
        assert!(stdout.contains(path.to_str().expect("UTF-8")), "{stdout}");
        assert_eq!(
            fs::metadata(&path).expect("built").permissions().mode() & 0o111,
            0o111
        );
        executable
    });
    assert!(executables[0] == executables[1], "two builds differ");

    // What the kernel and the loader say of it, not build.sh.
    let path = folders[0].path().join("handler");
    let headers = Command::new("readelf")
        .args(["-hl"])
        .arg(&path)
        .output()
        .expect("binutils");
    let headers = String::from_utf8(headers.stdout).expect("UTF-8");
    assert!(
        headers.contains("ELF64") && headers.contains("X86-64"),
        "{headers}"
    );
    assert!(!headers.contains("INTERP"), "{headers}");

    let home = PathBuf::from(env::var_os("HOME").expect("a home"));
    let cargo_home = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .expect("Rust is there");
    let sysroot = String::from_utf8(sysroot.stdout).expect("UTF-8");
    let contains = |text: &str| {
        executables[0]
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(
        contains("actix-http"),
        "the names of sources are not where this test looks"
    );
    for path in [folders[0].path(), &cargo_home, Path::new(sysroot.trim())] {
        assert!(
            !contains(path.to_str().expect("UTF-8")),
            "{}",
            path.display()
        );
    }
    assert!(!contains("registry/src"));

    has_the_size_that_the_readme_says(folders[0].path());
    answers_out_of_the_zip(folders[0].path());
}

/// The README's own commands, to the tenth of a MB; another toolchain may make one of a difference.
fn has_the_size_that_the_readme_says(folder: &Path) {
    let readme = include_str!("../README.md");
    let said = Regex::new(r"(?m)^([0-9.]+) MB and ([0-9.]+) MB\.").expect("ours");
    let said = said.captures(readme).expect("the sizes");
    for (index, beginning) in [(1, "wc -c "), (2, "zip ")] {
        let mut commands = readme.lines().filter(|line| line.starts_with(beginning));
        let command = commands.next().expect("a command");
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(folder)
            .output()
            .expect("sh is there");
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        let bytes = stdout.split_whitespace().next().expect("a number");
        let bytes: f64 = bytes.parse().expect("a number");
        let said: f64 = said[index].parse().expect("a number");
        assert!((bytes / 1e6 - said).abs() < 0.15, "{command}: {stdout}");
    }
}

/// Publishes the folder to a host of its own.
fn answers_out_of_the_zip(folder: &Path) {
    let instance = TempDir::new().expect("a folder");
    put(instance.path(), "zip", &core_tools::zip(folder));
    let unzipped = Command::new("unzip")
        .args(["-q", "zip", "-d", "app"])
        .current_dir(instance.path())
        .status()
        .expect("unzip is there");
    assert!(unzipped.success());
    let host = dev_host::start(dev_host::Options {
        app_root: instance.path().join("app"),
        function_key: Some("key".to_owned()),
        ..Default::default()
    })
    .expect("it runs");

    let url = format!("{}/api/RandomNumber", host.url());
    let call = |arguments: &[&str]| {
        let output = Command::new("curl")
            .args(["--silent", "--write-out", " %{http_code}", &url])
            .args(arguments)
            .output()
            .expect("curl is there");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_eq!(call(&[]), " 401");
    let answer = call(&["--header", "x-functions-key: key"]);
    assert!(
        answer.starts_with("{\"value\":") && answer.ends_with("} 200"),
        "{answer}"
    );
}
