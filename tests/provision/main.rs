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

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use serde_json::{Value, json};
use test_support::{put, put_executable};

use azure::{Answer, Fault};
use world::{APP, Outcome, World};

const SITE: &str = "Microsoft.Web/sites";
const GROUP: &str = "Microsoft.Resources/resourceGroups";

/// No word of the sources, so that it is only found where it has been put.
const KEY: &str = "Zq3-walk8through";

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
    let site = state.resource(SITE);
    assert_eq!(site["tags"], World::parameters()["tags"]);
    assert_eq!(site["identity"]["type"], "UserAssigned");
    let before = state.summary();
    // What it said that it would create is what there is.
    let ids = state.ids();
    assert!(ids.len() >= 7);
    for id in ids.iter().filter(|id| id.contains("/Microsoft.")) {
        let (_, name) = id.split_once("/providers/").unwrap();
        let is_part = name.contains("/blobServices/");
        assert!(
            is_part || dry.stdout.contains(&format!("Create {name}\n")),
            "{name}"
        );
    }
    drop(state);
    let mut published: Vec<_> = fs::read_dir(world.path("published")).unwrap().collect();
    published.sort_by_key(|file| file.as_ref().unwrap().file_name());
    let published = published
        .iter()
        .map(|file| file.as_ref().unwrap().file_name());
    assert!(published.eq(["RandomNumber", "handler", "host.json"]));
    let handler = fs::metadata(world.path("published/handler")).unwrap();
    assert_eq!(handler.permissions().mode() & 0o111, 0o111);

    // A second run, a dry one and an update change nothing but the package and the key.
    world.azure.state().calls.clear();
    let second = run("", 4).says("nothing is deployed: that would replace all settings of the app");
    run("--dry-run", 3).says("nothing is deployed");
    let update = run("--update --memory 512", 3)
        .says("[4/4] Check")
        .says("without effect on an app that is there: --memory\n");
    let state = world.azure.state();
    let changes = state
        .calls
        .iter()
        .filter(|call| ["PUT", "DELETE"].contains(&&*call.method));
    assert_eq!(changes.count(), 0, "{:#?}", state.calls);
    assert_eq!(state.summary(), before);
    let front = state.front_calls.iter();
    assert!(front.clone().all(|call| !call.query.contains("code=")));
    assert_eq!(front.filter(|call| call.method == "PUT").count(), 2);
    drop(state);
    world
        .run("--update --key-name any")
        .fails("asking for the key of RandomNumber failed: there is no key any.");

    // The commands that it ends with do what it says they do.
    let command = |begin: &str| {
        let text = first.stdout.replace("\\\n", "");
        let line = text.lines().find(|line| line.trim().starts_with(begin));
        line.unwrap().trim().to_owned()
    };
    let shown = world.shell(&command("az ")).succeeds();
    assert_eq!(shown.stdout.trim(), KEY);
    let delete = format!("project/{} --yes", &command("./provision.sh --delete")[2..]);
    let deleted = world.shell(&delete).succeeds();
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

