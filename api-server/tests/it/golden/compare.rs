//! Compares answers with recordings that have placeholders in them.
//!
//! | placeholder | matches |
//! | --- | --- |
//! | `{{uid:N}}` `{{rv:N}}` `{{lrv:N}}` … | bound at first sight, equal afterwards; versions grow with N |
//! | `{{rv:any}}` `{{hash:any}}` … | the same, not bound |
//! | `{{time}}` `{{microtime}}` `{{age}}` | a time, an age |
//! | `{{text}}`, `{{any}}` | any characters, any value |
//!
//! What says nothing (null, empty text, list or object) may as well be absent: Go's encoders differ
//! among each other there, and its decoders do not.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value};

use super::vector::Compare;

/// Where messages that list several faults are cut, since their order is free.
const MESSAGE_CUTS: [&str; 6] = [", ", "\n", ": [", "conflicts: ", "decoding error: ", "]"];

static PLACEHOLDER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{\{(\w+)(?::[\w-]+)?\}\}").unwrap());

/// What the placeholders of a scenario stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// `text` with the values of its placeholders.
    pub(super) fn fill_in(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{{{name}}}}}"), value)
        })
    }

    /// Compares a whole answer.
    pub(super) fn compare(
        &mut self,
        actual: &Value,
        expected: &Value,
        compare: Compare,
    ) -> Result<(), String> {
        self.value(actual, expected, compare == Compare::Subset, "")
    }

    fn value(
        &mut self,
        actual: &Value,
        expected: &Value,
        subset: bool,
        path: &str,
    ) -> Result<(), String> {
        let same = match (actual, expected) {
            (_, Value::String(any)) if any == "{{any}}" => true,
            (Value::Object(actual), Value::Object(expected)) => {
                return self.object(actual, expected, subset, path);
            }
            (Value::Array(actual), Value::Array(expected)) => {
                let any_order = subset || path.ends_with("/causes") || path.ends_with("/resources");
                return self.list(actual, expected, (subset, any_order), path);
            }
            (Value::Array(actual), Value::Null) => actual.is_empty(),
            (Value::Number(actual), Value::Number(expected)) => {
                actual.as_f64() == expected.as_f64()
            }
            (Value::String(actual), Value::String(expected)) => {
                return self.text(actual, expected).or_else(|difference| {
                    let is_message = path.ends_with("/message");
                    if is_message && parts(actual) == parts(expected) {
                        Ok(())
                    } else {
                        Err(format!("{path}: {difference}"))
                    }
                });
            }
            _ => actual == expected,
        };
        if same { Ok(()) } else { Err(format!("{path}: {actual} and not {expected}")) }
    }

    fn object(
        &mut self,
        actual: &Map<String, Value>,
        expected: &Map<String, Value>,
        subset: bool,
        path: &str,
    ) -> Result<(), String> {
        for (name, expected) in expected {
            let path = format!("{path}/{name}");
            match actual.get(name) {
                Some(actual) => self.value(actual, expected, subset, &path)?,
                None if says_nothing(expected) => {}
                None => return Err(format!("{path} is absent, not {expected}")),
            }
        }
        let more = actual.iter().find(|(name, _)| !expected.contains_key(*name));
        match more {
            Some((name, value)) if !subset => Err(format!("{path}/{name} is too much: {value}")),
            _ => Ok(()),
        }
    }

    fn list(
        &mut self,
        actual: &[Value],
        expected: &[Value],
        (subset, any_order): (bool, bool),
        path: &str,
    ) -> Result<(), String> {
        if path.ends_with("/causes") {
            // A set: the original says some things twice.
            for actual in actual {
                let known = expected
                    .iter()
                    .any(|expected| self.clone().value(actual, expected, subset, path).is_ok());
                if !known {
                    return Err(format!("{path}: {actual} is too much"));
                }
            }
        } else if !subset && actual.len() != expected.len() {
            let items = Value::from(actual);
            return Err(format!("{path}: {} items, not {}: {items}", actual.len(), expected.len()));
        }
        for (index, expected) in expected.iter().enumerate() {
            let path = format!("{path}/{index}");
            if !any_order {
                self.value(&actual[index], expected, subset, &path)?;
                continue;
            }
            let found = actual.iter().find_map(|actual| {
                let mut variables = self.clone();
                variables.value(actual, expected, subset, &path).ok().map(|()| variables)
            });
            match found {
                Some(variables) => *self = variables,
                None => return Err(format!("{path}: no {expected} in {}", Value::from(actual))),
            }
        }
        Ok(())
    }

    /// Compares a text and binds the placeholders in it.
    pub(super) fn text(&mut self, actual: &str, expected: &str) -> Result<(), String> {
        let differs = || format!("{actual:?} and not {:?}", self.fill_in(expected));
        if !expected.contains("{{") {
            return if actual == expected { Ok(()) } else { Err(differs()) };
        }
        let (pattern, names) = self.pattern(expected);
        let pattern = Regex::new(&pattern).unwrap();
        let captures = pattern.captures(actual).ok_or_else(differs)?;
        self.bind(&names, &captures)
    }

    /// A pattern for `expected`, and the names of its groups.
    fn pattern(&self, expected: &str) -> (String, Vec<String>) {
        let (mut pattern, mut names, mut end) = ("(?s)^".to_owned(), Vec::new(), 0);
        for found in PLACEHOLDER.captures_iter(expected) {
            let whole = found.get(0).unwrap();
            pattern += &regex::escape(&expected[end..whole.start()]);
            end = whole.end();
            let name = whole.as_str().trim_matches(['{', '}']).to_owned();
            match self.0.get(&name) {
                Some(bound) => pattern += &regex::escape(bound),
                None => {
                    pattern += &format!("({})", shape(&found[1]));
                    names.push(name);
                }
            }
        }
        pattern += &regex::escape(&expected[end..]);
        pattern.push('$');
        (pattern, names)
    }

    fn bind(&mut self, names: &[String], captures: &Captures<'_>) -> Result<(), String> {
        for (index, name) in names.iter().enumerate() {
            let Some((kind, number)) = name.split_once(':') else { continue };
            if number == "any" {
                continue;
            }
            let value = &captures[index + 1];
            self.check_order(kind, number, value)?;
            self.0.insert(name.clone(), value.to_owned());
        }
        Ok(())
    }

    /// Versions grow with the number of their placeholder; hashes and ETags differ.
    fn check_order(&self, kind: &str, number: &str, value: &str) -> Result<(), String> {
        let integer = |text: &str| text.parse::<u64>().unwrap_or_default();
        for (other, bound) in &self.0 {
            let Some((other_kind, other_number)) = other.split_once(':') else { continue };
            if other_kind != kind {
                continue;
            }
            let fits = match kind {
                "rv" | "lrv" => {
                    integer(number).cmp(&integer(other_number))
                        == integer(value).cmp(&integer(bound))
                }
                "hash" | "etag" => value != bound,
                _ => true,
            };
            if !fits {
                return Err(format!("{kind}:{number} is {value} where {other} is {bound}"));
            }
        }
        Ok(())
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What a kind of placeholder matches.
fn shape(kind: &str) -> &'static str {
    match kind {
        "uid" => "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "rv" | "lrv" => "[0-9]+",
        "time" => r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
        "microtime" => r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
        "age" => r"(?:\d+[smhdy])+",
        "text" => ".*",
        _ => ".+?",
    }
}

/// The parts of a message, in an order of their own.
fn parts(message: &str) -> Vec<String> {
    let cut = |parts: Vec<String>, cut: &str| {
        parts.iter().flat_map(|part| part.split(cut)).map(str::to_owned).collect()
    };
    let mut parts = MESSAGE_CUTS.iter().fold(vec![message.to_owned()], |parts, at| cut(parts, at));
    parts.retain(|part| !part.is_empty());
    parts.sort();
    parts.dedup();
    parts
}
