//! README.md, docs/ and .vscode/: the commands that a newcomer types first do what is said, and
//! what is named is there. Whether an editor does with .vscode/ what we expect was not tried.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use regex::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{
    app::app,
    checkout,
    process::{Group, succeeds},
    project, put, read,
};

#[test]
fn try_it() {
    let readme = read("README.md");
    let [start, header, query, wrong] = &*commands(&readme, "Try it") else {
        panic!("four commands")
    };
    // On a free port, for 7071 may be in use. It may build everything.
    let mut start = shell(&format!("{start} -- --port 0"));
    let mut host = Group::start(start.stdout(Stdio::piped()));
    let mut stdout = BufReader::new(host.0.stdout.take().unwrap());
    let mut said = String::new();
    while !said.ends_with("Ctrl-C to stop\n") {
        assert_ne!(stdout.read_line(&mut said).unwrap(), 0, "it ends: {said}");
    }
    let (_, port) = said.split_once("http://localhost:").unwrap();
    let address = format!("localhost:{}", port.split_once('/').unwrap().0);
    let call = |command: &str| succeeds(&mut shell(&command.replace("localhost:7071", &address)));

    let number = Regex::new(r#"^\{"value":[1-9][0-9]{0,2}\}$"#).unwrap();
    for command in [header, query] {
        let output = call(command);
        assert!(number.is_match(&output), "{command}: {output}");
    }
    let refusal = call(wrong);
    let (first, _) = refusal.split_once("\r\n").unwrap();
    assert!(readme.contains(&format!("the third `{first}`")), "{first}");
}

/// The file has the form that the real host was seen to write, with a byte order mark. The call
/// goes to dev-host.
#[test]
fn the_key_of_func_start() {
    let app = app(env!("CARGO_BIN_EXE_handler"));
    let host = dev_host::start(dev_host::Options {
        app_root: app.path().to_owned(),
        function_key: Some("key-of-the-file==".to_owned()),
        ..Default::default()
    });
    let address = format!("localhost:{}", host.as_ref().unwrap().port());
    let text = read("docs/core-tools.md");
    let [_, print, call] = &*commands(&text, "Its key") else {
        panic!("three commands")
    };
    let folder = TempDir::new().unwrap();
    let run = |command: &str| {
        let mut command = shell(&command.replace("localhost:7071", &address));
        succeeds(command.env("TMPDIR", folder.path()))
    };
    let key = json!({"name": "default", "value": "key-of-the-file==", "encrypted": false});
    let keys = json!({"keys": [key]});
    for keys in [format!("\u{feff}{keys}"), format!("\u{feff}{keys:#}")] {
        let file = "secrets/functions/secrets/randomnumber.json";
        put(folder.path(), file, keys);
        assert_eq!(run(print), "key-of-the-file==\n");
        assert!(run(call).starts_with("{\"value\":"));
    }
}

/// Relative links, what looks like a path in code, and the scripts that are to be run.
#[test]
fn what_is_named_is_there() {
    let link = Regex::new(r"\]\(([^)#]*)").unwrap();
    let block = Regex::new(r"(?ms)^ *```.*?^ *```$").unwrap();
    let path = Regex::new(r"`([A-Za-z0-9_./-]*(?:/[A-Za-z0-9_.-]*|\.[a-z]+))`").unwrap();
    let script = Regex::new(r"(?m)^(\./[^ \n]+)").unwrap();
    // What a reader of the README may write or build, and what git does not keep.
    let others = "/src/greeting.rs\n/Greeting/function.json\n/src/order.rs\n/Order/function.json\n/tests/order.rs\n\
                  /target/debug/handler\n";
    let others = read(".gitignore") + others;
    let files = checkout::files();
    let texts = files.iter().filter(|file| file.ends_with(".md"));
    // What the recordings name lies on the machine where they were made.
    for file in texts.filter(|file| !file.starts_with("crates/conformance/recorded/")) {
        let text = read(file);
        let here = project().join(file);
        for link in link.captures_iter(&text) {
            let is_there =
                link[1].starts_with("https://") || here.with_file_name(&link[1]).exists();
            assert!(is_there, "{file}: nothing at {}", &link[1]);
        }
        for script in script.captures_iter(&text) {
            assert!(
                project().join(&script[1]).exists(),
                "{file}: {}",
                &script[1]
            );
        }
        for path in path.captures_iter(&block.replace_all(&text, "")) {
            let name = path[1].trim_start_matches("./").trim_end_matches('/');
            let is_url = name.starts_with('/');
            let name = format!("/{name}/");
            let mut all = files.iter().map(|file| format!("/{file}/"));
            let is_there = is_url
                || others.lines().any(|line| format!("{line}/") == name)
                || all.any(|file| file.starts_with(&name) || file.ends_with(&name));
            assert!(is_there, "{file}: no {}", &path[0]);
        }
    }
}

#[test]
fn what_f5_starts_is_there() {
    let json = |file| serde_json::from_str::<Value>(&read(file)).unwrap();
    let (launch, tasks) = (json(".vscode/launch.json"), json(".vscode/tasks.json"));
    let task = |label: &Value| {
        let tasks = tasks["tasks"].as_array().unwrap();
        let task = tasks.iter().find(|task| task["label"] == *label);
        task.unwrap_or_else(|| panic!("no task {label}"))
    };
    let debug = &launch["configurations"][0];
    let steps = &task(&debug["preLaunchTask"])["dependsOn"];
    let build = &task(&steps[0])["args"];
    assert_eq!(*build, json!(["build", "--bin", "handler"]));
    assert_eq!(debug["program"], "${workspaceFolder}/target/debug/handler");
    let port = &debug["env"]["FUNCTIONS_CUSTOMHANDLER_PORT"];
    let host = &task(&steps[1])["args"];
    assert_eq!(*host, json!(["start", "--", "--attach", port]));
    let stop = task(&debug["postDebugTask"]);
    assert_eq!(stop["args"][0], "${input:terminate}");
    assert_eq!(tasks["inputs"][0]["id"], "terminate");
    assert_eq!(tasks["inputs"][0]["args"], steps[1]);
}

/// What a test is built for is in its environment, and would have Cargo build again what looks at
/// that. Cargo's folder is the one of this test, wherever it is told to build.
fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_") {
            command.env_remove(&*name);
        }
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    command
        .args(["-c", line])
        .current_dir(project())
        .stdin(Stdio::null())
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_TERM_QUIET", "true");
    command
}

/// The commands of a section.
fn commands(text: &str, heading: &str) -> Vec<String> {
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("\n```sh\n").skip(1);
    blocks
        .flat_map(|block| block.split("\n```").next().unwrap().lines())
        .map(str::to_owned)
        .collect()
}
