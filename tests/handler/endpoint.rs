//! What the endpoint answers.

use crate::client::{ENDPOINT, Handler};

const SPELLINGS: [&str; 5] = [
    ENDPOINT,
    "/api/randomnumber",
    "/API/RANDOMNUMBER",
    "/aPi/rAnDoMnUmBeR/",
    "/api/R%61ndomNumber",
];

#[test]
fn get_and_post_answer_a_number() {
    let handler = Handler::start();
    let mut connection = handler.connect();
    for method in ["GET", "POST"] {
        let answer = connection.request(method, ENDPOINT, "Content-Length: 0\r\n");
        assert!((1..=999).contains(&answer.value()), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(
            answer.header("content-length"),
            Some(&*answer.body.len().to_string())
        );
        assert_eq!(answer.header("transfer-encoding"), None);
    }
}

#[test]
fn letter_case_a_trailing_slash_and_the_query_make_no_difference() {
    let handler = Handler::start();
    let mut connection = handler.connect();
    for path in SPELLINGS {
        for query in [
            "",
            "?",
            "?code=d0c5atM1cr0s0ft",
            "?a=b&a=%00&/x/?%ff;'+",
            "?%",
        ] {
            let target = format!("{path}{query}");
            assert_eq!(connection.get(&target).status, 200, "{target}");
        }
    }
}

#[test]
fn another_path_is_not_found() {
    let handler = Handler::start();
    let mut connection = handler.connect();
    for path in [
        "/api",
        "/api/",
        "/RandomNumber",
        "/api/RandomNumber//",
        "//api/RandomNumber",
        "/api//RandomNumber",
        "/api/RandomNumbe",
        "/api/RandomNumbers",
        "/api/RandomNumber/1",
        "/x/api/RandomNumber",
        "/api%2FRandomNumber",
        "/favicon.ico",
        "/?/api/RandomNumber",
    ] {
        let expected = if path.starts_with("/?") { 200 } else { 404 };
        assert_eq!(connection.get(path).status, expected, "{path}");
    }
}

#[test]
fn another_method_is_not_allowed() {
    let handler = Handler::start();
    let mut connection = handler.connect();
    for method in [
        "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "BREW",
    ] {
        for path in SPELLINGS {
            let answer = connection.request(method, path, "");
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET, POST"));
        }
    }
}

/// The name is that of the folder, the methods are listed in it, and the prefix is the host's
/// default: what the host lets through, the handler must know, and nothing else.
#[test]
fn the_function_app_declares_what_the_handler_serves() {
    let read = |path: &str| -> serde_json::Value {
        let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("in the repository");
        serde_json::from_str(&text).expect("JSON")
    };
    let function = read("RandomNumber/function.json");
    let trigger = &function["bindings"][0];
    assert_eq!(trigger["type"], "httpTrigger");
    assert_eq!(trigger["authLevel"], "function");
    assert_eq!(trigger.get("route"), None);
    let allowed: Vec<String> = trigger["methods"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|method| method.as_str().expect("a name").to_uppercase())
        .collect();
    let handler = Handler::start();
    let answer = handler.connect().request("PUT", ENDPOINT, "");
    assert_eq!(answer.header("allow"), Some(&*allowed.join(", ")));

    let host = read("host.json");
    assert_eq!(
        host["customHandler"]["description"]["defaultExecutablePath"],
        "handler"
    );
    assert_eq!(host["customHandler"]["enableProxyingHttpRequest"], true);
    assert_eq!(host["customHandler"]["enableForwardingHttpRequest"], true);
    let sampling = &host["logging"]["applicationInsights"]["samplingSettings"];
    assert_eq!(sampling["isEnabled"], true);
    assert_eq!(sampling["excludedTypes"], "Request");
    assert_eq!(host.get("extensionBundle"), None);
    assert_eq!(host.get("extensions"), None);

    let settings = &read("local.settings.json.example")["Values"];
    assert_eq!(settings["FUNCTIONS_WORKER_RUNTIME"], "custom");
    assert_eq!(settings["AzureWebJobsStorage"], "");
    assert_eq!(settings["AzureWebJobsSecretStorageType"], "files");
}

/// Pearson's test. With 998 degrees of freedom chi-squared exceeds 1,250 for less than one in a
/// million of uniform samples (1,225 is exceeded by one in a million; Wilson and Hilferty).
#[test]
fn every_number_from_1_to_999_is_as_likely_as_another() {
    const NUMBERS: usize = 999;
    const EXPECTED: usize = 50;
    const BATCH: usize = 10;

    let handler = Handler::start_with(&[("RUST_LOG", "error")]);
    let mut connection = handler.connect();
    let mut counts = [0usize; NUMBERS + 1];
    let requests = format!("GET {ENDPOINT} HTTP/1.1\r\nHost: handler\r\n\r\n").repeat(BATCH);
    for _ in 0..NUMBERS * EXPECTED / BATCH {
        connection.send(&requests);
        for _ in 0..BATCH {
            let value = connection.answer().value();
            assert!((1..=999).contains(&value), "{value}");
            counts[usize::try_from(value).expect("small")] += 1;
        }
    }
    let expected = EXPECTED as f64;
    let chi_squared: f64 = counts[1..]
        .iter()
        .map(|&count| (count as f64 - expected).powi(2) / expected)
        .sum();
    assert!(chi_squared < 1250.0, "{chi_squared}");
    // One value missing hardly moves the sum; by chance it happens once in 10^18 samples.
    assert!(counts[1..].iter().all(|&count| count > 0), "{counts:?}");
}
