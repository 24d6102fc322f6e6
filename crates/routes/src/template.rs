//! Route templates with the rules of ASP.NET Core: `items/{id:int}`, `files/{*path}`.

use std::iter::Peekable;

use crate::{
    loose::Part,
    text::{capital, is_same},
};

/// A route, taken apart.
pub struct Template {
    segments: Vec<Segment>,
    pub(crate) parts: Vec<Part>,
}

/// What stands between two slashes: one thing, or texts and parameters in turn.
pub(crate) type Segment = Vec<Piece>;

pub(crate) enum Piece {
    Text(String),
    Parameter(Parameter),
}

pub(crate) struct Parameter {
    pub name: String,
    pub constraints: Vec<Constraint>,
    pub default: Option<String>,
    pub is_optional: bool,
    pub is_catch_all: bool,
}

/// What the text of a parameter has to be, such as `int` or `length(3)`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Constraint {
    /// In small letters.
    pub name: String,
    /// What stands in the parentheses.
    pub arguments: Option<String>,
}

/// The parameters of a route in its order, and what a path has in their places; none where an
/// optional one is left out.
pub type Parameters<'a> = Vec<(&'a str, Option<String>)>;

impl Template {
    /// # Errors
    ///
    /// What is wrong with the template or not supported, as the end of a sentence that names it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut segments: Vec<Segment> = Vec::new();
        let mut rest = text.trim_matches('/').chars().peekable();
        while rest.peek().is_some() {
            let is_after_all = segments.last().is_some_and(
                |before| matches!(&before[..], [Piece::Parameter(before)] if before.is_catch_all),
            );
            if is_after_all {
                return Err("goes on after a catch-all parameter".to_owned());
            }
            segments.push(segment(&mut rest)?);
        }
        let pieces = || segments.iter().flatten();
        let names: Vec<&str> = pieces()
            .filter_map(Piece::parameter)
            .map(|p| &*p.name)
            .collect();
        for (index, name) in names.iter().enumerate() {
            if names[..index].iter().any(|before| is_same(before, name)) {
                return Err(format!("has two parameters {name}"));
            }
        }
        let parts = segments.iter().map(Part::of).collect();
        Ok(Self { segments, parts })
    }

    /// The constraints of all parameters.
    pub fn constraints(&self) -> impl Iterator<Item = &Constraint> {
        let pieces = self.segments.iter().flatten();
        pieces
            .filter_map(Piece::parameter)
            .flat_map(|parameter| &parameter.constraints)
    }

    /// A decoded path with what `value` gives for each parameter; none if it gives none.
    pub fn path(&self, value: impl Fn(&str, &[Constraint]) -> Option<String>) -> Option<String> {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Parameter(parameter) => value(&parameter.name, &parameter.constraints),
        };
        let segments = self.segments.iter();
        let segments = segments.map(|pieces| pieces.iter().map(text).collect());
        Some(segments.collect::<Option<Vec<String>>>()?.join("/"))
    }

    /// What a decoded path has in the places of the parameters; none if it doesn't fit. A slash at
    /// its end makes no difference except in a catch-all parameter. `fits` says if a constraint
    /// lets a text pass.
    pub fn parameters(
        &self,
        path: &str,
        fits: impl Fn(&Constraint, &str) -> bool,
    ) -> Option<Parameters<'_>> {
        let mut found = Parameters::new();
        let mut rest = path.strip_prefix('/').unwrap_or(path);
        for segment in &self.segments {
            let (text, after) = rest.split_once('/').unwrap_or((rest, ""));
            // An empty part fits nothing, unless a catch-all has begun before it (`TemplateMatcher`
            // of ASP.NET Core; for literals recorded).
            if text.is_empty() && !rest.is_empty() {
                return None;
            }
            match &segment[..] {
                [Piece::Text(literal)] if !is_same(literal, text) => return None,
                [Piece::Text(_)] => {}
                [Piece::Parameter(parameter)] if parameter.is_catch_all => {
                    found.push(parameter.take(rest, &fits)?);
                    return Some(found);
                }
                [Piece::Parameter(parameter)] => found.push(parameter.take(text, &fits)?),
                pieces => {
                    for (parameter, text) in taken_apart(pieces, text)? {
                        found.push(parameter.take(text, &fits)?);
                    }
                }
            }
            rest = after;
        }
        rest.is_empty().then_some(found)
    }
}

impl Piece {
    fn parameter(&self) -> Option<&Parameter> {
        match self {
            Self::Parameter(parameter) => Some(parameter),
            Self::Text(_) => None,
        }
    }
}

