//! Which function a call is for: the recorded calls of the real host, each sent with the path that the
//! host sends.

use std::collections::BTreeMap;

use routes::Routes;
use serde_json::{Value, json};
use test_support::{handler::Handler, read};

use crate::App;

/// The functions of a recording, and the calls that have reached one.
struct Recording {
    functions: BTreeMap<String, Value>,
    calls: Vec<Value>,
}

impl Recording {
    fn all() -> impl Iterator<Item = Self> {
        [
            ("routes", 36, 74),
            ("routes-overlapping", 37, 97),
            ("routes-odd", 29, 91),
        ]
        .into_iter()
        .map(|(file, functions, calls)| {
            let text = read(&format!("crates/conformance/recorded/{file}.jsonl"));
            let mut rows = text.lines().map(|row| serde_json::from_str(row).unwrap());
            let head: Value = rows.next().unwrap();
            let recording = Self {
                functions: serde_json::from_value(head["functions"].clone()).unwrap(),
                calls: rows.filter(|row| row["function"].is_string()).collect(),
            };
            assert_eq!(recording.functions.len(), functions, "{file}");
            assert_eq!(recording.calls.len(), calls, "{file}");
            recording
        })
    }

    fn app(&self, names: &[&String], prefix: &str) -> App {
        let app = App::new();
        app.host_json(json!({"extensions": {"http": {"routePrefix": prefix}}}));
        for name in names {
            app.write(&format!("{name}/function.json"), &self.functions[*name]);
        }
        app
    }

    /// Asks again what these functions were asked in an app with this prefix; says how often.
    fn answers(&self, handler: &Handler, names: &[&String], prefix: &str) -> usize {
        let is_one = |call: &&Value| {
            call["routePrefix"].as_str().unwrap_or("api") == prefix
                && names.iter().any(|name| call["function"] == **name)
        };
        let mut connection = handler.connect();
        let calls = self.calls.iter().filter(is_one).map(|call| {
            let (method, sent) = call["send"].as_str().unwrap().split_once(' ').unwrap();
            let path = call["path_proxying"].as_str().unwrap_or(sent);
            let answer = connection.request(method, path, "");
            assert_eq!(answer.status, 200, "{call}");
            if method != "HEAD" {
                let answer: Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(answer["function"], call["function"], "{call}");
                // The rows with another prefix don't say the parameters.
                if let Some(mut params) = call["params"].as_object().cloned() {
                    params.retain(|_, value| !value.is_null());
                    assert_eq!(answer["params"], Value::Object(params), "{call}");
                }
            }
        });
        calls.count()
    }
}

#[test]
fn each_recorded_function_by_itself() {
    let mut count = 0;
    for recording in Recording::all() {
        for name in recording.functions.keys() {
            for prefix in ["api", "", "v1/api"] {
                let app = recording.app(&[name], prefix);
                // Its route is the host's own.
                if name == "Admin" {
                    assert!(app.refusal(&[]).contains("are the host's own"));
                    continue;
                }
                count += recording.answers(&app.start(), &[name], prefix);
            }
        }
    }
    assert_eq!(count, 74 + 97 + 91);
}

/// The others are refused beside them.
#[test]
fn as_many_recorded_functions_as_start_together() {
    for recording in Recording::all() {
        let mut together: Vec<&String> = Vec::new();
        let mut others = Vec::new();
        for name in recording.functions.keys().filter(|name| *name != "Admin") {
            together.push(name);
            let app = recording.app(&together, "api");
            if Routes::new(routes::functions(app.0.path(), "api").unwrap()).is_err() {
                others.extend(together.pop());
            }
        }
        let handler = recording.app(&together, "api").start();
        assert!(recording.answers(&handler, &together, "api") > 20);
        assert!(together.len() > 9 && !others.is_empty());
        for name in others {
            together.push(name);
            let line = recording.app(&together, "api").refusal(&[]);
            together.pop();
            assert!(line.contains("a call could be for "), "{line}");
            assert!(line.contains(&format!("{name} (/api/")), "{name}: {line}");
        }
    }
}

