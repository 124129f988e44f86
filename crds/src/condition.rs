//! Conditions: what is true of a record, since when and why.
//!
//! The shape is `metav1.Condition`; kstatus, `kubectl wait`, Flux and Argo CD read it.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Condition types; `True` is the good state, except for [`STALLED`].
pub mod kind {
    /// The record does what its spec asks: a task runs (or has finished well), an agent takes work,
    /// every set of a framework is complete or at its count.
    pub const READY: &str = "Ready";
    /// The task has an agent. `False` says in numbers what it waits for.
    pub const PLACED: &str = "Placed";
    /// A bounded record has ended well (`True`) or will never (`False`).
    pub const SUCCEEDED: &str = "Succeeded";
    /// Abnormal: no further progress without a change of the spec.
    pub const STALLED: &str = "Stalled";
    /// The agent's disk has room for new sandboxes.
    pub const DISK_AVAILABLE: &str = "DiskAvailable";
}

/// The value of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be said yet.
    Unknown,
}

impl Value {
    /// The text on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Puts a condition into `conditions`, keeping `lastTransitionTime` unless the value changes.
/// Returns whether anything changed, so that a write that says nothing new can be left out.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    value: Value,
    reason: &str,
    message: &str,
    generation: i64,
    now: &Time,
) -> bool {
    let previous = conditions.iter().position(|condition| condition.type_ == kind);
    let last_transition_time = previous
        .map(|index| &conditions[index])
        .filter(|condition| condition.status == value.as_str())
        .map_or_else(|| now.clone(), |condition| condition.last_transition_time.clone());
    let condition = Condition {
        type_: kind.to_owned(),
        status: value.as_str().to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: Some(generation),
        last_transition_time,
    };
    match previous {
        Some(index) if conditions[index] == condition => false,
        Some(index) => {
            conditions[index] = condition;
            true
        }
        None => {
            conditions.push(condition);
            true
        }
    }
}

/// The condition of type `kind`, if it was ever set.
#[must_use]
pub fn get<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the condition of type `kind` is `True`.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    get(conditions, kind).is_some_and(|condition| condition.status == "True")
}
