//! What names, labels and their values may look like.

/// Says what a qualified name is.
pub(super) const QUALIFIED_NAME: &str = "name part must consist of alphanumeric characters, '-', \
    '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or \
    'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
/// Says what the value of a label is.
pub(super) const LABEL_VALUE: &str = "a valid label must be an empty string or consist of \
    alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character \
    (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// The longest DNS-1123 label, and the longest name part of a qualified name.
const MAX_LABEL_BYTES: usize = 63;
/// The longest DNS-1123 subdomain.
pub(super) const MAX_SUBDOMAIN_BYTES: usize = 253;

/// A DNS-1123 label: letters in lower case, digits and `-`.
pub(super) fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL_BYTES
        && is_bounded(text, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), |c| c == '-')
}

/// A DNS-1123 subdomain: labels with dots between them, each of any length.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN_BYTES
        && text.split('.').all(|label| {
            is_bounded(label, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), |c| c == '-')
        })
}

/// `name` or `prefix/name`, where the prefix is a subdomain.
pub(super) fn is_qualified_name(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    prefix.is_none_or(is_subdomain) && name.len() <= MAX_LABEL_BYTES && is_name_part(name)
}

/// Empty, or as the name part of a qualified name.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_part(text)
}

fn is_name_part(text: &str) -> bool {
    is_bounded(text, |c| c.is_ascii_alphanumeric(), |c| matches!(c, '-' | '_' | '.'))
}

/// Whether it begins and ends with an outer character, with outer and inner ones between.
fn is_bounded(text: &str, outer: impl Fn(char) -> bool, inner: impl Fn(char) -> bool) -> bool {
    text.starts_with(&outer) && text.ends_with(&outer) && text.chars().all(|c| outer(c) || inner(c))
}
