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

use std::fs;

use regex::Regex;
use serde_json::{Value, json};
use test_support::{put, put_executable};

use azure::{State, fixed};
use world::{APP, Outcome, World};

const SITE: &str = "Microsoft.Web/sites";
const GROUP: &str = "Microsoft.Resources/resourceGroups";

/// No word of the sources, so that it is only found where it has been put.
const KEY: &str = "Zq3-walk8through";

/// How func fails as long as a role does not hold, from the lines of recording 165.
const NO_ROLE: &str = "POST scm /api/publish | Failed to upload blob package to storage account with \
                       Error: Response status code does not indicate success: 403 (This request is \
                       not authorized to perform this operation.).";

const ECHO: &str = include_str!("echo.sh");

/// What was created was said before in the dry run.
#[track_caller]
fn was_announced(state: &State, dry: &Outcome, app: &str) {
    let mut ids = state.ids();
    ids.retain(|id| id.starts_with("Microsoft.") && id.ends_with(app));
    assert!(ids.len() >= 5, "{ids:#?}");
    for id in ids {
        let line = format!("Create\t{id}\n");
        assert!(dry.stdout.contains(&line), "{line} in {dry}");
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
    assert!(world.state().names(GROUP).is_empty());
    let first = run("", 6).says("\n[6/6] Check\n");
    let state = world.state();
    assert_eq!(state.parameters, fixed("parameters"));
    was_announced(&state, &dry, APP);
    let before = state.summary();
    drop(state);
    let published = fs::read_dir(world.path("published")).unwrap();
    let mut published: Vec<_> = published.map(|file| file.unwrap().file_name()).collect();
    published.sort();
    assert_eq!(published, ["RandomNumber", "handler", "host.json"]);

    // A second run, a dry one and an update change nothing but the package and the key.
    world.state().calls.clear();
    let second = run("", 4).says("nothing is deployed: that would replace all settings of the app");
    run("--dry-run", 3).says("nothing is deployed");
    let update = run("--update --memory 512", 3).says("[4/4] Check");
    let update = update.says("without effect on an app that is there: --memory\n");
    let state = world.state();
    let is_change = |call: &String| call.starts_with("PUT arm") || call.starts_with("DELETE");
    assert!(!state.calls.iter().any(is_change), "{:#?}", state.calls);
    assert_eq!(state.summary(), before);
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
    let deleted = world.shell(&format!("cd project && {delete} --yes"));
    let deleted = deleted.succeeds();
    let state = world.state();
    assert!(state.summary().is_empty(), "{:#?}", state.summary());
    assert!(state.lost_workspaces.is_empty());
    drop(state);
    // The names are free again: those of role assignments and of workspaces, too.
    run("", 6);
    assert_eq!(world.state().summary(), before);
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
    let insert = |id: &str, tags: &Value| world.state().insert(id, tags);
    let storage = "shared/providers/Microsoft.Storage/storageAccounts";
    insert("shared", &Value::Null);
    insert(&format!("{storage}/theirs"), &Value::Null);
    insert("shared/providers/Microsoft.Web/sites/theirs", &Value::Null);
    insert(&format!("{storage}/other"), &other_app);
    let before = world.state().summary();
    insert(&format!("{storage}/earlier"), &ours);

    let run = |arguments: &str| world.run(&format!("--resource-group shared --app {arguments}"));
    let theirs = "is there, but was not created by this script: give another name with --";
    run("theirs --update").fails(&format!("the function app theirs {theirs}app"));
    run("mine --storage theirs").fails(&format!("the storage account theirs {theirs}storage"));
    run("mine --update").fails("there is no function app mine in the resource group shared");
    let dry = run("mine --dry-run").succeeds();
    assert_eq!(world.state().names(SITE), ["theirs"]);
    let processes = world.started("az").len();
    run("mine --location 'North Europe' --memory 512").succeeds();
    assert_eq!(world.started("az").len() - processes, 7);
    let state = world.state();
    assert_eq!(state.parameters["location"], "northeurope");
    assert_eq!(state.parameters["memory"], 512);
    was_announced(&state, &dry, "mine");
    drop(state);

    let dry = run("mine --delete --yes --dry-run").succeeds();
    dry.says("Nothing was deleted.");
    run("mine --delete --yes").succeeds();
    assert_eq!(world.state().summary(), before);
    let again = run("mine --delete --yes").succeeds();
    again.says("Nothing to delete");
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
        world.state().running = 2;
        let stopped = world.interrupt_at(call, "");
        assert_eq!(world.state().names(SITE).len(), apps, "{call}");
        if call.contains(" scm ") {
            stopped.says("the deployment random-number-a042886a3c is Running. Waiting");
        }
    }
    world.run("").succeeds();
    let mut calls = std::mem::take(&mut world.state().calls);
    calls.retain(|call| call.starts_with("PUT arm ") && call.contains("/deployments/"));
    assert_eq!(calls.len(), 1, "{calls:#?}");
    // One that was cancelled is made again.
    world.state().deployment_was(APP, 0, "Canceled");
    world.state().running = 0;
    world.says("", "deploying infra/main.json\n");
    // A person is asked before anything is deleted.
    let before = world.state().summary();
    world.fails("--delete", "there is no terminal to ask on");
    let refused = world.on_terminal("--delete", "n\n").succeeds();
    refused
        .says("Nothing was deleted")
        .says("Microsoft.Web/sites");
    assert_eq!(world.state().summary(), before);
    world.interrupt_at("DELETE arm ", "--delete --yes");
    world.state().deployment_was(APP, 2, "Succeeded");
    let deleted = world.on_terminal("--delete", "y\n").succeeds();
    deleted.says(" is Running. Waiting");
    assert!(world.state().summary().is_empty());
    world.check();
}

