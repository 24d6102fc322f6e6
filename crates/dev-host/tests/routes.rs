//! Which function a call is for: each row of the recorded routes of the real host.

mod common;

use common::{TestApp, call, has};
use serde_json::{Value, json};
use test_support::read;

/// What differs, because the patterns of `regex` know letters of ASCII alone here. Those with Unicode's
/// tables would make dev-host a third larger.
const EXCEPTIONS: [&str; 2] = ["GET /api/d/%E2%84%AA", "GET /api/d/%C3%A9"];

#[test]
fn each_recorded_row() {
    let mut different = Vec::new();
    let mut exceptions = 0;
    for file in ["routes", "routes-overlapping", "routes-odd"] {
        let text = read(&format!("crates/conformance/recorded/{file}.jsonl"));
        let mut rows = text.lines().map(|row| serde_json::from_str(row).unwrap());
        let functions: Value = rows.next().unwrap();
        let rows: Vec<Value> = rows.collect();
        assert!(rows.len() > 100, "only {} rows", rows.len());
        let app_of = |row: &Value| [row["routePrefix"].clone(), row["settings"].clone()];
        for rows in rows.chunk_by(|one, other| app_of(one) == app_of(other)) {
            let [prefix, settings] = app_of(&rows[0]);
            let app = TestApp::new();
            let prefix = prefix.as_str().unwrap_or("api");
            app.host_json(json!({"extensions": {"http": {"routePrefix": prefix}}}));
            app.settings(json!(settings.as_object().cloned().unwrap_or_default()));
            for (name, function) in functions["functions"].as_object().unwrap() {
                app.write(&format!("{name}/function.json"), function);
            }
            let mut options = app.options();
            options.function_key = Some("K".to_owned());
            options.master_key = Some("M".to_owned());
            let host = dev_host::start(options).unwrap();
            for row in rows {
                let send = row["send"].as_str().unwrap();
                let key = row["key"] == true;
                let key = if key { "x-functions-key: K\r\n" } else { "" };
                let status = call(host.port(), send, key).status;
                let (method, target) = send.split_once(' ').unwrap();
                let found = host.route(method, target.split('?').next().unwrap());
                // The recorder learned which function it was from the call that the function got.
                let (function, params) = found.filter(|_| status == 200).unzip();
                // The rows about settings say only the status.
                let is = |member: &str, found: Value| row.get(member).is_none_or(|it| *it == found);
                if row["status"] != status
                    || !is("function", json!(function))
                    || !is("params", json!(params))
                {
                    if EXCEPTIONS.contains(&send) {
                        exceptions += 1;
                        continue;
                    }
                    different.push(format!("{file}: {row}: {status} {function:?} {params:?}"));
                }
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    // With the key and without.
    assert_eq!(exceptions, 2 * EXCEPTIONS.len());
}

/// What is not in the recorded rows, from the documentation of ASP.NET Core's route constraints.
#[test]
fn other_templates() {
    let app = TestApp::new();
    let rows = [
        ("max/{x:max(5)}", "max/5", "max/6"),
        ("min/{x:min(5)}", "min/5", "min/4"),
        ("maxlen/{x:maxlength(2)}", "maxlen/ab", "maxlen/abc"),
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
        (r"rx/{x:regex(^\d{{2}}$)}", "rx/12", "rx/123"),
        ("default/{x:int=7}", "default", "default/x"),
        ("optional/{x:int?}", "optional", "optional/x"),
        ("all/{**x}", "all/a/b/", "al"),
        ("three/{a}.{b}.{c}", "three/1.2.3", "three/1.2"),
        ("decimal/{x:decimal}", "decimal/-1,000.5", "decimal/1e5"),
    ];
    for (index, (route, ..)) in rows.iter().enumerate() {
        app.function(&format!("F{index:02}"), json!({"route": route}));
    }
    let host = app.start();
    for (index, (route, fits, does_not)) in rows.iter().enumerate() {
        let found = |path| {
            let found = host.route("GET", &format!("/api/{path}"));
            found.map(|(name, _)| name)
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
        ("x/{a:regex((?=b))}", "the pattern (?=b)"),
        ("x/{a:length(x)}", "constraint length(x)"),
        ("x/{a", "{ without its }"),
        ("x/a}", "} without its {"),
        ("x/{}", "no good name"),
        ("x/{a}/{A}", "two parameters A"),
        ("x/{a}{b}", "nothing between a and the next"),
        ("x/{{a}}", "has '{' in it"),
        ("x/{*a}/b", "after a catch-all"),
        ("x/{a}.{b?}", "not a whole segment"),
        ("x//y", "two slashes"),
    ] {
        let app = TestApp::new();
        app.function("Bad", json!({"route": route}));
        let error = app.error();
        for part in ["Bad/function.json", route, problem] {
            has(&error, part);
        }
    }
}
