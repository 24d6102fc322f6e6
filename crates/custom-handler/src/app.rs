//! The function app in which the program runs: its files, held against what the program registers.

use std::env;

use log::warn;
use routes::{Function, HostJson, Routes};

/// The variable in which the host says where the app is.
const ROOT: &str = "FUNCTIONS_APP_ROOT_PATH";

/// The functions that the host serves.
pub struct FunctionApp {
    pub routes: Routes,
    /// For each of them its place among the registered ones.
    pub registered: Vec<usize>,
}

impl FunctionApp {
    /// Reads host.json and each function.json in the app root.
    ///
    /// # Errors
    ///
    /// One line: what is wrong in which file or in the program, and what to write.
    pub fn read(names: &[String]) -> Result<Self, String> {
        let here = env::current_dir().unwrap_or_default();
        let root = here.join(env::var_os(ROOT).unwrap_or_default());
        let host = HostJson::read(&root, env::vars_os())?;
        host.require_proxying()?;
        let functions = routes::functions(&root, &host.route_prefix()?)?;
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(format!(
                    "the function {name} is registered twice: take one of them out"
                ));
            }
            if !functions.iter().any(|function| function.name == *name) {
                warn!(
                    "the function {name} is registered, but {} has no function.json: no call can \
                     reach it",
                    root.join(name).display()
                );
            }
        }
        let mut registered = Vec::new();
        for Function { name, file, .. } in &functions {
            let place = names.iter().position(|registered| registered == name);
            registered.push(place.ok_or_else(|| {
                format!(
                    "{file} is there, but no function {name} is registered: add it to the program \
                     by functions.add({name:?}, …), or delete the folder"
                )
            })?);
        }
        Ok(Self {
            registered,
            routes: Routes::new(functions)?,
        })
    }
}