/// What gets better by itself: none of this ends the run.
#[test]
fn azure_is_waited_for_where_that_helps() {
    // az itself tries four times. At last the host restarts, and does not know the new key yet.
    const FAULTS: &str = "
        5 PUT arm /resourcegroups/ | 96 ResourceRequestsThrottled Number of requests exceeded.
        1 PUT arm /deployments/ | 200 DeploymentActive Unable to edit.
        1 GET arm /operationStatuses/ | 204 PrincipalNotFound Principal a does not exist.
        1 GET arm /operationStatuses/ | 203 Conflict {\"code\": \"StorageAccountIsNotProvisioned\"}
        1 GET arm /operationStatuses/ | 210 Conflict Because another operation is in progress.
        3 POST scm /api/publish | Can't find app with name \"random-number-a042886a3c\"
        2 POST scm /api/publish | Uploading archive... (ServiceUnavailable).
        2 POST arm /host/default/listkeys | 63 BadRequest Encountered an error \
        (InternalServerError) from host runtime.
        1 PUT front /admin/ | 404
        2 PUT front /admin/ | hang up
        2 GET front /api/ | 503
        3 GET front /api/ d0c5atM1cr0s0ft | 401";
    const SAID: &str = "
        the resource group rg-random-number is Deleting. Waiting
        creating the resource group: Azure takes no more requests for now. Waiting
        another deployment of this name is running
        Azure does not find the new identity yet
        the storage account is not ready
        Azure is still changing the plan
        publishing: Azure does not find the app yet. Waiting
        publishing: the deployment site is not up yet. Waiting
        publishing: the app can't store its package: its role on the storage account does not hold
        asking for the master key: the host gives no key: it is starting, or its role";
    let world = World::new();
    world.state().insert("rg-random-number", &Value::Null);
    world.state().deleting = 2;
    world.faults(&format!("{FAULTS}\n2 {NO_ROLE}"));
    world.says("--delete --yes", "is being deleted already");
    let first = world.run("").succeeds();
    for said in SAID.trim().lines().map(str::trim) {
        assert_eq!(first.stdout.matches(said).count(), 1, "{said} in {first}");
    }

    // Where waiting does not help within the time that is given.
    world.script("role_timeout=1800", "role_timeout=1");
    world.script("PROVISION_TIMEOUT-300", "PROVISION_TIMEOUT-1");
    let no_app = "POST scm /api/publish | Can't find app with name";
    let no_key = "POST arm /functions/ | 63 BadRequest Some error from host runtime.";
    let cause = "or a network rule of the account keeps it out. Run this again later.";
    let not_found = "Azure does not find the app yet. Run this again later.";
    for (fault, said) in [(no_app, not_found), (NO_ROLE, cause), (no_key, cause)] {
        world.faults(&format!("999 {fault}"));
        world.fails("--update", said);
    }
    world.check();
}

/// Waiting is of no use: the run ends at once, in one line that says what to do, and in one of what
/// Azure said.
#[test]
fn a_refusal_of_azure_ends_the_run() {
    let world = World::new();
    for (index, row) in include_str!("refusals.txt").lines().enumerate() {
        let (fault, says) = row.rsplit_once(" | ").unwrap();
        world.faults(&format!("1 {fault}"));
        let outcome = world.fails("", &format!(" failed: {says}\nAzure said: "));
        println!("{}", outcome.stderr);
        let begins = "provision.sh: step 2 (Deployment): ";
        assert!(outcome.stderr.starts_with(begins), "{outcome}");
        // Of the first run nothing is left. The others find the group, or Azure has begun with them.
        let left = usize::from(index > 0);
        assert_eq!(outcome.stderr.lines().count(), 2 + left, "{outcome}");
        let mut state = world.state();
        assert_eq!(state.names(GROUP).len(), left, "{outcome}");
        state.clear();
        if fault.starts_with("POST ") {
            state.insert("rg-random-number", &Value::Null);
        }
    }
    let fault = "1 GET arm /sites/ | 95 InvalidAuthenticationToken It is invalid.";
    world.faults(fault);
    let run_out = "the login has run out: az login.\nAzure said: It is invalid.";
    world.fails("", run_out);
    world.check();
}

#[test]
fn without_the_right_to_assign_roles_or_without_logs() {
    let world = World::new();
    world.run("--storage-keys").succeeds();
    assert_eq!(world.state().parameters["storageKeys"], true);
    let ids = world.state().ids().join(" ");
    assert!(ids.contains("/components/") && !ids.contains("Identities/"));
    let line = "without effect on an app that is there: --no-logs --location\n";
    let stays = world.says("--no-logs --location westus2", line);
    stays
        .says("it has a key of its storage account: after ./provision.sh --delete a run gives one");
    world.run("--delete --yes").succeeds();
    world.run("--no-logs").succeeds();
    assert_eq!(world.state().parameters["logs"], false);
    let ids = world.state().ids().join(" ");
    assert!(!ids.contains("/components/") && ids.contains("Identities/"));
    world.check();
}

#[test]
fn the_check_calls_only_what_it_may() {
    const CALLS: &str = "DELETE front /items/00000000-0000-0000-0000-000000000000
        DELETE front /items/00000000-0000-0000-0000-000000000000
        POST front /greet/[a-b]{c,d}
        POST front /greet/[a-b]{c,d}
        POST front /greet/[a-b]{c,d}
        GET front /letters/a/1
        GET front /letters/a/1
        GET front /number
        GET front /number";
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
        let [name, methods, route, level] = function.split(' ').collect::<Vec<_>>()[..] else {
            unreachable!()
        };
        list += &format!("{name}\\t{methods}\\t/{route}\\t{level}\\n");
        let methods: Vec<_> = methods.split(',').map(|it| json!(it)).collect();
        let trigger = json!({"type": "httpTrigger", "direction": "in", "name": "req",
            "route": route, "authLevel": level, "methods": methods});
        let answer = json!({"type": "http", "direction": "out", "name": "$return"});
        let trigger = json!({"bindings": [trigger, answer]}).to_string();
        let trigger = trigger.replace(r#""methods":["*"],"#, "");
        world.write(&format!("{name}/function.json"), &trigger);
    }
    let handler = ECHO.replace("LIST", &list);
    put_executable(&world.path("project"), "handler", handler);
    let no_prefix = r#""extensions": {"http": {"routePrefix": ""}}, "version":"#;
    world.edit("host.json", r#""version":"#, no_prefix);
    let samples = "Greeting) path=/greet/[a-b]{c,d} options=(--data Ada) answers=^POST ;;
        RandomNumber) answers=/number ;;\n    Not) answers=";
    world.edit("infra/functions.sh", "RandomNumber) answers=", samples);
    // A call that is never answered: curl gives up, and it is made again.
    world.script("--max-time 60", "--max-time 1");
    world.faults("1 GET front /number | silence");
    // The user's own settings of curl.
    put(&world.path("home"), ".curlrc", "output = stolen");

    let outcome = world.says("", "RandomNumber: 200, GET /number\n");
    outcome
        .says("Deleter without a key: 401\n      Deleter with a wrong key: 401\n      Greeting")
        .says("Greeting with a wrong key: 401\n      Greeting with the key: 200, POST /greet/")
        .says("Letters with a wrong key: 401\n      Odd is not called: no path is known that fits")
        .says("Open is not called: it asks for no key, and sample_call does not name it\n");
    let mut calls = std::mem::take(&mut world.state().calls);
    calls.retain(|call| call.contains(" front ") && !call.contains("/admin/"));
    assert!(calls.iter().eq(CALLS.lines().map(str::trim)), "{calls:#?}");
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
    let second = world.run("--key-file - --key-name second <key");
    let second = second.succeeds();
    fs::remove_file(world.path("key")).unwrap();
    let mut command = world.command("project/provision.sh");
    command.envs(VARIABLES.map(|name| (name, "x")));
    let output = command.env("PROVISION_KEY_VALUE", values[2]).output();
    let third = Outcome::from(output.unwrap()).succeeds();
    for value in values {
        world.check_secrets(value, &[&first, &second, &third]);
    }
    for record in world.records() {
        let is_exported = |it: &&str| record.contains(&format!("\nexport {it}="));
        assert!(!VARIABLES.iter().any(is_exported), "{record}");
    }
    let no_key = "RandomNumber has no key any: give another name with --key-name";
    world.fails("--update --key-name any", no_key);
    world.check();
}

