//! Label and field selectors, as lists, watches and collection deletes take them.
//!
//! Label selectors follow `kubernetes/apimachinery: pkg/labels/selector.go`, texts of errors
//! included; field selectors `pkg/fields/selector.go`. A field selector names only what the kind
//! declares selectable, because that is what the watch cache can index.

mod field;
mod label;

pub(crate) use field::{FieldPath, FieldSelector};
pub(crate) use label::LabelSelector;

#[cfg(test)]
mod tests;
