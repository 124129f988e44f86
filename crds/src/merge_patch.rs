//! JSON merge patches (RFC 7386) of what is known on both sides.
//!
//! An object in such a patch is merged into the one that is there, so whatever leaves out what is
//! empty must say what is gone.

use serde_json::Value;

/// A merge patch that makes `current` into `desired`: what is not wanted any more is null.
#[must_use]
pub fn merge_patch(current: &Value, desired: Value) -> Value {
    let mut patch = desired;
    remove_others(current, &mut patch);
    patch
}

fn remove_others(current: &Value, desired: &mut Value) {
    let (Value::Object(current), Value::Object(desired)) = (current, desired) else { return };
    for (name, current) in current {
        match desired.get_mut(name) {
            Some(desired) => remove_others(current, desired),
            None => drop(desired.insert(name.clone(), Value::Null)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_wanted_any_more_is_taken_away_at_any_depth() {
        let current = json!({"capacity": {"cpu": "1", "gpu": "1"}, "epoch": 7, "list": [{"a": 1}]});
        let desired = json!({"capacity": {"cpu": "2"}, "list": [{"b": 1}], "new": {"a": 1}});
        assert_eq!(
            merge_patch(&current, desired),
            json!({
                "capacity": {"cpu": "2", "gpu": null},
                "epoch": null,
                "list": [{"b": 1}],
                "new": {"a": 1},
            })
        );
        assert_eq!(
            merge_patch(&json!({"allocated": {"cpu": "1"}}), json!({})),
            json!({"allocated": null})
        );
        assert_eq!(merge_patch(&Value::Null, json!({"a": 1})), json!({"a": 1}));
    }
}
