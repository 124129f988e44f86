//! From what a client sent to what is stored: pure, and in this order.
//!
//! ```text
//!  decode     JSON or YAML into an object of the kind        400, 422 for another kind
//!  fields     unknown ones dropped, warned of or refused     fieldValidation
//!  metadata   what is the server's is set or restored        409 for another uid or version
//!  default    the schema's defaults
//!  validate   metadata, schema, then the kind's own rules    422 with every fault
//! ```
//!
//! Nothing here reads or writes: what depends on other records (namespaces, placements) is the
//! handlers' business.

mod builtin;
mod decode;
mod fields;
mod metadata;
mod patch;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub(crate) use decode::{decode, parse};
pub(crate) use fields::{Fields, Origin};
pub(crate) use metadata::{generated_name, time_value};
pub(crate) use patch::Patch;

use crate::registry::Kind;
use crate::status::{Cause, Failure};

/// The part of an object that a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but the status, if that has an endpoint of its own.
    Main,
    /// The status alone.
    Status,
    /// The finalizers in a namespace's spec alone.
    Finalize,
}

impl Part {
    /// The part that a subresource of the kind stands for.
    pub(crate) fn of(kind: &Kind, subresource: &str) -> Option<Self> {
        match subresource {
            "" => Some(Self::Main),
            "status" if kind.status_subresource => Some(Self::Status),
            "finalize" if is_namespace(kind) => Some(Self::Finalize),
            _ => None,
        }
    }
}

/// Whether it is the kind of namespaces.
pub(crate) fn is_namespace(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.kind == "Namespace"
}

/// Whether finalizers hold an object that is being deleted.
pub(crate) fn is_held(kind: &Kind, object: &Value) -> bool {
    let holds =
        |list: Option<&Value>| list.and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    holds(object.pointer("/metadata/finalizers"))
        || (is_namespace(kind) && holds(object.pointer("/spec/finalizers")))
}

/// Makes a decoded object one that can be stored for the first time: complete but for its name, if
/// that is to be generated (see [`metadata::generated_name`]).
///
/// # Errors
/// 400, 422.
pub(crate) fn create(
    kind: &Kind,
    namespace: &str,
    mut object: Value,
    now: Timestamp,
) -> Result<Value, Failure> {
    metadata::begin(kind, namespace, &mut object, now)?;
    if kind.status_subresource {
        drop_status(&mut object);
    }
    builtin::default(kind, &mut object);
    default(kind, &mut object);
    finish(kind, &mut object, None)?;
    Ok(object)
}

/// Makes `new` a version that can be stored after `old`, taking from it only what may be changed
/// through `part`.
///
/// # Errors
/// 400 for what is no object of the kind or has another name, 409 for another uid or version, 422.
pub(crate) fn update(kind: &Kind, part: Part, old: &Value, new: Value) -> Result<Value, Failure> {
    decode::check_type(kind, &new)?;
    metadata::compare(kind, old, &new)?;
    let mut object = match part {
        Part::Main => main_part(kind, old, new),
        Part::Status => status_part(old, new),
        Part::Finalize => finalize_part(old, &new),
    };
    metadata::carry_over(old, &mut object);
    builtin::default(kind, &mut object);
    if part != Part::Finalize {
        builtin::restore(kind, old, &mut object);
    }
    default(kind, &mut object);
    finish(kind, &mut object, Some(old))?;
    if kind.custom && changes_generation(kind, old, &object) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
        object["metadata"]["generation"] = generation.saturating_add(1).into();
    }
    Ok(object)
}

/// Marks an object for deletion; it goes when nothing holds it. `finalizers` replaces its own.
pub(crate) fn mark_for_deletion(
    kind: &Kind,
    object: &mut Value,
    finalizers: Vec<String>,
    now: Timestamp,
) {
    metadata::mark_for_deletion(kind, object, finalizers, now);
    if is_namespace(kind)
        && let Some(status) = member(object, "status")
    {
        status.insert("phase".to_owned(), "Terminating".into());
    }
}

fn main_part(kind: &Kind, old: &Value, mut new: Value) -> Value {
    if kind.status_subresource {
        drop_status(&mut new);
        if let (Some(status), Some(object)) = (old.get("status"), new.as_object_mut()) {
            object.insert("status".to_owned(), status.clone());
        }
    }
    new
}

fn status_part(old: &Value, mut new: Value) -> Value {
    let mut object = old.clone();
    drop_status(&mut object);
    if let (Some(status), Some(object)) =
        (new.get_mut("status").map(Value::take), object.as_object_mut())
        && !status.is_null()
    {
        object.insert("status".to_owned(), status);
    }
    object
}

fn finalize_part(old: &Value, new: &Value) -> Value {
    let mut object = old.clone();
    let finalizers = new.pointer("/spec/finalizers").cloned();
    if let Some(spec) = member(&mut object, "spec") {
        let none = || Value::Array(Vec::new());
        spec.insert("finalizers".to_owned(), finalizers.unwrap_or_else(none));
    }
    object
}

/// The beginning of a text: at most so many bytes of it.
fn beginning(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The member `name`, an object, made if it is absent; `None` where something else is there.
fn member<'a>(object: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    let member = object.as_object_mut()?.entry(name).or_insert(Value::Null);
    if member.is_null() {
        *member = Value::Object(Map::new());
    }
    member.as_object_mut()
}

fn drop_status(object: &mut Value) {
    if let Some(object) = object.as_object_mut() {
        object.shift_remove("status");
    }
}

fn default(kind: &Kind, object: &mut Value) {
    if let Some(schema) = &kind.schema {
        schema.default(object);
    }
}

/// Whether anything outside the metadata differs, and outside the status if that is separate.
fn changes_generation(kind: &Kind, old: &Value, new: &Value) -> bool {
    fn counted<'a>(
        kind: &Kind,
        object: &'a Value,
    ) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let separate_status = kind.status_subresource;
        object.as_object().into_iter().flat_map(Map::iter).filter(move |(name, _)| {
            name.as_str() != "metadata" && !(separate_status && name.as_str() == "status")
        })
    }
    counted(kind, old).count() != counted(kind, new).count()
        || counted(kind, new).any(|(name, value)| old.get(name) != Some(value))
}

/// Validates; the kind's own rules may fill in more.
fn finish(kind: &Kind, object: &mut Value, old: Option<&Value>) -> Result<(), Failure> {
    let faults = kind.schema.as_ref().map(|schema| schema.validate(object, old));
    let faults = faults.unwrap_or_default();
    if !kind.custom
        && let Some(fault) = faults.first()
    {
        // A type of Go or Rust could not have been decoded from it.
        return Err(Failure::bad_request(format!(
            "{0} in version {1:?} cannot be handled as a {0}: {2}: {3}",
            kind.kind, kind.version, fault.field, fault.message
        )));
    }
    let mut causes = metadata::faults(kind, object, old);
    causes.extend(faults);
    causes.extend(builtin::faults(kind, object, old));
    if let Some(schema) = &kind.schema {
        schema.note_unchecked_rules(&mut causes);
    }
    if causes.is_empty()
        && kind.group == meseta_crds::GROUP
        && let Err(errors) = meseta_crds::validate::admit(&kind.kind, object, old)
    {
        causes.extend(errors.into_iter().map(|error| Cause {
            message: format!("{}: {}", error.kind, error.message),
            reason: error.kind.reason(),
            field: error.field,
        }));
    }
    if causes.is_empty() {
        Ok(())
    } else {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        Err(Failure::invalid(kind, name, causes))
    }
}

#[cfg(test)]
mod tests;
