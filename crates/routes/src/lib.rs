//! Which function of an Azure Functions app a call is for.
//!
//! The Functions host reads host.json and one function.json in each function's folder. From them it
//! knows the route of each function, and chooses one for every call. This crate reads the same files
//! by the same rules:
//!
//! - [`HostJson`] is host.json, with the variables that override it;
//! - [`functions`] reads each function.json;
//! - [`Template`] is a route such as `items/{id:int}`, and takes a path apart as the host does;
//! - [`Routes`] finds the function of a call without knowing the constraints of parameters. It is
//!   made only of functions of which no call could mean two.
//!
//! ```
//! # fn main() -> Result<(), String> {
//! # let root = std::env::temp_dir().join(format!("routes-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(root.join("Items")).unwrap();
//! # std::fs::write(root.join("host.json"), r#"{"version": "2.0"}"#).unwrap();
//! # std::fs::write(root.join("Items/function.json"), r#"{"bindings": [
//! #   {"type": "httpTrigger", "name": "req", "route": "items/{id:int}"},
//! #   {"type": "http", "direction": "out", "name": "res"}]}"#).unwrap();
//! use routes::{HostJson, Routes};
//!
//! let host = HostJson::read(&root, std::env::vars_os())?;
//! let functions = routes::functions(&root, &host.route_prefix()?)?;
//! let routes = Routes::new(functions)?;
//! let (index, parameters) = routes.find("GET", "/api/items/5").expect("it fits Items");
//! assert_eq!(routes.functions()[index].name, "Items");
//! assert_eq!(parameters, [("id", Some("5".to_owned()))]);
//! # std::fs::remove_dir_all(root).unwrap();
//! # Ok(())
//! # }
//! ```
//!
//! What the host does was measured on version 4.1037, built from its sources, unless a comment says
//! otherwise. This crate refuses what the host might read differently, with a line that says what to
//! write instead.

mod function_json;
mod host_json;
mod json;
mod loose;
mod template;
mod text;

pub use crate::{
    function_json::{Function, Level, METHODS, functions},
    host_json::HostJson,
    json::read_json,
    loose::Routes,
    template::{Constraint, Parameters, Template},
    text::{decode, escape, host_order},
};
