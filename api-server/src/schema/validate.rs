//! Checks values against schemas, with the messages of Kubernetes.
//!
//! The texts are those of `kube-openapi: pkg/validation/{errors,validate}`, as
//! `apiextensions-apiserver: pkg/apiserver/validation` turns them into causes.

use serde_json::{Map, Number, Value};

use super::NO_FIELD;
use super::compile::{Bounds, Node, Type};
use super::format::{fits, is_format};
use super::lists;
use super::path::Path;
use crate::status::Cause;

/// Everything that is wrong with `object`, except what `old` has the same.
pub(super) fn faults(root: &Node, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    check(root, object, old, &Path::ROOT, &mut causes);
    causes
}

fn check(
    node: &Node,
    value: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    causes: &mut Vec<Cause>,
) {
    if old == Some(value) || (value.is_null() && node.nullable) {
        return;
    }
    if !has_type(node.kind, value) {
        causes.push(wrong_type(node, value, path));
        if node.kind == Type::Integer
            && let Value::Number(number) = value
        {
            causes.extend(out_of_range(node, number, path));
        }
        return;
    }
    match value {
        Value::Object(fields) => check_object(node, fields, old, path, causes),
        Value::Array(items) => check_list(node, items, old, path, causes),
        Value::String(text) => check_text(node, text, path, causes),
        Value::Number(number) => check_number(node, number, path, causes),
        Value::Null | Value::Bool(_) => {}
    }
    if !node.enumeration.is_empty() && !node.enumeration.contains(value) {
        causes.push(not_in_enumeration(node, value, path));
    }
    check_combinations(node, value, path, causes);
}

fn has_type(kind: Type, value: &Value) -> bool {
    match kind {
        Type::Any => true,
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Number => value.is_number(),
        Type::Boolean => value.is_boolean(),
        Type::Integer => is_integer(value),
        Type::IntOrString => value.is_string() || is_integer(value),
    }
}

/// Integers may be written with a fraction of zero.
fn is_integer(value: &Value) -> bool {
    value.is_i64()
        || value.is_u64()
        || value.as_f64().is_some_and(|float| float.is_finite() && float.fract() == 0.0)
}

fn wrong_type(node: &Node, value: &Value, path: &Path<'_>) -> Cause {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match (&node.format, node.kind, found) {
        (Some(format), Type::Integer, "number") => type_invalid(path, "float64", format),
        _ => type_invalid(path, found, node.kind.name()),
    }
}

fn type_invalid(path: &Path<'_>, found: &str, expected: &str) -> Cause {
    let rule = format!("{path} in body must be of type {expected}: {found:?}");
    let cause = Cause::invalid(path.to_string(), &found.into(), &rule);
    Cause { reason: "FieldValueTypeInvalid", ..cause }
}

fn not_in_enumeration(node: &Node, value: &Value, path: &Path<'_>) -> Cause {
    let supported: Vec<String> = node
        .enumeration
        .iter()
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .collect();
    let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
    Cause::not_supported(path.to_string(), value, &supported)
}

fn too_many(path: &Path<'_>, actual: usize, most: usize) -> Cause {
    let items = if most == 1 { "item" } else { "items" };
    Cause {
        field: path.to_string(),
        reason: "FieldValueTooMany",
        message: format!("Too many: {actual}: must have at most {most} {items}"),
    }
}

fn check_object(
    node: &Node,
    fields: &Map<String, Value>,
    old: Option<&Value>,
    path: &Path<'_>,
    causes: &mut Vec<Cause>,
) {
    for name in &node.required {
        if !fields.contains_key(&**name) {
            causes.push(Cause::required(path.name(name).to_string(), ""));
        }
    }
    let Bounds { min_properties, max_properties, .. } = node.bounds;
    if fields.len() < min_properties {
        let rule = format!("{path} in body should have at least {min_properties} properties");
        causes.push(Cause::invalid(path.to_string(), &fields.len().into(), &rule));
    }
    if let Some(most) = max_properties.filter(|most| fields.len() > *most) {
        causes.push(too_many(path, fields.len(), most));
    }
    for (name, value) in fields {
        if let Some(node) = node.described(name) {
            let old = old.and_then(|old| old.get(name));
            check(node, value, old, &path.name(name), causes);
        }
    }
}

