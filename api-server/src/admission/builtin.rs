//! What the few built-in kinds do with their own fields.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::member;
use crate::registry::Kind;
use crate::status::Cause;
use crate::syntax;

/// All values of a ConfigMap or a Secret together, as in Kubernetes.
const MAX_DATA_BYTES: usize = 1024 * 1024;
/// The label of a namespace that selectors find it by.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The kind's name, where it is built in.
fn core(kind: &Kind) -> &str {
    if kind.custom { "" } else { &kind.kind }
}

/// Fills in what the kind says.
pub(super) fn default(kind: &Kind, object: &mut Value) {
    match core(kind) {
        "Namespace" => {
            label_with_name(object);
            hold_with_finalizer(object);
            if let Some(status) = member(object, "status") {
                status.entry("phase").or_insert_with(|| "Active".into());
            }
        }
        "Secret" => {
            fold_string_data(object);
            if let Some(secret) = object.as_object_mut() {
                let kind = secret.entry("type").or_insert(Value::Null);
                if kind.is_null() || kind.as_str() == Some("") {
                    *kind = "Opaque".into();
                }
            }
        }
        _ => {}
    }
}

fn label_with_name(namespace: &mut Value) {
    let name = namespace["metadata"]["name"].clone();
    let Some(metadata) = namespace.get_mut("metadata") else { return };
    if let Some(labels) = member(metadata, "labels")
        && name.is_string()
    {
        labels.insert(NAME_LABEL.to_owned(), name);
    }
}

/// The finalizer that holds a new namespace until it is empty.
fn hold_with_finalizer(namespace: &mut Value) {
    if namespace["metadata"].get("deletionTimestamp").is_some() {
        return;
    }
    let Some(spec) = member(namespace, "spec") else { return };
    let finalizers = spec.entry("finalizers").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = finalizers
        && !list.iter().any(|own| own == "kubernetes")
    {
        list.push("kubernetes".into());
    }
}

/// `stringData` is a way to write `data` without base64.
fn fold_string_data(object: &mut Value) {
    let Some(members) = object.as_object_mut() else { return };
    let Some(Value::Object(texts)) = members.shift_remove("stringData") else { return };
    let data = members.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(data) = data {
        for (name, text) in texts {
            let bytes = text.as_str().unwrap_or_default().as_bytes();
            data.insert(name, STANDARD.encode(bytes).into());
        }
    }
}

/// Restores what is not changed through the main endpoint.
pub(super) fn restore(kind: &Kind, old: &Value, object: &mut Value) {
    if core(kind) == "Namespace"
        && let (Some(object), Some(spec)) = (object.as_object_mut(), old.get("spec"))
    {
        object.insert("spec".to_owned(), spec.clone());
    }
}

/// What the kind's own rules find.
pub(super) fn faults(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    match core(kind) {
        "ConfigMap" => {
            let mut causes = frozen(object, old, &["data", "binaryData"]);
            data_key_faults(object, &["data", "binaryData"], &mut causes);
            let bytes =
                bytes(&object["data"], str::len) + bytes(&object["binaryData"], decoded_len);
            causes.extend((bytes > MAX_DATA_BYTES).then(|| Cause::too_long("[]", MAX_DATA_BYTES)));
            let both = object["data"]
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(name, _)| object["binaryData"].get(name.as_str()).is_some());
            for (name, _) in both {
                let why = "duplicate of key present in binaryData";
                causes.push(Cause::invalid(format!("data[{name}]"), &name.as_str().into(), why));
            }
            causes
        }
        "Secret" => {
            let mut causes = frozen(object, old, &["data"]);
            data_key_faults(object, &["data"], &mut causes);
            let size = bytes(&object["data"], decoded_len);
            causes.extend((size > MAX_DATA_BYTES).then(|| Cause::too_long("data", MAX_DATA_BYTES)));
            if let Some(old) = old
                && old["type"] != object["type"]
            {
                causes.push(Cause::invalid("type", &object["type"], "field is immutable"));
            }
            causes
        }
        "Event" => {
            // None for an object of the cluster scope.
            let namespace = &object["involvedObject"]["namespace"];
            let elsewhere = namespace.as_str().is_some_and(|name| !name.is_empty())
                && *namespace != object["metadata"]["namespace"];
            let why = "does not match event.namespace";
            let fault = || Cause::invalid("involvedObject.namespace", namespace, why);
            elsewhere.then(fault).into_iter().collect()
        }
        "Lease" => {
            let at_least = |field: &str, least: i64, rule: &str| {
                let value = &object["spec"][field];
                let low = value.as_i64().is_some_and(|value| value < least);
                low.then(|| Cause::invalid(format!("spec.{field}"), value, rule))
            };
            let duration = at_least("leaseDurationSeconds", 1, "must be greater than 0");
            let transitions = at_least("leaseTransitions", 0, "must be greater than or equal to 0");
            duration.into_iter().chain(transitions).collect()
        }
        _ => Vec::new(),
    }
}

fn data_key_faults(object: &Value, fields: &[&str], causes: &mut Vec<Cause>) {
    for field in fields {
        for (key, _) in object[*field].as_object().into_iter().flatten() {
            let faults = syntax::data_key_faults(key).into_iter();
            causes.extend(faults.map(|fault| {
                Cause::invalid(format!("{field}[{key}]"), &key.as_str().into(), &fault)
            }));
        }
    }
}

fn bytes(data: &Value, len: fn(&str) -> usize) -> usize {
    let values = data.as_object().into_iter().flatten();
    values.map(|(_, value)| value.as_str().map_or(0, len)).sum()
}

/// Bytes in a base64 text.
fn decoded_len(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4
}

/// What may not change once `immutable` is set.
fn frozen(object: &Value, old: Option<&Value>, names: &[&str]) -> Vec<Cause> {
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return Vec::new() };
    let why = "field is immutable when `immutable` is set";
    let mut causes = Vec::new();
    if object["immutable"] != true {
        causes.push(Cause::forbidden("immutable", why));
    }
    let changed = names.iter().filter(|name| old.get(**name) != object.get(**name));
    causes.extend(changed.map(|name| Cause::forbidden(*name, why)));
    causes
}
