//! The metadata that every object has: what is the server's, and what must be right.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{beginning, is_namespace};
use crate::registry::Kind;
use crate::status::{Cause, Failure};
use crate::syntax;

/// What of `generateName` is kept, so that name and suffix fit a label.
const MAX_PREFIX_BYTES: usize = 58;
/// Letters of a generated suffix: no vowels, so that no words come out; as Kubernetes'.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Their number.
const SUFFIX_LENGTH: usize = 5;
/// All annotations of one object together.
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

/// The time as it stands in metadata: whole seconds, and never later than it is.
pub(crate) fn time_value(now: Timestamp) -> Value {
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string().into()
}

fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = Value::Object(Map::new());
    }
    object["metadata"].as_object_mut().expect("it was made one above")
}

/// Sets what is the server's in a new object.
///
/// # Errors
/// 400 for another namespace than the path's, or a resource version.
pub(super) fn begin(
    kind: &Kind,
    namespace: &str,
    object: &mut Value,
    now: Timestamp,
) -> Result<(), Failure> {
    let custom = kind.custom;
    let metadata = metadata_mut(object);
    let text = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default();
    if !text("resourceVersion").is_empty() {
        let why = "resourceVersion should not be set on objects to be created";
        return Err(Failure::bad_request(why));
    }
    if kind.namespaced {
        check_namespace(text("namespace"), namespace)?;
        metadata.insert("namespace".to_owned(), namespace.into());
    } else {
        metadata.shift_remove("namespace");
    }
    for name in [
        "resourceVersion",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "managedFields",
    ] {
        metadata.shift_remove(name);
    }
    drop_empty(metadata);
    metadata.insert("uid".to_owned(), Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".to_owned(), time_value(now));
    if custom {
        metadata.insert("generation".to_owned(), 1.into());
    }
    Ok(())
}

fn check_namespace(sent: &str, in_path: &str) -> Result<(), Failure> {
    if sent.is_empty() || sent == in_path {
        return Ok(());
    }
    let why =
        "the namespace of the provided object does not match the namespace sent on the request";
    Err(Failure::bad_request(why))
}

/// Leaves out members that say nothing, as Go's encoder does.
fn drop_empty(metadata: &mut Map<String, Value>) {
    metadata.retain(|_, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    });
}

/// A name for `generateName`, another one at each call.
pub(crate) fn generated_name(prefix: &str) -> String {
    let random = Uuid::new_v4();
    let letter = |byte: &u8| char::from(SUFFIX_LETTERS[usize::from(*byte) % SUFFIX_LETTERS.len()]);
    let suffix: String = random.as_bytes().iter().take(SUFFIX_LENGTH).map(letter).collect();
    format!("{}{suffix}", beginning(prefix, MAX_PREFIX_BYTES))
}

/// Compares what identifies an object.
///
/// # Errors
/// 400 for another name or namespace, 409 for another uid or resource version.
pub(super) fn compare(kind: &Kind, old: &Value, new: &Value) -> Result<(), Failure> {
    let text = |object: &Value, name: &str| {
        object["metadata"][name].as_str().unwrap_or_default().to_owned()
    };
    let name = text(old, "name");
    let sent = text(new, "name");
    if sent.is_empty() {
        return Err(Failure::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if sent != name {
        return Err(Failure::bad_request(format!(
            "the name of the object ({sent}) does not match the name on the URL ({name})"
        )));
    }
    if kind.namespaced {
        check_namespace(&text(new, "namespace"), &text(old, "namespace"))?;
    }
    let (uid, sent) = (text(old, "uid"), text(new, "uid"));
    if !sent.is_empty() && sent != uid {
        let why =
            format!("Precondition failed: UID in precondition: {sent}, UID in object meta: {uid}");
        return Err(Failure::conflict(kind, &name, &why));
    }
    let sent = text(new, "resourceVersion");
    if sent.is_empty() || sent == text(old, "resourceVersion") {
        return Ok(());
    }
    crate::request::params::version(&sent)?;
    Err(Failure::modified(kind, &name))
}

/// Restores what is the server's from the version before.
pub(super) fn carry_over(old: &Value, object: &mut Value) {
    /// What only the server sets.
    const OWN: [&str; 6] =
        ["uid", "creationTimestamp", "generation", "resourceVersion", "namespace", "generateName"];
    let metadata = metadata_mut(object);
    metadata.shift_remove("managedFields");
    metadata.shift_remove("selfLink");
    drop_empty(metadata);
    let restored = OWN.iter().chain(
        // A client cannot undo a deletion, and a change of its time is a fault told later.
        ["deletionTimestamp", "deletionGracePeriodSeconds"]
            .iter()
            .filter(|name| metadata.get(**name).is_none()),
    );
    let restored: Vec<&str> = restored.copied().collect();
    for name in restored {
        match old["metadata"].get(name) {
            Some(value) => {
                metadata.insert(name.to_owned(), value.clone());
            }
            None => {
                metadata.shift_remove(name);
            }
        }
    }
}

/// Sets the time of deletion, and the finalizers.
pub(super) fn mark_for_deletion(
    kind: &Kind,
    object: &mut Value,
    finalizers: Vec<String>,
    now: Timestamp,
) {
    let metadata = metadata_mut(object);
    if finalizers.is_empty() {
        metadata.shift_remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), finalizers.into());
    }
    if metadata.get("deletionTimestamp").is_some() {
        return;
    }
    metadata.insert("deletionTimestamp".to_owned(), time_value(now));
    if !is_namespace(kind) {
        metadata.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
    }
    if kind.custom {
        let generation = metadata.get("generation").and_then(Value::as_i64).unwrap_or_default();
        metadata.insert("generation".to_owned(), generation.saturating_add(1).into());
    }
}

