//! Lists whose items are told apart: sets by value, maps by some of their fields.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::compile::{ListType, Node};
use super::path::Path;
use crate::status::Cause;

/// Reports every item but the first of its kind.
pub(super) fn duplicates(node: &Node, items: &[Value], path: &Path<'_>, causes: &mut Vec<Cause>) {
    if node.list_type == ListType::Atomic || items.len() < 2 {
        return;
    }
    let mut seen = HashSet::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if let Some(identity) = identity(node, item)
            && !seen.insert(identity.to_string())
        {
            causes.push(Cause::duplicate(path.index(index).to_string(), &identity));
        }
    }
}

/// The item of the old list that is the same one as `item`, if the list says how to tell.
pub(super) fn counterpart<'a>(node: &Node, item: &Value, old: &'a [Value]) -> Option<&'a Value> {
    let ListType::Map(_) = node.list_type else { return None };
    let sought = identity(node, item)?;
    old.iter().find(|other| identity(node, other).as_ref() == Some(&sought))
}

/// What tells the item from others; none for what is no item of such a list.
fn identity(node: &Node, item: &Value) -> Option<Value> {
    match &node.list_type {
        ListType::Atomic => None,
        ListType::Set => Some(item.clone()),
        ListType::Map(keys) => {
            let fields = item.as_object()?;
            let present = keys.iter().filter_map(|key| {
                let default = || node.items.as_ref()?.properties.get(key)?.default.as_ref();
                let value = fields.get(&**key).or_else(default)?;
                Some((key.to_string(), value.clone()))
            });
            Some(Value::Object(present.collect::<Map<_, _>>()))
        }
    }
}
