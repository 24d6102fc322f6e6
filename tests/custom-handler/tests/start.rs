//! What the handler reads at its start, and what it refuses.

use serde_json::{Value, json};

use crate::App;

const PREFIX: &str = "AzureFunctionsJobHost__extensions__http__routePrefix";

/// One function Echo on the route, with the members of host.json.
fn app(route: Value, host: Value) -> App {
    let app = App::new();
    app.host_json(host);
    app.function("Echo", json!({"route": route}));
    app
}

fn http(prefix: Value) -> Value {
    json!({"extensions": {"http": {"routePrefix": prefix}}})
}

fn is_refused(app: &App, variables: &[(&str, &str)], parts: &[&str]) {
    let line = app.refusal(variables);
    for part in parts {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn files_are_read_as_the_host_reads_them() {
    let app = app(json!("x"), json!({}));
    app.write(
        "host.json",
        "\u{feff}{ // comment\n\"version\": \"2.0\", \"customHandler\": {\"description\": \
         {\"defaultExecutablePath\": \"handler\"}, \"enableProxyingHttpRequest\": \"True\",},\
         /* and */ \"extensions\": {\"http\": {\"routePrefix\": \"v1\"}}}",
    );
    assert_eq!(app.start().get("/V1/x").status, 200);
    for (name, value, path) in [
        (PREFIX, "v2", "/v2/x"),
        (PREFIX, "", "/x"),
        (&PREFIX.to_uppercase(), "v2", "/v2/x"),
        (&PREFIX.to_lowercase(), "v2", "/v2/x"),
    ] {
        let handler = app.start_with(&[(name, value)]);
        assert_eq!(handler.get(path).status, 200, "{name}={value}");
        assert_eq!(handler.get("/v1/x").status, 404, "{name}={value}");
    }
}

/// The app root is given, or else it is the working directory.
#[test]
fn the_app_root() {
    let (app, other) = (app(json!("x"), json!({})), App::new());
    let root = app.0.path().to_str().unwrap();
    let variables = [("FUNCTIONS_APP_ROOT_PATH", root), ("REGISTER", "Echo")];
    assert_eq!(other.start_with(&variables).get("/api/x").status, 200);
    let none = [("FUNCTIONS_APP_ROOT_PATH", "/nowhere")];
    is_refused(&other, &none, &["/nowhere/host.json is missing"]);
}

#[test]
fn what_the_host_could_read_otherwise_is_refused() {
    let good = || json!("x");
    for (prefix, expected) in [
        (
            json!(null),
            "extensions.http.routePrefix is null: give a text",
        ),
        (
            json!(1),
            "extensions.http.routePrefix is a number: give a text",
        ),
        (json!(" "), "extensions.http.routePrefix is \" \": give"),
        (
            json!("/api"),
            "extensions.http.routePrefix is \"/api\": give",
        ),
        (
            json!("~api"),
            "extensions.http.routePrefix is \"~api\": give",
        ),
        (
            json!("api/"),
            "extensions.http.routePrefix is \"api/\": give",
        ),
    ] {
        is_refused(&app(good(), http(prefix)), &[], &["/host.json", expected]);
    }
    for (host, expected) in [
        (
            json!({"extensions": null}),
            "extensions is null: give an object",
        ),
        (
            json!({"Extensions": {}}),
            "Extensions is in another letter case: write extensions",
        ),
        (
            json!({"extensions": {"http": {"routeprefix": "v1"}}}),
            "extensions.http.routeprefix is in another letter case: write extensions.http.routePrefix",
        ),
        (
            json!({"extensions:http:routePrefix": "v1"}),
            "has a colon in its name",
        ),
        (json!({"version": "1.0"}), "version has to be \"2.0\""),
    ] {
        is_refused(&app(good(), host), &[], &["/host.json", expected]);
    }
    for (route, expected) in [
        (json!(null), "bindings.0.route is null: give a text"),
        (json!(5), "bindings.0.route is a number: give a text"),
        (json!(" "), "the route \" \" is blank"),
        (
            json!("/x"),
            "the route \"/x\" is blank, or begins with / or ~",
        ),
        (json!("~/x"), "the route \"~/x\""),
        (json!("a$b"), "has '$' in it"),
        (json!("a/{b"), "has a { without its }"),
        (json!("a/{b:odd}"), "has the constraint odd"),
        (json!("a/x{*b}"), "is not a whole segment"),
        (json!("a//b"), "has two slashes in a row"),
    ] {
        is_refused(
            &app(route, json!({})),
            &[],
            &["/Echo/function.json: ", expected],
        );
    }
    let app = app(good(), json!({}));
    let colon = "AzureFunctionsJobHost:extensions:http:routePrefix";
    is_refused(&app, &[(colon, "v1")], &[colon, "write __ in its place"]);
    let two = [(PREFIX, "v1"), (&*PREFIX.to_uppercase(), "v2")];
    is_refused(&app, &two, &[PREFIX, "unset one of them"]);
    app.write("host.json", r#"{"version": "2.0", "version": "2.0"}"#);
    is_refused(&app, &[], &["has \"version\" twice"]);
    app.write("host.json", "");
    is_refused(
        &app,
        &[],
        &["is empty: the least that it needs is {\"version\""],
    );
    for (member, value) in [
        ("Route", json!("y")),
        ("methods", json!("get")),
        ("authLevel", json!(0)),
    ] {
        let app = App::new();
        app.function("Echo", json!({member: value}));
        is_refused(&app, &[], &["/Echo/function.json: bindings.0.", member]);
    }
}

#[test]
fn only_proxying_is_asked_for() {
    let proxying = "AzureFunctionsJobHost__customHandler__enableProxyingHttpRequest";
    let forwarding = "AzureFunctionsJobHost__customHandler__enableForwardingHttpRequest";
    let description = json!({"defaultExecutablePath": "handler"});
    let with = |flags: Value| {
        let mut members = json!({"customHandler": flags});
        members["customHandler"]["description"] = description.clone();
        app(json!("x"), members)
    };
    let both = json!({"enableProxyingHttpRequest": true, "enableForwardingHttpRequest": true});
    let leave_out = "customHandler.enableForwardingHttpRequest is true: write";
    let set = "customHandler.enableProxyingHttpRequest is not true: set it to true";
    is_refused(&with(both), &[], &[leave_out]);
    is_refused(&with(json!({})), &[], &[set]);
    let good = with(json!({"enableProxyingHttpRequest": true}));
    is_refused(&good, &[(forwarding, "TRUE")], &[leave_out]);
    is_refused(&good, &[(proxying, "false")], &[set]);
    is_refused(&good, &[(proxying, "1")], &["is \"1\": give true or false"]);
    assert_eq!(
        with(json!({}))
            .start_with(&[(proxying, "true")])
            .get("/api/x")
            .status,
        200
    );
}

#[test]
fn what_is_registered_and_what_is_there() {
    let app = App::of(&["Alpha", "Beta"]);
    let register = |names| [("REGISTER", names)];
    let missing = [
        "no function Beta is registered",
        "functions.add(\"Beta\", …)",
    ];
    is_refused(&app, &register("Alpha"), &missing);
    is_refused(
        &app,
        &register("alpha Beta"),
        &["no function Alpha is registered"],
    );
    let twice = ["the function Beta is registered twice"];
    is_refused(&app, &register("Beta Alpha Beta"), &twice);

    let handler = app.start_with(&register("Beta Gamma Alpha"));
    for name in ["Alpha", "Beta"] {
        let answer = handler.get(&format!("/api/{name}"));
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["function"], name);
    }
    let ended = handler.stop();
    let line = ended.complaint();
    assert!(
        line.starts_with("WARN - the function Gamma is registered, but"),
        "{line}"
    );
    assert!(
        line.ends_with("/Gamma has no function.json: no call can reach it"),
        "{line}"
    );

    app.function("beta", json!({}));
    is_refused(
        &app,
        &[],
        &["the folders ", "eta differ in letter case alone"],
    );
}

#[test]
fn other_bindings_are_refused() {
    let app = App::new();
    for bindings in [
        json!([]),
        json!([{"type": "timerTrigger", "name": "t"}]),
        json!([{"type": "httpTrigger", "name": "r"}]),
        json!([{"type": "httpTrigger", "name": "r"}, {"type": "queue", "name": "q"},
               {"type": "http", "direction": "out", "name": "a"}]),
    ] {
        app.write("Echo/function.json", json!({"bindings": bindings}));
        let expected = ["/Echo/function.json: not supported here: give one binding of type"];
        is_refused(&app, &[], &expected);
    }
}

/// The same as at a start, but nothing listens.
#[test]
fn check_lists_the_functions() {
    let app = App::new();
    app.function("Plain", json!({}));
    app.function(
        "beta",
        json!({"route": "b/{x:int}", "methods": ["get", "PoSt"], "authLevel": "Admin"}),
    );
    app.function("Open", json!({"methods": [], "authLevel": "anonymous"}));
    let check = |variables: &[(&str, &str)]| {
        let output = app.command(variables).arg("--check").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, stdout, stderr) = check(&[]);
    assert_eq!((code, &*stderr), (Some(0), ""));
    let expected = "beta\tGET,POST\t/api/b/{x:int}\tadmin\nOpen\t*\t/api/Open\tanonymous\n\
                    Plain\t*\t/api/Plain\tfunction\n";
    assert_eq!(stdout, expected);
    let (code, stdout, stderr) = check(&[("REGISTER", "Plain")]);
    assert_eq!((code, &*stdout, stderr.lines().count()), (Some(1), "", 1));
    assert!(
        stderr.contains("no function beta is registered"),
        "{stderr}"
    );
}