/// Here the app of an earlier version of the script is in a group of others.
#[test]
fn a_group_of_others() {
    let world = World::new();
    let tags = json!({"created-by": "random-number-provision.sh"});
    let storage = "shared/providers/Microsoft.Storage/storageAccounts";
    let insert = |id: &str, tags: &Value| {
        let resource = json!({"location": "westus2", "tags": tags, "properties": {}});
        world.azure.state().insert(id, resource);
    };
    insert("shared", &Value::Null);
    insert(&format!("{storage}/theirs"), &Value::Null);
    insert("shared/providers/Microsoft.Web/sites/theirs", &Value::Null);
    let other_app = json!({"created-by": "random-number-provision.sh", "function-app": "other"});
    insert(&format!("{storage}/other"), &other_app);
    let before = world.azure.state().summary();
    insert(&format!("{storage}/earlier"), &tags);

    let shared = "--resource-group shared --app mine";
    world
        .run("--resource-group shared --app theirs --update")
        .fails(
            "the function app theirs is there, but was not created by this script: give another",
        );
    world
        .run(&format!("{shared} --update"))
        .fails("there is no function app mine in the resource group shared");
    world
        .run(&format!("{shared} --storage theirs"))
        .fails("the storage account theirs is there, but was not created by this script: give");
    let list = world.run(&format!("{shared} --dry-run")).succeeds();
    assert!(world.azure.state().names(SITE) == ["theirs"]);
    let processes = world.started("az").len();
    world
        .run(&format!("{shared} --location 'North Europe' --memory 512"))
        .succeeds();
    assert_eq!(world.started("az").len() - processes, 7);
    let state = world.azure.state();
    let parameters = &state.parameters;
    assert_eq!(parameters["location"], "northeurope");
    assert_eq!(parameters["memory"], 512);
    for id in state
        .ids()
        .iter()
        .filter(|id| id.contains("mine") && id.contains("/Microsoft."))
    {
        let (_, name) = id.split_once("/providers/").unwrap();
        assert!(
            list.stdout.contains(&format!("Create {name}\n")),
            "{name} in {list}"
        );
    }
    drop(state);

    let delete = format!("{shared} --delete --yes");
    world
        .run(&format!("{delete} --dry-run"))
        .succeeds()
        .says("Nothing was deleted.");
    world.run(&delete).succeeds();
    assert_eq!(world.azure.state().summary(), before);
    world.run(&delete).succeeds().says("Nothing to delete");
    world.check();
}

#[test]
fn an_interrupted_run_goes_on_where_it_stopped() {
    let world = World::new();
    for (call, apps) in [
        ("PUT arm /resourcegroups/", 0),
        ("GET arm /operationStatuses/", 0),
        ("POST scm /api/publish", 1),
        ("PUT front /admin/", 1),
        ("GET front /api/", 1),
    ] {
        if apps == 0 {
            world.azure.state().running = 2;
        }
        let stopped = world.interrupt_at(call, "");
        let state = world.azure.state();
        assert_eq!(state.names(SITE).len(), apps, "{call}");
        drop(state);
        if call.contains("/api/publish") {
            stopped.says("the deployment random-number-a042886a3c is Running. Waiting");
        }
    }
    world.run("").succeeds();
    let puts = world
        .azure
        .state()
        .calls
        .iter()
        .filter(|call| call.method == "PUT" && call.path.contains("/deployments/"))
        .count();
    assert_eq!(puts, 1);

    // One that was cancelled is made again.
    world.azure.state().end_deployment(APP, "Canceled");
    world.run("").succeeds().says("deploying infra/main.json\n");
    world.interrupt_at("DELETE arm ", "--delete --yes");
    world.run("--delete --yes").succeeds();
    assert!(world.azure.state().summary().is_empty());
    world.check();
}

