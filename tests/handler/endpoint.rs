//! What the endpoint answers.

use crate::{ENDPOINT, start};

#[test]
fn get_and_post_answer_a_number() {
    let handler = start();
    let mut connection = handler.connect();
    for method in ["GET", "POST"] {
        let answer = connection.request(method, ENDPOINT, "Content-Length: 0\r\n");
        assert!((1..=999).contains(&answer.value()), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

/// As the host hands them on (rows `path:` of the recordings).
#[test]
fn letter_case_a_slash_at_the_end_and_the_query_make_no_difference() {
    let handler = start();
    let mut connection = handler.connect();
    for path in [
        ENDPOINT,
        "/api/randomnumber",
        "/API/RANDOMNUMBER",
        "/aPi/rAnDoMnUmBeR/",
    ] {
        for query in ["", "?", "?code=d0c5atM1cr0s0ft", "?a=b&a=%00&/x/?%ff;'+"] {
            let target = format!("{path}{query}");
            assert!(connection.get(&target).value() > 0, "{target}");
        }
    }
}

#[test]
fn another_path_is_not_found() {
    let handler = start();
    let mut connection = handler.connect();
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

/// Pearson's test. With 998 degrees of freedom chi-squared exceeds 1,250 for less than one in a
/// million of uniform samples (Wilson and Hilferty).
#[test]
fn every_number_from_1_to_999_is_as_likely_as_another() {
    const NUMBERS: usize = 999;
    const EXPECTED: usize = 25;
    const BATCH: usize = 25;

    let handler = start();
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
    // One value missing hardly moves the sum; by chance it happens once in 10^8 samples.
    assert!(counts[1..].iter().all(|&count| count > 0), "{counts:?}");
}