#[test]
fn a_host_that_does_not_come_round_ends_the_step() {
    const ROWS: &str = "
        PUT front /admin/ | 503 | RandomNumber: the host answers status 503 to the key default.
        PUT front /admin/ | 400 | After a 400, give one with Azure's checksum
        GET front /api/ xd0c5atM1cr0s0ft | 200 | RandomNumber with a wrong key: status 200, not 401.
        GET front /api/ d0c5atM1cr0s0ft | 401 | RandomNumber with the key: status 401, not 200. Run this again, or restart";
    let world = World::provisioned();
    world.script("PROVISION_TIMEOUT-300", "PROVISION_TIMEOUT-1");
    for row in ROWS.trim().lines().map(str::trim) {
        let (fault, said) = row.rsplit_once(" | ").unwrap();
        world.faults(&format!("999 {fault}"));
        world.state().calls.clear();
        if fault.ends_with("401") {
            // A key that is refused for good is not tried for as long as Azure is waited for.
            world.script("PROVISION_TIMEOUT-1", "PROVISION_TIMEOUT-99999");
        }
        world.fails("", said);
    }
    // Besides, the key was set, and there was one call each without a key and with a wrong one.
    let mut calls = std::mem::take(&mut world.state().calls);
    calls.retain(|call| call.contains(" front "));
    assert_eq!(calls.len(), 1 + 2 + 24);
    world.faults("");
    world.edit("infra/functions.sh", "value", "worth");
    world.fails("--update", r#"with the key: the answer '{"value":"#);
    world.check();
}

#[test]
fn what_is_missing_is_named_at_once() {
    for tools in ["az", "cargo", "func curl cc"] {
        let world = World::new();
        for tool in tools.split(' ') {
            fs::remove_file(world.path("bin").join(tool)).unwrap();
        }
        let mut outcome = world.fails("", "not ready; nothing was changed. What is missing:\n");
        for tool in tools.split(' ') {
            outcome = outcome.fails(&format!("\n  - {tool}"));
        }
        let lines = outcome.stderr.lines().count();
        assert_eq!(lines, 1 + tools.split(' ').count(), "{outcome}");
        assert!(world.state().calls.is_empty());
        world.check();
    }
    World::signed_out().fails("", "access to the subscription '': az login,");
    World::new().fails("--subscription no", "access to the subscription 'no'");
}

#[test]
fn what_azure_would_refuse_is_refused_first() {
    let world = World::new();
    for row in include_str!("arguments.txt").lines() {
        let (arguments, line) = row.split_once(" | ").unwrap();
        let outcome = world.fails(arguments, line);
        let lines = outcome.stderr.lines().count();
        assert_eq!((outcome.status, lines), (Some(2), 1), "{outcome}");
    }
    for value in ["", " a", "a ", "a\nb", "a\tb", "é", "a\u{7f}"] {
        let line = format!("PROVISION_KEY_VALUE='{value}' project/provision.sh");
        let outcome = world.shell(&line);
        outcome.fails("the access key's value: give printable ASCII characters");
    }
    let dash = world.shell("dash project/provision.sh");
    dash.fails("provision.sh: run it with bash: ./provision.sh\n");
    // Who has tried the function with `cargo start` finds the same key in Azure.
    let key = format!("PROVISION_KEY_VALUE; {})\n", dev_host::WALKTHROUGH_KEY);
    world.says("--help", &key);
    let line = format!("\ndefault_key_value={}\n", dev_host::WALKTHROUGH_KEY);
    world.script(&line, "\n");
    assert!(world.state().calls.is_empty());
    world.check();
}

/// Names are the same in each run, and of different functions different, however long they are.
#[test]
fn names_are_cut_to_what_azure_takes() {
    let world = World::new();
    let names = Regex::new("account +([a-z0-9]+)\n +function app +([a-z0-9-]+)").unwrap();
    let run = |function: &str| {
        let name = format!("function_name={function}\nsample_call() {{ false; }}\n");
        world.write("infra/functions.sh", &name);
        world.write(&format!("{function}/function.json"), "{}");
        let outcome = world.fails("--resource-group any --update", "there is no function app");
        let names = names.captures(&outcome.stdout).unwrap();
        [names[1].to_owned(), names[2].to_owned()]
    };
    let [storage, app] = run("HTTPTrigger_2");
    assert!(storage.starts_with("httptrigger2") && app.starts_with("httptrigger-2-"));
    // A hyphen is where the app's name is cut.
    let long = format!("{}_{}", "a".repeat(43), "Ab".repeat(41));
    let names = [run(&long), run(&format!("{}c", &long[..125]))];
    assert_eq!(names.each_ref().map(|[it, _]| it.len()), [24, 24]);
    assert_eq!(names.each_ref().map(|[_, it]| it.len()), [54, 54]);
    assert_ne!(names[0], names[1]);
    world.check();
}

/// What fails in no way that is known ends with the command's own words.
#[test]
fn a_build_or_a_publishing_that_fails_ends_the_run() {
    let world = World::provisioned();
    world.faults("1 POST scm /api/publish | No such runtime.");
    let said = "step 3 (Publish): func azure functionapp publish failed: No such runtime.";
    world.fails("--update", said);
    let func = world.shell("cd project && func azure functionapp publish any --access-token-stdin");
    func.says("Worker runtime cannot be 'None'");
    world.write("host.json", "{");
    world.fails("--update", "./build.sh --functions failed: ERROR ");
    let build = "#!/bin/sh\n[ $# = 1 ] || { echo 'no such target' >&2; exit 3; }\n";
    world.write("build.sh", build);
    world.fails("--update", "./build.sh failed: no such target");
    world.check();
}

/// With what the stand-in can imitate of Azure's slowness, and without the tests' short sleeps: a
/// pause is of 5 s.
#[test]
#[ignore = "prints what docs/deployment.md shows, and takes minutes"]
fn shown() {
    const SLOW: &str = "4 POST scm /api/publish | Can't find app with name
        8 POST scm /api/publish | Uploading archive... (ServiceUnavailable)";
    let world = World::new();
    world.sleep("5");
    let show = |all: &str| {
        for arguments in all.split(',') {
            let before = world.started("az").len();
            let outcome = world.run(arguments).succeeds();
            let started = world.started("az").len() - before;
            let said = outcome.stdout;
            println!("$ ./provision.sh {arguments}\n{said}({started} az)\n");
        }
    };
    show("--dry-run");
    world.faults(SLOW);
    show(",,--update,--dry-run,--delete --yes");
    world.faults(&format!("18 {NO_ROLE}"));
    show(",--delete --yes");
    world.state().insert("rg-random-number", &Value::Null);
    show("--dry-run,--storage-keys,--memory 4096,--delete --yes,--no-logs,--delete --yes");
    world.state().running = 2;
    let stopped = world.interrupt_at("GET arm /operationStatuses/", "");
    println!("$ ./provision.sh\n{}{}", stopped.stdout, stopped.stderr);
    show("");
}
