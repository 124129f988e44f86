//! Fills in defaults.
//!
//! A null where null is not allowed counts as absent: it becomes the default where there is one
//! and goes where there is none. In lists it stays, for validation to find.

use serde_json::Value;

use super::compile::Node;

/// Fills in the defaults of `node` and all beneath it.
pub(super) fn fill(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, node) in &node.properties {
                let Some(default) = &node.default else { continue };
                match fields.get_mut(&**name) {
                    None => {
                        fields.insert(name.to_string(), default.clone());
                    }
                    Some(value) if is_absent(node, value) => *value = default.clone(),
                    Some(_) => {}
                }
            }
            let mut absent = false;
            for (name, value) in fields.iter_mut() {
                let Some(node) = node.described(name) else { continue };
                if is_absent(node, value) {
                    match &node.default {
                        Some(default) => *value = default.clone(),
                        None => absent = true,
                    }
                }
                fill(node, value);
            }
            if absent {
                fields.retain(|name, value| {
                    !node.described(name).is_some_and(|node| is_absent(node, value))
                });
            }
        }
        Value::Array(items) => {
            let Some(node) = &node.items else { return };
            for item in items {
                if let Some(default) = &node.default
                    && is_absent(node, item)
                {
                    *item = default.clone();
                }
                fill(node, item);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_absent(node: &Node, value: &Value) -> bool {
    value.is_null() && !node.nullable
}
