//! Field selectors: `metadata.name=a,spec.agentName!=b`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::registry::Kind;

/// Requirements on fields, all of which must hold; none matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    path: FieldPath,
    value: String,
    negated: bool,
}

impl FieldSelector {
    /// # Errors
    /// What cannot be understood, or the field that objects of `kind` cannot be selected by.
    pub(crate) fn parse(text: &str, kind: &Kind) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for term in split_terms(text) {
            let (label, negated, value) = split_operator(term)
                .ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{term}'"))?;
            let path = selectable(label, kind).ok_or_else(|| not_supported(label, kind))?;
            requirements.push(Requirement { path, value: unescaped(value)?, negated });
        }
        Ok(Self(requirements))
    }

    /// Whether `object` meets every requirement.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|Requirement { path, value, negated }| {
            (path.get(object) == value.as_str()) != *negated
        })
    }

    /// The one value the field at `path` must have, if there is such a requirement.
    pub(crate) fn exact(&self, path: &str) -> Option<&str> {
        let required = self.0.iter().find(|term| !term.negated && term.path.as_str() == path)?;
        Some(&required.value)
    }

    /// Whether it matches everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn selectable(label: &str, kind: &Kind) -> Option<FieldPath> {
    let everywhere = label == "metadata.name" || label == "metadata.namespace";
    if everywhere {
        return Some(FieldPath::new(label));
    }
    kind.selectable_fields.iter().find(|path| path.as_str() == label).cloned()
}

fn not_supported(label: &str, kind: &Kind) -> String {
    if kind.custom || !kind.selectable_fields.is_empty() {
        format!("field label not supported: {label}")
    } else {
        format!(
            "{label:?} is not a known field selector: only \"metadata.name\", \
             \"metadata.namespace\""
        )
    }
}

/// The terms between commas that are not escaped, without the empty ones.
fn split_terms(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    let is_separator = move |c: char| {
        let separates = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        separates
    };
    text.split(is_separator).filter(|term| !term.is_empty())
}

/// Field, whether it must differ, and the value, still escaped.
fn split_operator(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.find(['=', '!'])?;
    let (label, rest) = term.split_at(at);
    let (negated, value) = if let Some(value) = rest.strip_prefix("!=") {
        (true, value)
    } else {
        (false, rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?)
    };
    Some((label, negated, value))
}

fn unescaped(value: &str) -> Result<String, String> {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (character, if character == '\\' { characters.next() } else { None }) {
            ('\\', Some(escaped @ ('\\' | ',' | '='))) => text.push(escaped),
            ('\\' | '=' | ',', _) => {
                return Err(format!("invalid field selector: invalid value: '{value}'"));
            }
            (other, _) => text.push(other),
        }
    }
    Ok(text)
}

/// The path of one selectable field, such as `spec.agentName`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldPath {
    text: Box<str>,
    /// Where the value may stand; the first place that is not empty counts.
    places: Vec<Vec<Box<str>>>,
}

impl FieldPath {
    /// Dotted names, with or without a dot in front.
    pub(crate) fn new(text: &str) -> Self {
        let text = text.strip_prefix('.').unwrap_or(text);
        Self { text: text.into(), places: vec![names(text)] }
    }

    /// A field that is selected by another name than its place.
    pub(crate) fn at(text: &str, places: &[&str]) -> Self {
        Self { text: text.into(), places: places.iter().copied().map(names).collect() }
    }

    /// The path as selectors write it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The scalar at this path; empty where there is none.
    pub(crate) fn get<'a>(&self, object: &'a Value) -> Cow<'a, str> {
        let values = self.places.iter().map(|place| {
            let mut value = object;
            for name in place {
                value = value.get(&**name).unwrap_or(&Value::Null);
            }
            match value {
                Value::String(text) => Cow::Borrowed(text.as_str()),
                Value::Number(number) => Cow::Owned(number.to_string()),
                Value::Bool(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
                Value::Null | Value::Array(_) | Value::Object(_) => Cow::Borrowed(""),
            }
        });
        values.into_iter().find(|value| !value.is_empty()).unwrap_or_default()
    }

    /// Copies into `outline` what [`FieldPath::get`] looks at in `object`.
    pub(crate) fn copy(&self, object: &Value, outline: &mut Map<String, Value>) {
        for place in &self.places {
            let Some((last, parents)) = place.split_last() else { continue };
            let mut from = object;
            for name in place {
                from = from.get(&**name).unwrap_or(&Value::Null);
            }
            if from.is_null() || from.is_array() || from.is_object() {
                continue;
            }
            let mut into = Some(&mut *outline);
            for name in parents {
                let inner = into.map(|map| map.entry(&**name).or_insert_with(|| Map::new().into()));
                into = inner.and_then(Value::as_object_mut);
            }
            if let Some(into) = into {
                into.insert(last.to_string(), from.clone());
            }
        }
    }
}

fn names(path: &str) -> Vec<Box<str>> {
    path.split('.').map(Box::from).collect()
}
