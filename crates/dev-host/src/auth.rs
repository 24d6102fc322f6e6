//! Which key a request shows, and what it takes to be let in.

use routes::Level;

use crate::request::Request;

/// What a key entitles to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Grant {
    Nothing,
    Function,
    Master,
}

impl Grant {
    pub fn satisfies(self, level: Level) -> bool {
        match level {
            Level::Anonymous => true,
            Level::Function => self != Self::Nothing,
            Level::Admin => self == Self::Master,
        }
    }
}

/// The key that a request shows: the first header, or, if there is none, the first `code` of the
/// query. An empty key is no key, and an empty header hides the query all the same (rows "key:
/// twice, wrong first", "key: wrong in the header, right in the query"; an empty header before a
/// query is not recorded).
pub fn presented_key(request: &Request) -> Option<String> {
    let key = match request.headers.get("x-functions-key") {
        Some(value) => value.to_owned(),
        None => form_urlencoded::parse(request.query.trim_start_matches('?').as_bytes())
            .find(|(name, _)| name.eq_ignore_ascii_case("code"))?
            .1
            .into_owned(),
    };
    (!key.is_empty()).then_some(key)
}
