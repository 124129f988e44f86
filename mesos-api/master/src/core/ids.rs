//! Ids of Mesos, and the names that records get from them.
//!
//! Frameworks choose the ids of their tasks and executors, and may choose their own; names of
//! records are DNS labels. So a name is a readable beginning and a hash of what makes it unique.
//!
//! **Invariant:** a name depends on its input only, so that a repeated attempt is a conflict and
//! never a second record.

use meseta_crds::validate::MAX_NAME_LENGTH;
use sha2::{Digest as _, Sha256};

/// The longest id, in bytes.
pub const MAX_ID_LENGTH: usize = 255;
/// How much of a task's or executor's id is kept readable in the name of its record.
const MAX_READABLE: usize = 30;
/// Hex digits of the hash in a name.
const HASH_DIGITS: usize = 10;

/// Checks an id that a client chose: framework, executor, task or agent.
///
/// # Errors
/// What is wrong with it, in Mesos' words.
pub fn check(id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err("ID must not be empty".to_owned());
    }
    if id.len() > MAX_ID_LENGTH {
        return Err(format!("ID must not be greater than {MAX_ID_LENGTH} characters"));
    }
    if matches!(id, "." | "..") {
        return Err(format!("'{id}' is disallowed"));
    }
    if id.chars().any(|c| c.is_control() || matches!(c, '/' | '\\')) {
        return Err(format!("'{}' contains invalid characters", id.escape_debug()));
    }
    Ok(())
}

/// The id a framework is given that brings none: `<uuid of the gateway's term>-%04d`.
#[must_use]
pub fn framework_id(term: &str, number: u64) -> String {
    format!("{term}-{number:04}")
}

/// Name of the record of a framework.
#[must_use]
pub fn framework_record(name: &str, framework_id: &str) -> String {
    named(name, MAX_NAME_LENGTH - HASH_DIGITS - 1, "framework", &[framework_id])
}

/// Name of the record of a task. `incarnation` tells it from earlier tasks of the same id.
#[must_use]
pub fn task_record(framework_uid: &str, task_id: &str, incarnation: i64) -> String {
    let number = incarnation.to_string();
    named(task_id, MAX_READABLE, "task", &["task", framework_uid, task_id, &number])
}

/// Name of the record of an executor on `agent`.
#[must_use]
pub fn executor_record(
    framework_uid: &str,
    agent: &str,
    executor_id: &str,
    incarnation: i64,
) -> String {
    let number = incarnation.to_string();
    let unique = ["executor", framework_uid, agent, executor_id, &number];
    named(executor_id, MAX_READABLE, "executor", &unique)
}

/// `<readable, cut to what a DNS label can hold>-<hash of unique>`.
fn named(readable: &str, most: usize, fallback: &str, unique: &[&str]) -> String {
    let mut label = String::new();
    for c in readable.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            label.push(c);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
        if label.len() == most {
            break;
        }
    }
    let label = label.trim_end_matches('-');
    let label = if label.is_empty() { fallback } else { label };
    format!("{label}-{}", hash(unique))
}

/// The first digits of the SHA-256 of `parts`, each with its length before it, so that no two
/// lists of parts are the same bytes.
#[must_use]
pub fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    let mut digits: String =
        digest.iter().take(HASH_DIGITS.div_ceil(2)).map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(HASH_DIGITS);
    digits
}

#[cfg(test)]
mod tests;