/// Everything that is wrong with the metadata.
pub(super) fn faults(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let metadata = &object["metadata"];
    let mut causes = Vec::new();
    if old.is_none() {
        name_faults(kind, metadata, &mut causes);
    }
    label_faults(metadata, &mut causes);
    annotation_faults(metadata, &mut causes);
    owner_faults(metadata, &mut causes);
    finalizer_faults(metadata, old, &mut causes);
    if let Some(old) = old {
        let (before, after) =
            (old["metadata"].get("deletionTimestamp"), metadata.get("deletionTimestamp"));
        if let Some(after) = after
            && before != Some(after)
        {
            let field = "metadata.deletionTimestamp";
            causes.push(Cause::invalid(field, after, "field is immutable"));
        }
    }
    causes
}

fn name_faults(kind: &Kind, metadata: &Value, causes: &mut Vec<Cause>) {
    let text = |name: &str| metadata[name].as_str().unwrap_or_default();
    let (name, prefix) = (text("name"), text("generateName"));
    let faults =
        if is_namespace(kind) { syntax::dns_label_faults } else { syntax::subdomain_faults };
    if !prefix.is_empty() {
        // Something follows, so that the prefix may end with a dash.
        let found = faults(&format!("{prefix}x"));
        add(causes, "metadata.generateName", &metadata["generateName"], &found);
    }
    if name.is_empty() {
        let why = "name or generateName is required";
        causes.push(Cause::required("metadata.name", why));
    } else {
        add(causes, "metadata.name", &metadata["name"], &faults(name));
    }
}

/// Adds what is wrong with a value.
fn add(causes: &mut Vec<Cause>, field: &str, value: &Value, faults: &[String]) {
    causes.extend(faults.iter().map(|fault| Cause::invalid(field, value, fault)));
}

fn label_faults(metadata: &Value, causes: &mut Vec<Cause>) {
    const FIELD: &str = "metadata.labels";
    for (name, value) in metadata["labels"].as_object().into_iter().flatten() {
        add(causes, FIELD, &name.as_str().into(), &syntax::qualified_name_faults(name));
        let text = value.as_str().unwrap_or_default();
        add(causes, FIELD, value, &syntax::label_value_faults(text));
    }
}

fn annotation_faults(metadata: &Value, causes: &mut Vec<Cause>) {
    const FIELD: &str = "metadata.annotations";
    let mut bytes = 0;
    for (name, value) in metadata["annotations"].as_object().into_iter().flatten() {
        bytes += name.len() + value.as_str().map_or(0, str::len);
        let faults = syntax::qualified_name_faults(&name.to_lowercase());
        add(causes, FIELD, &name.as_str().into(), &faults);
    }
    if bytes > MAX_ANNOTATION_BYTES {
        causes.push(Cause::too_long(FIELD, MAX_ANNOTATION_BYTES));
    }
}

fn owner_faults(metadata: &Value, causes: &mut Vec<Cause>) {
    const FIELD: &str = "metadata.ownerReferences";
    let owners = metadata["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |owner: &Value, name: &str| owner[name].as_str().unwrap_or_default().to_owned();
    for owner in owners {
        for (name, rule) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(owner, name).is_empty() {
                causes.push(Cause::invalid(format!("{FIELD}.{name}"), &"".into(), rule));
            }
        }
        if text(owner, "apiVersion") == "v1" && text(owner, "kind") == "Event" {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            causes.push(Cause::invalid(FIELD, &in_order(owner), why));
        }
    }
    let controllers: Vec<String> = owners
        .iter()
        .filter(|owner| owner["controller"] == true)
        .map(|owner| format!("{}/{}", text(owner, "kind"), text(owner, "name")))
        .collect();
    if let [first, second, ..] = controllers.as_slice() {
        let why = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for \
             {first} and {second}"
        );
        causes.push(Cause::invalid(FIELD, &owners.iter().map(in_order).collect(), &why));
    }
}

/// An owner reference with its members in the order in which Kubernetes writes them.
fn in_order(owner: &Value) -> Value {
    let members = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let present =
        members.iter().filter_map(|name| Some(((*name).to_owned(), owner.get(name)?.clone())));
    Value::Object(present.collect())
}

fn finalizer_faults(metadata: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    const FIELD: &str = "metadata.finalizers";
    let list = |metadata: &Value| -> Vec<String> {
        let list = metadata["finalizers"].as_array().map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let finalizers = list(metadata);
    for name in &finalizers {
        add(causes, FIELD, &name.as_str().into(), &syntax::qualified_name_faults(name));
    }
    let has = |name: &str| finalizers.iter().any(|own| own == name);
    if has("orphan") && has("foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        causes.push(Cause::invalid(FIELD, &finalizers.clone().into(), why));
    }
    if let Some(old) = old
        && old["metadata"].get("deletionTimestamp").is_some()
    {
        let before = list(&old["metadata"]);
        let added: Vec<String> = finalizers
            .iter()
            .filter(|name| !before.contains(name))
            .map(|n| format!("{n:?}"))
            .collect();
        if !added.is_empty() {
            causes.push(Cause::forbidden(
                FIELD,
                &format!(
                    "no new finalizers can be added if the object is being deleted, found new \
                     finalizers []string{{{}}}",
                    added.join(", ")
                ),
            ));
        }
    }
}
