//! The function RandomNumber: the real executable, called over TCP.

use std::process::Command;

use test_support::handler::Handler;

const ENDPOINT: &str = "/api/RandomNumber";

/// On a free port, in this project's folder.
fn start() -> Handler {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handler"));
    command.env_clear().env("FUNCTIONS_CUSTOMHANDLER_PORT", "0");
    Handler::spawn(command).expect("it listens")
}

/// `cargo test` thus also says whether the program fits the folders with a function.json.
#[test]
fn its_functions_are_those_of_the_app() {
    let mut check = Command::new(env!("CARGO_BIN_EXE_handler"));
    let output = check.arg("--check").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let list = String::from_utf8(output.stdout).unwrap();
    let line = "RandomNumber\tGET,POST\t/api/RandomNumber\tfunction";
    assert!(list.lines().any(|listed| listed == line), "{list}");
}

#[test]
fn each_call_is_one_line() {
    const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    let handler = start();
    let id = format!("X-Azure-Functions-InvocationId: {ID}\r\n");
    handler.connect().request("GET", ENDPOINT, &id);
    let ended = handler.stop();
    let line = format!("INFO {ID} RandomNumber invoked via HTTP trigger");
    assert_eq!(ended.stdout[1..], [line]);
}

/// Letter case, a slash at the end and the query make no difference. The host hands them on as they
/// are (rows `path:` of the recordings).
#[test]
fn get_and_post_answer_a_number() {
    let handler = start();
    let mut connection = handler.connect();
    for path in [ENDPOINT, "/api/randomnumber", "/aPi/RANDOMNUMBER/"] {
        for query in ["", "?", "?code=d0c5atM1cr0s0ft", "?a=b&a=%00&/x/?%ff;'+"] {
            for method in ["GET", "POST"] {
                let target = format!("{path}{query}");
                let answer = connection.request(method, &target, "Content-Length: 0\r\n");
                assert!((1..=999).contains(&answer.value()), "{target}: {answer:?}");
                assert_eq!(answer.header("content-type"), Some("application/json"));
                assert_eq!(answer.header("cache-control"), Some("no-store"));
            }
        }
    }
    for path in [
        "/api",
        "/RandomNumber",
        "/api/RandomNumbers",
        "/api/RandomNumber/1",
        "/x/api/RandomNumber",
    ] {
        assert_eq!(connection.get(path).status, 404, "{path}");
    }
}

/// If all are equally likely, a number comes never or more than 65 times in one of 10^7 runs.
#[test]
fn every_number_from_1_to_999_comes_about_25_times_in_999_times_25_calls() {
    let handler = start();
    let mut connection = handler.connect();
    let mut counts = [0; 1000];
    let requests = format!("GET {ENDPOINT} HTTP/1.1\r\nHost: handler\r\n\r\n").repeat(25);
    for _ in 0..999 {
        connection.send(&requests);
        for _ in 0..25 {
            counts[connection.answer().value() as usize] += 1;
        }
    }
    assert_eq!(counts[0], 0);
    let is_likely = counts[1..].iter().all(|count| (1..=65).contains(count));
    assert!(is_likely, "{counts:?}");
}
