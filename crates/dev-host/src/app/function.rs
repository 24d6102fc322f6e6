//! The functions of an app, with what only the host knows of them.

use std::{collections::HashMap, path::Path, sync::Once};

use routes::{Constraint, Level, Parameters, Template};

use crate::{
    app::constraint::{Check, check},
    console::Console,
};

/// A function that is served.
pub struct Function {
    pub name: String,
    /// The whole route, prefix included, without a slash at either end.
    pub route: String,
    /// In capitals; none stands for all.
    pub methods: Option<Vec<String>>,
    pub level: Level,
    pub disabled: bool,
    /// For the one hint that is printed when the handler answers 404 to a call of the function.
    pub hint: Once,
    template: Template,
    constraints: HashMap<Constraint, Check>,
}

impl Function {
    /// The parameters of its route in a decoded path; none if the path doesn't fit.
    pub fn parameters(&self, path: &str) -> Option<Parameters<'_>> {
        let fits = |constraint: &_, text: &_| self.constraints[constraint](text);
        self.template.parameters(path, fits)
    }

    /// A path that fits its route: in the place of each parameter the first of the texts for it that
    /// the constraints let pass.
    pub fn example(&self, texts: impl Fn(&str, &[Constraint]) -> Vec<String>) -> Option<String> {
        self.template.path(|name, constraints| {
            let fits = |text: &String| constraints.iter().all(|it| self.constraints[it](text));
            texts(name, constraints).into_iter().find(fits)
        })
    }
}

/// Reads the functions of an app, in the order in which the host looks for the one that fits.
pub fn functions(
    root: &Path,
    prefix: &str,
    setting: impl Fn(&str) -> Option<String>,
    console: &Console,
) -> Result<Vec<Function>, String> {
    let mut functions = Vec::new();
    for function in routes::functions(root, prefix)? {
        let name = &function.name;
        for warning in &function.warnings {
            console.warning(&format!("{name}/function.json: {warning}"));
        }
        if function.is_reserved {
            console.warning(&format!(
                "{name} is not served, as on Azure: routes that begin with \"admin\" or \"runtime\" \
                 are the host's own: give {name}/function.json another \"route\""
            ));
            continue;
        }
        let checks = function.template.constraints().map(|constraint| {
            let check = check(constraint).map_err(|problem| {
                format!(
                    "{}: the route {:?} {problem}",
                    function.file, function.route
                )
            });
            Ok((constraint.clone(), check?))
        });
        let constraints = checks.collect::<Result<_, String>>()?;
        // Measured: both of these disable a function, `AzureWebJobs__NAME__Disabled` does not.
        let disabled = [
            format!("AzureWebJobs.{name}.Disabled"),
            format!("AzureWebJobs_{name}_Disabled"),
        ]
        .iter()
        .filter_map(|name| setting(name))
        .any(|value| value == "1" || value.eq_ignore_ascii_case("true"));
        functions.push(Function {
            name: function.name,
            route: function.route,
            methods: function.methods,
            level: function.level,
            disabled,
            hint: Once::new(),
            template: function.template,
            constraints,
        });
    }
    if functions.is_empty() {
        return Err(format!(
            "{} has no function: a function is a folder with a function.json",
            root.display()
        ));
    }
    Ok(functions)
}
