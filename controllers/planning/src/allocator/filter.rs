//! Whether an agent is what a task's constraints ask for.

use std::collections::BTreeMap;

use meseta_crds::task::{Constraint, ConstraintOperator};

/// The attribute that every agent has: its name.
const AGENT: &str = "agent";

/// Whether the agent `name` with `attributes` meets all of `constraints`.
pub(super) fn matches(
    constraints: &[Constraint],
    name: &str,
    attributes: &BTreeMap<String, String>,
) -> bool {
    constraints.iter().all(|constraint| matches_one(constraint, name, attributes))
}

pub(super) fn matches_one(
    constraint: &Constraint,
    name: &str,
    attributes: &BTreeMap<String, String>,
) -> bool {
    let value = match constraint.attribute.as_str() {
        AGENT => Some(name),
        attribute => attributes.get(attribute).map(String::as_str),
    };
    let listed = || value.is_some_and(|value| constraint.values.iter().any(|v| v == value));
    match constraint.operator {
        ConstraintOperator::In => listed(),
        ConstraintOperator::NotIn => !listed(),
        ConstraintOperator::Exists => value.is_some(),
        ConstraintOperator::DoesNotExist => value.is_none(),
    }
}