/// What gets better by itself: none of this ends the run.
#[test]
fn azure_is_waited_for_where_that_helps() {
    let world = World::new();
    let failed = |recording, code: &str, message: &str| {
        let error =
            json!({"code": "DeploymentFailed", "details": [{"code": code, "message": message}]});
        Answer::Like(recording, json!({"status": "Failed", "error": error}))
    };
    let not_ready = "{\"error\": {\"code\": \"StorageAccountIsNotProvisioned\"}}";
    let busy = "Cannot modify this plan because another operation is in progress.";
    let forbidden = json!({"Code": "BadRequest",
        "Message": "Encountered an error (InternalServerError) from host runtime."});
    let refused = |code| json!({"error": {"code": code, "message": "Not now."}});
    let mut state = world.azure.state();
    state.insert("rg-random-number", json!({"location": "westus2"}));
    state.start_deleting("rg-random-number");
    state.deleting = 3;
    let poll = "GET arm /operationStatuses/";
    let upload = "POST scm /api/publish";
    let (lag, unavailable, no_role) = (
        "Can't find app with name \"random-number-a042886a3c\"",
        "Error [2026-11-24T12:00:00.000Z] Uploading archive... (ServiceUnavailable).",
        // From the lines of recording 165.
        "Failed to upload blob package to storage account with Error: Response status code does not \
         indicate success: 403 (This request is not authorized to perform this operation.).",
    );
    state.faults = vec![
        // az itself tries four times.
        Fault::new(
            "PUT arm /resourcegroups/",
            5,
            Answer::Like("96", refused("ResourceRequestsThrottled")),
        ),
        Fault::new(
            "PUT arm /deployments/",
            1,
            Answer::Like("200", refused("DeploymentActive")),
        ),
        Fault::new(
            poll,
            1,
            failed("204", "PrincipalNotFound", "Principal a does not exist."),
        ),
        Fault::new(poll, 1, failed("203", "Conflict", not_ready)),
        Fault::new(poll, 1, failed("210", "Conflict", busy)),
        Fault::new(upload, 3, Answer::Says(lag)),
        Fault::new(upload, 2, Answer::Says(unavailable)),
        Fault::new(upload, 2, Answer::Says(no_role)),
        Fault::new(
            "POST arm /host/default/listkeys",
            2,
            Answer::Like("63", forbidden.clone()),
        ),
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
            .all(|fault| fault.times == 0)
    );

    // Where waiting does not help within the time that is given.
    world.edit("provision.sh", "role_timeout=1800", "role_timeout=1");
    let cause =
        "which can take 30 minutes, or a network rule of the account keeps it out. Run this again";
    for (call, answer, said) in [
        (
            upload,
            Answer::Says(lag),
            "Azure does not find the app yet. Run this again later.",
        ),
        (upload, Answer::Says(no_role), cause),
        ("POST arm /functions/", Answer::Like("63", forbidden), cause),
    ] {
        world.azure.state().faults = vec![Fault::new(call, usize::MAX, answer)];
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
    for refusal in refusals.as_array().unwrap() {
        let text = |name: &str| -> &'static str {
            Box::leak(
                refusal[name]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
                    .into_boxed_str(),
            )
        };
        let mut error = json!({"code": refusal["status"], "message": refusal["message"]});
        error["details"] = refusal["details"].clone();
        let is_begun = text("call").contains("operationStatuses");
        let content = if is_begun {
            json!({"status": "Failed", "error": {"code": "DeploymentFailed", "details": [error]}})
        } else {
            json!({"error": error})
        };
        let fault = Fault::new(text("call"), 1, Answer::Like(text("like"), content));
        world.azure.state().faults = vec![fault];
        let outcome = world.run("").fails(text("says"));
        println!("{}", outcome.stderr);
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        let first_ends = lines[0].starts_with("provision.sh: step ") && lines[0].ends_with('.');
        assert!(first_ends, "{outcome}");
        let is_told = lines[1].starts_with("Azure said: ");
        assert!(is_told && lines[1].len() > 20, "{outcome}");
        // Where Azure has begun with it, there is something to go on from.
        assert_eq!(lines.len(), if is_begun { 3 } else { 2 }, "{outcome}");
        let mut state = world.azure.state();
        assert_eq!(state.names(GROUP).len(), usize::from(is_begun), "{outcome}");
        *state = state.empty();
    }
    world.check();
}

#[test]
fn without_the_right_to_assign_roles_or_without_logs() {
    let world = World::new();
    world.run("--storage-keys --location westus2").succeeds();
    let state = world.azure.state();
    assert_eq!(state.parameters["storageKeys"], true);
    assert!(
        state
            .names("Microsoft.ManagedIdentity/userAssignedIdentities")
            .is_empty()
    );
    drop(state);
    world
        .run("--no-logs --location westus2")
        .succeeds()
        .says("without effect on an app that is there: --no-logs --location\n")
        .says("it has a key of its storage account: after ./provision.sh --delete a run gives one");
    world.run("--delete --yes").succeeds();
    world.run("--no-logs").succeeds();
    let state = world.azure.state();
    assert_eq!(state.parameters["logs"], false);
    assert!(state.names("Microsoft.Insights/components").is_empty());
    drop(state);
    world.check();
}

