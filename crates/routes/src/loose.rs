//! Finding the function of a call without the host's knowledge.
//!
//! The host chooses the function of a call, checks the key that this function asks for, and does
//! not say which function it was. Whoever finds the function again must not find another one: it
//! could be one whose key nobody has checked. So no constraint is evaluated here. A route is taken
//! to fit at least what it fits for the host, and functions of which one path could mean two are
//! refused.

use std::fmt::{self, Display, Formatter};

use crate::{
    function_json::Function,
    template::{Parameters, Piece, Segment},
    text::decode,
};

/// Functions of which a call can mean one at most.
pub struct Routes(Vec<Function>);

impl Routes {
    /// # Errors
    ///
    /// One line, with what to do: a call could mean either of two functions, or the route of one is
    /// the host's own.
    pub fn new(functions: Vec<Function>) -> Result<Self, String> {
        if let Some(function) = functions.iter().find(|function| function.is_reserved) {
            return Err(format!(
                "{}: routes that begin with \"admin\" or \"runtime\" are the host's own: give \
                 another \"route\"",
                function.file
            ));
        }
        for (index, other) in functions.iter().enumerate() {
            let mut before = functions[..index].iter();
            if let Some(one) = before.find(|one| can_be_mistaken(one, other)) {
                return Err(format!(
                    "a call could be for {} (/{}) or for {} (/{}), and the host does not tell the \
                     handler for which: give one of them another route or other methods, or make \
                     one function of both",
                    one.name, one.route, other.name, other.route
                ));
            }
        }
        Ok(Self(functions))
    }

    pub fn functions(&self) -> &[Function] {
        &self.0
    }

    /// The function of a call that the host has let through: its place among the functions, and the
    /// parameters of its route. The path is that of the request, with its escapes.
    pub fn find(&self, method: &str, path: &str) -> Option<(usize, Parameters<'_>)> {
        let path = decode(path)?;
        let capitals = path.to_uppercase();
        let texts: Vec<&str> = capitals
            .split('/')
            .filter(|text| !text.is_empty())
            .collect();
        let (index, function) = self.0.iter().enumerate().find(|(_, function)| {
            let methods = listed(function);
            let is_taken = methods.is_none_or(|methods| {
                methods
                    .iter()
                    .any(|listed| listed.eq_ignore_ascii_case(method))
            });
            is_taken && takes(&function.template.parts, &texts)
        })?;
        Some((index, function.template.parameters(&path, |_, _| true)?))
    }
}

/// One line for each function, for scripts: name, methods (`*` for all), route and level, with tabs
/// between them.
impl Display for Routes {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|function| {
            let methods = listed(function).map_or("*".to_owned(), |methods| methods.join(","));
            let (name, route, level) = (&function.name, &function.route, function.level);
            writeln!(formatter, "{name}\t{methods}\t/{route}\t{level}")
        })
    }
}

/// An empty list counts as all methods, like none.
fn listed(function: &Function) -> Option<&Vec<String>> {
    function
        .methods
        .as_ref()
        .filter(|methods| !methods.is_empty())
}

fn can_be_mistaken(one: &Function, other: &Function) -> bool {
    let share_a_method = match (listed(one), listed(other)) {
        (Some(one), Some(other)) => one.iter().any(|method| other.contains(method)),
        _ => true,
    };
    share_a_method && meet(&one.template.parts, &other.template.parts)
}

/// What a part of a route takes, which is no less than what it takes for the host.
pub(crate) struct Part {
    takes: Takes,
    /// It also takes nothing.
    is_optional: bool,
    /// It takes all that is left.
    is_catch_all: bool,
}

/// Texts are in capitals. (Compared in small letters, 21 letters would not be the same that are the
/// same for the host.)
enum Takes {
    Literal(String),
    Anything,
    /// A text with one of 0 to 9 in it: `int` and the like.
    Digit,
    /// A text of 32 characters or more: `guid`.
    Long,
    /// A text that begins and ends so: several things in one part, such as `{name}.json`.
    Ends(String, String),
}

impl Part {
    pub fn of(segment: &Segment) -> Self {
        let text = |piece: Option<&Piece>| match piece {
            Some(Piece::Text(text)) => text.to_uppercase(),
            _ => String::new(),
        };
        let parameter = match &segment[..] {
            [Piece::Parameter(parameter)] => Some(parameter),
            _ => None,
        };
        let has = |names: &[&str]| {
            let mut constraints = parameter
                .iter()
                .flat_map(|parameter| &parameter.constraints);
            constraints.any(|constraint| names.contains(&&*constraint.name))
        };
        let takes = match &segment[..] {
            [Piece::Text(literal)] => Takes::Literal(literal.to_uppercase()),
            // Where a pattern ends in a route, and the next constraint begins, was not measured.
            [Piece::Parameter(_)] if has(&["regex"]) => Takes::Anything,
            [Piece::Parameter(_)] if has(&["guid"]) => Takes::Long,
            [Piece::Parameter(_)] if has(&["int", "long", "min", "max", "range"]) => Takes::Digit,
            [Piece::Parameter(_)] => Takes::Anything,
            several => Takes::Ends(text(several.first()), text(several.last())),
        };
        Self {
            takes,
            is_optional: parameter.is_some_and(|p| p.is_optional || p.default.is_some()),
            is_catch_all: parameter.is_some_and(|p| p.is_catch_all),
        }
    }
}

impl Takes {
    fn takes(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => text == literal,
            Self::Anything => true,
            Self::Digit => text.bytes().any(|byte| byte.is_ascii_digit()),
            Self::Long => text.chars().count() >= 32,
            Self::Ends(start, end) => text.starts_with(start) && text.ends_with(end),
        }
    }

    /// If there is a text that both take.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(literal), other) | (other, Self::Literal(literal)) => {
                other.takes(literal)
            }
            (Self::Ends(start, end), Self::Ends(other_start, other_end)) => {
                (start.starts_with(other_start) || other_start.starts_with(start))
                    && (end.ends_with(other_end) || other_end.ends_with(end))
            }
            _ => true,
        }
    }
}

fn takes(route: &[Part], path: &[&str]) -> bool {
    match (route, path) {
        ([], _) => path.is_empty(),
        ([part, ..], _) if part.is_catch_all => true,
        ([part, route @ ..], [text, rest @ ..]) if part.takes.takes(text) && takes(route, rest) => {
            true
        }
        ([part, route @ ..], _) => part.is_optional && takes(route, path),
    }
}

/// If there is a path that both routes take.
fn meet(one: &[Part], other: &[Part]) -> bool {
    let takes_all = |route: &[Part]| route.first().is_some_and(|part| part.is_catch_all);
    if takes_all(one) || takes_all(other) {
        return true;
    }
    // Either both go on by one part, or an optional one of either is left out.
    let both = match (one, other) {
        ([], []) => true,
        ([part, one @ ..], [other_part, other @ ..]) => {
            part.takes.meets(&other_part.takes) && meet(one, other)
        }
        _ => false,
    };
    both || without_optional(one).is_some_and(|one| meet(one, other))
        || without_optional(other).is_some_and(|other| meet(one, other))
}

fn without_optional(route: &[Part]) -> Option<&[Part]> {
    let (part, rest) = route.split_first()?;
    part.is_optional.then_some(rest)
}
