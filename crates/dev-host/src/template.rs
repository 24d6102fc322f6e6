//! Route templates, with the rules of ASP.NET Core: `items/{id:int}`, `files/{*path}`. What the
//! real host makes of them is in routes.jsonl of the recordings; constraints that are not in it
//! (maxlength, min, max, double, float, required, length with two numbers) follow their
//! documentation.

use std::collections::BTreeMap;

use regex_lite::{Regex, RegexBuilder, escape};

/// What a path has in the places of the parameters; none where an optional one is left out.
pub type Parameters = BTreeMap<String, Option<String>>;

pub struct Template(Vec<Segment>);

enum Segment {
    /// In small letters.
    Literal(String),
    Parameter(Parameter),
    /// Several parameters, or text beside one. Each group of the pattern is a parameter.
    Mixed(Regex, Vec<Parameter>),
}

struct Parameter {
    name: String,
    constraints: Vec<Constraint>,
    default: Option<String>,
    is_optional: bool,
    is_catch_all: bool,
}

type Constraint = Box<dyn Fn(&str) -> bool + Send + Sync>;

impl Template {
    /// # Errors
    ///
    /// What is wrong with the template or not supported, as the end of a sentence that names it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut segments = Vec::new();
        let mut names = Vec::new();
        let mut rest = text.trim_matches('/').chars().peekable();
        while rest.peek().is_some() {
            let mut literal = String::new();
            let mut pattern = String::new();
            let mut parameters = Vec::new();
            while let Some(character) = rest.next() {
                match character {
                    '/' => break,
                    '{' | '}' if rest.next_if_eq(&character).is_some() => literal.push(character),
                    '{' => {
                        let parameter = Parameter::parse(&until_brace(&mut rest)?)?;
                        if names.contains(&parameter.name.to_lowercase()) {
                            return Err(format!("has two parameters {}", parameter.name));
                        }
                        names.push(parameter.name.to_lowercase());
                        pattern += &escape(&literal);
                        literal.clear();
                        pattern += "(.+)";
                        parameters.push(parameter);
                    }
                    '}' => return Err("has a } without its {".to_owned()),
                    other => literal.push(other),
                }
            }
            let is_whole = pattern == "(.+)" && literal.is_empty();
            let segment = match parameters.pop() {
                None if literal.is_empty() => return Err("has two slashes in a row".to_owned()),
                None => Segment::Literal(literal.to_lowercase()),
                Some(parameter) if is_whole => Segment::Parameter(parameter),
                Some(parameter) => {
                    parameters.push(parameter);
                    if parameters.iter().any(|p| p.is_catch_all || p.is_optional) {
                        return Err(
                            "has an optional or catch-all parameter that is not a whole segment, \
                             which is not supported here"
                                .to_owned(),
                        );
                    }
                    pattern += &escape(&literal);
                    Segment::Mixed(regex(&format!("^(?s:{pattern})$"))?, parameters)
                }
            };
            let is_after_all = matches!(segments.last(),
                Some(Segment::Parameter(before)) if before.is_catch_all);
            if is_after_all {
                return Err("goes on after a catch-all parameter".to_owned());
            }
            segments.push(segment);
        }
        Ok(Self(segments))
    }

    /// Compares with a decoded path. A slash at its end makes no difference except in a catch-all
    /// parameter.
    pub fn matches(&self, path: &str) -> Option<Parameters> {
        let mut found = Parameters::new();
        let path: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let given = path.strip_suffix(&[""]).unwrap_or(&path);
        let mut is_open = false;
        for (index, segment) in self.0.iter().enumerate() {
            let text = given.get(index).copied().unwrap_or_default();
            match segment {
                Segment::Literal(literal) => {
                    if text.to_lowercase() != *literal {
                        return None;
                    }
                }
                Segment::Parameter(parameter) if parameter.is_catch_all => {
                    is_open = true;
                    let rest = given.get(index).map(|_| path[index..].join("/"));
                    parameter.take(&rest.unwrap_or_default(), &mut found)?;
                }
                Segment::Parameter(parameter) => parameter.take(text, &mut found)?,
                Segment::Mixed(pattern, parameters) => {
                    let groups = pattern.captures(text)?;
                    for (parameter, group) in parameters.iter().zip(groups.iter().skip(1)) {
                        parameter.take(group?.as_str(), &mut found)?;
                    }
                }
            }
        }
        (is_open || given.len() <= self.0.len()).then_some(found)
    }
}

