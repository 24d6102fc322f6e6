//! `provision.sh` from end to end: the real script with the real Azure CLI and the real curl,
//! against a loopback stand-in for Azure and with dev-host as the Functions host. Nothing but
//! loopback is reached.
//!
//! The Azure CLI is the one on the PATH if its version is the pinned one; else it is installed
//! once, into `target`.

mod azure;
mod http;
mod world;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::json;

use azure::{Fault, FrontFault};
use world::{Outcome, World};

const PLAN: &str = "Microsoft.Web/serverfarms";
const SITE: &str = "Microsoft.Web/sites";
const STORAGE: &str = "Microsoft.Storage/storageAccounts";
const CONTAINER: &str = "Microsoft.Storage/storageAccounts/blobServices/containers";
const GROUP: &str = "Microsoft.Resources/resourceGroups";

/// No word of the sources, so that it is only found where it has been put.
const KEY: &str = "Zq3-walk8through";

/// A custom handler that greets whom a POST names.
const GREETING: &str = r#"#!/usr/bin/env python3
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Greeting(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(('{"greeting":"Hello, %s"}' % body["name"]).encode())

HTTPServer(("127.0.0.1", int(os.environ["FUNCTIONS_CUSTOMHANDLER_PORT"])), Greeting).serve_forever()
"#;

#[test]
fn from_nothing_to_a_verified_endpoint() {
    let world = World::new();
    let mut command = world.provision(&[]);
    world.build_for_real(&mut command);
    let first = Outcome::from(command.env("PROVISION_KEY_VALUE", KEY).output().unwrap()).succeeds();
    for step in 1..=6 {
        assert!(first.stdout.contains(&format!("\n[{step}/6] ")), "{first}");
    }

    let state = world.azure.state();
    let storage = &state.resource(STORAGE)["properties"];
    assert_eq!(storage["supportsHttpsTrafficOnly"], true);
    assert_eq!(storage["minimumTlsVersion"], "TLS1_2");
    assert_eq!(storage["allowBlobPublicAccess"], false);
    let site = &state.resource(SITE)["properties"];
    assert_eq!(site["httpsOnly"], true);
    assert_eq!(site["functionAppConfig"]["runtime"]["name"], "custom");
    assert_eq!(state.resource(PLAN)["sku"]["tier"], "FlexConsumption");
    state.resource(CONTAINER);
    drop(state);

    let mut published = fs::read_dir(world.path("published/1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect::<Vec<_>>();
    published.sort();
    assert_eq!(published, ["RandomNumber", "handler", "host.json"]);
    let handler = fs::metadata(world.path("published/1/handler")).unwrap();
    assert_eq!(handler.permissions().mode() & 0o111, 0o111);

    // The commands that it ends with do what it says they do.
    let mut lines = first.stdout.lines().map(str::trim);
    let show_key = lines.find(|line| line.starts_with("az ")).unwrap();
    let shown = world.shell(show_key).succeeds();
    assert_eq!(shown.stdout.trim(), KEY);
    let first_line = lines.find(|line| line.starts_with("az ")).unwrap();
    let call = format!("{first_line} {}", lines.next().unwrap());
    let called = world.shell(&call).succeeds();
    assert!(called.stdout.starts_with(r#"{"value":"#), "{called}");

    world.check_secrets(KEY, &[&first, &called]);
    let records = world.records();
    let of = |tool: &str| records.keys().filter(|name| name.starts_with(tool)).count();
    assert!(of("az.") >= 10 && of("curl.") >= 5 && of("func.") >= 2);
    world.check();
}

/// What stands in the README's section on another function is all that it takes.
#[test]
fn another_function_brings_its_own_names() {
    let world = World::new();
    let first = world.run(&["--dry-run"]).succeeds();
    // A new version must find again what an earlier one has made.
    for name in [
        "rg-random-number",
        "random-number-a042886a3c",
        "randomnumbera042886a3c",
    ] {
        assert!(first.stdout.contains(&format!(" {name}\n")), "{first}");
    }
    world.replace_function("Greeting", GREETING);
    world
        .run(&[])
        .fails("there is no RandomNumber/function.json: in provision.sh, set function_name to");
    assert!(world.azure.state().names(GROUP).is_empty());

    world.edit(
        "provision.sh",
        "\nfunction_name=RandomNumber\n",
        "\nfunction_name=Greeting\n",
    );
    let options = r#"(--header 'Content-Type: application/json' --data '{"name":"Ada"}')"#;
    world.edit(
        "provision.sh",
        "\ncheck_options=()\n",
        &format!("\ncheck_options={options}\n"),
    );
    let outcome = world
        .run(&[])
        .fails(r#"answers '{"greeting":"Hello, Ada"}', which does not match ^\{"value""#);
    assert!(!outcome.to_string().contains("RandomNumber"), "{outcome}");

    let old = r#"'^\{"value":[1-9][0-9]{0,2}\}$'"#;
    world.edit("provision.sh", old, r#"'"Hello, Ada"'"#);
    let second = world.run(&[]).succeeds();
    assert!(second.stdout.starts_with("Greeting in Azure\n"), "{second}");
    let state = world.azure.state();
    assert_eq!(state.names(GROUP), ["rg-greeting"]);
    assert!(state.names(SITE)[0].starts_with("greeting-"));
    assert!(state.names(STORAGE)[0].starts_with("greeting"));
    // The host lets POST alone through.
    let calls = state
        .front_calls
        .iter()
        .filter(|call| call.path == "/api/Greeting");
    assert!(calls.clone().count() >= 4 && calls.clone().all(|call| call.method == "POST"));
    drop(state);
    let (_, call) = second.stdout.split_once("can be used without").unwrap();
    let call = call.split("\n\n").nth(1).unwrap();
    let called = world.shell(call).succeeds();
    assert_eq!(called.stdout, r#"{"greeting":"Hello, Ada"}"#);

    world.azure.state().front_faults = vec![FrontFault {
        method: "PUT",
        path: "/admin/",
        key: None,
        times: 1,
        status: Some(400),
    }];
    let refused = world.run(&[]).fails("(Functions, Greeting, Function Keys)");
    let help = world.run(&["--help"]).succeeds();
    assert!(help.stdout.contains("the Greeting function"), "{help}");
    assert!(
        help.stdout
            .contains("PROVISION_RESOURCE_GROUP; rg-greeting)"),
        "{help}"
    );
    for outcome in [second, refused, help] {
        let outcome = outcome.to_string().to_lowercase();
        assert!(!outcome.contains("random"), "{outcome}");
    }
    world.check();
}

/// Two names with the same beginning, as long as the Functions host allows, are told apart.
#[test]
fn a_long_name_is_cut_to_what_azure_takes() {
    let world = World::new();
    let names_for = |function: &str| {
        let from = fs::read_to_string(world.path("project/provision.sh")).unwrap();
        let from = from
            .lines()
            .find(|line| line.starts_with("function_name="))
            .unwrap();
        world.edit(
            "provision.sh",
            &format!("\n{from}\n"),
            &format!("\nfunction_name={function}\n"),
        );
        let function = world.path("project").join(function);
        fs::create_dir_all(&function).unwrap();
        fs::write(function.join("function.json"), "{}").unwrap();
        // In a group that both are put into.
        let outcome = world
            .run(&["--resource-group", "shared", "--dry-run"])
            .succeeds();
        ["app  ", "account  "].map(|label| {
            let (_, name) = outcome.stdout.split_once(label).unwrap();
            name.lines().next().unwrap().trim().to_owned()
        })
    };
    // A hyphen is where the app's name is cut.
    let long = format!("{}_{}", "a".repeat(48), "Ab".repeat(39));
    let names = ["HTTPTrigger_2", &long, &format!("{}c", &long[..126])].map(|function| {
        let [app, storage] = names_for(function);
        let (words, hash) = app.rsplit_once('-').unwrap();
        assert!(
            storage.ends_with(hash) && hash.len() == 10,
            "{app} {storage}"
        );
        [
            words.to_owned(),
            storage[..storage.len() - 10].to_owned(),
            app,
            storage,
        ]
    });
    assert_eq!(names[0][..2], ["httptrigger-2", "httptrigger2"]);
    for [words, letters, ..] in &names[1..] {
        assert_eq!([words, letters], [&"a".repeat(48), &"a".repeat(14)]);
    }
    assert_ne!(names[1], names[2]);
    let outcome = world.run(&["--dry-run"]).succeeds();
    let (_, group) = outcome.stdout.split_once("resource group   rg-").unwrap();
    assert_eq!(group.lines().next().unwrap().len(), 87);
    world.check();
}

#[test]
fn a_second_run_changes_nothing() {
    let world = World::new();
    world.run(&[]).succeeds();
    let before = world.azure.state().summary();
    world.azure.state().calls.clear();

    world.run(&[]).succeeds();
    let state = world.azure.state();
    let changes = state.calls.iter().filter(|call| call.changes_something());
    assert_eq!(changes.count(), 0, "{:#?}", state.calls);
    assert_eq!(state.summary(), before);
    let statuses = state.front_calls.iter().filter(|call| call.method == "PUT");
    let statuses = statuses.map(|call| call.status).collect::<Vec<_>>();
    assert_eq!(statuses, [Some(200), Some(200)], "no second key");
    drop(state);
    world.check();
}

/// Each call of Resource Manager in a first run is made to fail once. Whatever comes of it, after
/// one more run all is as if nothing had happened.
#[test]
fn any_cloud_call_fails_once() {
    const FAULTS: [Fault; 6] = [
        Fault::Status(409),
        Fault::Status(429),
        Fault::Status(500),
        Fault::Status(503),
        Fault::Lost,
        Fault::AnswerLost,
    ];
    let world = World::new();
    world.run(&[]).succeeds();
    let expected = world.azure.state().summary();
    let calls = world.azure.state().calls.clone();
    drop(world);

    let mut cases = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        cases.push((index, FAULTS[index % FAULTS.len()]));
        // The two that the Azure CLI does not iron out by itself, where they weigh most.
        if call.changes_something() {
            cases.push((index, Fault::Status(409)));
            cases.push((index, Fault::AnswerLost));
        }
    }
    cases.dedup();
    assert!(cases.len() >= calls.len());

    let next = AtomicUsize::new(0);
    let failed_runs = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(&(index, fault)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let world = World::new();
                    world.azure.fail_call(index, fault);
                    let mut outcomes = vec![world.run_with_key(KEY, &[])];
                    if outcomes[0].status != Some(0) {
                        failed_runs.fetch_add(1, Ordering::Relaxed);
                        outcomes.push(world.run_with_key(KEY, &[]));
                    }
                    let last = outcomes.last().unwrap();
                    let state = world.azure.state();
                    if last.status != Some(0) || state.summary() != expected {
                        wrong.lock().unwrap().push(format!(
                            "{fault:?} at {:?}: {:#?}\n{}",
                            calls[index],
                            state.summary(),
                            outcomes.iter().map(ToString::to_string).collect::<String>()
                        ));
                    }
                    drop(state);
                    world.check_secrets(KEY, &outcomes.iter().collect::<Vec<_>>());
                    world.check();
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let failed_runs = failed_runs.into_inner();
    assert!(
        failed_runs >= 5,
        "only {failed_runs} faults got through to the script"
    );
}

#[test]
fn an_interrupted_run_goes_on_where_it_stopped() {
    let world = World::new();
    // The plan is there then, and the app is not.
    let stopped = world.interrupt_at("PUT", "/sites/", &[]);
    assert_eq!(stopped.status, Some(130), "{stopped}");
    let stopped = stopped.fails("step 2 (Function app): stopped");
    assert!(
        stopped
            .stderr
            .contains("running it again goes on from there"),
        "{stopped}"
    );
    assert_eq!(world.azure.state().names(PLAN).len(), 1, "left behind");
    assert_eq!(world.azure.state().names(SITE).len(), 0);

    world.run(&[]).succeeds();
    let state = world.azure.state();
    assert_eq!(state.names(PLAN).len(), 1);
    assert_eq!(state.names(CONTAINER).len(), 1);
    drop(state);
    world.check();
}

/// What the script does not delete, for it may be somebody else's, it names.
#[test]
fn a_plan_left_in_a_group_of_others_is_named() {
    let world = World::new();
    {
        let mut state = world.azure.state();
        state.insert("shared", json!({"location": "westus2"}));
        state.insert(
            "shared/providers/Microsoft.Web/serverfarms/ASP-shared-1234",
            json!({"location": "westus2", "sku": {"tier": "FlexConsumption"}, "properties": {}}),
        );
    }
    let arguments = ["--resource-group", "shared"];
    let stopped = world.interrupt_at("PUT", "/sites/", &arguments);
    let failed = world.kill_az_at("PUT", "/sites/", &arguments);
    for (left, outcome) in [
        (2, stopped.fails("step 2 (Function app): stopped")),
        (1, failed.fails("creating the function app failed")),
    ] {
        assert!(!outcome.stderr.contains("ASP-shared-1234"), "{outcome}");
        let (_, delete) = outcome.stderr.split_once("delete it with: ").unwrap();
        let delete = delete.lines().next().unwrap();
        world.shell(&format!("{delete} --yes")).succeeds();
        assert_eq!(world.azure.state().names(PLAN).len(), left);
    }
    assert_eq!(world.azure.state().names(PLAN), ["ASP-shared-1234"]);

    // One that is not left is not spoken of.
    world.azure.state().taken_names = vec!["taken-app"];
    let outcome = world
        .run(&["--resource-group", "shared", "--app", "taken-app"])
        .fails("already exists");
    assert!(!outcome.stderr.contains("left"), "{outcome}");
    world.check();
}

#[test]
fn a_slow_host_is_waited_for() {
    let world = World::new();
    let again = |method, path, times, status| FrontFault {
        method,
        path,
        key: None,
        times,
        status,
    };
    {
        let mut state = world.azure.state();
        state.starting = 4;
        state.without_master_key = 2;
        state.front_faults = vec![
            again("GET", "/", 2, None),
            again("PUT", "/admin/", 1, Some(404)),
            again("PUT", "/admin/", 2, Some(503)),
            again("PUT", "/admin/", 2, None),
            again("GET", "/api/", 2, Some(503)),
            FrontFault {
                method: "GET",
                path: "/api/",
                key: Some(KEY.to_owned()),
                times: 3,
                status: Some(401),
            },
        ];
    }
    world.run_with_key(KEY, &[]).succeeds();
    let state = world.azure.state();
    assert_eq!(state.without_master_key, 0);
    let left = state.front_faults.iter().filter(|fault| fault.times > 0);
    assert_eq!(left.count(), 0);
    drop(state);
    world.check();
}

/// All in one world, for what comes before is the same.
#[test]
fn a_host_that_does_not_come_round_ends_the_step() {
    let world = World::new();
    let run_for = |timeout, method, path, key: &str, status| {
        world.azure.state().front_faults = vec![FrontFault {
            method,
            path,
            key: Some(key.to_owned()).filter(|key| !key.is_empty()),
            times: usize::MAX,
            status,
        }];
        let mut command = world.provision(&[]);
        command.env("PROVISION_TIMEOUT", timeout);
        let output = command.env("PROVISION_KEY_VALUE", KEY).output().unwrap();
        let outcome = Outcome::from(output);
        world.check_secrets(KEY, &[&outcome]);
        outcome
    };
    let run = |method, path, key, status| run_for("2", method, path, key, status);
    run("GET", "/", "", None)
        .fails("step 3 (Wait for the host): the host does not answer after 2 s");
    run("PUT", "/admin/", "", Some(503))
        .fails("step 5 (Access key): the host takes no key after 2 s (last status: 503)");
    run("PUT", "/admin/", "", Some(400))
        .fails("refuses this value for the key default (status 400)");
    run("PUT", "/admin/", "", Some(401)).fails("refuses the master key (status 401)");
    run("GET", "/api/", KEY, Some(401))
        .fails("step 6 (Check): the function called with the key in the header answers status 401");
    run("GET", "/api/", &format!("x{KEY}"), Some(200))
        .fails("the function called with a wrong key answers status 200, not 401");

    // A key that is refused for good is not tried for as long as Azure is waited for.
    world.azure.state().front_calls.clear();
    run_for("99999", "GET", "/api/", KEY, Some(401))
        .fails("step 6 (Check): the function called with the key in the header answers status 401")
        .fails("The host has not taken the key up");
    let state = world.azure.state();
    let refused = state.front_calls.iter();
    let refused = refused.filter(|call| call.path.starts_with("/api/"));
    // Besides, one call each without a key and with a wrong one.
    assert_eq!(refused.count(), 2 + 24);
    drop(state);

    world.azure.state().front_faults.clear();
    world.azure.state().without_master_key = usize::MAX;
    let mut command = world.provision(&[]);
    let output = command.env("PROVISION_TIMEOUT", "2").output().unwrap();
    Outcome::from(output).fails("step 5 (Access key): Azure gives no master key after 2 s");
    world.azure.state().without_master_key = 0;
    world.run(&[]).succeeds();
    world.check();
}

/// The call is made to fail once only, so a script that asked again would go on.
#[test]
fn a_host_that_may_not_be_asked_after_is_not_waited_for() {
    let world = World::new();
    world.run(&[]).succeeds();
    world.azure.state().calls.clear();
    world.run(&[]).succeeds();
    let calls = world.azure.state().calls.clone();
    let next = calls
        .iter()
        .position(|call| call.path.ends_with("/listkeys"));
    let index = next.expect("the master key is asked for") - 1;
    world.azure.fail_call(index, Fault::Status(403));
    world
        .run(&[])
        .fails("step 3 (Wait for the host): the state of the app is not to be had:")
        .fails("AuthorizationFailed");
    world.check();
}

#[test]
fn publishing_is_tried_again() {
    let world = World::new();
    world.fail_publishing(1);
    let outcome = world.run_with_key(KEY, &[]).succeeds();
    world.check_secrets(KEY, &[&outcome]);
    assert!(outcome.stdout.contains("Service Unavailable"), "{outcome}");
    assert_eq!(world.times_published(), 1);

    world.fail_publishing(usize::MAX);
    let outcome = world
        .run_with_key(KEY, &[])
        .fails("step 4 (Build and publish): func azure functionapp publish");
    world.check_secrets(KEY, &[&outcome]);
    assert!(outcome.stderr.contains("Service Unavailable"), "{outcome}");

    // The stand-in for func has the real one's way of failing, which the script has to prevent.
    let outcome = world.shell("cd project && func azure functionapp publish any");
    assert!(
        outcome.stdout.contains("worker runtime is not set"),
        "{outcome}"
    );

    // What a build that fails has to say comes through, were it all that it knows.
    let failing = "#!/bin/sh\nenv\necho 'error: no such target' >&2\nexit 3\n";
    fs::write(world.path("project/build.sh"), failing).unwrap();
    let outcome = world
        .run_with_key(KEY, &[])
        .fails("step 4 (Build and publish): ./build.sh failed:");
    world.check_secrets(KEY, &[&outcome]);
    assert!(
        outcome.stderr.contains("error: no such target"),
        "{outcome}"
    );
    world.check();
}

#[test]
fn taken_names() {
    let world = World::new();
    world.azure.state().taken_names = vec!["takenbyothers", "taken-app"];
    world
        .run(&["--storage", "takenbyothers"])
        .fails("is already taken")
        .fails("give another one with --storage");
    world
        .run(&["--app", "taken-app"])
        .fails("already exists")
        .fails("give another one with --app");
    assert_eq!(
        world.azure.state().names(PLAN).len(),
        0,
        "az takes its plan back"
    );
    world.check();
}

#[test]
fn an_app_of_somebody_else_is_left_alone() {
    let world = World::new();
    {
        let mut state = world.azure.state();
        state.insert("shared", json!({"location": "westus2"}));
        state.insert(
            "shared/providers/Microsoft.Web/sites/theirs",
            json!({"location": "westus2", "properties": {
                "sku": "FlexConsumption", "serverFarmId": "/x", "state": "Running",
                "defaultHostName": "localhost:1"}}),
        );
    }
    world
        .run(&["--resource-group", "shared", "--app", "theirs"])
        .fails("function app theirs is there, but was not created by this script");
    assert_eq!(world.times_published(), 0);
    world.check();
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    for tool in ["az", "func", "curl", "cargo"] {
        let world = World::new();
        world.remove_tool(tool);
        let outcome = world.run(&[]).fails("not ready; nothing was changed");
        assert!(outcome.stderr.contains(&format!("  - {tool}")), "{outcome}");
        assert_eq!(
            outcome.stderr.matches("mend it with: ").count(),
            1,
            "{outcome}"
        );
        let state = world.azure.state();
        assert!(!state.calls.iter().any(azure::Call::changes_something));
        drop(state);
        world.check();
    }

    let world = World::signed_out();
    world.remove_tool("curl");
    world.install_tool("func", "echo 3.0.1");
    let outcome = world
        .run(&[])
        .fails("func of version 4 (this one says: 3.0.1)");
    assert!(outcome.stderr.contains("az login"), "{outcome}");
    assert!(outcome.stderr.contains("  - curl"), "{outcome}");
    world.check();

    let world = World::new();
    world
        .run(&["--subscription", "nobody's"])
        .fails("the subscription 'nobody's'");
    world
        .run(&["--location", "Germany North"])
        .fails("a location that offers the plan flex ('germanynorth' does not)");
    assert_eq!(world.azure.state().names(GROUP).len(), 0);
    world.check();
}

#[test]
fn what_azure_would_refuse_is_refused_first() {
    let world = World::new();
    let long = "a".repeat(91);
    for (arguments, rule) in [
        (
            ["--storage", "No-Good"],
            "3 to 24 lower-case letters and digits",
        ),
        (["--storage", "ab"], "3 to 24 lower-case letters and digits"),
        (["--app", "-app"], "2 to 60 letters, digits and hyphens"),
        (["--app", "app-"], "2 to 60 letters, digits and hyphens"),
        (["--app", "a"], "2 to 60 letters, digits and hyphens"),
        (["--resource-group", "group."], "no period at the end"),
        (["--resource-group", &long], "1 to 90 letters"),
        (
            ["--key-name", "_master"],
            "1 to 127 letters, digits and hyphens",
        ),
        (
            ["--key-name", "a/b"],
            "1 to 127 letters, digits and hyphens",
        ),
        (["--plan", "premium"], "give flex or consumption"),
        (["--location", "west;us"], "az account list-locations"),
        (
            ["--key-file", "missing"],
            "--key-file 'missing' can't be read: give a file with the access key's value",
        ),
        (
            ["--key-file", "project"],
            "--key-file 'project' can't be read",
        ),
        (["--key-file", ""], "--key-file '' can't be read"),
        (
            ["--key-file", "-"],
            "--key-file '-' is empty: give the access key's value",
        ),
    ] {
        let outcome = world.run(&arguments).fails(rule);
        assert_eq!(outcome.status, Some(2), "{outcome}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
    }
    world
        .run_with_key("", &[])
        .fails("PROVISION_KEY_VALUE is empty: give the access key's value, or leave it out");
    let outcome = world
        .shell("dash project/provision.sh")
        .fails("provision.sh: run it with bash: ./provision.sh\n");
    assert_eq!(outcome.status, Some(2), "{outcome}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
    world
        .run(&["--nonsense"])
        .fails("unknown option '--nonsense'");
    world.run(&["--app"]).fails("--app needs a value");
    for value in [" a", "a ", "a\nb", "a\tb", "é", "a\u{7f}"] {
        let mut command = world.provision(&[]);
        let output = command.env("PROVISION_KEY_VALUE", value).output().unwrap();
        Outcome::from(output).fails("give printable ASCII characters, with no line break");
    }
    let help = world.run(&["--help"]).succeeds();
    assert!(help.stdout.contains("--dry-run"), "{help}");
    assert!(world.azure.state().calls.is_empty());
    world.check();
}

#[test]
fn odd_key_values() {
    // Those of the script that can have a secret in them.
    const VARIABLES: [&str; 4] = ["answer", "http_body", "key_value", "master_key"];

    let world = World::new();
    // By a file, which ends with a newline as files do; by standard input; by the environment.
    let values = [
        r#"say "hello" & 100% + more \ 'x' #1"#,
        r"%41%zz {a,b} [1-3] $HOME `id` *?;=@/~|<>!^\",
        "@/etc/passwd",
    ];
    fs::write(world.path("key"), format!("{}\n", values[0])).unwrap();
    let file = world.path("key");
    let first = world
        .run(&["--key-file", file.to_str().unwrap()])
        .succeeds();
    fs::remove_file(file).unwrap();

    let mut command = world.provision(&["--key-file", "-", "--key-name", "second"]);
    let mut script = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    script
        .stdin
        .take()
        .unwrap()
        .write_all(values[1].as_bytes())
        .unwrap();
    let second = Outcome::from(script.wait_with_output().unwrap()).succeeds();

    let mut command = world.provision(&[]);
    // A variable that is exported already stays so when a script sets it.
    for name in VARIABLES {
        command.env(name, "x");
    }
    let output = command
        .env("PROVISION_KEY_VALUE", values[2])
        .output()
        .unwrap();
    let third = Outcome::from(output).succeeds();

    for value in values {
        world.check_secrets(value, &[&first, &second, &third]);
    }
    for (name, record) in world.records() {
        for variable in VARIABLES {
            let exported = format!("\n{variable}=");
            assert!(
                !record.contains(&exported),
                "{variable} is there for {name}"
            );
        }
    }
    world.check();
}

#[test]
fn a_dry_run_changes_nothing() {
    let world = World::new();
    let outcome = world.run(&["--dry-run"]).succeeds();
    for command in [
        "az group create",
        "az storage account create",
        "az functionapp create",
        "func azure functionapp publish",
    ] {
        assert!(
            outcome.stdout.contains(command),
            "no {command:?} in: {outcome}"
        );
    }
    world.run(&[]).succeeds();
    let before = world.azure.state().summary();
    world.azure.state().calls.clear();
    world.azure.state().front_calls.clear();

    let outcome = world.run(&["--dry-run"]).succeeds();
    assert!(!outcome.stdout.contains("az group create"), "{outcome}");
    let outcome = world.run(&["--delete", "--dry-run"]).succeeds();
    assert!(outcome.stdout.contains("az group delete"), "{outcome}");
    let state = world.azure.state();
    assert!(
        !state.calls.iter().any(azure::Call::changes_something),
        "{:#?}",
        state.calls
    );
    assert!(state.front_calls.is_empty());
    assert_eq!(state.summary(), before);
    drop(state);
    assert_eq!(world.times_published(), 1);
    world.check();
}

#[test]
fn delete_removes_what_was_made() {
    let world = World::new();
    let outcome = world.run(&["--delete", "--yes"]).succeeds();
    assert!(outcome.stdout.contains("Nothing to delete"), "{outcome}");

    world.run(&[]).succeeds();
    world
        .run(&["--delete"])
        .fails("there is no terminal to ask on");
    let refused = world.on_terminal(&["--delete"], "n\n").succeeds();
    assert!(refused.stdout.contains("Nothing was deleted"), "{refused}");
    assert!(refused.stdout.contains("Microsoft.Web/sites"), "{refused}");
    assert_eq!(world.azure.state().names(SITE).len(), 1);

    world
        .interrupt_at("DELETE", "/resourcegroups/", &["--delete", "--yes"])
        .fails("provision.sh: stopped.")
        .fails("running it again goes on from there");
    world.on_terminal(&["--delete"], "y\n").succeeds();
    assert!(world.azure.state().summary().is_empty());
    world.check();
}

#[test]
fn delete_leaves_a_group_of_others() {
    let world = World::new();
    {
        let mut state = world.azure.state();
        state.insert("shared", json!({"location": "northeurope"}));
        state.insert(
            "shared/providers/Microsoft.Web/serverfarms/ASP-shared-1234",
            json!({"location": "westus2", "sku": {"tier": "FlexConsumption"}, "properties": {}}),
        );
        state.insert(
            "shared/providers/Microsoft.Storage/storageAccounts/theirs",
            json!({"location": "westus2", "sku": {"name": "Standard_LRS"}, "properties": {
                "primaryEndpoints": {"blob": "https://theirs.blob.core.windows.net/",
                    "queue": "https://q/", "table": "https://t/"}}}),
        );
    }
    let before = world.azure.state().summary();
    world.run(&["--resource-group", "Shared"]).succeeds();
    assert_eq!(world.azure.state().names(STORAGE).len(), 2);

    world
        .run(&["--resource-group", "shared", "--delete", "--yes"])
        .succeeds();
    assert_eq!(world.azure.state().summary(), before);
    let outcome = world
        .run(&["--resource-group", "shared", "--delete", "--yes"])
        .succeeds();
    assert!(outcome.stdout.contains("Nothing to delete"), "{outcome}");

    // Nor is their storage account deleted if it was used.
    world
        .run(&["--resource-group", "shared", "--storage", "theirs"])
        .succeeds();
    assert_eq!(world.azure.state().names(CONTAINER).len(), 1);
    world
        .run(&[
            "--resource-group",
            "shared",
            "--storage",
            "theirs",
            "--delete",
            "--yes",
        ])
        .succeeds();
    assert_eq!(world.azure.state().summary(), before);
    world.check();
}

#[test]
fn consumption_plan() {
    let world = World::new();
    let arguments = ["--plan", "consumption", "--location", "North Europe"];
    world.run(&arguments).succeeds();
    let first = world.azure.state().summary();
    assert_eq!(world.azure.state().resource(PLAN)["sku"]["tier"], "Dynamic");
    assert_eq!(
        world.azure.state().resource(SITE)["properties"]["httpsOnly"],
        true
    );
    let outcome = world.run(&arguments).succeeds();
    assert!(!outcome.stdout.contains("stays on its plan"), "{outcome}");
    assert_eq!(world.azure.state().summary(), first);
    let outcome = world.run(&["--plan", "flex", "--dry-run"]).succeeds();
    assert!(
        outcome
            .stdout
            .contains("stays on its plan, which is not flex"),
        "{outcome}"
    );
    world.check();
}

/// Who has tried the function with `cargo start` finds the same key in Azure.
#[test]
fn the_default_key_is_that_of_dev_host() {
    let script =
        fs::read_to_string(format!("{}/provision.sh", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let line = format!("default_key_value={}", dev_host::WALKTHROUGH_KEY);
    assert!(script.lines().any(|other| other == line), "no {line}");
}

#[test]
fn control_characters_are_for_terminals() {
    let world = World::new();
    let plain = world.run(&[]).succeeds();
    assert!(!plain.stdout.contains(['\r', '\x1b']), "{plain}");
    assert!(!plain.stderr.contains(['\r', '\x1b']), "{plain}");

    let terminal = world.on_terminal(&[], "").succeeds();
    assert!(
        terminal.stdout.contains("\r\x1b[K      publishing … "),
        "{terminal}"
    );
    assert!(terminal.stdout.contains("[6/6] Check"), "{terminal}");
    world.check();
}
