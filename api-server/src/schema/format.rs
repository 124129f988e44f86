//! Formats of strings and ranges of numbers.

/// Whether `text` has the format; formats that are not known are not checked.
pub(super) fn is_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" => is_date_time(text),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "byte" => is_base64(text),
        _ => true,
    }
}

/// RFC 3339: a date, `T`, a time with seconds, an offset.
fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let seconds = bytes.get(10).is_some_and(|byte| b"Tt".contains(byte))
        && bytes.get(13) == Some(&b':')
        && bytes.get(16) == Some(&b':');
    let offset = text.ends_with(['Z', 'z'])
        || bytes
            .len()
            .checked_sub(6)
            .is_some_and(|at| matches!(bytes[at], b'+' | b'-') && bytes[at + 3] == b':');
    seconds && offset && text.parse::<jiff::Timestamp>().is_ok()
}

/// RFC 4648 with padding.
fn is_base64(text: &str) -> bool {
    let content = text.trim_end_matches('=');
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.len().is_multiple_of(4)
        && text.len() - content.len() <= 2
        && content.as_bytes().iter().all(inside)
}

/// Whether a number fits in the integer format; `int64` where another is named.
pub(super) fn fits(format: Option<&str>, number: &serde_json::Number) -> bool {
    let signed = || {
        let whole = number.as_f64().filter(|float| float.fract() == 0.0);
        // A float's text is that of an integer only as far as it is exact.
        number.as_i64().or_else(|| whole.and_then(|float| format!("{float}").parse().ok()))
    };
    match format {
        Some("int32") => signed().is_some_and(|number| i32::try_from(number).is_ok()),
        Some("uint32") => signed().is_some_and(|number| u32::try_from(number).is_ok()),
        Some("uint64") => number.as_u64().is_some() || signed().is_some_and(|number| number >= 0),
        Some(_) | None => signed().is_some(),
    }
}
