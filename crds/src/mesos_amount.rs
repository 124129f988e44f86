//! Amounts of resources in Mesos' terms and in those of records.
//!
//! | Mesos | record |
//! |---|---|
//! | `cpus` | `cpu`, cores |
//! | `mem`, `disk` in MB | `memory`, `disk` in bytes; a MB is a MiB |
//! | `gpus` | `gpu` |
//! | another scalar | the same name, a count |
//!
//! Mesos computes in thousandths.

use crate::Quantity;

/// Bytes of Mesos' MB.
const MIB: i128 = 1024 * 1024;

/// Mesos' name, and thousandths of its unit, of an amount in a record. Fractions of a thousandth are
/// left out; nothing comes of what is no amount, or not more than nothing.
#[must_use]
pub fn of_record<'a>(name: &'a str, quantity: &Quantity) -> Option<(&'a str, i64)> {
    let thousandths = match name {
        "memory" | "disk" => {
            let bytes = i128::from(quantity.units().ok()?);
            i64::try_from(bytes * 1000 / MIB).ok()?
        }
        _ => quantity.millis().ok()?,
    };
    let name = match name {
        "cpu" => "cpus",
        "memory" => "mem",
        "gpu" => "gpus",
        other => other,
    };
    (thousandths > 0).then_some((name, thousandths))
}

/// The record's name and amount of so many thousandths of what Mesos calls this.
#[must_use]
pub fn to_record(name: &str, thousandths: i64) -> (&str, Quantity) {
    let quantity = match name {
        "mem" | "disk" => mebibytes(thousandths),
        _ => Quantity::from_millis(thousandths),
    };
    let name = match name {
        "cpus" => "cpu",
        "mem" => "memory",
        "gpus" => "gpu",
        other => other,
    };
    (name, quantity)
}

/// Thousandths of a MiB in the least number of bytes that holds them.
#[must_use]
pub fn mebibytes(thousandths: i64) -> Quantity {
    let exact = i128::from(thousandths) * MIB;
    let rounded_up = exact / 1000 + i128::from(exact % 1000 > 0);
    Quantity::from_bytes(i64::try_from(rounded_up).unwrap_or(i64::MAX))
}
