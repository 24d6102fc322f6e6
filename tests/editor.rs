//! .vscode/: strict JSON, and every task, program and argument that it names is there. Whether the
//! editor does with it what we expect was not tried here.

use std::{fs, process::Command};

use serde_json::Value;
use test_support::project;

#[test]
fn what_f5_starts_is_there() {
    let launch = json("launch.json");
    let tasks = json("tasks.json");
    let tasks = tasks["tasks"].as_array().unwrap();
    let task = |label: &Value| {
        let task = tasks.iter().find(|task| task["label"] == *label);
        task.unwrap_or_else(|| panic!("no task {label}"))
    };
    let configuration = &launch["configurations"][0];
    for label in ["preLaunchTask", "postDebugTask"].map(|name| &configuration[name]) {
        task(label);
    }
    let steps = task(&configuration["preLaunchTask"])["dependsOn"]
        .as_array()
        .unwrap();
    let [build, host] = &steps.iter().map(task).collect::<Vec<_>>()[..] else {
        panic!("two steps")
    };

    // The build leaves the program where the debugger looks for it.
    let program = configuration["program"].as_str().unwrap();
    let program = program.strip_prefix("${workspaceFolder}/").unwrap();
    let mut command = command(build);
    command.args(["--message-format", "json"]);
    let built = command.output().unwrap();
    assert!(built.status.success(), "{built:?}");
    let built = String::from_utf8(built.stdout).unwrap();
    let executable = built
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|message| message["target"]["name"] == "handler")
        .find_map(|message| Some(message["executable"].as_str()?.to_owned()))
        .expect("the handler is built");
    // Where cargo is told to build elsewhere, the editor has to be told so, too.
    if std::env::var_os("CARGO_TARGET_DIR").is_none() {
        assert_eq!(
            executable,
            fs::canonicalize(project().join(program))
                .unwrap()
                .to_str()
                .unwrap()
        );
    }

    // dev-host calls the port on which the debugged handler listens, and takes the option.
    let arguments = host["args"].as_array().unwrap();
    let port = &configuration["env"]["FUNCTIONS_CUSTOMHANDLER_PORT"];
    let attach = arguments.iter().position(|it| it == "--attach").unwrap();
    assert_eq!(arguments[attach + 1], *port);
    let help = self::command(host).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("--attach <PORT>"), "{help}");

    // The task that ends it names it.
    let stop = task(&configuration["postDebugTask"]);
    assert_eq!(stop["args"][0], "${input:terminate}");
    let inputs = json("tasks.json");
    assert_eq!(inputs["inputs"][0]["id"], "terminate");
    assert_eq!(inputs["inputs"][0]["args"], host["label"]);
}

fn json(file: &str) -> Value {
    let file = project().join(".vscode").join(file);
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// A task of the type `process`.
fn command(task: &Value) -> Command {
    assert_eq!(task["type"], "process");
    let arguments = task["args"].as_array().unwrap();
    let mut command = Command::new(task["command"].as_str().unwrap());
    command
        .args(arguments.iter().map(|it| it.as_str().unwrap()))
        .current_dir(project());
    command
}