/// The text of a parameter, to its closing brace; a doubled brace stands for one.
fn until_brace(
    rest: &mut std::iter::Peekable<impl Iterator<Item = char>>,
) -> Result<String, String> {
    let mut text = String::new();
    while let Some(character) = rest.next() {
        match character {
            '{' | '}' if rest.next_if_eq(&character).is_some() => text.push(character),
            '}' => return Ok(text),
            other => text.push(other),
        }
    }
    Err("has a { without its }".to_owned())
}

impl Parameter {
    /// Reads `*name:constraint(arguments):constraint=default` or the like.
    fn parse(text: &str) -> Result<Self, String> {
        let name_and_rest = text.trim_start_matches('*');
        let is_catch_all = name_and_rest.len() < text.len();
        let (head, is_optional) = match name_and_rest.strip_suffix('?') {
            Some(head) => (head, true),
            None => (name_and_rest, false),
        };
        let end = head.find([':', '=']).unwrap_or(head.len());
        let (name, mut rest) = head.split_at(end);
        if name.is_empty() || name.contains(['{', '*', '?', '/']) {
            return Err(format!("has no good name for the parameter {{{text}}}"));
        }
        let mut constraints = Vec::new();
        while let Some(constraint) = rest.strip_prefix(':') {
            let end = constraint.find(['(', ':', '=']).unwrap_or(constraint.len());
            let (kind, after) = constraint.split_at(end);
            let (arguments, after) = match after.strip_prefix('(') {
                None => (None, after),
                Some(inner) => {
                    let closes = |at: &usize| {
                        matches!(inner.as_bytes().get(at + 1), None | Some(b':' | b'='))
                    };
                    let end = inner.match_indices(')').map(|(at, _)| at).find(closes);
                    let end = end.ok_or_else(|| format!("has a ( without its ) in {{{text}}}"))?;
                    (Some(&inner[..end]), &inner[end + 1..])
                }
            };
            constraints.push(self::constraint(kind, arguments)?);
            rest = after;
        }
        let default = rest.strip_prefix('=').map(str::to_owned);
        if default.is_some() && is_optional {
            return Err(format!("has a default for the optional {{{text}}}"));
        }
        Ok(Self {
            name: name.to_owned(),
            constraints,
            default,
            is_optional,
            is_catch_all,
        })
    }

    /// None if the text can't stand for the parameter.
    fn take(&self, text: &str, found: &mut Parameters) -> Option<()> {
        let value = match text {
            "" => self.default.clone(),
            text => Some(text.to_owned()),
        };
        let fits = match &value {
            Some(value) => self.constraints.iter().all(|fits| fits(value)),
            None => self.is_optional || (self.is_catch_all && self.constraints.is_empty()),
        };
        found.insert(self.name.clone(), value);
        fits.then_some(())
    }
}

