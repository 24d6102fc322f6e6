//! Reads what the host reads, `*/function.json` and host.json, and writes the Rust code that puts
//! each function at its route. So the route and the methods stand in function.json alone.

use std::{env, fmt::Write as _, fs, path::Path, process};

use serde_json::Value;

fn main() {
    if let Err(message) = generate() {
        println!("cargo::error={message}");
        process::exit(1);
    }
}

struct Function {
    name: String,
    /// Its module, and the name of its `async fn`.
    module: String,
    /// The route without the names and constraints of parameters: what tells functions apart.
    shape: String,
    paths: Vec<String>,
    methods: Option<Vec<String>>,
}

fn generate() -> Result<(), String> {
    // Cargo does not notice a new folder with a function.json. It does notice its new file in src/,
    // which therefore comes last.
    println!("cargo::rerun-if-changed=src");
    let host = read("host.json")?;
    let prefix = &host["extensions"]["http"]["routePrefix"];
    let prefix = prefix.as_str().unwrap_or("api");

    let root = fs::read_dir(".").map_err(|error| format!("the project can't be read: {error}"))?;
    let mut names: Vec<String> = root
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Path::new(name).join("function.json").is_file())
        .collect();
    // Where two routes match, the host takes the function whose name comes first (measured).
    names.sort();
    let mut functions = Vec::new();
    for name in names {
        let function = function(name, prefix)?;
        if let Some(other) = functions.iter().find(|other| collide(other, &function)) {
            return Err(format!(
                "{} and {} have the same route, if names and constraints of parameters are left \
                 aside: give one of them another route",
                other.name, function.name
            ));
        }
        functions.push(function);
    }

    let mut code = String::new();
    let source = env::current_dir().expect("cargo has set it").join("src");
    for Function { module, .. } in &functions {
        let file = source.join(format!("{module}.rs"));
        let _ = writeln!(code, "#[path = {file:?}]\nmod {module};");
    }
    code += "fn functions(app: &mut actix_web::web::ServiceConfig) {\n";
    for function in &functions {
        let Function {
            module, methods, ..
        } = function;
        let methods = match methods {
            Some(methods) => format!("Some(&{methods:?})"),
            None => "None".to_owned(),
        };
        for path in &function.paths {
            let _ = writeln!(
                code,
                "server::function(app, {path:?}, {methods}, {module}::{module});"
            );
        }
    }
    code += "}\n";
    let out = env::var("OUT_DIR").expect("cargo has set it");
    fs::write(Path::new(&out).join("functions.rs"), code)
        .map_err(|error| format!("{out} can't be written to: {error}"))
}

fn read(file: &str) -> Result<Value, String> {
    println!("cargo::rerun-if-changed={file}");
    let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))
}

fn function(name: String, prefix: &str) -> Result<Function, String> {
    let file = format!("{name}/function.json");
    let json = read(&file)?;
    let trigger = json["bindings"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|binding| binding["type"] == "httpTrigger")
        .ok_or_else(|| format!("{file}: no binding has the type httpTrigger: add one"))?;
    let module = snake_case(&name);
    if !Path::new("src").join(format!("{module}.rs")).is_file() {
        return Err(format!(
            "{file} needs src/{module}.rs, with `pub async fn {module}` in it"
        ));
    }
    let route = trigger["route"].as_str().filter(|route| !route.is_empty());
    let route = format!("{prefix}/{}", route.unwrap_or(&name));
    let (paths, shape) = translate(route.trim_matches('/'))
        .map_err(|error| format!("{file}: the route {route:?} can't be translated: {error}"))?;
    let methods = trigger["methods"].as_array().map(|methods| {
        let names = methods.iter().filter_map(Value::as_str);
        names.map(str::to_ascii_uppercase).collect()
    });
    Ok(Function {
        name,
        module,
        shape,
        paths,
        methods,
    })
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_uppercase() && snake.ends_with(|c: char| c.is_lowercase() || c.is_numeric())
        {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake.replace('-', "_")
}

/// A route template of the host as paths of actix-web, and its shape. An optional parameter at the
/// end gives two paths, one without it and one with it. The host has checked the constraints before
/// it calls the handler, so they are left out.
fn translate(route: &str) -> Result<(Vec<String>, String), String> {
    let (mut path, mut shape, mut rest) = ("/".to_owned(), String::new(), route);
    let mut paths = Vec::new();
    while let Some((before, after)) = rest.split_once('{') {
        let (parameter, after) = after.split_once('}').ok_or("a brace is not closed")?;
        rest = after;
        let before = literal(before)?;
        path += &before;
        let (name, _) = parameter.split_once(':').unwrap_or((parameter, ""));
        let name = name.trim_end_matches('?');
        let (name, pattern) = match name.trim_start_matches('*') {
            all if all != name => (all, ":.+"),
            _ => (name, ""),
        };
        if !pattern.is_empty() || parameter.ends_with('?') {
            if !path.ends_with('/') || !rest.is_empty() {
                return Err(format!("{{{parameter}}} has to be the whole last part"));
            }
            paths.push(path.trim_end_matches('/').to_owned());
        }
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!(
                "{parameter:?} is no parameter: give letters, digits and _, then a constraint or ?"
            ));
        }
        let _ = write!(path, "{{{name}{pattern}}}");
        let _ = write!(shape, "{before}{{{pattern}}}");
    }
    let rest = literal(rest)?;
    shape += &rest;
    paths.push(path + &rest);
    Ok((paths, shape))
}

/// In lower case, like the path that the handler compares it with.
fn literal(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    match text.chars().find(|c| !allowed(*c)) {
        Some(other) => Err(format!("{other:?}: give letters, digits, -, ., _, ~ and /")),
        None => Ok(text.to_ascii_lowercase()),
    }
}

fn collide(one: &Function, other: &Function) -> bool {
    let takes = |method| other.methods.as_ref().is_none_or(|m| m.contains(method));
    one.shape == other.shape && one.methods.as_ref().is_none_or(|m| m.iter().any(takes))
}
