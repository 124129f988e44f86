//! Options of creates, updates and patches.

use serde_json::Value;

use super::{Query, invalid_options};
use crate::status::{Cause, Failure};

/// The longest name of a field manager.
const MAX_MANAGER_BYTES: usize = 128;

/// What happens to unknown and duplicate fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped and warned of.
    Warn,
    /// The write is refused.
    Strict,
}

/// Whose options these are, for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteKind {
    Create,
    Update,
    Patch,
}

impl WriteKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch => "PatchOptions",
        }
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) field_validation: FieldValidation,
}

impl WriteOptions {
    /// # Errors
    /// 422, naming every parameter that is wrong.
    pub(crate) fn parse(query: &Query<'_>, kind: WriteKind) -> Result<Self, Failure> {
        let mut causes = Vec::new();
        let dry_run = dry_run(query.all("dryRun"), &mut causes);
        if let Some(manager) = query.get("fieldManager") {
            causes.extend(manager_fault(manager));
        }
        let field_validation = match query.get("fieldValidation") {
            None | Some("Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                let value = Value::from(other);
                causes.push(Cause::not_supported("fieldValidation", &value, &supported));
                FieldValidation::Warn
            }
        };
        if kind == WriteKind::Patch && query.get("force").is_some() {
            causes.push(Cause::forbidden("force", "may not be specified for non-apply patch"));
        }
        if causes.is_empty() {
            Ok(Self { dry_run, field_validation })
        } else {
            Err(invalid_options(kind.as_str(), causes))
        }
    }
}

/// Whether nothing is to be written; `All` is the only value there is.
pub(super) fn dry_run<'a>(values: impl Iterator<Item = &'a str>, causes: &mut Vec<Cause>) -> bool {
    let values: Vec<&str> = values.collect();
    if values.iter().any(|value| *value != "All") {
        let value = Value::from(values.clone());
        causes.push(Cause::not_supported("dryRun", &value, &["All"]));
    }
    !values.is_empty()
}

fn manager_fault(manager: &str) -> Option<Cause> {
    if manager.len() > MAX_MANAGER_BYTES {
        return Some(Cause::too_long("fieldManager", MAX_MANAGER_BYTES));
    }
    let (position, bad) = manager.char_indices().find(|(_, c)| c.is_control())?;
    let code = u32::from(bad);
    let why = format!("invalid character U+{code:04X} (at position {position})");
    Some(Cause::invalid("fieldManager", &Value::from(manager), &why))
}
