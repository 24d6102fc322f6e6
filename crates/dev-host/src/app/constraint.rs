//! What .NET takes for an `int`, a `datetime` and so on. The rows of routes.jsonl,
//! routes-overlapping.jsonl and routes-odd.jsonl say what the real host was seen to take; what is not
//! in them follows the documentation of ASP.NET Core's route constraints.

use regex_lite::{Regex, RegexBuilder};
use routes::Constraint;

/// Whether a text can stand for the parameter.
pub type Check = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// The error is the end of a sentence that names the route.
pub fn check(constraint: &Constraint) -> Result<Check, String> {
    let numbers = constraint.numbers().unwrap_or_default();
    Ok(match (constraint.name.as_str(), &numbers[..]) {
        ("int", _) => Box::new(|text: &str| trimmed(text).parse::<i32>().is_ok()),
        ("long", _) => Box::new(|text: &str| trimmed(text).parse::<i64>().is_ok()),
        // This one trims whatever is white in Unicode (row `/api/b/true%C2%A0`).
        ("bool", _) => {
            Box::new(|text: &str| matches!(&*text.trim().to_lowercase(), "true" | "false"))
        }
        ("decimal", _) => {
            let pattern = regex(&format!("^([+-]?{NUMBER}|{NUMBER}[+-])$"))?;
            Box::new(move |text: &str| {
                let digits = text.replace(|c: char| !c.is_ascii_digit() && c != '.', "");
                pattern.is_match(trimmed(text))
                    && digits.parse::<f64>().is_ok_and(|value| value < MAX_DECIMAL)
            })
        }
        ("double" | "float", _) => {
            pattern(&format!("^[+-]?({NUMBER}(e[+-]?[0-9]+)?|infinity|nan)$"))?
        }
        ("datetime", _) => {
            let pattern = regex(DATE_OR_TIME)?;
            Box::new(move |text: &str| is_date(&pattern, trimmed(text)))
        }
        ("guid", _) => pattern(
            &r"^([0-9a-f]{32}|D|\{D\}|\(D\)|\{0xH{1,8},0xH{1,4},0xH{1,4},\{0xH{1,2}(,0xH{1,2}){7}\}\})$"
                .replace('D', "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
                .replace('H', "[0-9a-f]"),
        )?,
        ("alpha", _) => {
            Box::new(|text: &str| line(text).bytes().all(|byte| byte.is_ascii_alphabetic()))
        }
        ("required", _) => Box::new(|text: &str| !text.is_empty()),
        ("regex", _) => {
            let pattern = regex(constraint.arguments.as_deref().unwrap_or_default())?;
            Box::new(move |text: &str| pattern.is_match(text) || pattern.is_match(line(text)))
        }
        ("length", &[exact]) => length(exact, exact),
        ("length", &[minimum, maximum]) => length(minimum, maximum),
        ("minlength", &[minimum]) => length(minimum, i64::MAX),
        ("maxlength", &[maximum]) => length(0, maximum),
        ("range", &[minimum, maximum]) => range(minimum, maximum),
        ("min", &[minimum]) => range(minimum, i64::MAX),
        ("max", &[maximum]) => range(i64::MIN, maximum),
        (other, _) => return Err(format!("has the constraint {other}, which is not known here")),
    })
}

/// .NET's numbers may have these around them, and no other white space.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c| matches!(c, '\t'..='\r' | ' '))
}

/// In .NET's patterns `$` also stands before a line feed at the end.
fn line(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

/// .NET counts in UTF-16.
fn length(minimum: i64, maximum: i64) -> Check {
    Box::new(move |text| {
        let length = i64::try_from(text.encode_utf16().count());
        length.is_ok_and(|length| (minimum..=maximum).contains(&length))
    })
}

fn range(minimum: i64, maximum: i64) -> Check {
    Box::new(move |text| {
        let number = trimmed(text).parse::<i64>();
        number.is_ok_and(|number| (minimum..=maximum).contains(&number))
    })
}

fn pattern(pattern: &str) -> Result<Check, String> {
    let pattern = regex(pattern)?;
    Ok(Box::new(move |text: &str| pattern.is_match(trimmed(text))))
}

fn regex(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).case_insensitive(true).build();
    built.map_err(|_| format!("has the pattern {pattern}, which can't be used here"))
}

/// With or without commas, which may stand anywhere after the first digit: recorded for `1,5`.
const NUMBER: &str = r"([0-9][0-9,]*\.?[0-9]*|\.[0-9]+)";

/// 2 to the power of 96, from which on a number is no decimal of .NET's.
const MAX_DECIMAL: f64 = 79_228_162_514_264_337_593_543_950_336.0;

/// The formats of .NET that are usual in a path: a date that begins with the year or the month, some
/// of it left out, or a time, or both.
const DATE_OR_TIME: &str = r"(?x)^
    (?:
        (?: (?<y>\d{4}) [-.] (?<m>\d{1,2}) (?: [-.] (?<d>\d{1,2}) )?
          | (?<m2>\d{1,2}) [-.] (?<d2>\d{1,2}) (?: [-.] (?<y2>\d{4}) )?
          | (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*
            \x20 (?<d3>\d{1,2}) ,? \x20 (?<y3>\d{4}) )
        (?: [T\x20]+ | $ )
    )?
    (?: (?:[01]?\d|2[0-3]) : [0-5]\d (?: :[0-5]\d (?:\.\d+)? )? \s* (?: Z | [+-]\d{2}:\d{2} )? )?
    $";

fn is_date(pattern: &Regex, text: &str) -> bool {
    let Some(groups) = pattern.captures(text).filter(|_| !text.is_empty()) else {
        return false;
    };
    let number = |names: &[&str], otherwise: u32| {
        let group = names.iter().find_map(|name| groups.name(name));
        group.map_or(otherwise, |group| {
            group.as_str().parse().unwrap_or_default()
        })
    };
    // A leap year where none is given; which year .NET takes is not verified.
    let year = number(&["y", "y2", "y3"], 2000);
    let month = number(&["m", "m2"], 1);
    let day = number(&["d", "d2", "d3"], 1);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    year > 0 && (1..=days).contains(&day)
}
