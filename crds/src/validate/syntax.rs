//! The syntax of single values: names, role paths, amounts, paths.

use std::collections::BTreeMap;

use crate::quantity::ResourceList;
use crate::validate::{Errors, FieldErrorKind};

/// The longest name that is a DNS label.
pub const MAX_NAME_LENGTH: usize = 63;
/// The longest role path.
pub const MAX_ROLE_LENGTH: usize = 253;
/// The longest single argument, value or path.
pub(super) const MAX_TEXT: usize = 32 * 1024;

/// Resource names that need no domain.
const KNOWN_RESOURCES: [&str; 4] = ["cpu", "memory", "disk", "gpu"];

pub(super) fn bounded(field: &str, text: &str, most: usize, errors: &mut Errors) {
    if text.len() > most {
        let message = format!("must have at most {most} bytes, has {}", text.len());
        errors.add(FieldErrorKind::TooLong, field, message);
    }
    if text.contains('\0') {
        errors.invalid(field, "must not contain a NUL character");
    }
}

pub(super) fn dns_label(field: &str, name: &str, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(field, "must be a DNS label such as `main`");
    } else if name.len() > MAX_NAME_LENGTH {
        let message = format!("must have at most {MAX_NAME_LENGTH} characters");
        errors.add(FieldErrorKind::TooLong, field, message);
    } else if !is_dns_label(name) {
        errors.invalid(
            field,
            format!(
                "must be a DNS label: lower-case letters, digits and `-`, starting and ending with \
                 a letter or digit; `{name}` is not"
            ),
        );
    }
}

pub(super) fn is_dns_label(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= MAX_NAME_LENGTH
        && name.chars().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

pub(super) fn dns_subdomain(field: &str, name: &str, errors: &mut Errors) {
    if name.len() > 253 || !name.split('.').all(is_dns_label) {
        errors.invalid(field, format!("must be a DNS name; `{name}` is not"));
    }
}

/// An id of Mesos: framework, executor, task or agent.
pub(super) fn mesos_id(field: &str, id: &str, errors: &mut Errors) {
    /// The longest, in bytes.
    const MAX_LENGTH: usize = 255;
    let inside = |c: char| !c.is_control() && !matches!(c, '/' | '\\');
    if id.is_empty() || id.len() > MAX_LENGTH || matches!(id, "." | "..") || !id.chars().all(inside)
    {
        errors.invalid(
            field,
            format!(
                "must be from 1 to {MAX_LENGTH} bytes without `/`, `\\` and control characters, and \
                 not `.` or `..`"
            ),
        );
    }
}

/// Names of attributes: letters, digits, `-`, `_`, `.` and `/`.
pub(super) fn attribute(field: &str, name: &str, errors: &mut Errors) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if name.is_empty() {
        errors.required(field, "must name an attribute");
    } else if name.len() > 253 || !name.chars().all(allowed) {
        errors.invalid(
            field,
            format!(
                "must have at most 253 letters, digits, `-`, `_`, `.` or `/`; `{name}` has not"
            ),
        );
    }
}

/// Names of environment variables: printable ASCII without `=`.
pub(super) fn env_name(field: &str, name: &str, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(field, "must name a variable");
    } else if !name.chars().all(|c| c.is_ascii_graphic() && c != '=') {
        errors.invalid(field, "must have only printable ASCII characters other than `=` and space");
    }
}

/// Role paths as Mesos has them: segments between `/`, none of them empty, `.`, `..`, starting with
/// `-` or with white space in it; `*` only alone.
pub(super) fn role_path(field: &str, path: &str, errors: &mut Errors) {
    if path.is_empty() {
        errors.required(field, "must be a role path such as `eng/etl`");
        return;
    }
    if path.len() > MAX_ROLE_LENGTH {
        let message = format!("must have at most {MAX_ROLE_LENGTH} bytes");
        errors.add(FieldErrorKind::TooLong, field, message);
    }
    if path == "*" {
        return;
    }
    let fault = path.split('/').find_map(|segment| match segment {
        "" => Some("an empty segment (a `/` at the start, at the end, or two in a row)"),
        "." | ".." => Some("a segment `.` or `..`"),
        "*" => Some("a segment `*`"),
        _ if segment.starts_with('-') => Some("a segment that starts with `-`"),
        _ if segment.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Some("white space or a control character")
        }
        _ => None,
    });
    if let Some(fault) = fault {
        errors
            .invalid(field, format!("must be a role path such as `eng/etl`; `{path}` has {fault}"));
    }
}

/// Absolute, without `..`, at most 4096 bytes.
pub(super) fn absolute_path(field: &str, path: &str, errors: &mut Errors) -> bool {
    bounded(field, path, 4096, errors);
    if path.is_empty() {
        errors.required(field, "must be an absolute path");
        return false;
    }
    if !path.starts_with('/') || path.split('/').any(|segment| segment == "..") {
        errors.invalid(field, format!("must be an absolute path without `..`; `{path}` is not"));
        return false;
    }
    true
}

/// Known or qualified names, each with an amount.
pub(super) fn amounts(field: &str, list: &ResourceList, also: &[&str], errors: &mut Errors) {
    for (name, amount) in list {
        let field = format!("{field}[{name}]");
        let known = KNOWN_RESOURCES.contains(&name.as_str()) || also.contains(&name.as_str());
        if !known && !is_qualified(name) {
            let names: Vec<&str> = KNOWN_RESOURCES.iter().chain(also).copied().collect();
            errors.add(
                FieldErrorKind::NotSupported,
                &field,
                format!(
                    "must be one of {} or qualified such as `example.com/licence`",
                    names.join(", ")
                ),
            );
        }
        if let Err(error) = amount.millis() {
            errors.invalid(&field, format!("must be an amount that is not negative: {error}"));
        }
    }
}

fn is_qualified(name: &str) -> bool {
    name.split_once('/').is_some_and(|(domain, rest)| {
        let inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        domain.len() <= 253
            && domain.split('.').all(is_dns_label)
            && !rest.is_empty()
            && rest.len() <= MAX_NAME_LENGTH
            && rest.chars().all(inside)
    })
}

/// Reports every name but the first of its kind.
pub(super) fn unique<'a>(
    names: impl Iterator<Item = &'a str>,
    field: impl Fn(usize) -> String,
    errors: &mut Errors,
) {
    let mut seen = BTreeMap::new();
    for (index, name) in names.enumerate() {
        if seen.insert(name, index).is_some() {
            errors.duplicate(field(index), name);
        }
    }
}
