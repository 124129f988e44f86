//! What names, keys and values may look like, with the words Kubernetes says it in.
//!
//! Each function returns what is wrong, nothing where all is well. The rules and texts are those
//! of `kubernetes/apimachinery: pkg/util/validation/validation.go`.

/// The longest DNS label, the longest name part of a key, and the longest label value.
const MAX_LABEL_BYTES: usize = 63;
/// The longest DNS subdomain, and the longest key of a ConfigMap or a Secret.
const MAX_SUBDOMAIN_BYTES: usize = 253;

const NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start \
    and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
    used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric \
    characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
    'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case \
    alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character \
    (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
    characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
    '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DATA_KEY_RULE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' \
    or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is \
    '[-._a-zA-Z0-9]+')";

/// A name of most objects: DNS labels with dots between them.
pub(crate) fn subdomain_faults(name: &str) -> Vec<String> {
    let long = too_long(name, MAX_SUBDOMAIN_BYTES, "characters");
    let odd = (!is_subdomain(name)).then(|| SUBDOMAIN_RULE.to_owned());
    long.into_iter().chain(odd).collect()
}

/// A name of a namespace: one DNS label.
pub(crate) fn dns_label_faults(name: &str) -> Vec<String> {
    let long = too_long(name, MAX_LABEL_BYTES, "characters");
    let odd = match name {
        _ if is_dns_label(name) => None,
        _ if is_subdomain(name) => Some("must not contain dots".to_owned()),
        _ => Some(LABEL_RULE.to_owned()),
    };
    long.into_iter().chain(odd).collect()
}

/// A `[prefix/]name`: a label key, an annotation key, a finalizer.
pub(crate) fn qualified_name_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a qualified name {NAME_RULE} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')"
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                let prefix = subdomain_faults(prefix).into_iter();
                faults.extend(prefix.map(|fault| format!("prefix part {fault}")));
            }
            name
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    }
    faults
        .extend(too_long(name, MAX_LABEL_BYTES, "bytes").map(|fault| format!("name part {fault}")));
    if !is_name(name) {
        faults.push(format!("name part {NAME_RULE}"));
    }
    faults
}

/// The value of a label.
pub(crate) fn label_value_faults(value: &str) -> Vec<String> {
    let long = too_long(value, MAX_LABEL_BYTES, "bytes");
    let odd = (!value.is_empty() && !is_name(value)).then(|| VALUE_RULE.to_owned());
    long.into_iter().chain(odd).collect()
}

/// A key in the data of a ConfigMap or a Secret, which may become a file's name.
pub(crate) fn data_key_faults(key: &str) -> Vec<String> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let long = too_long(key, MAX_SUBDOMAIN_BYTES, "characters");
    let odd = match key {
        _ if key.is_empty() || !key.chars().all(inside) => Some(DATA_KEY_RULE.to_owned()),
        "." | ".." => Some(format!("must not be '{key}'")),
        _ if key.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    };
    long.into_iter().chain(odd).collect()
}

fn too_long(text: &str, most: usize, unit: &str) -> Option<String> {
    (text.len() > most).then(|| format!("must be no more than {most} {unit}"))
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_dns_label)
}

fn is_dns_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || c == '-')
}

fn is_name(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    let inside = |c: char| edge(c) || "-_.".contains(c);
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn faults(found: &[String], expected: &[&str]) {
        let starts = |(fault, expected): (&String, &&str)| fault.starts_with(expected);
        let same = found.len() == expected.len() && found.iter().zip(expected).all(starts);
        assert!(same, "{found:?} and not {expected:?}");
    }

    #[test]
    fn names_are_subdomains_or_labels() {
        faults(&subdomain_faults("a-1.b"), &[]);
        faults(&subdomain_faults("Bad_Name"), &["a lowercase RFC 1123 subdomain"]);
        faults(&subdomain_faults("a..b"), &["a lowercase RFC 1123 subdomain"]);
        faults(&subdomain_faults(&"a".repeat(254)), &["must be no more than 253 characters"]);
        faults(&dns_label_faults("a-1"), &[]);
        faults(&dns_label_faults("a.b"), &["must not contain dots"]);
        faults(&dns_label_faults("-a"), &["a lowercase RFC 1123 label"]);
        faults(&dns_label_faults(&"x".repeat(64)), &["must be no more than 63 characters"]);
    }

    #[test]
    fn keys_have_a_name_and_perhaps_a_prefix() {
        faults(&qualified_name_faults("a.b_c-D"), &[]);
        faults(&qualified_name_faults("example.com/a"), &[]);
        faults(&qualified_name_faults("Bad/a"), &["prefix part a lowercase RFC 1123 subdomain"]);
        faults(&qualified_name_faults("/a"), &["prefix part must be non-empty"]);
        faults(&qualified_name_faults("a/b/c"), &["a qualified name must consist"]);
        let empty = ["name part must be non-empty", "name part must consist"];
        faults(&qualified_name_faults(""), &empty);
        let long = "name part must be no more than 63 bytes";
        faults(&qualified_name_faults(&"a".repeat(64)), &[long]);
    }

    #[test]
    fn values_and_data_keys_are_checked() {
        faults(&label_value_faults(""), &[]);
        faults(&label_value_faults("x y"), &["a valid label must be an empty string"]);
        faults(&label_value_faults(&"x".repeat(64)), &["must be no more than 63 bytes"]);
        faults(&data_key_faults(".hidden_KEY-1"), &[]);
        faults(&data_key_faults("bad key"), &["a valid config key"]);
        faults(&data_key_faults(""), &["a valid config key"]);
        faults(&data_key_faults(".."), &["must not be '..'"]);
        faults(&data_key_faults("..a"), &["must not start with '..'"]);
        faults(&data_key_faults(&"k".repeat(254)), &["must be no more than 253 characters"]);
    }
}
