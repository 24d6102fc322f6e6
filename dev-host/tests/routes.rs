//! Which function a call is for: each row of routes.jsonl, which was recorded from the real host.

mod common;

use std::{collections::BTreeMap, fs, path::Path};

use common::{TestApp, send};
use dev_host::{Options, Parameters};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Functions {
    functions: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Row {
    send: String,
    status: u16,
    /// Not in the rows about settings.
    #[serde(default, deserialize_with = "some")]
    function: Option<Option<String>>,
    #[serde(default, deserialize_with = "some")]
    params: Option<Option<Parameters>>,
    #[serde(default = "api", rename = "routePrefix")]
    route_prefix: String,
    #[serde(default)]
    settings: BTreeMap<String, String>,
}

fn api() -> String {
    "api".to_owned()
}

/// Tells a null from a member that is left out.
fn some<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    member: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(member).map(Some)
}

#[test]
fn each_recorded_row() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/recorded/routes.jsonl");
    let text = fs::read_to_string(path).unwrap();
    let (functions, rows) = text.split_once('\n').unwrap();
    let functions: Functions = serde_json::from_str(functions).unwrap();
    let mut rows: Vec<Row> = rows
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let count = rows.len();
    let mut different = Vec::new();
    while let Some(first) = rows.first() {
        let (route_prefix, settings) = (first.route_prefix.clone(), first.settings.clone());
        let app = TestApp::new();
        app.host_json_with(&json!({"extensions": {"http": {"routePrefix": route_prefix}}}));
        for (name, function) in &functions.functions {
            app.write(&format!("{name}/function.json"), &function.to_string());
        }
        app.write(
            "local.settings.json",
            &json!({"Values": settings}).to_string(),
        );
        let host = dev_host::start(Options {
            function_key: Some("K".to_owned()),
            master_key: Some("M".to_owned()),
            ..app.options()
        })
        .unwrap();
        let (same, others) = rows
            .into_iter()
            .partition(|row| row.route_prefix == route_prefix && row.settings == settings);
        rows = others;
        for row in same as Vec<Row> {
            let request = format!("{} HTTP/1.1\r\nhost: test\r\n\r\n", row.send);
            let status = send(host.port(), &request).status;
            let (method, target) = row.send.split_once(' ').unwrap();
            let path = target.split('?').next().unwrap();
            let found = host.route(method, path);
            // The recorder learned which function it was from the call that the function got.
            let (function, params) = match found {
                Some((function, params)) if status == 200 => (Some(function), Some(params)),
                _ => (None, None),
            };
            if status != row.status
                || row.function.is_some_and(|recorded| recorded != function)
                || row.params.is_some_and(|recorded| recorded != params)
            {
                different.push(format!("{}: {status} {function:?} {params:?}", row.send));
            }
        }
    }
    assert!(count > 100, "only {count} rows");
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// What is not in the recorded rows, from the documentation of ASP.NET Core's route constraints.
#[test]
fn other_templates() {
    let app = TestApp::new();
    let rows = [
        ("max/{x:max(5)}", "max/5", "max/6"),
        ("min/{x:min(5)}", "min/5", "min/4"),
        (
            "maxlength/{x:maxlength(2)}",
            "maxlength/ab",
            "maxlength/abc",
        ),
        ("length/{x:length(2,3)}", "length/abc", "length/a"),
        ("double/{x:double}", "double/-1.5e3", "double/x"),
        ("float/{x:float}", "float/.5", "float/inf"),
        ("required/{x:required}", "required/a", "required/"),
        ("two/{x:int:min(1)}", "two/1", "two/0"),
        ("date/{x:datetime}", "date/2024-02-29", "date/2026-02-29"),
        (
            "time/{x:datetime}",
            "time/2026-11-24T23:59:59Z",
            "time/2026-11-24T24:00",
        ),
        ("rx/{x:regex(^\\\\d{{2}}$)}", "rx/12", "rx/123"),
        ("braces/{{x}}", "braces/%7Bx%7D", "braces/x"),
        ("default/{x:int=7}", "default", "default/x"),
        ("optional/{x:int?}", "optional", "optional/x"),
        ("all/{**x}", "all/a/b/", "al"),
        ("three/{a}.{b}.{c}", "three/1.2.3", "three/1.2"),
        ("decimal/{x:decimal}", "decimal/-1,000.5", "decimal/1e5"),
    ];
    for (index, (route, ..)) in rows.iter().enumerate() {
        let route = route.replace("\\\\", "\\");
        app.function(
            &format!("F{index:02}"),
            json!({"type": "httpTrigger", "route": route}),
        );
    }
    let host = app.start();
    for (index, (route, fits, does_not)) in rows.iter().enumerate() {
        let found = |path| {
            host.route("GET", &format!("/api/{path}"))
                .map(|(name, _)| name)
        };
        assert_eq!(found(fits), Some(format!("F{index:02}")), "{route}: {fits}");
        assert_eq!(found(does_not), None, "{route}: {does_not}");
    }
    let (_, parameters) = host.route("GET", "/api/default").unwrap();
    assert_eq!(parameters["x"].as_deref(), Some("7"));
    let (_, parameters) = host.route("GET", "/api/all/a/b/").unwrap();
    assert_eq!(parameters["x"].as_deref(), Some("a/b/"));
}

#[test]
fn a_template_that_is_not_supported_ends_the_start() {
    for (route, problem) in [
        ("x/{a:odd}", "constraint odd"),
        ("x/{a:int(3)}", "constraint int(3)"),
        ("x/{a:regex((?=b))}", "constraint regex((?=b))"),
        ("x/{a:length(x)}", "constraint length(x)"),
        ("x/{a", "{ without its }"),
        ("x/a}", "} without its {"),
        ("x/{}", "no good name"),
        ("x/{a}/{A}", "two parameters A"),
        ("x/{*a}/b", "after a catch-all"),
        ("x/{a}.{b?}", "not a whole segment"),
        ("x//y", "two slashes"),
    ] {
        let app = TestApp::new();
        app.function("Bad", json!({"type": "httpTrigger", "route": route}));
        let error = dev_host::start(app.options()).err().expect(route);
        assert!(error.contains("Bad/function.json"), "{error}");
        assert!(error.contains(&format!("{route:?}")), "{error}");
        assert!(error.contains(problem), "{route}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
