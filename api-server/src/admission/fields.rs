//! Fields that are unknown, or given twice: dropped, warned of or refused.

use serde_json::Value;

use super::patch::Patch;
use crate::registry::Kind;
use crate::request::params::FieldValidation;
use crate::schema::duplicate_fields;
use crate::status::{Cause, Failure};

/// Bytes of all warnings of one answer; what is beyond is left out, as in kube-apiserver.
const MAX_WARNING_BYTES: usize = 4096;

/// Where fields come from, for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin<'a> {
    /// A whole object.
    Body,
    /// A patch, which is quoted.
    Patch(&'a [u8]),
}

/// What was found so far in one request.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    validation: FieldValidation,
    origin: Origin<'a>,
    /// `unknown field "spec.bogus"`, in order.
    faults: Vec<String>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(validation: FieldValidation, origin: Origin<'a>) -> Self {
        Self { validation, origin, faults: Vec::new() }
    }

    /// Looks for names that stand twice in the body of an object.
    pub(crate) fn find_duplicates(&mut self, body: &[u8]) {
        if self.validation != FieldValidation::Ignore {
            let duplicates = duplicate_fields(body);
            self.faults.extend(duplicates.iter().map(|path| format!("duplicate field {path:?}")));
        }
    }

    /// Looks for names that stand twice in a patch.
    pub(crate) fn find_duplicates_in(&mut self, patch: &Patch, body: &[u8]) {
        if self.validation != FieldValidation::Ignore {
            self.faults.extend(patch.duplicates(body));
        }
    }

    /// Drops what the schema of the kind does not know from `object`, except what was in `old`
    /// already: a newer server has written that.
    pub(crate) fn prune(&mut self, kind: &Kind, object: &mut Value, old: Option<&Value>) {
        let Some(schema) = &kind.schema else { return };
        if schema.describes(object) {
            return;
        }
        let full = old.map(|_| object.clone());
        let mut unknown = schema.prune(object);
        if let (Some(old), Some(full)) = (old, full) {
            let mut old_pruned = old.clone();
            let kept = schema.prune(&mut old_pruned);
            if !kept.is_empty() {
                restore(object, &full, old, &old_pruned);
                unknown.retain(|path| !kept.contains(path));
            }
        }
        if self.validation != FieldValidation::Ignore {
            let faults = unknown.iter().map(|path| format!("unknown field {path:?}"));
            // A change may be tried several times.
            let new: Vec<_> = faults.filter(|fault| !self.faults.contains(fault)).collect();
            self.faults.extend(new);
        }
    }

    /// Refuses what strict validation does not allow.
    ///
    /// # Errors
    /// 400 for an object, 422 for a patch.
    pub(crate) fn check(&self, kind: &Kind) -> Result<(), Failure> {
        if self.validation != FieldValidation::Strict || self.faults.is_empty() {
            return Ok(());
        }
        let why = format!("strict decoding error: {}", self.faults.join(", "));
        Err(match self.origin {
            Origin::Body => Failure::bad_request(format!(
                "{0} in version {1:?} cannot be handled as a {0}: {why}",
                kind.kind, kind.version
            )),
            Origin::Patch(patch) => {
                let patch = Value::from(String::from_utf8_lossy(patch));
                let cause = Cause::invalid("patch", &patch, &why);
                Failure::invalid_type("", "", "", vec![cause])
            }
        })
    }

    /// The texts for `Warning` headers.
    pub(crate) fn into_warnings(self) -> Vec<String> {
        let mut bytes = 0;
        let fits = |warning: &String| {
            bytes += warning.len();
            bytes <= MAX_WARNING_BYTES
        };
        self.faults.into_iter().take_while(fits).collect()
    }
}

/// Puts back into `pruned` what was pruned from `full` and is unknown in `old` as well.
fn restore(pruned: &mut Value, full: &Value, old: &Value, old_pruned: &Value) {
    match (pruned, full, old, old_pruned) {
        (
            Value::Object(pruned),
            Value::Object(full),
            Value::Object(old),
            Value::Object(old_pruned),
        ) => {
            for (name, value) in full {
                match (pruned.get_mut(name), old.get(name), old_pruned.get(name)) {
                    (Some(pruned), Some(old), Some(old_pruned)) => {
                        restore(pruned, value, old, old_pruned);
                    }
                    (None, Some(_), None) => {
                        pruned.insert(name.clone(), value.clone());
                    }
                    _ => {}
                }
            }
        }
        (Value::Array(pruned), Value::Array(full), Value::Array(old), Value::Array(old_pruned))
            if pruned.len() == old.len() =>
        {
            let olds = old.iter().zip(old_pruned);
            for ((pruned, full), (old, old_pruned)) in pruned.iter_mut().zip(full).zip(olds) {
                restore(pruned, full, old, old_pruned);
            }
        }
        _ => {}
    }
}