#[test]
fn the_check_calls_only_what_it_may() {
    let world = World::new();
    // One for each line of `handler --check`: name, methods, route in function.json, level.
    let functions = [
        ("Deleter", "DELETE", "items/{id:guid}", "function"),
        ("Greeting", "POST", "greet/{name}", "function"),
        ("Letters", "GET,HEAD", "letters/{x:alpha}/{n:int?}", "admin"),
        ("Odd", "*", "odd/{x:regex(^a+$)}", "function"),
        ("Open", "*", "open", "anonymous"),
        ("RandomNumber", "*", "number", "anonymous"),
    ];
    let mut list = String::new();
    for (name, methods, route, level) in functions {
        list += &format!("{name}\\t{methods}\\t/{route}\\t{level}\\n");
        let mut trigger = json!({"type": "httpTrigger", "direction": "in", "name": "req",
            "route": route, "authLevel": level});
        if methods != "*" {
            trigger["methods"] = methods.split(',').collect();
        }
        let answer = json!({"type": "http", "direction": "out", "name": "$return"});
        let trigger = json!({"bindings": [trigger, answer]});
        world.write(&format!("{name}/function.json"), &trigger.to_string());
    }
    let handler = ECHO.replace("LIST", &list);
    put_executable(&world.path("project"), "handler", handler);
    world.edit(
        "host.json",
        r#""version": "2.0","#,
        r#""version": "2.0",
        "extensions": {"http": {"routePrefix": ""}},"#,
    );
    let sample = "Greeting) path=/greet/[a-b]{c,d} options=(--data Ada) answers=^POST ;;";
    let known = "    RandomNumber) answers=";
    world.edit(
        "provision.sh",
        known,
        &format!("{sample}\n    RandomNumber) answers=/number ;;\n    No) answers="),
    );
    // A call that is never answered: curl gives up, and it is made again.
    world.edit("provision.sh", "--max-time 60", "--max-time 1");
    world.azure.state().faults = vec![Fault::new("GET front /number", 1, Answer::Silence)];
    // The user's own settings of curl.
    put(&world.path("home"), ".curlrc", "output = stolen");

    let outcome = world.run("").succeeds();
    for said in [
        "Deleter without a key: 401\n      Deleter with a wrong key: 401\n      Greeting without",
        "Greeting with a wrong key: 401\n      Greeting with the key: 200, POST /greet/",
        "Letters with a wrong key: 401\n      Odd is not called: no path is known that fits its route",
        "Open is not called: it asks for no key, and sample_call does not name it\n",
        "RandomNumber: 200, GET /number\n",
        "is at\n  https://localhost:",
    ] {
        assert!(outcome.stdout.contains(said), "no {said} in {outcome}");
    }
    let state = world.azure.state();
    let calls = state
        .front_calls
        .iter()
        .filter(|call| !call.path.starts_with("/admin/"));
    let calls = calls
        .map(|call| format!("{} {}", call.method, call.path))
        .collect::<Vec<_>>();
    let guid = "/items/00000000-0000-0000-0000-000000000000";
    let deleter = format!("DELETE {guid}");
    let greeting = "POST /greet/[a-b]{c,d}";
    let expected = [
        &*deleter,
        &*deleter,
        greeting,
        greeting,
        greeting,
        "GET /letters/a/1",
        "GET /letters/a/1",
        "GET /number",
        "GET /number",
    ];
    assert_eq!(calls, expected);
    drop(state);
    fs::remove_file(world.path("home/.curlrc")).unwrap();
    assert!(!world.path("stolen").exists() && !world.path("project/stolen").exists());
    world.check();
}

