//! Patches: what a client wants changed, applied to the object as it is.

use json_patch::jsonptr::Pointer;
use json_patch::{AddOperation, PatchOperation};
use serde_json::Value;

use crate::request::media::{PatchType, unsupported_patch};
use crate::schema::duplicate_fields;
use crate::status::Failure;

/// Operations in one JSON patch, as in kube-apiserver.
const MAX_OPERATIONS: usize = 10_000;
/// Bytes that the copies of one JSON patch may add, as in kube-apiserver: each copy may double what
/// is there.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// A patch that could be read.
#[derive(Clone, Debug)]
pub(crate) enum Patch {
    Json(Vec<PatchOperation>),
    Merge(Value),
}

impl Patch {
    /// Reads the body of a patch.
    ///
    /// # Errors
    /// 400 for broken JSON or another shape, 413, 422 for operations that are none, and 415 for a
    /// strategic patch that is more than a merge.
    pub(crate) fn parse(patch_type: PatchType, body: &[u8]) -> Result<Self, Failure> {
        match patch_type {
            PatchType::Json => operations(body).map(Self::Json),
            PatchType::Merge => merge(body).map(Self::Merge),
            PatchType::Strategic => {
                let patch = merge(body)?;
                if is_plain(&patch) {
                    Ok(Self::Merge(patch))
                } else {
                    Err(unsupported_patch(false))
                }
            }
        }
    }

    /// What `old` becomes.
    ///
    /// # Errors
    /// 422 where a JSON patch does not fit, 413 where it makes too much of the object.
    pub(crate) fn apply(&self, old: &Value) -> Result<Value, Failure> {
        let mut object = old.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut object, patch),
            Self::Json(operations) => {
                let mut copied = 0;
                for operation in operations {
                    apply(&mut object, operation, &mut copied)?;
                }
            }
        }
        Ok(object)
    }

    /// Names that stand twice in the body.
    pub(crate) fn duplicates(&self, body: &[u8]) -> Vec<String> {
        let prefix = match self {
            Self::Json(_) => "json patch ",
            Self::Merge(_) => "",
        };
        let duplicates = duplicate_fields(body);
        duplicates.iter().map(|path| format!("{prefix}duplicate field {path:?}")).collect()
    }
}

fn undecodable(why: impl std::fmt::Display) -> Failure {
    Failure::bad_request(format!("error decoding patch: {why}"))
}

fn does_not_fit() -> Failure {
    Failure::unprocessable("the server rejected our request due to an error in our request")
}

fn operations(body: &[u8]) -> Result<Vec<PatchOperation>, Failure> {
    let operations: Vec<Value> = serde_json::from_slice(body).map_err(undecodable)?;
    if operations.len() > MAX_OPERATIONS {
        return Err(Failure::too_large(MAX_OPERATIONS));
    }
    let operation = |value| serde_json::from_value(value).map_err(|_| does_not_fit());
    operations.into_iter().map(operation).collect()
}

fn merge(body: &[u8]) -> Result<Value, Failure> {
    match serde_json::from_slice(body).map_err(undecodable)? {
        patch @ Value::Object(_) => Ok(patch),
        Value::Null => Err(Failure::bad_request("Invalid JSON Patch")),
        _ => Err(undecodable("it must be an object")),
    }
}

/// Whether a strategic patch means the same as a merge patch: no directives, and no lists, whose
/// elements a strategic patch merges.
fn is_plain(patch: &Value) -> bool {
    match patch {
        Value::Object(members) => {
            members.iter().all(|(name, value)| !name.starts_with('$') && is_plain(value))
        }
        Value::Array(_) => false,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn apply(
    object: &mut Value,
    operation: &PatchOperation,
    copied: &mut usize,
) -> Result<(), Failure> {
    let as_in_kubernetes = match operation {
        // To test for null is to test for absence.
        PatchOperation::Test(test) if test.value.is_null() && !exists(object, &test.path) => {
            return Ok(());
        }
        // A member that is absent is added.
        PatchOperation::Replace(replace) if is_absent_member(object, &replace.path) => {
            let (path, value) = (replace.path.clone(), replace.value.clone());
            Some(PatchOperation::Add(AddOperation { path, value }))
        }
        PatchOperation::Copy(copy) => {
            *copied += copy.from.resolve(object).map_or(0, bytes);
            if *copied > MAX_COPIED_BYTES {
                return Err(Failure::too_large(MAX_COPIED_BYTES));
            }
            None
        }
        _ => None,
    };
    let operation = as_in_kubernetes.as_ref().unwrap_or(operation);
    json_patch::patch_unsafe(object, std::slice::from_ref(operation)).map_err(|_| does_not_fit())
}

fn exists(object: &Value, path: &Pointer) -> bool {
    path.resolve(object).is_ok()
}

fn is_absent_member(object: &Value, path: &Pointer) -> bool {
    let parent = path.parent().and_then(|parent| parent.resolve(object).ok());
    parent.is_some_and(Value::is_object) && !exists(object, path)
}

/// Bytes of a value as text, near enough.
fn bytes(value: &Value) -> usize {
    /// Quotes, colon and comma.
    const PUNCTUATION: usize = 4;
    PUNCTUATION
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => PUNCTUATION,
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(bytes).sum(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| name.len() + bytes(value)).sum()
            }
        }
}

#[cfg(test)]
mod tests;
