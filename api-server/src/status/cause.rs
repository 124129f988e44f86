//! One fault of one field, in the words of `kubernetes/apimachinery: pkg/util/validation/field`.

use serde_json::Value;

/// One fault of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// Path of the field, such as `spec.containers[0].command`.
    pub field: String,
    /// One of the `FieldValue…` reasons of Kubernetes.
    pub reason: &'static str,
    /// The class of the fault and what to change: `Invalid value: -1: spec.n in body should be …`.
    pub message: String,
}

impl Cause {
    /// `Required value: {what}`; nothing after it where `what` is empty.
    pub(crate) fn required(field: impl Into<String>, what: &str) -> Self {
        let message = join("Required value", what);
        Self { field: field.into(), reason: "FieldValueRequired", message }
    }

    /// `Invalid value: {value}: {what}`; a string value is quoted, as all JSON is.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, what: &str) -> Self {
        let message = join(&format!("Invalid value: {value}"), what);
        Self { field: field.into(), reason: "FieldValueInvalid", message }
    }

    /// `Forbidden: {what}`.
    pub(crate) fn forbidden(field: impl Into<String>, what: &str) -> Self {
        let message = join("Forbidden", what);
        Self { field: field.into(), reason: "FieldValueForbidden", message }
    }

    /// `Too long: may not be more than {most} bytes`.
    pub(crate) fn too_long(field: impl Into<String>, most: usize) -> Self {
        let message = format!("Too long: may not be more than {most} bytes");
        Self { field: field.into(), reason: "FieldValueTooLong", message }
    }

    /// `Duplicate value: {value}`.
    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Duplicate value: {value}");
        Self { field: field.into(), reason: "FieldValueDuplicate", message }
    }

    /// `Unsupported value: {value}: supported values: "a", "b"`.
    pub(crate) fn not_supported(
        field: impl Into<String>,
        value: &Value,
        supported: &[&str],
    ) -> Self {
        let supported: Vec<String> = supported.iter().map(|text| format!("{text:?}")).collect();
        let what = format!("supported values: {}", supported.join(", "));
        let message = join(&format!("Unsupported value: {value}"), &what);
        Self { field: field.into(), reason: "FieldValueNotSupported", message }
    }
}

fn join(class: &str, what: &str) -> String {
    if what.is_empty() { class.to_owned() } else { format!("{class}: {what}") }
}
