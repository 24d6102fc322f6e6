//! Names in JSON files that are not known.

use serde_json::Value;

/// One line for each member of an object that is not among the known ones, which have blanks between
/// them; with the one that was probably meant.
pub fn misspelt(at: &str, object: &Value, known: &str) -> Vec<String> {
    let known: Vec<&str> = known.split(' ').collect();
    let names = object
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys());
    let unknown = names.filter(|name| !known.iter().any(|known| known.eq_ignore_ascii_case(name)));
    let line = |name: &String| {
        let meant = known
            .iter()
            .map(|known| (alike(name, known), known))
            .max()
            // Two thirds of it are the same.
            .filter(|(count, known)| 3 * count >= 2 * known.len());
        match meant {
            Some((_, meant)) => format!("{at}{name} is not known: is {meant} meant?"),
            None => format!("{at}{name} is not known"),
        }
    };
    unknown.map(line).collect()
}

/// How many letters at the beginning and at the end of two words are the same.
fn alike(one: &str, other: &str) -> usize {
    let same = |(one, other): &(u8, u8)| one.eq_ignore_ascii_case(other);
    let start = one.bytes().zip(other.bytes()).take_while(same).count();
    let end = one.bytes().rev().zip(other.bytes().rev()).take_while(same);
    (start + end.count()).min(one.len()).min(other.len())
}
