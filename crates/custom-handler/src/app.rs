//! The function app in which the program runs: its files, held against what the program registers.

use std::{
    env,
    fmt::Write as _,
    path::{Path, PathBuf},
};

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
        let root = match env::var_os(ROOT) {
            Some(root) => PathBuf::from(root),
            None => env::current_dir()
                .map_err(|error| format!("there is no working directory ({error}): set {ROOT}"))?,
        };
        let variables = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let host = HostJson::read(&root, variables)?;
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
                    "the function {name} is registered, but {} is missing: no call can reach it",
                    file(&root, name)
                );
            }
        }
        let registered = functions.iter().map(|function| {
            let registered = names.iter().position(|name| *name == function.name);
            let registered = registered.ok_or_else(|| not_registered(&root, function))?;
            match function.is_reserved {
                false => Ok(registered),
                true => Err(format!(
                    "{}: routes that begin with \"admin\" or \"runtime\" are the host's own: give \
                     another \"route\"",
                    file(&root, &function.name)
                )),
            }
        });
        Ok(Self {
            registered: registered.collect::<Result<_, String>>()?,
            routes: Routes::new(functions)?,
        })
    }

    /// One function a line: name, methods, route and level, with tabs between them.
    pub fn list(&self) -> String {
        let mut list = String::new();
        for function in self.routes.functions() {
            let methods = match function.methods.as_deref() {
                None | Some([]) => "*".to_owned(),
                Some(methods) => methods.join(","),
            };
            let Function {
                name, route, level, ..
            } = function;
            let _ = writeln!(list, "{name}\t{methods}\t/{route}\t{level}");
        }
        list
    }
}

fn file(root: &Path, name: &str) -> String {
    root.join(name).join("function.json").display().to_string()
}

fn not_registered(root: &Path, function: &Function) -> String {
    let name = &function.name;
    format!(
        "{} is there, but no function {name} is registered: add it to the program by \
         functions.add({name:?}, …), or delete the folder",
        file(root, name)
    )
}
