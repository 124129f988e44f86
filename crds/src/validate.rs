//! Checks that turn a record into every field error at once.
//!
//! Written once and used twice: [`admit`] by the API server on the JSON it is about to store, the
//! typed checks ([`task_spec`], …) by whoever must not trust what it reads, such as the agent. What
//! CEL can say stands in the generated definitions as well, for other API servers.
//!
//! **Invariant:** pure, and complete: all faults of a record are found in one pass.

mod framework;
mod syntax;
mod task;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{AgentSpec, FrameworkRoleSpec, FrameworkSpec, SCHEDULER_LABEL, TaskSpec, TaskStatus};

pub use syntax::{MAX_NAME_LENGTH, MAX_ROLE_LENGTH};

/// Pids a container may use where nothing else is said.
pub const DEFAULT_PIDS_LIMIT: i64 = 1024;
/// The largest weight of a role.
pub const MAX_WEIGHT: i64 = 1_000_000;
/// The most tasks one set may have.
pub const MAX_REPLICAS: i64 = 100_000;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {kind}: {message}")]
pub struct FieldError {
    /// Path of the field, such as `spec.containers[0].command`.
    pub field: String,
    /// What to change, as a sentence that starts with "must" where it can.
    pub message: String,
    /// The class of the fault.
    pub kind: FieldErrorKind,
}

/// Classes of faults, as Kubernetes tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// Absent or empty.
    Required,
    /// Present, and not as it must be.
    Invalid,
    /// Used twice where it must be unique.
    Duplicate,
    /// Not allowed here.
    Forbidden,
    /// Not one of the known values.
    NotSupported,
    /// A text over its bound.
    TooLong,
    /// A list over its bound.
    TooMany,
}

impl FieldErrorKind {
    /// The `reason` of a cause in a Kubernetes `Status`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::NotSupported => "FieldValueNotSupported",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
        }
    }
}

impl std::fmt::Display for FieldErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Required => "Required value",
            Self::Invalid => "Invalid value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::NotSupported => "Unsupported value",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        })
    }
}

/// The errors found so far.
#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn add(&mut self, kind: FieldErrorKind, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into(), kind });
    }

    fn required(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.add(FieldErrorKind::Required, field, message);
    }

    fn invalid(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.add(FieldErrorKind::Invalid, field, message);
    }

    fn forbidden(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.add(FieldErrorKind::Forbidden, field, message);
    }

    fn duplicate(&mut self, field: impl Into<String>, value: &str) {
        self.add(FieldErrorKind::Duplicate, field, format!("`{value}` must be unique in the list"));
    }

    fn at_most<T>(&mut self, field: &str, list: &[T], most: usize) {
        if list.len() > most {
            let message = format!("must have at most {most} items, has {}", list.len());
            self.add(FieldErrorKind::TooMany, field, message);
        }
    }
}

/// Fills in what the schema's defaults cannot say, then checks `object` and, where `old` is given,
/// the change from it. Kinds that are not of the group `meseta.dev` pass.
///
/// # Errors
/// All faults that were found.
pub fn admit(kind: &str, object: &mut Value, old: Option<&Value>) -> Result<(), Vec<FieldError>> {
    let mut errors = Errors::default();
    match kind {
        "Task" => {
            task::default_limits(object);
            if let Some(spec) = parse::<TaskSpec>(object, &mut errors) {
                task::check(&spec, "spec", &mut errors);
                if let Some(old) = old.and_then(|old| part::<TaskSpec>(old, "spec")) {
                    task::check_change(&spec, &old, &mut errors);
                }
                check_scheduler_label("mesos", object, old, &mut errors);
            }
            let status = part::<TaskStatus>(object, "status");
            let old_status = old.and_then(|old| part::<TaskStatus>(old, "status"));
            if let Some(old) = old_status {
                task::check_status_change(&status.unwrap_or_default(), &old, &mut errors);
            }
        }
        "Framework" => {
            if let Some(spec) = parse::<FrameworkSpec>(object, &mut errors) {
                framework::check(&spec, &mut errors);
                if let Some(old) = old.and_then(|old| part::<FrameworkSpec>(old, "spec")) {
                    framework::check_change(&spec, &old, &mut errors);
                }
                check_scheduler_label("scheduler", object, old, &mut errors);
            }
        }
        "FrameworkRole" => {
            if let Some(spec) = parse::<FrameworkRoleSpec>(object, &mut errors) {
                check_role(&spec, &mut errors);
                let old = old.and_then(|old| part::<FrameworkRoleSpec>(old, "spec"));
                if old.is_some_and(|old| old.path != spec.path) {
                    errors.forbidden("spec.path", "must not change; create another role instead");
                }
            }
        }
        "Agent" => {
            if object.get("spec").is_some()
                && let Some(spec) = parse::<AgentSpec>(object, &mut errors)
            {
                check_agent(&spec, &mut errors);
            }
        }
        _ => {}
    }
    if errors.0.is_empty() { Ok(()) } else { Err(errors.0) }
}

