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

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};
use test_support::{put, put_executable};

use azure::{Answer, State};
use world::{APP, Outcome, World};

const SITE: &str = "Microsoft.Web/sites";
const GROUP: &str = "Microsoft.Resources/resourceGroups";
const IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";
const COMPONENT: &str = "Microsoft.Insights/components";

/// No word of the sources, so that it is only found where it has been put.
const KEY: &str = "Zq3-walk8through";

const PUBLISH: &str = "POST scm /api/publish";
const POLL: &str = "GET arm /operationStatuses/";
/// What func prints.
const LAG: Answer = Answer::Says("Can't find app with name \"random-number-a042886a3c\"");
const NOT_UP: Answer = Answer::Says("Uploading archive... (ServiceUnavailable).");
/// From the lines of recording 165.
const NO_ROLE: Answer = Answer::Says(
    "Failed to upload blob package to storage account with Error: Response status code does not \
     indicate success: 403 (This request is not authorized to perform this operation.).",
);

/// A custom handler that says what it was asked.
const ECHO: &str = r#"#!/bin/sh
if [ "$1" = --check ]; then printf 'LIST'; exit; fi
exec python3 -c '
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Echo(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write((self.command + " " + self.path).encode())
    do_POST = do_DELETE = do_GET

port = int(os.environ["FUNCTIONS_CUSTOMHANDLER_PORT"])
HTTPServer(("127.0.0.1", port), Echo).serve_forever()
'
"#;

/// All that the template creates is in what was said before that it would.
#[track_caller]
fn was_announced(state: &State, dry: &Outcome, app: &str) {
    let ids = state.ids();
    let created = ids
        .iter()
        .filter(|id| id.starts_with("Microsoft.") && id.ends_with(app));
    assert!(created.clone().count() >= 5, "{ids:#?}");
    for id in created {
        assert!(
            dry.stdout.contains(&format!("Create {id}\n")),
            "{id} in {dry}"
        );
    }
}

#[test]
fn from_nothing_to_a_verified_endpoint() {
    let world = World::new();
    let run = |arguments: &str, processes: usize| {
        let before = world.started("az").len();
        let line = format!("PROVISION_KEY_VALUE={KEY} project/provision.sh {arguments}");
        let outcome = world.shell(&line).succeeds();
        let started = world.started("az");
        assert_eq!(started.len() - before, processes, "{started:#?}");
        outcome
    };
    let dry = run("--dry-run", 3);
    assert!(world.azure.state().names(GROUP).is_empty());
    let first = run("", 6).says("\n[6/6] Check\n");
    let state = world.azure.state();
    assert_eq!(state.parameters, World::parameters());
    was_announced(&state, &dry, APP);
    let before = state.summary();
    drop(state);
    let published = fs::read_dir(world.path("published")).unwrap();
    let mut published: Vec<_> = published.map(|file| file.unwrap().file_name()).collect();
    published.sort();
    assert_eq!(published, ["RandomNumber", "handler", "host.json"]);
    let handler = fs::metadata(world.path("published/handler")).unwrap();
    assert_eq!(handler.permissions().mode() & 0o111, 0o111);

    // A second run, a dry one and an update change nothing but the package and the key.
    world.azure.state().calls.clear();
    let second = run("", 4).says("nothing is deployed: that would replace all settings of the app");
    run("--dry-run", 3).says("nothing is deployed");
    let update = run("--update --memory 512", 3);
    let update = update
        .says("[4/4] Check")
        .says("without effect on an app that is there: --memory\n");
    let state = world.azure.state();
    let mut calls = state.calls.iter();
    assert!(calls.all(|call| !call.starts_with("PUT ") && !call.starts_with("DELETE ")));
    assert_eq!(state.summary(), before);
    let mut front = state.front_calls.iter();
    assert!(
        front.clone().all(|call| !call.contains("code=")),
        "the key is in the header alone"
    );
    assert_eq!(
        front
            .by_ref()
            .filter(|call| call.starts_with("PUT "))
            .count(),
        2
    );
    drop(state);

    // The commands that it ends with do what it says they do.
    let command = |begin: &str| {
        let text = first.stdout.replace("\\\n", "");
        let line = text.lines().find(|line| line.trim().starts_with(begin));
        line.unwrap().trim().to_owned()
    };
    let shown = world.shell(&command("az ")).succeeds();
    assert_eq!(shown.stdout.trim(), KEY);
    let delete = command("./provision.sh --delete");
    let deleted = world
        .shell(&format!("cd project && {delete} --yes"))
        .succeeds();
    let state = world.azure.state();
    assert!(state.summary().is_empty(), "{:#?}", state.summary());
    assert!(state.lost_workspaces.is_empty());
    drop(state);
    // The names are free again: those of role assignments and of workspaces, too.
    run("", 6);
    assert_eq!(world.azure.state().summary(), before);
    world.check_secrets(KEY, &[&dry, &first, &second, &update, &deleted]);
    world.check();
}

/// Among what is there are an app of somebody else, another one of this script, and a storage account
/// of an earlier version of it.
#[test]
fn a_group_of_others() {
    let world = World::new();
    let ours = json!({"created-by": "random-number-provision.sh"});
    let other_app = json!({"created-by": "random-number-provision.sh", "function-app": "other"});
    let insert = |id: &str, tags: &Value| world.azure.state().insert(id, tags, &json!({}));
    let storage = "shared/providers/Microsoft.Storage/storageAccounts";
    insert("shared", &Value::Null);
    insert(&format!("{storage}/theirs"), &Value::Null);
    insert("shared/providers/Microsoft.Web/sites/theirs", &Value::Null);
    insert(&format!("{storage}/other"), &other_app);
    let before = world.azure.state().summary();
    insert(&format!("{storage}/earlier"), &ours);

    let run = |arguments: &str| world.run(&format!("--resource-group shared --app {arguments}"));
    let theirs = "is there, but was not created by this script: give another name with --";
    run("theirs --update").fails(&format!("the function app theirs {theirs}app"));
    run("mine --storage theirs").fails(&format!("the storage account theirs {theirs}storage"));
    run("mine --update").fails("there is no function app mine in the resource group shared");
    let dry = run("mine --dry-run").succeeds();
    assert_eq!(world.azure.state().names(SITE), ["theirs"]);
    let processes = world.started("az").len();
    run("mine --location 'North Europe' --memory 512").succeeds();
    assert_eq!(world.started("az").len() - processes, 7);
    let state = world.azure.state();
    let parameters = &state.parameters;
    assert_eq!(
        [&parameters["location"], &parameters["memory"]],
        [&json!("northeurope"), &json!(512)]
    );
    was_announced(&state, &dry, "mine");
    drop(state);

    run("mine --delete --yes --dry-run")
        .succeeds()
        .says("Nothing was deleted.");
    run("mine --delete --yes").succeeds();
    assert_eq!(world.azure.state().summary(), before);
    run("mine --delete --yes")
        .succeeds()
        .says("Nothing to delete");
    world.check();
}

#[test]
fn an_interrupted_run_goes_on_where_it_stopped() {
    let world = World::new();
    for (call, apps) in [
        ("PUT arm /resourcegroups/", 0),
        (POLL, 0),
        (PUBLISH, 1),
        ("PUT front /admin/", 1),
        ("GET front /api/", 1),
    ] {
        world.azure.state().running = 2;
        let stopped = world.interrupt_at(call, "");
        assert_eq!(world.azure.state().names(SITE).len(), apps, "{call}");
        if call == PUBLISH {
            stopped.says("the deployment random-number-a042886a3c is Running. Waiting");
        }
    }
    world.run("").succeeds();
    let is_deployment = |call: &&String| call.starts_with("PUT ") && call.contains("/deployments/");
    assert_eq!(
        world
            .azure
            .state()
            .calls
            .iter()
            .filter(is_deployment)
            .count(),
        1
    );
    // One that was cancelled is made again.
    let mut state = world.azure.state();
    state.end_deployment(APP, "Canceled");
    state.running = 0;
    drop(state);
    world.run("").succeeds().says("deploying infra/main.json\n");
    world.interrupt_at("DELETE arm ", "--delete --yes");
    world.run("--delete --yes").succeeds();
    assert!(world.azure.state().summary().is_empty());
    world.check();
}

/// What gets better by itself: none of this ends the run.
#[test]
fn azure_is_waited_for_where_that_helps() {
    let failed = |recording, code: &str, message: &str| {
        let details = json!([{"code": code, "message": message}]);
        let error = json!({"code": "DeploymentFailed", "details": details});
        Answer::Like(recording, json!({"status": "Failed", "error": error}))
    };
    let refused = |code| json!({"error": {"code": code, "message": "Not now."}});
    let not_ready = "{\"error\": {\"code\": \"StorageAccountIsNotProvisioned\"}}";
    let busy = "Cannot modify this plan because another operation is in progress.";
    let words = "Encountered an error (InternalServerError) from host runtime.";
    let no_key = Answer::Like("63", json!({"Code": "BadRequest", "Message": words}));

    let world = World::new();
    let mut state = world.azure.state();
    state.insert(
        "rg-random-number",
        &Value::Null,
        &json!({"provisioningState": "Deleting"}),
    );
    state.deleting = 3;
    state.faults = vec![
        // az itself tries four times.
        (
            "PUT arm /resourcegroups/",
            5,
            Answer::Like("96", refused("ResourceRequestsThrottled")),
        ),
        (
            "PUT arm /deployments/",
            1,
            Answer::Like("200", refused("DeploymentActive")),
        ),
        (
            POLL,
            1,
            failed("204", "PrincipalNotFound", "Principal a does not exist."),
        ),
        (POLL, 1, failed("203", "Conflict", not_ready)),
        (POLL, 1, failed("210", "Conflict", busy)),
        (PUBLISH, 3, LAG),
        (PUBLISH, 2, NOT_UP),
        (PUBLISH, 2, NO_ROLE),
        ("POST arm /host/default/listkeys", 2, no_key.clone()),
        // The host restarts, and does not know the new key yet.
        ("PUT front /admin/", 1, Answer::Status(404)),
        ("PUT front /admin/", 2, Answer::HangUp),
        ("GET front /api/", 2, Answer::Status(503)),
        ("GET front /api/ d0c5atM1cr0s0ft", 3, Answer::Status(401)),
    ];
    drop(state);
    world
        .run("--delete --yes")
        .succeeds()
        .says("is being deleted already");
    let first = world.run("").succeeds();
    for said in [
        "the resource group rg-random-number is Deleting. Waiting",
        "creating the resource group: Azure takes no more requests for now. Waiting",
        "another deployment of this name is running",
        "Azure does not find the new identity yet",
        "the storage account is not ready",
        "Azure is still changing the plan",
        "publishing: Azure does not find the app yet. Waiting",
        "publishing: the deployment site is not up yet. Waiting",
        "publishing: the app can't store its package: its role on the storage account does not hold",
        "asking for the master key: the host gives no key: it is starting, or its role",
    ] {
        assert_eq!(first.stdout.matches(said).count(), 1, "{said} in {first}");
    }
    assert!(
        world
            .azure
            .state()
            .faults
            .iter()
            .all(|(_, times, _)| *times == 0)
    );

    // Where waiting does not help within the time that is given.
    world.edit("provision.sh", "role_timeout=1800", "role_timeout=1");
    let cause = "or a network rule of the account keeps it out. Run this again later.";
    for (call, answer, said) in [
        (
            PUBLISH,
            LAG,
            "Azure does not find the app yet. Run this again later.",
        ),
        (PUBLISH, NO_ROLE, cause),
        ("POST arm /functions/", no_key, cause),
    ] {
        world.azure.state().faults = vec![(call, usize::MAX, answer)];
        world
            .shell("PROVISION_TIMEOUT=1 project/provision.sh --update")
            .fails(said);
    }
    world.check();
}

/// Waiting is of no use: the run ends at once, in one line that says what to do, and in one of what
/// Azure said.
#[test]
fn a_refusal_of_azure_ends_the_run() {
    let world = World::new();
    let refusals: Value = serde_json::from_str(include_str!("refusals.json")).unwrap();
    let refusals: &'static Value = Box::leak(refusals.into());
    for refusal in refusals.as_array().unwrap() {
        let text = |name: &str| refusal[name].as_str().unwrap_or_default();
        let error = json!({"code": refusal["code"], "message": refusal["message"],
            "details": refusal["details"]});
        let is_begun = text("call") == POLL;
        let details = json!({"code": "DeploymentFailed", "details": [error]});
        let error = if is_begun { details } else { error };
        let answer = Answer::Like(text("like"), json!({"status": "Failed", "error": error}));
        world.azure.state().faults = vec![(text("call"), 1, answer)];
        let outcome = world
            .run("")
            .fails(&format!(" failed: {}\nAzure said: ", text("says")));
        println!("{}", outcome.stderr);
        assert!(
            outcome
                .stderr
                .starts_with("provision.sh: step 2 (Deployment): "),
            "{outcome}"
        );
        // Where Azure has not begun with it, there is nothing to go on from.
        assert_eq!(
            outcome.stderr.lines().count(),
            if is_begun { 3 } else { 2 },
            "{outcome}"
        );
        let mut state = world.azure.state();
        assert_eq!(state.names(GROUP).len(), usize::from(is_begun), "{outcome}");
        state.clear();
    }
    let error = json!({"code": "InvalidAuthenticationToken", "message": "It is invalid."});
    let answer = Answer::Like("95", json!({ "error": error }));
    world.azure.state().faults = vec![("GET arm /sites/", 1, answer)];
    world
        .run("")
        .fails("the login has run out: az login.\nAzure said: It is invalid.");
    world.check();
}

#[test]
fn without_the_right_to_assign_roles_or_without_logs() {
    let world = World::new();
    world.run("--storage-keys").succeeds();
    let state = world.azure.state();
    assert_eq!(state.parameters["storageKeys"], true);
    assert!(state.names(IDENTITY).is_empty());
    drop(state);
    let stays = world.run("--no-logs --location westus2").succeeds();
    stays
        .says("without effect on an app that is there: --no-logs --location\n")
        .says("it has a key of its storage account: after ./provision.sh --delete a run gives one");
    world.run("--delete --yes").succeeds();
    world.run("--no-logs").succeeds();
    let state = world.azure.state();
    assert_eq!(state.parameters["logs"], false);
    assert!(state.names(COMPONENT).is_empty());
    drop(state);
    world.check();
}

#[test]
fn the_check_calls_only_what_it_may() {
    let world = World::provisioned();
    let mut list = String::new();
    for function in [
        "Deleter DELETE items/{id:guid} function",
        "Greeting POST greet/{name} function",
        "Letters GET,HEAD letters/{x:alpha}/{n:int?} admin",
        "Odd * odd/{x:regex(^a+$)} function",
        "Open * open anonymous",
        "RandomNumber * number anonymous",
    ] {
        let parts: Vec<&str> = function.split(' ').collect();
        let [name, methods, route, level] = parts[..] else {
            unreachable!()
        };
        list += &format!("{name}\\t{methods}\\t/{route}\\t{level}\\n");
        let methods: Vec<&str> = methods.split(',').filter(|method| *method != "*").collect();
        let methods = if methods.is_empty() {
            Value::Null
        } else {
            json!(methods)
        };
        let trigger = json!({"type": "httpTrigger", "direction": "in", "name": "req",
            "route": route, "authLevel": level, "methods": methods});
        let answer = json!({"type": "http", "direction": "out", "name": "$return"});
        let trigger = json!({"bindings": [trigger, answer]}).to_string();
        world.write(
            &format!("{name}/function.json"),
            &trigger.replace(r#""methods":null,"#, ""),
        );
    }
    put_executable(
        &world.path("project"),
        "handler",
        ECHO.replace("LIST", &list),
    );
    let no_prefix = r#""extensions": {"http": {"routePrefix": ""}}, "version":"#;
    world.edit("host.json", r#""version":"#, no_prefix);
    let samples = "Greeting) path=/greet/[a-b]{c,d} options=(--data Ada) answers=^POST ;;
    RandomNumber) answers=/number ;;\n    Not) answers=";
    world.edit("provision.sh", "    RandomNumber) answers=", samples);
    // A call that is never answered: curl gives up, and it is made again.
    world.edit("provision.sh", "--max-time 60", "--max-time 1");
    world.azure.state().faults = vec![("GET front /number", 1, Answer::Silence)];
    // The user's own settings of curl.
    put(&world.path("home"), ".curlrc", "output = stolen");

    world
        .run("")
        .succeeds()
        .says("Deleter without a key: 401\n      Deleter with a wrong key: 401\n      Greeting")
        .says("Greeting with a wrong key: 401\n      Greeting with the key: 200, POST /greet/")
        .says("Letters with a wrong key: 401\n      Odd is not called: no path is known that fits")
        .says("Open is not called: it asks for no key, and sample_call does not name it\n")
        .says("RandomNumber: 200, GET /number\n");
    let state = world.azure.state();
    let calls = state
        .front_calls
        .iter()
        .filter(|call| !call.contains("/admin/"));
    let deleter = "DELETE /items/00000000-0000-0000-0000-000000000000?";
    let (greeting, letters) = ("POST /greet/[a-b]{c,d}?", "GET /letters/a/1?");
    let number = "GET /number?";
    let expected = [
        deleter, deleter, greeting, greeting, greeting, letters, letters, number, number,
    ];
    assert!(
        calls.clone().eq(expected),
        "{:#?}",
        calls.collect::<Vec<_>>()
    );
    drop(state);
    assert!(!world.path("project/stolen").exists());
    fs::remove_file(world.path("home/.curlrc")).unwrap();
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
    put(&world.path(""), "key", format!("{}\n", values[0]));
    let first = world.run("--key-file key").succeeds();
    put(&world.path(""), "key", values[1]);
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
        let is_exported = |it: &&str| record.contains(&format!("\nexport {it}="));
        assert_eq!(
            VARIABLES.iter().find(|it| is_exported(it)),
            None,
            "for {name}"
        );
    }
    let any = world.run("--update --key-name any");
    any.fails("asking for the key of RandomNumber failed: there is no key any. Give another name");
    world.check();
}

