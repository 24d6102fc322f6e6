//! Texts as the host sees them: without escapes, and compared without regard to letter case.

use std::borrow::Cow;

/// A path without its escapes, but for `%2F` and what is no UTF-8, which stay as they are. None if
/// it has an escaped NUL, for which the host's answer is 400.
pub fn decode(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(path.into());
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded += &rest[..at];
        rest = &rest[at..];
        // A character is one to four bytes, each with an escape of its own.
        let escapes: Vec<u8> = (0..4)
            .map_while(|nth| escape(rest.get(nth * 3..)?))
            .collect();
        let character = match escapes.first() {
            Some(0) => return None,
            None | Some(b'/') => None,
            Some(_) => (1..=escapes.len()).find_map(|length| {
                let text = std::str::from_utf8(&escapes[..length]).ok()?;
                Some((text, length * 3))
            }),
        };
        let (text, length) = character.unwrap_or(("%", 1));
        decoded += text;
        rest = &rest[length..];
    }
    Some((decoded + rest).into())
}

/// The byte of an escape, such as `%41`, at the beginning of a text.
pub fn escape(text: &str) -> Option<u8> {
    let digits = text.strip_prefix('%')?.get(..2)?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

/// Compares as .NET's OrdinalIgnoreCase does: each character is folded to one capital. So the Kelvin
/// sign is no `k`, and `ß` is not `SS`.
pub fn is_same(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.chars().map(capital).eq(other.chars().map(capital))
}

/// The key by which the host sorts the names of functions: in capitals, in UTF-16. So `Ab` comes
/// before `A_x`.
pub fn host_order(name: &str) -> Vec<u16> {
    let capitals: String = name.chars().map(capital).collect();
    capitals.encode_utf16().collect()
}

pub fn capital(character: char) -> char {
    let mut capitals = character.to_uppercase();
    match (capitals.next(), capitals.next()) {
        // .NET leaves `ı` and `ſ`, whose capitals would be I and S, as they are (not verified).
        (Some(capital), None) if character.is_ascii() || !capital.is_ascii() => capital,
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_decoded() {
        for (path, decoded) in [
            ("/a%20b", Some("/a b")),
            ("/%C3%BC%e2%84%aa%F0%9F%98%80", Some("/ü\u{212a}😀")),
            ("/..%2Fx%2fy", Some("/..%2Fx%2fy")),
            ("/%2535", Some("/%35")),
            ("/%C3%28%ff%C3", Some("/%C3(%ff%C3")),
            ("/%4%zz%", Some("/%4%zz%")),
            ("/%é", Some("/%é")),
            ("/%00", None),
            ("/x%41%00", None),
        ] {
            assert_eq!(decode(path).as_deref(), decoded, "{path}");
        }
    }

    /// Those with the capitals from the recordings; `A_x` and the rest by their rows' order.
    #[test]
    fn letter_case() {
        for (one, other, are_same) in [
            ("Käse", "kÄSE", true),
            ("kelvin", "\u{212a}elvin", false),
            ("straße", "STRASSE", false),
            ("straße", "straẞe", false),
            ("İ", "i\u{307}", false),
            ("ı", "I", false),
        ] {
            assert_eq!(is_same(one, other), are_same, "{one} {other}");
        }
        for (first, second) in [("alpha", "Beta"), ("Ab", "A_x"), ("beta-1", "BetaX")] {
            assert!(host_order(first) < host_order(second), "{first} {second}");
        }
    }
}
