//! JSON files as the host reads them.

use std::{fs, path::Path};

use jsonc_parser::{
    ParseOptions,
    ast::{self, ObjectPropName},
    parse_to_ast,
};
use serde_json::Value;

/// Reads a file that may have comments, a comma after a last item, and a byte order mark. None if
/// there is no such file.
///
/// # Errors
///
/// One line that names the file: it can't be read, it is empty, it is no JSON, or one of its objects
/// has a member twice.
pub fn read_json(path: &Path) -> Result<Option<Value>, String> {
    if !path.is_file() {
        return Ok(None);
    }
    let file = path.display();
    let text =
        fs::read_to_string(path).map_err(|error| format!("{file} can't be read: {error}"))?;
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_extended_string_escapes: false,
        allow_non_finite_numbers: false,
    };
    let text = text.trim_start_matches('\u{feff}');
    let parsed = parse_to_ast(text, &Default::default(), &options)
        .map_err(|error| format!("{file} is not JSON: {error}"))?;
    let value = parsed.value.ok_or_else(|| format!("{file} is empty"))?;
    match member_twice(&value) {
        Some(name) => Err(format!("{file} has {name:?} twice: leave one of them out")),
        None => Ok(Some(value.into())),
    }
}

/// Which of the two the host would take was not measured.
fn member_twice(value: &ast::Value) -> Option<String> {
    match value {
        ast::Value::Object(object) => {
            let mut names: Vec<String> = Vec::new();
            object.properties.iter().find_map(|member| {
                let name = match &member.name {
                    ObjectPropName::String(name) => name.value.to_string(),
                    ObjectPropName::Word(name) => name.value.to_string(),
                };
                if names.contains(&name) {
                    return Some(name);
                }
                names.push(name);
                member_twice(&member.value)
            })
        }
        ast::Value::Array(array) => array.elements.iter().find_map(member_twice),
        _ => None,
    }
}

/// What a value is, for a message.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
