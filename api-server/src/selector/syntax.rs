//! What a label key and a label value may look like, with the words Kubernetes says it in.

/// The longest name part of a key, and the longest value.
const MAX_NAME_LENGTH: usize = 63;
/// The longest prefix of a key, a DNS subdomain.
const MAX_PREFIX_LENGTH: usize = 253;

const NAME_RULE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
    '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric \
    characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
    'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case \
    alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character \
    (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// What is wrong with a `[prefix/]name`: a label key, an annotation key, a finalizer.
pub(crate) fn qualified_name_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a qualified name {rule} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')",
                rule = NAME_RULE.trim_start_matches("name part ")
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                faults.extend(subdomain_faults(prefix).map(|fault| format!("prefix part {fault}")));
            }
            name
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > MAX_NAME_LENGTH {
        faults.push(format!("name part must be no more than {MAX_NAME_LENGTH} bytes"));
    }
    if !is_name(name) {
        faults.push(NAME_RULE.to_owned());
    }
    faults
}

/// What is wrong with a label's value.
pub(crate) fn label_value_faults(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > MAX_NAME_LENGTH {
        faults.push(format!("must be no more than {MAX_NAME_LENGTH} bytes"));
    }
    if !value.is_empty() && !is_name(value) {
        faults.push(VALUE_RULE.to_owned());
    }
    faults
}

fn subdomain_faults(text: &str) -> impl Iterator<Item = String> {
    let long = (text.len() > MAX_PREFIX_LENGTH)
        .then(|| format!("must be no more than {MAX_PREFIX_LENGTH} bytes"));
    let odd = (!text.split('.').all(is_dns_label)).then(|| SUBDOMAIN_RULE.to_owned());
    long.into_iter().chain(odd)
}

fn is_dns_label(label: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !label.is_empty()
        && label.chars().all(inside)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_name(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let edge = |c: char| c.is_ascii_alphanumeric();
    name.starts_with(edge) && name.ends_with(edge) && name.chars().all(inside)
}
