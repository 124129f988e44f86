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

pub(crate) fn text(value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = value.as_bytes();
    let mut begin = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0..0x20 => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[begin..at]);
        begin = at + 1;
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            let _ = write!(out, "{byte:04x}");
        }
    }
    out.extend_from_slice(&bytes[begin..]);
    out.push(b'"');
}