fn constraint(name: &str, arguments: Option<&str>) -> Result<Constraint, String> {
    let whole = match arguments {
        Some(arguments) => format!("{name}({arguments})"),
        None => name.to_owned(),
    };
    let unsupported = || format!("has the constraint {whole}, which is not supported here");
    let pattern = |pattern: &str| -> Result<Constraint, String> {
        let pattern = regex(pattern)?;
        Ok(Box::new(move |text: &str| pattern.is_match(text)))
    };
    let name = name.to_ascii_lowercase();
    let Some(arguments) = arguments else {
        return Ok(match name.as_str() {
            "int" => Box::new(|text: &str| text.trim().parse::<i32>().is_ok()),
            "long" => Box::new(|text: &str| text.trim().parse::<i64>().is_ok()),
            "bool" => {
                Box::new(|text: &str| matches!(&*text.trim().to_lowercase(), "true" | "false"))
            }
            "decimal" => {
                let pattern = regex(&format!(r"^\s*([+-]?{NUMBER}|{NUMBER}[+-])\s*$"))?;
                Box::new(move |text: &str| {
                    let digits = text.replace(|c: char| !c.is_ascii_digit() && c != '.', "");
                    pattern.is_match(text)
                        && digits.parse::<f64>().is_ok_and(|value| value < MAX_DECIMAL)
                })
            }
            "double" | "float" => pattern(&format!(
                r"^\s*([+-]?({NUMBER}(e[+-]?\d+)?|infinity|∞)|nan)\s*$"
            ))?,
            "datetime" => {
                let pattern = regex(DATE_AND_TIME)?;
                Box::new(move |text: &str| is_date(&pattern, text))
            }
            "guid" => pattern(
                r"^\s*([0-9a-f]{32}|D|\{D\}|\(D\))\s*$"
                    .replace('D', "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
                    .as_str(),
            )?,
            "alpha" => pattern("^[a-z]*$")?,
            "required" => Box::new(|text: &str| !text.is_empty()),
            _ => return Err(unsupported()),
        });
    };
    if name == "regex" {
        return pattern(arguments).map_err(|_| unsupported());
    }
    let numbers: Option<Vec<i64>> = arguments
        .split(',')
        .map(|number| number.trim().parse().ok())
        .collect();
    let (minimum, maximum) = match (name.as_str(), numbers.as_deref()) {
        ("length", Some(&[exact])) => (exact, exact),
        ("length" | "range", Some(&[minimum, maximum])) => (minimum, maximum),
        ("minlength" | "min", Some(&[minimum])) => (minimum, i64::MAX),
        ("maxlength" | "max", Some(&[maximum])) => (i64::MIN, maximum),
        _ => return Err(unsupported()),
    };
    let range = minimum..=maximum;
    Ok(if name.contains("length") {
        // .NET counts in UTF-16.
        Box::new(move |text: &str| {
            i64::try_from(text.encode_utf16().count()).is_ok_and(|length| range.contains(&length))
        })
    } else {
        Box::new(move |text: &str| {
            text.trim()
                .parse()
                .is_ok_and(|number| range.contains(&number))
        })
    })
}

/// With or without commas, which may stand anywhere after the first digit: recorded for `1,5`.
const NUMBER: &str = r"(\d[\d,]*\.?\d*|\.\d+)";

/// 2 to the power of 96, from which on a number is no decimal of .NET's.
const MAX_DECIMAL: f64 = 79_228_162_514_264_337_593_543_950_336.0;

/// The formats of .NET that are usual in a path: an ISO date, or one that begins with the month,
/// with or without a time.
const DATE_AND_TIME: &str = r"^\s*(?:(?<y>\d{4})-(?<m>\d{1,2})-(?<d>\d{1,2})|(?<m2>\d{1,2})-(?<d2>\d{1,2})-(?<y2>\d{4}))(?:[T ]+(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?\s*(?:Z|[+-]\d{2}:\d{2})?)?\s*$";

fn is_date(pattern: &Regex, text: &str) -> bool {
    let Some(groups) = pattern.captures(text) else {
        return false;
    };
    let number = |name, other| -> Option<u32> {
        let group = groups.name(name).or_else(|| groups.name(other))?;
        group.as_str().parse().ok()
    };
    let (Some(year), Some(month), Some(day)) =
        (number("y", "y2"), number("m", "m2"), number("d", "d2"))
    else {
        return false;
    };
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

fn regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .build()
        .map_err(|error| format!("has a pattern that can't be used here: {error}"))
}
