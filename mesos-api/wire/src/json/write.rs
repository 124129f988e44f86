//! Writes fields and values straight to bytes.
//!
//! Each field begins with a comma; [`close`] makes the first comma of a message its brace.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::kind::Kind;

/// `key` is the whole text from the comma to the colon.
pub(crate) fn required<K: Kind<T>, T>(out: &mut Vec<u8>, key: &[u8], value: &T) {
    if K::known(value) {
        out.extend_from_slice(key);
        K::write(value, out);
    }
}

pub(crate) fn optional<K: Kind<T>, T>(out: &mut Vec<u8>, key: &[u8], value: &Option<T>) {
    if let Some(value) = value {
        required::<K, T>(out, key, value);
    }
}

pub(crate) fn repeated<K: Kind<T>, T>(out: &mut Vec<u8>, key: &[u8], values: &[T]) {
    let mut values = values.iter().filter(|value| K::known(value));
    let Some(first) = values.next() else { return };
    out.extend_from_slice(key);
    out.push(b'[');
    K::write(first, out);
    for value in values {
        out.push(b',');
        K::write(value, out);
    }
    out.push(b']');
}

pub(crate) fn map<K: Kind<T>, T>(out: &mut Vec<u8>, key: &[u8], values: &BTreeMap<String, T>) {
    if values.is_empty() {
        return;
    }
    out.extend_from_slice(key);
    let begin = out.len();
    for (name, value) in values.iter().filter(|(_, value)| K::known(value)) {
        out.push(b',');
        text(name, out);
        out.push(b':');
        K::write(value, out);
    }
    close(out, begin);
}

/// Ends the object whose fields were written from `begin` on.
pub(crate) fn close(out: &mut Vec<u8>, begin: usize) {
    match out.get_mut(begin) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// The shortest text that reads back equal, with a decimal part.
pub(crate) fn float(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        let name: &[u8] = match value {
            f64::INFINITY => b"\"Infinity\"",
            f64::NEG_INFINITY => b"\"-Infinity\"",
            _ => b"\"NaN\"",
        };
        out.extend_from_slice(name);
        return;
    }
    let begin = out.len();
    let _ = write!(out, "{value:?}");
    // As 1e16: the only form without a decimal part.
    if let Some(exponent) = out[begin..].iter().position(|byte| *byte == b'e')
        && !out[begin..].contains(&b'.')
    {
        let at = begin + exponent;
        out.splice(at..at, *b".0");
    }
}

/// In ASCII alone: some clients take the length of the text for the length of its record.
pub(crate) fn text(value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = value;
    while let Some(at) = plain.bytes().position(needs_escape) {
        let (before, rest) = plain.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let mut characters = rest.chars();
        if let Some(character) = characters.next() {
            escape(character, out);
        }
        plain = characters.as_str();
    }
    out.extend_from_slice(plain.as_bytes());
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20 | 0x80..)
}

fn escape(character: char, out: &mut Vec<u8>) {
    let short = match character {
        '"' => b'"',
        '\\' => b'\\',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        _ => {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
