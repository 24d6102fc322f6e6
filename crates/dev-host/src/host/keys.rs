//! The access keys, and what they open. They live in memory and end with the host.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use routes::Level;
use serde::Serialize;
use uuid::Uuid;

use crate::{app::function::Function, wire::message::Request};

/// The name of the key with which every function, and the host, starts.
const DEFAULT: &str = "default";

#[derive(Serialize)]
pub struct Key {
    pub name: String,
    pub value: String,
}

/// Keys of one scope, the last one changed at the end.
#[derive(Default)]
pub struct Scope(pub Vec<Key>);

impl Scope {
    fn with_default(value: Option<String>) -> Self {
        let mut scope = Self::default();
        scope.set(DEFAULT, value);
        scope
    }

    pub fn get(&self, name: &str) -> Option<&Key> {
        let mut keys = self.0.iter();
        keys.find(|key| key.name.eq_ignore_ascii_case(name))
    }

    /// Sets a key, to a generated value if none is given, and says if it is new.
    pub fn set(&mut self, name: &str, value: Option<String>) -> (bool, String) {
        let is_new = !self.remove(name);
        let value = value.unwrap_or_else(generate);
        self.0.push(Key {
            name: name.to_owned(),
            value: value.clone(),
        });
        (is_new, value)
    }

    /// False if there is no such key.
    pub fn remove(&mut self, name: &str) -> bool {
        let count = self.0.len();
        self.0.retain(|key| !key.name.eq_ignore_ascii_case(name));
        self.0.len() < count
    }

    fn holds(&self, value: &str) -> bool {
        self.0.iter().any(|key| key.value == value)
    }
}

/// The keys, and whether any is asked for.
pub struct Access {
    pub is_open: bool,
    keys: Mutex<Keys>,
}

pub struct Keys {
    pub master: String,
    /// Host-wide keys that open each function.
    host: Scope,
    functions: HashMap<String, Scope>,
    /// For each function's first key, if it was given.
    default: Option<String>,
}

impl Access {
    /// The keys with which a host starts (`SecretManager`); what isn't given is generated.
    pub fn new(is_open: bool, master: Option<String>, function: Option<String>) -> Self {
        let keys = Mutex::new(Keys {
            master: master.unwrap_or_else(generate),
            host: Scope::with_default(None),
            functions: HashMap::new(),
            default: function,
        });
        Self { is_open, keys }
    }

    pub fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to which level the key of a request opens the function or, without one, the host itself.
    pub fn grant(&self, request: &Request, function: Option<&str>) -> Level {
        if self.is_open {
            return Level::Admin;
        }
        let Some(key) = presented_key(request) else {
            return Level::Anonymous;
        };
        let mut keys = self.keys();
        let of_function = function.and_then(|name| keys.scope(Some(name)));
        let is_of_function = of_function.is_some_and(|scope| scope.holds(&key));
        if keys.master == key {
            Level::Admin
        } else if is_of_function || keys.host.holds(&key) {
            Level::Function
        } else {
            Level::Anonymous
        }
    }
}

impl Keys {
    /// Gives a key to each function that has none yet.
    pub fn add(&mut self, functions: &[Function]) {
        for function in functions {
            self.functions
                .entry(function.name.to_lowercase())
                .or_insert_with(|| Scope::with_default(self.default.clone()));
        }
    }

    /// The keys of a function, or, for none, the host-wide ones; none if there is no such function.
    pub fn scope(&mut self, function: Option<&str>) -> Option<&mut Scope> {
        match function {
            Some(name) => self.functions.get_mut(&name.to_lowercase()),
            None => Some(&mut self.host),
        }
    }

    /// The key `default` of a function, unless there is no such function or it has lost that key.
    pub fn default_of(&mut self, function: &str) -> Option<String> {
        Some(self.scope(Some(function))?.get(DEFAULT)?.value.clone())
    }
}

/// The key that a request shows: the first header, or, if there is none, the first `code` of the
/// query. An empty key is no key, and an empty header hides the query all the same (rows "key:
/// twice, wrong first", "key: wrong in the header, right in the query"; an empty header before a
/// query is not recorded).
fn presented_key(request: &Request) -> Option<String> {
    let key = match request.headers.get("x-functions-key") {
        Some(value) => value.to_owned(),
        None => form_urlencoded::parse(request.query.trim_start_matches('?').as_bytes())
            .find(|(name, _)| name.eq_ignore_ascii_case("code"))?
            .1
            .into_owned(),
    };
    (!key.is_empty()).then_some(key)
}

/// 244 bits from the operating system's random source, in letters that need no escaping in a URL.
fn generate() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}