/// Every fault of a task's spec.
#[must_use]
pub fn task_spec(spec: &TaskSpec) -> Vec<FieldError> {
    let mut errors = Errors::default();
    task::check(spec, "spec", &mut errors);
    errors.0
}

/// Every fault of a framework's spec.
#[must_use]
pub fn framework_spec(spec: &FrameworkSpec) -> Vec<FieldError> {
    let mut errors = Errors::default();
    framework::check(spec, &mut errors);
    errors.0
}

/// Every fault of a role's spec.
#[must_use]
pub fn framework_role_spec(spec: &FrameworkRoleSpec) -> Vec<FieldError> {
    let mut errors = Errors::default();
    check_role(spec, &mut errors);
    errors.0
}

/// Every fault of an agent's spec.
#[must_use]
pub fn agent_spec(spec: &AgentSpec) -> Vec<FieldError> {
    let mut errors = Errors::default();
    check_agent(spec, &mut errors);
    errors.0
}

fn check_role(spec: &FrameworkRoleSpec, errors: &mut Errors) {
    syntax::role_path("spec.path", &spec.path, errors);
    if !(1..=MAX_WEIGHT).contains(&spec.weight) {
        errors.invalid("spec.weight", format!("must be from 1 to {MAX_WEIGHT}"));
    }
    syntax::amounts("spec.guarantees", &spec.guarantees, &[], errors);
    syntax::amounts("spec.limits", &spec.limits, &[], errors);
    for (name, guarantee) in &spec.guarantees {
        let limit = spec.limits.get(name).and_then(|limit| limit.millis().ok());
        if limit.zip(guarantee.millis().ok()).is_some_and(|(limit, own)| own > limit) {
            let field = format!("spec.guarantees[{name}]");
            errors.invalid(field, format!("must be less than or equal to `limits.{name}`"));
        }
    }
}

fn check_agent(spec: &AgentSpec, errors: &mut Errors) {
    /// More attributes than any machine needs.
    const MAX_ATTRIBUTES: usize = 256;
    if spec.attributes.len() > MAX_ATTRIBUTES {
        let message = format!("must have at most {MAX_ATTRIBUTES} entries");
        errors.add(FieldErrorKind::TooMany, "spec.attributes", message);
    }
    for (name, value) in &spec.attributes {
        syntax::attribute(&format!("spec.attributes[{name}]"), name, errors);
        syntax::bounded(&format!("spec.attributes[{name}]"), value, syntax::MAX_TEXT, errors);
    }
}

/// The gateway knows schedulers and their tasks, whose spec has this `member`, by their label: without
/// it they are gone to it.
fn check_scheduler_label(member: &str, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let Some(old) = old.filter(|old| !old["spec"][member].is_null()) else { return };
    let label = |object: &Value| object["metadata"]["labels"][SCHEDULER_LABEL].clone();
    let before = label(old);
    if !before.is_null() && label(new) != before {
        let message = "must not change or go: schedulers and their tasks are known by it";
        errors.forbidden(format!("metadata.labels[{SCHEDULER_LABEL}]"), message);
    }
}

/// The spec of `object`; a spec that is absent or of another shape is an error.
fn parse<T: DeserializeOwned>(object: &Value, errors: &mut Errors) -> Option<T> {
    let Some(spec) = object.get("spec").filter(|spec| !spec.is_null()) else {
        errors.required("spec", "must be present");
        return None;
    };
    match T::deserialize(spec) {
        Ok(spec) => Some(spec),
        Err(error) => {
            errors.invalid("spec", error.to_string());
            None
        }
    }
}

fn part<T: DeserializeOwned>(object: &Value, name: &str) -> Option<T> {
    object.get(name).and_then(|part| T::deserialize(part).ok())
}

#[cfg(test)]
mod tests;