/// Without a key the host lets `GET /api/public/list` through as B2, whose constraint it knows.
#[test]
fn a_function_that_asks_for_a_key_is_not_reached_by_the_path_of_another() {
    let app = App::new();
    app.function("B1", json!({"route": "{x:int}/list"}));
    let open = json!({"route": "public/{y}", "authLevel": "anonymous"});
    app.function("B2", open);
    let handler = app.start();
    for (path, function) in [("public/list", "B2"), ("public/7", "B2"), ("7/list", "B1")] {
        let answer = handler.get(&format!("/api/{path}"));
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["function"], function, "{path}");
    }

    app.function("B1", json!({"route": "{x:alpha}/list"}));
    let line = app.refusal(&[]);
    for part in [
        "B1 (/api/{x:alpha}/list)",
        "B2 (/api/public/{y})",
        "another route or other methods, or make one function of both",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn path_values_as_actix_web_has_them() {
    let app = App::new();
    app.function("Struct", json!({"route": "struct/{a}/{b?}"}));
    app.function("Tuple", json!({"route": "tuple/{a}/{b:int}"}));
    let handler = app.start();
    let mut connection = handler.connect();
    for (path, expected) in [
        ("struct/x", r#"Path(Parts { a: "x", b: None })"#),
        (
            "struct/x/50%25%20y",
            r#"Path(Parts { a: "x", b: Some("50% y") })"#,
        ),
        ("struct/%2541", r#"Path(Parts { a: "%41", b: None })"#),
        ("tuple/..%2Fx/7", r#"("..%2Fx", 7)"#),
        ("tuple/..%252Fx/7", r#"("..%2Fx", 7)"#),
        ("tuple/%C3%28/7", r#"("%C3(", 7)"#),
    ] {
        let answer = connection.get(&format!("/api/{path}"));
        assert_eq!(String::from_utf8(answer.body).unwrap(), expected, "{path}");
    }
}

/// State and middleware are seen by functions alone.
#[test]
fn state_and_middleware() {
    let app = App::of(&["Count", "Echo"]);
    let handler = app.start();
    let mut connection = handler.connect();
    for (path, all, one) in [
        ("/api/Count", Some("yes"), Some("yes")),
        ("/api/Echo", Some("yes"), None),
        ("/api/Other", None, None),
        ("/", None, None),
        ("/api/Count", Some("yes"), Some("yes")),
    ] {
        let answer = connection.get(path);
        assert_eq!(answer.header("x-all"), all, "{path}");
        assert_eq!(answer.header("x-one"), one, "{path}");
    }
    assert_eq!(connection.get("/api/Count").body, b"2");
}

/// An envelope, or a request that was forwarded. Its path says nothing of what the host has decided:
/// `/Alpha` is how a host that knows no proxying calls the function Alpha, whatever its route.
#[test]
fn a_request_that_the_host_has_rebuilt_reaches_no_function() {
    let app = App::new();
    app.host_json(json!({"extensions": {"http": {"routePrefix": ""}}}));
    app.function("Alpha", json!({"route": "open", "authLevel": "anonymous"}));
    app.function("Beta", json!({"route": "alpha"}));
    let handler = app.start();
    let mut connection = handler.connect();
    let agent = |agent: &str| format!("User-Agent: {agent}\r\nContent-Length: 0\r\n");
    for (agent, status) in [
        (agent("Azure-Functions-Host/4.1037.0.0"), 501),
        (agent("curl/8 azure-functions-host/4"), 501),
        (agent("x\r\nUser-Agent: Azure-Functions-Host/4"), 501),
        (agent("Azure-Functions-Hosts"), 200),
    ] {
        assert_eq!(connection.request("POST", "/Alpha", &agent).status, status);
        // Whether the handler is there may be asked by any host.
        assert_eq!(connection.request("GET", "/", &agent).status, 200);
    }
    let ended = handler.stop();
    let line = ended.complaint();
    for part in ["no function is run", "4.1041", "4.2.0"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn get_slash_is_the_hosts_question_unless_it_is_a_call() {
    let app = App::new();
    app.host_json(json!({"extensions": {"http": {"routePrefix": ""}}}));
    app.function("All", json!({"route": "{*path}"}));
    let handler = app.start();
    let mut connection = handler.connect();
    assert_eq!(connection.get("/").body, b"");
    let id = "X-Azure-Functions-InvocationId: 0f8fad5b-d9cb-469f-a165-70867728950e\r\n";
    let answer = connection.request("GET", "/", id);
    assert_eq!(answer.body, br#"{"function":"All","params":{}}"#);
    assert_eq!(connection.request("POST", "/", "").body, answer.body);
}
