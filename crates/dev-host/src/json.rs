//! JSON files.

use std::{fs, path::Path};

use jsonc_parser::{ParseOptions, parse_to_serde_value};
use serde_json::Value;

/// Reads JSON as the host does: it may have comments, a comma after a last item and a byte order
/// mark. None if there is no such file.
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
    parse_to_serde_value(text.trim_start_matches('\u{feff}'), &options)
        .map_err(|error| format!("{file} is not JSON: {error}"))
}