#[test]
fn a_host_that_does_not_come_round_ends_the_step() {
    let world = World::provisioned();
    for (call, status, arguments, said) in [
        (
            "PUT front /admin/",
            503,
            "",
            "RandomNumber: the host answers status 503 to the key default.",
        ),
        (
            "PUT front /admin/",
            400,
            "",
            "After a 400, give one with Azure's checksum",
        ),
        // A key that is refused for good is not tried for as long as Azure is waited for.
        (
            "GET front /api/ d0c5atM1cr0s0ft",
            401,
            "--update",
            "The host has not taken the key up: run",
        ),
        (
            "GET front /api/ xd0c5atM1cr0s0ft",
            200,
            "--update",
            "wrong key: the answer has status 200, not",
        ),
    ] {
        let mut state = world.azure.state();
        state.faults = vec![(call, usize::MAX, Answer::Status(status))];
        state.front_calls.clear();
        drop(state);
        let timeout = if status == 401 { 99999 } else { 1 };
        let line = format!("PROVISION_TIMEOUT={timeout} project/provision.sh {arguments}");
        let outcome = world.shell(&line).fails(said);
        // Besides, one call each without a key and with a wrong one.
        let calls = world.azure.state().front_calls.len();
        assert!(status != 401 || calls == 2 + 24, "{calls} calls, {outcome}");
    }
    world.azure.state().faults.clear();
    world.edit("provision.sh", r#"'^\{"value":"#, r#"'^\{"worth":"#);
    world
        .run("--update")
        .fails(r#"RandomNumber with the key: the answer '{"value":"#);
    world.check();
}

#[test]
fn what_is_missing_is_named_at_once() {
    for tool in ["az", "func", "curl", "cargo", "cc"] {
        let world = World::new();
        fs::remove_file(world.path("bin").join(tool)).unwrap();
        let outcome = world.run("").fails(&format!(
            "nothing was changed. What is missing:\n  - {tool}"
        ));
        assert_eq!(outcome.stderr.lines().count(), 2, "{outcome}");
        assert!(world.azure.state().calls.is_empty());
        world.check();
    }
    let world = World::signed_out();
    for tool in ["curl", "cc"] {
        fs::remove_file(world.path("bin").join(tool)).unwrap();
    }
    let outcome = world
        .run("")
        .fails("az login")
        .fails("  - curl")
        .fails("  - cc, a C compiler");
    outcome.fails("sudo apt-get install build-essential");
    let world = World::new();
    world
        .run("--subscription \"nobody's\"")
        .fails("access to the subscription 'nobody's'");
    world.check();
}

#[test]
fn what_azure_would_refuse_is_refused_first() {
    let world = World::new();
    for row in include_str!("arguments.txt").lines() {
        let (arguments, line) = row.split_once(" | ").unwrap();
        let outcome = world.run(arguments).fails(line);
        assert_eq!(
            (outcome.status, outcome.stderr.lines().count()),
            (Some(2), 1),
            "{outcome}"
        );
    }
    for value in ["", " a", "a ", "a\nb", "a\tb", "é", "a\u{7f}"] {
        let line = format!("PROVISION_KEY_VALUE='{value}' project/provision.sh");
        world
            .shell(&line)
            .fails("the access key's value: give printable ASCII characters");
    }
    let dash = world.shell("dash project/provision.sh");
    dash.fails("provision.sh: run it with bash: ./provision.sh\n");
    world.run("--help").succeeds().says("  --dry-run ");
    assert!(world.azure.state().calls.is_empty());
    world.check();
}

/// Names are the same in each run, and of different functions different, however long they are.
#[test]
fn names_are_cut_to_what_azure_takes() {
    let world = World::new();
    let script = fs::read_to_string(world.path("project/provision.sh")).unwrap();
    let run = |function: &str| {
        let name = format!("\nfunction_name={function}\n");
        world.write(
            "provision.sh",
            &script.replace("\nfunction_name=RandomNumber\n", &name),
        );
        world.write(&format!("{function}/function.json"), "{}");
        let outcome = world
            .run("--resource-group shared --update")
            .fails("there is no function app");
        let words = outcome.stdout.split_whitespace().map(str::to_owned);
        let words = words.collect::<Vec<_>>();
        let after = |word| words[words.iter().position(|it| it == word).unwrap() + 1].clone();
        [after("account"), after("app")]
    };
    let [storage, app] = run("HTTPTrigger_2");
    assert!(storage.starts_with("httptrigger2") && app.starts_with("httptrigger-2-"));
    // A hyphen is where the app's name is cut.
    let long = format!("{}_{}", "a".repeat(43), "Ab".repeat(41));
    let names = [run(&long), run(&format!("{}c", &long[..125]))];
    assert!(
        names
            .iter()
            .all(|[storage, app]| storage.len() == 24 && app.len() == 43 + 11)
    );
    assert_ne!(names[0], names[1]);
    world.write("provision.sh", &script);
    world
        .run("--update")
        .fails("no function app")
        .says(&format!(" {APP}\n"));
    world.check();
}

#[test]
fn a_person_is_asked_before_anything_is_deleted() {
    let world = World::provisioned();
    let before = world.azure.state().summary();
    world
        .run("--delete")
        .fails("there is no terminal to ask on");
    let refused = world.on_terminal("--delete", "n\n").succeeds();
    refused
        .says("Nothing was deleted")
        .says("Microsoft.Web/sites");
    assert_eq!(world.azure.state().summary(), before);
    world.on_terminal("--delete", "y\n").succeeds();
    assert!(world.azure.state().summary().is_empty());
    world.check();
}

/// What fails in no way that is known ends with the command's own words.
#[test]
fn a_build_or_a_publishing_that_fails_ends_the_run() {
    let world = World::provisioned();
    world.azure.state().faults = vec![(PUBLISH, 1, Answer::Says("Error: no such runtime."))];
    let said = "step 3 (Publish): func azure functionapp publish failed: Error: no such runtime.";
    world.run("--update").fails(said);
    let func = world.shell("cd project && func azure functionapp publish any --access-token-stdin");
    func.says("Worker runtime cannot be 'None'");
    world.write("host.json", "{");
    world
        .run("--update")
        .fails("step 2 (Build): ./build.sh --functions failed: ERROR ");
    let build = "#!/bin/sh\n[ $# = 1 ] || { echo 'error: no such target' >&2; exit 3; }\n";
    world.write("build.sh", build);
    world
        .run("--update")
        .fails("step 2 (Build): ./build.sh failed: error: no such target");
    world.check();
}

/// Who has tried the function with `cargo start` finds the same key in Azure.
#[test]
fn the_default_key_is_that_of_dev_host() {
    let script = include_str!("../../provision.sh");
    let line = format!("default_key_value={}", dev_host::WALKTHROUGH_KEY);
    assert!(script.lines().any(|other| other == line), "no {line}");
}

/// With what the stand-in can imitate of Azure's slowness, and without the tests' short sleeps: a
/// pause is of 5 s.
#[test]
#[ignore = "prints what docs/deployment.md shows, and takes minutes"]
fn shown() {
    let world = World::new();
    world.sleep_for_real();
    let show = |arguments: &str| {
        let before = world.started("az").len();
        let outcome = world.run(arguments).succeeds();
        let started = world.started("az").len() - before;
        println!(
            "$ ./provision.sh {arguments}\n{}({started} az)\n",
            outcome.stdout
        );
    };
    show("--dry-run");
    world.azure.state().faults = vec![(PUBLISH, 4, LAG), (PUBLISH, 4, NOT_UP)];
    for arguments in ["", "", "--update", "--dry-run", "--delete --yes"] {
        show(arguments);
    }
    world.azure.state().faults = vec![(PUBLISH, 18, NO_ROLE)];
    show("");
    show("--delete --yes");
    world
        .azure
        .state()
        .insert("rg-random-number", &Value::Null, &Value::Null);
    for arguments in [
        "--dry-run",
        "--storage-keys",
        "--memory 4096",
        "--delete --yes",
        "--no-logs",
    ] {
        show(arguments);
    }
    world.run("--delete --yes").succeeds();
    world.azure.state().running = 2;
    let stopped = world.interrupt_at(POLL, "");
    println!("$ ./provision.sh\n{}{}", stopped.stdout, stopped.stderr);
    show("");
}
