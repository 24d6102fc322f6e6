//! `provision.sh` from end to end: the real script with the real Azure CLI and the real curl,
//! against a loopback stand-in for Azure and with dev-host as the Functions host. Nothing but
//! loopback is reached.
//!
//! The Azure CLI is the one on the PATH if its version is the pinned one; else it is installed
//! once, into `target`.

mod azure;
mod forms;
mod http;
mod world;

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, time::Duration};

use serde_json::json;

use azure::{FrontFault, Refusal};
use world::{Outcome, World};

const PLAN: &str = "Microsoft.Web/serverfarms";
const SITE: &str = "Microsoft.Web/sites";
const STORAGE: &str = "Microsoft.Storage/storageAccounts";
const CONTAINER: &str = "Microsoft.Storage/storageAccounts/blobServices/containers";
const WORKSPACE: &str = "Microsoft.OperationalInsights/workspaces";
const COMPONENT: &str = "Microsoft.Insights/components";
const GROUP: &str = "Microsoft.Resources/resourceGroups";

/// No word of the sources, so that it is only found where it has been put.
const KEY: &str = "Zq3-walk8through";

/// A custom handler of two functions: one for the path `/api/greeting/NAME`, one that greets whom a
/// POST names.
const GREETING: &str = r#"#!/usr/bin/env python3
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Greeting(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer("Hi, " + self.path.split("?")[0].rsplit("/", 1)[1])

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer("Hello, " + body["name"])

    def answer(self, text):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"greeting": text}).encode())

HTTPServer(("127.0.0.1", int(os.environ["FUNCTIONS_CUSTOMHANDLER_PORT"])), Greeting).serve_forever()
"#;

