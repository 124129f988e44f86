//! The few changes that the server makes by itself.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::admission;
use crate::handlers::delete;
use crate::object::Object;
use crate::request::params::{DeleteOptions, Propagation};
use crate::status::Failure;
use crate::storage::{Outcome, Resource, Step, Storage};

/// Deletes this version of an object; one that is gone already is fine.
///
/// # Errors
/// 409 where it has changed meanwhile; what the store says.
pub(super) async fn delete(
    storage: &Storage,
    resource: &Resource,
    object: &Object,
    propagation: Propagation,
) -> Result<(), Failure> {
    let options = DeleteOptions {
        propagation: Some(propagation),
        uid: Some(object.uid().to_owned()),
        resource_version: Some(object.version().to_string()),
        ..DeleteOptions::default()
    };
    unless_gone(delete::delete(storage, resource, object.key(), &options).await)
}

/// Takes a finalizer off an object, which goes if nothing else holds it.
///
/// # Errors
/// What the store says.
pub(super) async fn remove_finalizer(
    storage: &Storage,
    resource: &Resource,
    object: &Object,
    finalizer: &str,
) -> Result<(), Failure> {
    edit(storage, resource, object, |value| {
        retain(&mut value["metadata"], "finalizers", |own| own != finalizer);
    })
    .await
}

/// Takes the references to these owners off an object.
///
/// # Errors
/// What the store says.
pub(super) async fn remove_owners(
    storage: &Storage,
    resource: &Resource,
    object: &Object,
    owners: &BTreeSet<String>,
) -> Result<(), Failure> {
    edit(storage, resource, object, |value| {
        retain(&mut value["metadata"], "ownerReferences", |reference| {
            !reference["uid"].as_str().is_some_and(|uid| owners.contains(uid))
        });
    })
    .await
}

/// Lets an object no longer hold up the deletion of its owners.
///
/// # Errors
/// What the store says.
pub(super) async fn unblock_owners(
    storage: &Storage,
    resource: &Resource,
    object: &Object,
) -> Result<(), Failure> {
    edit(storage, resource, object, |value| {
        let references = value["metadata"].get_mut("ownerReferences").and_then(Value::as_array_mut);
        for reference in references.into_iter().flatten().filter_map(Value::as_object_mut) {
            reference.shift_remove("blockOwnerDeletion");
        }
    })
    .await
}

/// Changes this incarnation of an object.
///
/// # Errors
/// What the store says; an object that is gone is fine.
pub(super) async fn edit(
    storage: &Storage,
    resource: &Resource,
    object: &Object,
    change: impl Fn(&mut Value),
) -> Result<(), Failure> {
    let step = |current: &Object| {
        if current.uid() != object.uid() {
            return Ok(Step::Keep);
        }
        let old = current.value();
        let mut new = old.clone();
        change(&mut new);
        if new == old {
            Ok(Step::Keep)
        } else if current.is_terminating() && !admission::is_held(&resource.kind, &new) {
            Ok(Step::Delete(new))
        } else {
            Ok(Step::Put(new))
        }
    };
    unless_gone(resource.update(storage, object.key(), false, step).await)
}

fn unless_gone(outcome: Result<Outcome, Failure>) -> Result<(), Failure> {
    match outcome {
        Ok(_) => Ok(()),
        Err(failure) if failure.code() == 404 => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Keeps the wanted elements of a list, and the list only while it has any.
pub(super) fn retain(parent: &mut Value, name: &str, wanted: impl Fn(&Value) -> bool) {
    let Some(parent) = parent.as_object_mut() else { return };
    if let Some(Value::Array(list)) = parent.get_mut(name) {
        list.retain(wanted);
        if list.is_empty() {
            parent.shift_remove(name);
        }
    }
}