/// What is set, and what is refused, of the key.
#[test]
fn keys() {
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
fn a_host_that_does_not_come_round_ends_the_step() {
    let world = World::provisioned();
    // What passes: a host that restarts, and one that does not know the new key yet.
    world.azure.state().faults = vec![
        Fault::new("PUT front /admin/", 1, Answer::Status(404)),
        Fault::new("PUT front /admin/", 2, Answer::HangUp),
        Fault::new("GET front /api/", 2, Answer::Status(503)),
        Fault {
            key: KEY,
            ..Fault::new("GET front /api/", 3, Answer::Status(401))
        },
    ];
    let run = |timeout: u32, arguments: &str| {
        let variables = format!("PROVISION_TIMEOUT={timeout} PROVISION_KEY_VALUE={KEY}");
        world.shell(&format!("{variables} project/provision.sh {arguments}"))
    };
    let outcome = run(300, "").succeeds();
    world.check_secrets(KEY, &[&outcome]);
    assert!(
        world
            .azure
            .state()
            .faults
            .iter()
            .all(|fault| fault.times == 0)
    );
    let wrong = "xZq3-walk8through";
    for (call, key, status, arguments, said) in [
        (
            "PUT front /admin/",
            "",
            503,
            "",
            "RandomNumber: the host answers status 503 to the key default.",
        ),
        (
            "PUT front /admin/",
            "",
            400,
            "",
            "After a 400, give one with Azure's checksum",
        ),
        (
            "GET front /api/",
            KEY,
            401,
            "--update",
            "The host has not taken the key up: run this again",
        ),
        (
            "GET front /api/",
            wrong,
            200,
            "--update",
            "with a wrong key: the answer has status 200, not 401",
        ),
    ] {
        let fault = Fault {
            key,
            ..Fault::new(call, usize::MAX, Answer::Status(status))
        };
        world.azure.state().faults = vec![fault];
        world.azure.state().front_calls.clear();
        // A key that is refused for good is not tried for as long as Azure is waited for.
        let timeout = if status == 401 { 99999 } else { 1 };
        let outcome = run(timeout, arguments).fails(said);
        world.check_secrets(KEY, &[&outcome]);
        let state = world.azure.state();
        // Besides, one call each without a key and with a wrong one.
        assert!(
            status != 401 || state.front_calls.len() == 2 + 24,
            "{outcome}"
        );
    }
    world.azure.state().faults.clear();
    world.edit("provision.sh", "'^\\{\"value\":", "'^\\{\"worth\":");
    run(1, "--update").fails("RandomNumber with the key: the answer '{\"value\":");
    world.check();
}

#[test]
fn what_is_missing_is_named_at_once() {
    for tool in ["az", "func", "curl", "cargo", "cc"] {
        let world = World::new();
        fs::remove_file(world.path("bin").join(tool)).unwrap();
        let outcome = world.run("").fails("not ready; nothing was changed");
        assert_eq!(outcome.stderr.lines().count(), 2, "{outcome}");
        outcome.fails(&format!("  - {tool}"));
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
    assert!(
        outcome
            .stderr
            .contains("sudo apt-get install build-essential"),
        "{outcome}"
    );
    World::new()
        .run(r#"--subscription "nobody's""#)
        .fails("access to the subscription 'nobody's'");
}

#[test]
fn what_azure_would_refuse_is_refused_first() {
    let world = World::new();
    let long = "a".repeat(56);
    for (arguments, line) in [
        (
            "--storage No-Good",
            "storage account 'No-Good': give 3 to 24 lower-case letters and digits",
        ),
        (
            "--app -app",
            "function app '-app': give 2 to 55 letters, digits and hyphens",
        ),
        (
            &format!("--app {long}"),
            "give 2 to 55 letters, digits and hyphens, no hyphen at either",
        ),
        (
            "--resource-group group.",
            "resource group 'group.': give 1 to 90 letters",
        ),
        (
            "--key-name _master",
            "key name '_master': give 1 to 127 letters, digits and hyphens",
        ),
        (
            "--memory 1024",
            "memory '1024': give 512, 2048 or 4096, in MB",
        ),
        (
            "--location 'west;us'",
            "location 'west;us': give a name out of 'az account list-locations'",
        ),
        (
            "--key-file missing",
            "--key-file 'missing' can't be read: give a file with the access key",
        ),
        ("--key-file project", "--key-file 'project' can't be read"),
        (
            "--key-file -",
            "the access key's value: give printable ASCII characters",
        ),
        (
            "--plan flex",
            "unknown option '--plan'; ./provision.sh --help lists the options",
        ),
        (
            "--app",
            "--app needs a value; ./provision.sh --help lists the options",
        ),
    ] {
        let outcome = world.run(arguments).fails(line);
        assert_eq!(
            (outcome.status, outcome.stderr.lines().count()),
            (Some(2), 1),
            "{outcome}"
        );
    }
    for value in ["", " a", "a ", "a\nb", "a\tb", "é", "a\u{7f}"] {
        let line = format!("PROVISION_KEY_VALUE='{value}' project/provision.sh");
        let outcome = world
            .shell(&line)
            .fails("the access key's value: give printable ASCII");
        assert!(value.is_empty() || !outcome.stderr.contains(&format!("'{value}'")));
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
    // A hyphen is where the app's name is cut.
    let long = format!("{}_{}", "a".repeat(43), "Ab".repeat(41));
    let functions = ["HTTPTrigger_2", &long, &format!("{}c", &long[..125])];
    let names = functions.map(|function| {
        let name = format!("\nfunction_name={function}\n");
        world.write(
            "provision.sh",
            &script.replace("\nfunction_name=RandomNumber\n", &name),
        );
        world.write(&format!("{function}/function.json"), "{}");
        let outcome = world
            .run("--resource-group shared --update")
            .fails("there is no function app");
        let name = |label| {
            let (_, rest) = outcome.stdout.split_once(label).unwrap();
            rest.lines().next().unwrap().trim().to_owned()
        };
        [name("  function app "), name("  storage account ")]
    });
    let [app, storage] = &names[0];
    assert!(app.starts_with("httptrigger-2-") && storage.starts_with("httptrigger2"));
    for [app, storage] in &names[1..] {
        assert_eq!((app.len(), storage.len()), (43 + 11, 24));
    }
    assert_ne!(names[1], names[2]);
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
    let fault = Fault::new(
        "POST scm /api/publish",
        1,
        Answer::Says("Error: no such runtime."),
    );
    world.azure.state().faults = vec![fault];
    let said = "step 3 (Publish): func azure functionapp publish failed: Error: no such runtime.";
    let publishing = world.run("--update").fails(said);
    let func = world.shell("cd project && func azure functionapp publish any --access-token-stdin");
    func.says("Worker runtime cannot be 'None'");
    world.write("host.json", "{");
    world
        .run("--update")
        .fails("step 2 (Build): ./build.sh --functions failed: ERROR ");
    world.write(
        "build.sh",
        "#!/bin/sh\n[ $# = 1 ] || { echo 'error: no such target' >&2; exit 3; }\n",
    );
    let build = world
        .run("--update")
        .fails("step 2 (Build): ./build.sh failed: error: no such target");
    world.check_secrets(KEY, &[&publishing, &build]);
    world.check();
}

/// Who has tried the function with `cargo start` finds the same key in Azure.
#[test]
fn the_default_key_is_that_of_dev_host() {
    let script = include_str!("../../provision.sh");
    let line = format!("default_key_value={}", dev_host::WALKTHROUGH_KEY);
    assert!(script.lines().any(|other| other == line), "no {line}");
}

/// With what the stand-in can imitate of Azure's slowness, and without the tests' short sleeps.
#[test]
#[ignore = "prints what docs/deployment.md shows, and takes minutes"]
fn shown() {
    let world = World::new();
    world.sleep_for_real();
    let slow = |call, seconds, answer| Fault {
        lasts: Duration::from_secs(seconds),
        ..Fault::new(call, 0, answer)
    };
    let publish = "POST scm /api/publish";
    let role = "Failed to upload blob package to storage account with Error: Response status code does \
                not indicate success: 403 (This request is not authorized to perform this operation.).";
    let show = |arguments: &str| {
        let before = world.started("az").len();
        let outcome = world.run(arguments).succeeds();
        let started = world.started("az").len() - before;
        println!("$ ./provision.sh {arguments}");
        println!("{}{}({started} az)\n", outcome.stdout, outcome.stderr);
    };
    show("--dry-run");
    world.azure.state().faults = vec![
        slow(publish, 20, Answer::Says("Can't find app with name")),
        slow(
            publish,
            40,
            Answer::Says("Uploading archive... (ServiceUnavailable)"),
        ),
    ];
    for arguments in ["", "", "--update", "--dry-run", "--delete --yes"] {
        show(arguments);
    }
    world.azure.state().faults = vec![slow(publish, 90, Answer::Says(role))];
    show("");
    show("--delete --yes");
    world
        .azure
        .state()
        .insert("rg-random-number", json!({"location": "westus2"}));
    for arguments in [
        "--dry-run",
        "--storage-keys",
        "--memory 4096",
        "--delete --yes",
        "--no-logs",
    ] {
        show(arguments);
    }
    world.azure.state().running = 2;
    world.run("--delete --yes").succeeds();
    let stopped = world.interrupt_at("GET arm /operationStatuses/", "");
    println!("$ ./provision.sh\n{}{}\n", stopped.stdout, stopped.stderr);
    show("");
}