/// Reads up to the next slash.
fn segment(rest: &mut Peekable<impl Iterator<Item = char>>) -> Result<Segment, String> {
    let mut pieces = Segment::new();
    while let Some(character) = rest.next() {
        match character {
            '/' => break,
            '{' if rest.peek() != Some(&'{') => {
                if let Some(Piece::Parameter(before)) = pieces.last() {
                    let name = &before.name;
                    return Err(format!("has nothing between {name} and the next parameter"));
                }
                pieces.push(Piece::Parameter(Parameter::parse(&until_brace(rest)?)?));
            }
            '}' if rest.peek() != Some(&'}') => {
                return Err("has a } without its {".to_owned());
            }
            other if other.is_alphanumeric() || "-._ ".contains(other) => match pieces.last_mut() {
                Some(Piece::Text(text)) => text.push(other),
                _ => pieces.push(Piece::Text(other.into())),
            },
            other => {
                return Err(format!(
                    "has {other:?} in it: outside of braces give letters, digits, -, ., _ and blanks"
                ));
            }
        }
    }
    let is_part = pieces.len() > 1;
    let mut parameters = pieces.iter().filter_map(Piece::parameter);
    if pieces.is_empty() {
        return Err("has two slashes in a row".to_owned());
    }
    if is_part && parameters.any(|p| p.is_catch_all || p.is_optional) {
        return Err(
            "has an optional or catch-all parameter that is not a whole segment, which is \
                    not supported here"
                .to_owned(),
        );
    }
    Ok(pieces)
}

/// The text of a parameter, to its closing brace; a doubled brace stands for one.
fn until_brace(rest: &mut Peekable<impl Iterator<Item = char>>) -> Result<String, String> {
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
            let (name, after) = constraint.split_at(end);
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
            constraints.push(Constraint::new(name, arguments)?);
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

    /// Its name, and the value that a text gives it. None if the text can't stand for it.
    fn take(
        &self,
        text: &str,
        fits: impl Fn(&Constraint, &str) -> bool,
    ) -> Option<(&str, Option<String>)> {
        let value = match text {
            "" => self.default.clone(),
            text => Some(text.to_owned()),
        };
        let is_taken = match &value {
            Some(value) => self
                .constraints
                .iter()
                .all(|constraint| fits(constraint, value)),
            None => self.is_optional || (self.is_catch_all && self.constraints.is_empty()),
        };
        is_taken.then_some((&*self.name, value))
    }
}

impl Constraint {
    fn new(name: &str, arguments: Option<&str>) -> Result<Self, String> {
        let constraint = Self {
            name: name.to_ascii_lowercase(),
            arguments: arguments.map(str::to_owned),
        };
        let is_known = match (constraint.name.as_str(), constraint.numbers().as_deref()) {
            ("regex", _) => arguments.is_some(),
            (
                "alpha" | "bool" | "datetime" | "decimal" | "double" | "float" | "guid" | "int"
                | "long" | "required",
                _,
            ) => arguments.is_none(),
            ("length" | "max" | "maxlength" | "min" | "minlength", Some([_])) => true,
            ("length" | "range", Some([_, _])) => true,
            _ => false,
        };
        if is_known {
            Ok(constraint)
        } else {
            let arguments = arguments.map(|inner| format!("({inner})"));
            let arguments = arguments.unwrap_or_default();
            Err(format!(
                "has the constraint {name}{arguments}, which is not supported here"
            ))
        }
    }

    /// The arguments, if they are whole numbers.
    pub fn numbers(&self) -> Option<Vec<i64>> {
        let arguments = self.arguments.as_deref()?.split(',');
        arguments.map(|number| number.trim().parse().ok()).collect()
    }
}

/// Takes a text apart from its end on, as the host does: `{a}-{b}` has `1-2` and `3` in `1-2-3`
/// (recorded). Each parameter gets one character at least.
fn taken_apart<'p, 't>(
    pieces: &'p [Piece],
    text: &'t str,
) -> Option<Vec<(&'p Parameter, &'t str)>> {
    let mut found = Vec::new();
    let mut left = text;
    // The parameter whose end is that of `left`, and whose beginning is looked for.
    let mut open = None;
    for piece in pieces.iter().rev() {
        match piece {
            Piece::Parameter(parameter) => open = Some(parameter),
            Piece::Text(literal) => {
                let (before, after) = match open {
                    Some(_) => split_at_last(left, literal)?,
                    None => (without_end(left, literal)?, ""),
                };
                found.extend(open.take().map(|parameter| (parameter, after)));
                left = before;
            }
        }
    }
    match open {
        Some(parameter) if !left.is_empty() => found.push((parameter, left)),
        None if left.is_empty() => {}
        _ => return None,
    }
    found.reverse();
    Some(found)
}

/// What stands before and after the last place of a literal that leaves something after it.
fn split_at_last<'t>(text: &'t str, literal: &str) -> Option<(&'t str, &'t str)> {
    let ends = text.char_indices().rev().map(|(at, _)| at);
    ends.filter_map(|end| {
        let (head, after) = text.split_at(end);
        Some((without_end(head, literal)?, after))
    })
    .next()
}

/// The text without a literal at its end.
fn without_end<'t>(text: &'t str, literal: &str) -> Option<&'t str> {
    let mut rest = text.chars();
    literal
        .chars()
        .rev()
        .all(|expected| rest.next_back().map(capital) == Some(capital(expected)))
        .then_some(rest.as_str())
}