fn check_list(
    node: &Node,
    items: &[Value],
    old: Option<&Value>,
    path: &Path<'_>,
    causes: &mut Vec<Cause>,
) {
    let Bounds { min_items, max_items, .. } = node.bounds;
    if items.len() < min_items {
        let rule = format!("{path} in body should have at least {min_items} items");
        causes.push(Cause::invalid(path.to_string(), &items.len().into(), &rule));
    }
    if let Some(most) = max_items.filter(|most| items.len() > *most) {
        causes.push(too_many(path, items.len(), most));
        return;
    }
    if let Some(described) = &node.items {
        let old = old.and_then(Value::as_array);
        for (index, item) in items.iter().enumerate() {
            let old = old.and_then(|old| lists::counterpart(node, item, old));
            check(described, item, old, &path.index(index), causes);
        }
    }
    lists::duplicates(node, items, path, causes);
}

fn check_text(node: &Node, text: &str, path: &Path<'_>, causes: &mut Vec<Cause>) {
    let Bounds { min_length, max_length, .. } = node.bounds;
    let invalid = |rule: String| Cause::invalid(path.to_string(), &text.into(), &rule);
    // Characters count, and there are never more of them than bytes.
    if let Some(most) = max_length
        && text.len() > most
        && text.chars().count() > most
    {
        causes.push(Cause::too_long(path.to_string(), most));
    }
    if min_length > 0 && text.chars().take(min_length).count() < min_length {
        let rule = format!("{path} in body should be at least {min_length} chars long");
        causes.push(invalid(rule));
    }
    if let Some(pattern) = &node.pattern
        && !pattern.matches(text)
    {
        causes.push(invalid(format!("{path} in body should match '{}'", pattern.text)));
    }
    if let Some(format) = &node.format
        && !is_format(format, text)
    {
        causes.push(type_invalid(path, text, format));
    }
}

fn check_number(node: &Node, number: &Number, path: &Path<'_>, causes: &mut Vec<Cause>) {
    let bounds = &node.bounds;
    let value = number.as_f64().unwrap_or(f64::NAN);
    let mut should = |rule: String| {
        let rule = format!("{path} in body should be {rule}");
        causes.push(Cause::invalid(path.to_string(), &number.clone().into(), &rule));
    };
    match bounds.maximum {
        Some(most) if bounds.exclusive_maximum && value >= most => {
            should(format!("less than {most}"));
        }
        Some(most) if value > most => should(format!("less than or equal to {most}")),
        _ => {}
    }
    match bounds.minimum {
        Some(least) if bounds.exclusive_minimum && value <= least => {
            should(format!("greater than {least}"));
        }
        Some(least) if value < least => should(format!("greater than or equal to {least}")),
        _ => {}
    }
    if let Some(factor) = bounds.multiple_of.filter(|factor| value % factor != 0.0) {
        should(format!("a multiple of {factor}"));
    }
    if node.kind == Type::Integer {
        causes.extend(out_of_range(node, number, path));
    }
}

fn out_of_range(node: &Node, number: &Number, path: &Path<'_>) -> Option<Cause> {
    let format = node.format.as_deref();
    if fits(format, number) {
        return None;
    }
    let format = match format {
        Some(format) => format!("with format {format}"),
        None => "(default format)".to_owned(),
    };
    let rule = format!("Checked value must be of type integer {format} in {path}");
    Some(Cause::invalid(NO_FIELD, &"".into(), &rule))
}

fn check_combinations(node: &Node, value: &Value, path: &Path<'_>, causes: &mut Vec<Cause>) {
    let holds = |node: &Node| {
        let mut faults = Vec::new();
        check(node, value, None, path, &mut faults);
        faults.is_empty()
    };
    let mut must = |rule: String| {
        let rule = format!("\"{path}\" must {rule}");
        causes.push(Cause::invalid(NO_FIELD, &"".into(), &rule));
    };
    if !node.any_of.is_empty() && !node.any_of.iter().any(holds) {
        must("validate at least one schema (anyOf)".to_owned());
    }
    if !node.one_of.is_empty() {
        match node.one_of.iter().filter(|node| holds(node)).count() {
            1 => {}
            0 => must("validate one and only one schema (oneOf). Found none valid".to_owned()),
            several => must(format!(
                "validate one and only one schema (oneOf). Found {several} valid alternatives"
            )),
        }
    }
    if node.not.as_deref().is_some_and(holds) {
        must("not validate the schema (not)".to_owned());
    }
    if !node.all_of.iter().all(holds) {
        must("validate all the schemas (allOf)".to_owned());
    }
}