#[test]
fn from_nothing_to_a_verified_endpoint() {
    let world = World::new();
    let run = |arguments: &str, processes: usize| {
        let before = world.started("az").len();
        let outcome = world.run_with_key(arguments).succeeds();
        let started = world.started("az");
        assert_eq!(started.len() - before, processes, "{started:#?}");
        outcome
    };
    let dry = world.run("--dry-run").succeeds();
    for command in [
        "az group create",
        "az storage account create",
        "az monitor log-analytics workspace create",
        "az functionapp create",
        "func azure functionapp publish",
    ] {
        dry.says(command);
    }
    assert!(world.azure.state().names(GROUP).is_empty());

    let first = run("", 11);
    for step in 1..=6 {
        first.says(&format!("\n[{step}/6] "));
    }
    first.says("Its logs are in Application Insights");
    let state = world.azure.state();
    let storage = &state.resource(STORAGE)["properties"];
    assert_eq!(storage["supportsHttpsTrafficOnly"], true);
    assert_eq!(storage["minimumTlsVersion"], "TLS1_2");
    assert_eq!(storage["allowBlobPublicAccess"], false);
    let site = &state.resource(SITE)["properties"];
    assert_eq!(site["httpsOnly"], true);
    assert_eq!(site["functionAppConfig"]["runtime"]["name"], "custom");
    assert_eq!(state.resource(PLAN)["sku"]["tier"], "FlexConsumption");
    for kind in [SITE, STORAGE, WORKSPACE, COMPONENT, GROUP] {
        let tags = &state.resource(kind)["tags"];
        assert_eq!(tags["created-by"], "random-number-provision.sh");
    }
    let settings = state.settings.values().next().unwrap();
    assert!(settings["APPLICATIONINSIGHTS_CONNECTION_STRING"].is_string());
    let before = state.summary();
    drop(state);

    let published = fs::read_dir(world.path("published/1")).unwrap();
    let published = published.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let published = published.collect::<BTreeSet<_>>();
    assert!(
        published
            .iter()
            .eq(["RandomNumber", "handler", "host.json"])
    );
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
    called.says(r#"{"value":"#);

    // A second run, a dry one and an update change nothing but the package and the key.
    world.azure.state().calls.clear();
    let second = run("", 5);
    let dry = world.run("--dry-run").succeeds();
    assert!(!dry.stdout.contains("would run: az"), "{dry}");
    let update = run("--update", 3);
    update.says("[3/3] Check");
    assert_eq!(world.times_published(), 3);
    let state = world.azure.state();
    let changes = state.calls.iter().filter(|call| call.changes_something());
    assert_eq!(changes.count(), 0, "{:#?}", state.calls);
    assert_eq!(state.summary(), before);
    // No second key, and none by the update.
    let keys = state.front_calls.iter().filter(|call| call.method == "PUT");
    assert!(keys.map(|call| call.status).eq([Some(200), Some(200)]));
    drop(state);
    world
        .run("--update --key-name any")
        .fails("step 3 (Check): RandomNumber has no key any: give another name");

    world.check_secrets(KEY, &[&first, &called, &second, &update]);
    world.check();
}

/// What stands in the README's section on another function is all that it takes, in RandomNumber's
/// place or beside another one, whose route has a parameter.
#[test]
fn another_function_brings_its_own_names() {
    let world = World::new();
    let none = world.run("--update").fails("there is no function app");
    // A new version must find again what an earlier one has made.
    for name in [
        "rg-random-number",
        "random-number-a042886a3c",
        "randomnumbera042886a3c",
    ] {
        none.says(&format!(" {name}\n"));
    }
    world.replace_function("Greeting", GREETING);
    world
        .run("")
        .fails("there is no RandomNumber/function.json: in provision.sh, set function_name to");
    assert!(world.azure.state().names(GROUP).is_empty());

    let name = "\nfunction_name=";
    let names = ["RandomNumber", "Greeting"].map(|function| format!("{name}{function}\n"));
    world.edit("provision.sh", &names[0], &names[1]);
    let trigger = r#"{"bindings": [
        {"type": "httpTrigger", "direction": "in", "name": "req", "route": "greeting/{name}"},
        {"type": "http", "direction": "out", "name": "$return"}]}"#;
    world.write("ByName/function.json", trigger);
    let sample = r#"Greeting) options=(--header 'Content-Type: application/json' --data
        '{"name":"Ada"}') answers=Bob ;;"#;
    let other = "    RandomNumber) ";
    world.edit("provision.sh", other, &format!("{sample}\n{other}"));
    let first = world.run("").fails(
        r#"Greeting with the key in the header: the answer '{"greeting": "Hello, Ada"}' does not match Bob"#,
    );
    for line in [
        "ByName: the key default is set",
        "Greeting: the key default is set",
        "ByName without a key: 401",
        "ByName with a wrong key: 401",
        r#"ByName with the key in the header: 200, {"greeting": "Hi, 1"}"#,
        r#"ByName with the key in ?code=: 200, {"greeting": "Hi, 1"}"#,
        "Greeting without a key: 401",
    ] {
        first.says(&format!(" {line}\n"));
    }
    assert!(!first.to_string().contains("RandomNumber"), "{first}");

    world.edit("provision.sh", "answers=Bob", r#"answers='"Hello, Ada"'"#);
    let second = world.run("--update").succeeds();
    assert!(second.stdout.starts_with("Greeting in Azure\n"), "{second}");
    let mut state = world.azure.state();
    assert_eq!(state.names(GROUP), ["rg-greeting"]);
    assert!(state.names(SITE)[0].starts_with("greeting-"));
    assert!(state.names(STORAGE)[0].starts_with("greeting"));
    // The host lets POST alone through.
    let calls = state.front_calls.iter();
    let mut calls = calls.filter(|call| call.path == "/api/Greeting");
    assert!(calls.clone().count() >= 4 && calls.all(|call| call.method == "POST"));
    state.front_faults = vec![FrontFault {
        call: "PUT /admin/",
        key: "",
        times: 1,
        status: Some(400),
    }];
    drop(state);
    let (_, call) = second.stdout.split_once("can be used without").unwrap();
    let call = call.split("\n\n").nth(1).unwrap();
    let called = world.shell(call).succeeds();
    assert_eq!(called.stdout, r#"{"greeting": "Hello, Ada"}"#);

    let refused = world
        .run("")
        .fails("refuses this value for the key default (status 400)")
        .fails("(Functions, ByName, Function Keys)");
    let help = world.run("--help").succeeds();
    help.says("the Greeting function app");
    help.says("PROVISION_RESOURCE_GROUP; rg-greeting)");
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
    let script = fs::read_to_string(world.path("project/provision.sh")).unwrap();
    let run = |function: &str, arguments: &str| {
        let name = format!("\nfunction_name={function}\n");
        let script = script.replace("\nfunction_name=RandomNumber\n", &name);
        world.write("provision.sh", &script);
        world.write(&format!("{function}/function.json"), "{}");
        world
            .run(arguments)
            .fails("there is no function app")
            .stdout
    };
    let after = |text: &str, label: &str| {
        let (_, rest) = text.split_once(label).unwrap();
        rest.lines().next().unwrap().trim().to_owned()
    };
    // A hyphen is where the app's name is cut.
    let long = format!("{}_{}", "a".repeat(48), "Ab".repeat(39));
    let functions = ["HTTPTrigger_2", &long, &format!("{}c", &long[..126])];
    let names = functions.map(|function| {
        // In a group that all are put into.
        let printed = run(function, "--resource-group shared --update");
        let [app, storage] = ["app  ", "account  "].map(|label| after(&printed, label));
        let (words, hash) = app.rsplit_once('-').unwrap();
        let letters = storage.strip_suffix(hash).unwrap();
        assert_eq!(hash.len(), 10);
        [words, letters, &app].map(str::to_owned)
    });
    assert_eq!(names[0][..2], ["httptrigger-2", "httptrigger2"]);
    for [words, letters, _] in &names[1..] {
        assert_eq!([words, letters], [&"a".repeat(48), &"a".repeat(14)]);
    }
    assert_ne!(names[1], names[2]);
    let printed = run(&long, "--update");
    assert_eq!(after(&printed, "resource group   rg-").len(), 87);
    world.check();
}

/// Each kind of call of a first run fails once: az makes most of that good, and each run that ends
/// goes on where the one before did. All is as if nothing had happened.
#[test]
fn each_call_fails_once() {
    let world = World::new();
    world.azure.state().fail_each = Some(BTreeSet::new());
    let mut ended = Vec::new();
    let last = loop {
        let outcome = world.run("");
        if outcome.status == Some(0) {
            break outcome;
        }
        ended.push(outcome);
        assert!(ended.len() < 10, "{}", ended[9]);
    };
    assert!(ended.len() >= 3, "only {} runs have ended", ended.len());
    let expected = World::provisioned().azure.state().summary();
    assert_eq!(world.azure.state().summary(), expected, "{last}");
    world.check_secrets(KEY, &ended.iter().collect::<Vec<_>>());
    world.check();
}

#[test]
fn an_interrupted_run_goes_on_where_it_stopped() {
    let world = World::new();
    let first = "1 (Resource group, storage account, logs)";
    for (call, step, plans, apps) in [
        ("PUT /storageAccounts/", first, 0, 0),
        // The plan is left behind.
        ("PUT /sites/", "2 (Function app)", 1, 0),
        ("GET front /", "3 (Wait for the host)", 1, 1),
        ("POST scm /api/publish", "4 (Build and publish)", 1, 1),
        ("PUT front /admin/", "5 (Access key)", 1, 1),
        ("GET front /api/", "6 (Check)", 1, 1),
    ] {
        let stopped = world.interrupt_at(call, "");
        assert_eq!(stopped.status, Some(130), "{stopped}");
        let state = world.azure.state();
        assert_eq!(state.names(PLAN).len(), plans, "{step}");
        assert_eq!(state.names(SITE).len(), apps, "{step}");
        drop(state);
        stopped
            .fails(&format!("step {step}: stopped"))
            .fails("running it again goes on from there");
    }
    world.run("").succeeds();
    for kind in [PLAN, SITE, CONTAINER, STORAGE, WORKSPACE, COMPONENT] {
        world.azure.state().resource(kind);
    }
    world.check();
}

/// What gets better by itself: none of this ends the run.
#[test]
fn azure_is_waited_for_where_that_helps() {
    let world = World::new();
    let mut state = world.azure.state();
    state.insert("rg-random-number", json!({"location": "westus2"}));
    state.start_deleting("rg-random-number");
    state.deleting = 3;
    state.lag.times = 4;
    state.unavailable.times = 4;
    // az itself tries four times.
    state.refusal = Some(Refusal {
        call: "PUT /resourcegroups/",
        recording: "96",
        message: "Number of requests exceeded the limit. Please try again.",
        times: 5,
    });
    drop(state);
    let asked = world.run("--delete --yes").succeeds();
    asked.says("is being deleted already");
    let first = world.run("").succeeds();
    for said in [
        "creating the resource group: Azure takes no more requests for now, trying again\n",
        "publishing: Azure does not find the app yet, trying again\n",
        "publishing: the deployment site is not up yet, trying again\n",
    ] {
        assert_eq!(first.stdout.matches(said).count(), 1, "{said} in {first}");
    }
    assert_eq!(world.times_published(), 1);

    // A run that was interrupted while the storage account was made.
    let mut state = world.azure.state();
    state.forget(SITE);
    state.settling = 2;
    drop(state);
    world.run("").succeeds();

    // Where waiting does not help within the time that is given.
    for (lag, unavailable, reason) in [
        (usize::MAX, 0, "Azure does not find the app yet"),
        (0, usize::MAX, "the deployment site is not up yet"),
    ] {
        world.azure.state().lag.times = lag;
        world.azure.state().unavailable.times = unavailable;
        world
            .shell("PROVISION_TIMEOUT=1 project/provision.sh --update")
            .fails("step 2 (Build and publish): func azure functionapp publish failed: ")
            .fails(&format!(" failed: {reason}. Run this again later."));
    }
    world.check();
}

/// Waiting is of no use: the run ends at once, and says what to do.
#[test]
fn a_refusal_of_azure_ends_the_run() {
    /// The call and the recording that its answer is like; Azure's message; what the script says.
    const REFUSALS: [[&str; 4]; 6] = [
        [
            "GET /resourcegroups/ 98",
            "",
            "The access token is invalid.",
            "step 1 (Resource group, storage account, logs): az group show failed: the login has \
             run out: az login.",
        ],
        [
            "PUT /resourcegroups/ 95",
            "",
            "The client 'a' does not have authorization to perform action 'b'.",
            "creating the resource group failed: you may not do this: ask for the role Contributor.",
        ],
        [
            "PUT /workspaces/ 97",
            "",
            "The provided location 'westus2' is not available.",
            "creating the Log Analytics workspace failed: westus2 does not offer this: give another \
             --location.",
        ],
        [
            "PUT /storageAccounts/ 94",
            "--no-logs",
            "Resource 'a' was disallowed by policy: Microsoft.Authorization says that it is Forbidden.",
            "creating the storage account failed: a policy forbids this: ask its owner for an \
             exemption.",
        ],
        [
            "PUT /serverfarms/ 91",
            "--no-logs",
            "Operation cannot be completed without additional quota. \r\nCurrent Limit: 0",
            "creating the function app failed: no quota is left in westus2: ask for more in the \
             portal, or give another --location.",
        ],
        [
            "PUT /sites/ 92",
            "--no-logs --plan consumption",
            "Requested feature is not available in resource group rg-random-number.",
            "rg-random-number can't have the plan consumption in westus2: give another \
             --resource-group.",
        ],
    ];
    let world = World::new();
    world
        .run("--location 'Germany North'")
        .fails("the location germanynorth does not offer the plan flex; nothing was changed.");
    assert!(world.azure.state().names(GROUP).is_empty());
    for [call, arguments, message, said] in REFUSALS {
        let (call, recording) = call.rsplit_once(' ').unwrap();
        world.azure.state().refusal = Some(Refusal {
            call,
            recording,
            message,
            times: usize::MAX,
        });
        let outcome = world.run(arguments).fails(said);
        println!("{}", outcome.stderr);
        let lines = outcome.stderr.lines().collect::<Vec<_>>();
        assert_eq!(lines.len(), 3, "{outcome}");
        assert!(lines[0].starts_with("provision.sh: step "), "{outcome}");
        assert!(lines[0].ends_with('.'), "{outcome}");
        assert!(lines[1].starts_with("Azure said: "), "{outcome}");
    }
    world.azure.state().refusal = None;
    world.azure.state().taken_names = vec!["takenbyothers", "taken-app"];
    world
        .run("--storage takenbyothers --no-logs")
        .fails("takenbyothers is taken: give another name with --storage.");
    world
        .run("--app taken-app --no-logs")
        .fails("taken-app is taken: give another name with --app.");
    let plans = world.azure.state().names(PLAN);
    assert!(plans.is_empty(), "az takes its plan back");

    // Without logs it goes through in the end.
    let done = world.run("--no-logs").succeeds();
    done.says("\nIt has no logs.\n");
    assert!(world.azure.state().names(COMPONENT).is_empty());
    world.check();
}

/// What fails in no way that is known ends with the command's own words.
#[test]
fn a_build_or_a_publishing_that_fails_ends_the_run() {
    let world = World::provisioned();
    world.fail_publishing("Error: no such runtime.");
    let publishing = world.run_with_key("--update").fails(
        "step 2 (Build and publish): func azure functionapp publish failed: Error: no such runtime.",
    );
    // The stand-in for func has the real one's way of failing, which the script has to prevent.
    let func = "func azure functionapp publish any --subscription x --access-token-stdin";
    let unset = world.shell(&format!("cd project && {func}"));
    unset.says("worker runtime is not set");
    // What a build that fails has to say comes through, were it all that it knows.
    let build = "#!/bin/sh\nexport -p\necho 'error: no such target' >&2\nexit 3\n";
    world.write("build.sh", build);
    let build = world
        .run_with_key("--update")
        .fails("step 2 (Build and publish): ./build.sh failed:")
        .fails("error: no such target");
    world.check_secrets(KEY, &[&publishing, &build]);
    world.check();
}

#[test]
fn the_logs_are_read_back() {
    let world = World::provisioned();
    let first = world.run("--no-logs").succeeds();
    first.says("its logs stay: --no-logs is for an app");
    first.says("Its logs are in Application Insights");
    // As if the app had been created by a run without an answer to that.
    world.azure.state().forget(SITE);
    world.azure.state().settings_lost = true;
    let second = world.run("").succeeds();
    second.says("it has no logs, and nothing is changed");
    second.says("\nIt has no logs.\n");
    world.check();
}

#[test]
fn a_slow_host_is_waited_for() {
    let world = World::provisioned();
    let mut state = world.azure.state();
    state.starting = 4;
    state.refusal = Some(Refusal {
        call: "POST /host/default/listkeys",
        recording: "63",
        // A refusal of the host is not one of Azure.
        message: "Forbidden",
        times: 2,
    });
    state.without_master_key = 2;
    state.front_faults = [
        ("GET /", "", 2, None),
        ("PUT /admin/", "", 1, Some(404)),
        ("PUT /admin/", "", 2, Some(503)),
        ("PUT /admin/", "", 2, None),
        ("GET /api/", "", 2, Some(503)),
        ("GET /api/", KEY, 3, Some(401)),
    ]
    .map(|(call, key, times, status)| FrontFault {
        call,
        key,
        times,
        status,
    })
    .into();
    drop(state);
    world.run_with_key("").succeeds();
    let state = world.azure.state();
    assert_eq!(state.without_master_key, 0);
    assert!(state.front_faults.iter().all(|fault| fault.times == 0));
    drop(state);
    world.check();
}

/// All in one world, for what comes before is the same.
#[test]
fn a_host_that_does_not_come_round_ends_the_step() {
    let world = World::provisioned();
    let fails = |timeout: u32, call, key, status, arguments: &str, said: &str| {
        world.azure.state().front_faults = vec![FrontFault {
            call,
            key,
            times: usize::MAX,
            status,
        }];
        let variables = format!("PROVISION_TIMEOUT={timeout} PROVISION_KEY_VALUE={KEY}");
        let outcome = world.shell(&format!("{variables} project/provision.sh {arguments}"));
        world.check_secrets(KEY, &[&outcome.fails(said)]);
    };
    let said = "step 3 (Wait for the host): the host does not answer after 1 s";
    fails(1, "GET /", "", None, "", said);
    let said = "step 5 (Access key): the host takes no key after 1 s (last status: 503)";
    fails(1, "PUT /admin/", "", Some(503), "", said);
    let said = "refuses the master key (status 401)";
    fails(1, "PUT /admin/", "", Some(401), "", said);
    let said = "The host has not taken the key up";
    fails(1, "GET /api/", KEY, Some(401), "", said);
    // The key is set now, and an update tells as much about the last step.
    let (wrong, update) = ("xZq3-walk8through", "--update");
    let said = "RandomNumber with a wrong key: the answer has status 200, not 401";
    fails(1, "GET /api/", wrong, Some(200), update, said);
    // A key that is refused for good is not tried for as long as Azure is waited for.
    world.azure.state().front_calls.clear();
    let said = "step 3 (Check): RandomNumber with the key in the header: the answer has status 401";
    fails(99999, "GET /api/", KEY, Some(401), update, said);
    let mut state = world.azure.state();
    let refused = state.front_calls.iter();
    let refused = refused.filter(|call| call.path.starts_with("/api/"));
    // Besides, one call each without a key and with a wrong one.
    assert_eq!(refused.count(), 2 + 24);
    state.front_faults.clear();
    state.without_master_key = usize::MAX;
    drop(state);
    world
        .shell("PROVISION_TIMEOUT=1 project/provision.sh")
        .fails("step 5 (Access key): the host takes no key after 1 s (last status: none)");
    world.check();
}

/// The call is refused once only, so a script that asked again would go on.
#[test]
fn a_host_that_may_not_be_asked_after_is_not_waited_for() {
    let world = World::provisioned();
    for (call, said) in [
        (
            "POST /config/appsettings/list",
            "step 2 (Function app): reading the settings of the app failed: you may not do this",
        ),
        (
            "POST /host/default/listkeys",
            "step 5 (Access key): asking for the master key failed: you may not do this",
        ),
    ] {
        world.azure.state().refusal = Some(Refusal {
            call,
            recording: "95",
            message: "The client 'a' does not have authorization to perform action 'b'.",
            times: 1,
        });
        world.run("").fails(said);
    }
    world.check();
}

#[test]
fn an_app_of_somebody_else_is_left_alone() {
    let world = World::new();
    let mut state = world.azure.state();
    state.insert("shared", json!({"location": "westus2"}));
    state.insert(
        "shared/providers/Microsoft.Web/sites/theirs",
        json!({"location": "westus2", "properties": {"sku": "FlexConsumption",
            "serverFarmId": "/x", "state": "Running", "defaultHostName": "localhost:1"}}),
    );
    drop(state);
    for option in ["--yes", "--update"] {
        world
            .run(&format!("--resource-group shared --app theirs {option}"))
            .fails("function app theirs is there, but was not created by this script");
    }
    world
        .run("--resource-group shared --update")
        .fails("step 1 (Function app): there is no function app random-number-");
    assert_eq!(world.times_published(), 0);
    world.check();
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let not_ready = "not ready; nothing was changed";
    for tool in ["az", "func", "curl", "cargo", "cc"] {
        let world = World::new();
        world.remove_tool(tool);
        let outcome = world.run("").fails(not_ready).fails(&format!("  - {tool}"));
        let remedies = outcome.stderr.matches("mend it with: ");
        assert_eq!(remedies.count(), 1, "{outcome}");
        assert!(world.azure.state().calls.is_empty());
        world.check();
    }

    let world = World::signed_out();
    world.remove_tool("curl");
    world.install_tool("func", "echo 4.0.6820");
    world
        .run("")
        .fails("func 4.0.6821 or newer (this one says: 4.0.6820)")
        .fails("npm install --global azure-functions-core-tools@4")
        .fails("az login")
        .fails("  - curl");
    // By number, and only the last line.
    for (version, is_refused) in [
        ("3.99.99999", true),
        ("not a version", true),
        ("4.0.10000", false),
        ("4.14.0-dev", false),
        ("10.0.0", false),
    ] {
        world.install_tool("func", &format!("echo 9.9.9; echo {version}"));
        let outcome = world.run("").fails(not_ready);
        assert_eq!(outcome.stderr.contains("  - func"), is_refused, "{outcome}");
    }
    world.check();

    let world = World::new();
    world
        .run(r#"--subscription "nobody's""#)
        .fails("the subscription 'nobody's'");
    assert!(world.azure.state().names(GROUP).is_empty());
    world.check();
}

#[test]
fn what_azure_would_refuse_is_refused_first() {
    let world = World::new();
    for (arguments, rule) in [
        ("--storage No-Good", "3 to 24 lower-case letters and digits"),
        ("--storage ab", "3 to 24 lower-case letters and digits"),
        ("--app -app", "2 to 60 letters, digits and hyphens"),
        ("--app app-", "2 to 60 letters, digits and hyphens"),
        ("--app a", "2 to 60 letters, digits and hyphens"),
        ("--resource-group group.", "no period at the end"),
        (&format!("--resource-group {:a>91}", ""), "1 to 90 letters"),
        ("--key-name _master", "1 to 127 letters, digits and hyphens"),
        ("--key-name a/b", "1 to 127 letters, digits and hyphens"),
        ("--plan premium", "give flex or consumption"),
        ("--location 'west;us'", "az account list-locations"),
        (
            "--key-file missing",
            "--key-file 'missing' can't be read: give a file with the access key's value, or -",
        ),
        ("--key-file project", "--key-file 'project' can't be read"),
        ("--key-file ''", "--key-file '' can't be read"),
        (
            "--key-file -",
            "--key-file '-' is empty: give the access key's value",
        ),
    ] {
        world.run(arguments).fails(rule).is_a_line_and_status_2();
    }
    world
        .shell("dash project/provision.sh")
        .fails("provision.sh: run it with bash: ./provision.sh\n")
        .is_a_line_and_status_2();
    world.run("--nonsense").fails("unknown option '--nonsense'");
    world.run("--app").fails("--app needs a value");
    for value in ["", " a", "a ", "a\nb", "a\tb", "é", "a\u{7f}"] {
        let line = format!("PROVISION_KEY_VALUE='{value}' project/provision.sh");
        world.shell(&line).fails(match value {
            "" => "PROVISION_KEY_VALUE is empty: give the access key's value, or leave it out",
            _ => "give printable ASCII characters, with no line break",
        });
    }
    world.run("--help").succeeds().says("--dry-run");
    assert!(world.azure.state().calls.is_empty());
    world.check();
}

#[test]
fn odd_key_values() {
    // Those of the script that can have a secret in them. A variable that is exported already stays
    // so when a script sets it.
    const VARIABLES: [&str; 5] = ["answer", "http_body", "key_value", "master_key", "token"];

    let world = World::provisioned();
    // By a file, which ends with a newline as files do; by standard input; by the environment.
    let values = [
        r#"say "hello" & 100% + more \ 'x' #1"#,
        r"%41%zz {a,b} [1-3] $HOME `id` *?;=@/~|<>!^\",
        "@/etc/passwd",
    ];
    fs::write(world.path("key"), format!("{}\n", values[0])).unwrap();
    let first = world.run("--key-file key").succeeds();
    fs::write(world.path("key"), values[1]).unwrap();
    let second = world.run("--key-file - --key-name second <key").succeeds();
    fs::remove_file(world.path("key")).unwrap();
    let mut command = world.command("project/provision.sh");
    command.envs(VARIABLES.map(|name| (name, "x")));
    let output = command.env("PROVISION_KEY_VALUE", values[2]).output();
    let third = Outcome::from(output.unwrap()).succeeds();

    for value in values {
        world.check_secrets(value, &[&first, &second, &third]);
    }
    for (name, record) in world.records() {
        for variable in VARIABLES {
            let exported = format!("\nexport {variable}=");
            assert!(!record.contains(&exported), "{variable} for {name}");
        }
    }
    world.check();
}

#[test]
fn delete_removes_what_was_made() {
    let nothing = World::new();
    let outcome = nothing.run("--delete --yes").succeeds();
    outcome.says("Nothing to delete");

    let world = World::provisioned();
    let before = world.azure.state().summary();
    let outcome = world.run("--delete --dry-run").succeeds();
    outcome.says("az group delete");
    assert_eq!(world.azure.state().summary(), before);
    world
        .run("--delete")
        .fails("there is no terminal to ask on");
    let refused = world.on_terminal("--delete", "n\n").succeeds();
    refused.says("Nothing was deleted");
    refused.says("Microsoft.Web/sites");
    assert_eq!(world.azure.state().summary(), before);

    world
        .interrupt_at("DELETE arm ", "--delete --yes")
        .fails("provision.sh: stopped.")
        .fails("running it again goes on from there");
    world.on_terminal("--delete", "y\n").succeeds();
    assert!(world.azure.state().summary().is_empty());

    // The names of workspaces are free again.
    assert!(world.azure.state().lost_workspaces.is_empty());
    world.check();
}

#[test]
fn delete_leaves_a_group_of_others() {
    let world = World::new();
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
    let before = state.summary();
    drop(state);
    // What it does not delete, for it may be somebody else's, it names.
    let stopped = world.interrupt_at("PUT /sites/", "--resource-group shared");
    let (_, list) = stopped
        .stderr
        .split_once("this lists such plans: ")
        .unwrap();
    let listed = world.shell(&format!("{} --output tsv", list.trim()));
    let listed = listed.succeeds().stdout;
    let mut left = listed.lines().filter(|name| *name != "ASP-shared-1234");
    let id = format!(
        "shared/providers/Microsoft.Web/serverfarms/{}",
        left.next().unwrap()
    );
    assert_eq!((left.next(), listed.lines().count()), (None, 2));
    world.azure.state().take_away(&id);
    world.run("--resource-group Shared").succeeds();
    assert_eq!(world.azure.state().names(STORAGE).len(), 2);

    let delete = "--resource-group shared --delete --yes";
    let outcome = world.run(delete).succeeds();
    let shared = "Application Insights Smart Detection";
    outcome.says(&format!(
        "left: {shared}, which Azure makes for all components"
    ));
    let id = format!("shared/providers/microsoft.insights/actiongroups/{shared}");
    world.azure.state().take_away(&id);
    assert_eq!(world.azure.state().summary(), before);
    world.run(delete).succeeds().says("Nothing to delete");

    // Nor is their storage account deleted if it was used, here until the app was refused.
    world.azure.state().taken_names = vec!["taken-app"];
    let theirs = "--resource-group shared --storage theirs --app taken-app";
    world
        .run(&format!("{theirs} --no-logs"))
        .fails("taken-app is taken");
    assert_eq!(world.azure.state().names(CONTAINER).len(), 1);
    world.run(&format!("{theirs} --delete --yes")).succeeds();
    assert_eq!(world.azure.state().summary(), before);
    world.check();
}

#[test]
fn consumption_plan() {
    let world = World::new();
    let arguments = "--plan consumption --location 'North Europe'";
    world.run(arguments).succeeds();
    let state = world.azure.state();
    let first = state.summary();
    assert_eq!(state.resource(PLAN)["sku"]["tier"], "Dynamic");
    assert_eq!(state.resource(SITE)["properties"]["httpsOnly"], true);
    drop(state);
    let same = world.run(&format!("{arguments} --dry-run")).succeeds();
    assert!(!same.stdout.contains("stays on its plan"), "{same}");
    world.run("--update").succeeds();
    assert_eq!(world.azure.state().summary(), first);
    let other = world.run("--plan flex --dry-run").succeeds();
    other.says("stays on its plan, which is not flex");
    world.check();
}

/// Who has tried the function with `cargo start` finds the same key in Azure.
#[test]
fn the_default_key_is_that_of_dev_host() {
    let script = include_str!("../../provision.sh");
    let line = format!("default_key_value={}", dev_host::WALKTHROUGH_KEY);
    assert!(script.lines().any(|other| other == line), "no {line}");
}

#[test]
fn control_characters_are_for_terminals() {
    let world = World::provisioned();
    let plain = world.run("--update").succeeds().to_string();
    assert!(!plain.contains(['\r', '\x1b']), "{plain}");
    let terminal = world.on_terminal("--update", "").succeeds();
    terminal.says("\r\x1b[K      publishing … ");
    terminal.says("[3/3] Check");
    world.check();
}

/// With what the stand-in can imitate of Azure's slowness, and without the tests' short sleeps.
#[test]
#[ignore = "prints what docs/deployment.md shows, and takes minutes"]
fn shown() {
    let world = World::new();
    world.sleep_for_real();
    world.azure.state().lag.time = Duration::from_secs(20);
    world.azure.state().unavailable.time = Duration::from_secs(40);
    for arguments in [
        "--dry-run",
        "",
        "",
        "--update",
        "--dry-run",
        "--delete --yes",
        "--plan consumption",
        "--delete --dry-run",
        "--delete --yes",
    ] {
        let before = world.started("az").len();
        let outcome = world.run(arguments).succeeds();
        let started = world.started("az").len() - before;
        println!("$ ./provision.sh {arguments}");
        println!("{}{}({started} az)\n", outcome.stdout, outcome.stderr);
    }
}
