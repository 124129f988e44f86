//! Finds and removes fields that no schema describes.

use serde_json::Value;

use super::compile::{Field, Node};
use super::path::Path;

/// Whether `node` describes everything in `value`, so that nothing would be removed.
pub(super) fn describes(node: &Node, value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().all(|(name, value)| match node.field(name) {
            Field::As(node) => describes(node, value),
            Field::Whole => true,
            Field::Unknown => false,
        }),
        Value::Array(items) => {
            let nothing = Node::default();
            match &node.items {
                None if node.preserve_unknown => true,
                described => {
                    let node = described.as_deref().unwrap_or(&nothing);
                    items.iter().all(|item| describes(node, item))
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Removes what `node` does not describe from `value`, and adds the paths of it to `unknown`.
pub(super) fn prune(node: &Node, value: &mut Value, path: &Path<'_>, unknown: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let path = path.name(name);
            match node.field(name) {
                Field::As(node) => prune(node, value, &path, unknown),
                Field::Whole => {}
                Field::Unknown => {
                    unknown.push(path.to_string());
                    return false;
                }
            }
            true
        }),
        Value::Array(items) => {
            let nothing = Node::default();
            let node = match &node.items {
                Some(node) => node,
                None if node.preserve_unknown => return,
                None => &nothing,
            };
            for (index, item) in items.iter_mut().enumerate() {
                prune(node, item, &path.index(index), unknown);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
