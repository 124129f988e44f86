//! Amounts, lists and constraints as people say them.

use meseta_crds::task::{Constraint, ConstraintOperator};

use super::super::amounts::quantity;

/// `4 cpus`, `8Gi memory`, `2 example.com/licence`.
pub(super) fn amount(resource: &str, thousandths: i128) -> String {
    let plural = match resource {
        "cpu" | "gpu" if thousandths != 1000 => "s",
        _ => "",
    };
    format!("{} {resource}{plural}", number(resource, thousandths))
}

/// `4`, `0.5`, `8Gi`.
pub(super) fn number(resource: &str, thousandths: i128) -> String {
    let thousandths = thousandths.max(0);
    if is_bytes(resource) {
        return quantity(resource, thousandths).to_string();
    }
    let (whole, rest) = (thousandths / 1000, thousandths % 1000);
    if rest == 0 {
        whole.to_string()
    } else {
        format!("{whole}.{rest:03}").trim_end_matches('0').to_owned()
    }
}

pub(super) fn is_bytes(resource: &str) -> bool {
    matches!(resource, "memory" | "disk")
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn and(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// `it is full`, `both are full`, `all 3 are full`.
pub(super) fn agents(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("it {one}"),
        2 => format!("both {many}"),
        _ => format!("all {count} {many}"),
    }
}

/// `zone in [eu, us]`.
pub(super) fn constraint(constraint: &Constraint) -> String {
    let Constraint { attribute, operator, values } = constraint;
    let values = values.join(", ");
    match operator {
        ConstraintOperator::In => format!("{attribute} in [{values}]"),
        ConstraintOperator::NotIn => format!("{attribute} not in [{values}]"),
        ConstraintOperator::Exists => format!("{attribute} exists"),
        ConstraintOperator::DoesNotExist => format!("{attribute} does not exist"),
    }
}
