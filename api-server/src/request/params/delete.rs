//! Options of deletes, from the query or from the body, which wins.

use serde::Deserialize;
use serde_json::Value;

use super::write::dry_run;
use super::{Query, invalid_options};
use crate::status::{Cause, Failure};

/// What happens to those that name the object as their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They are deleted afterwards.
    Background,
    /// They are deleted before.
    Foreground,
    /// They lose the reference.
    Orphan,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeleteOptions {
    pub(crate) dry_run: bool,
    /// What the finalizers on the object say, where it is `None`.
    pub(crate) propagation: Option<Propagation>,
    /// Only this incarnation.
    pub(crate) uid: Option<String>,
    /// Only this version.
    pub(crate) resource_version: Option<String>,
}

/// The body, and the same from the query.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    dry_run: Vec<String>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: Option<Preconditions>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl DeleteOptions {
    /// Reads the query, or the body if there is one. There is no graceful deletion: its grace
    /// period is ignored.
    ///
    /// # Errors
    /// 400 for a body of another kind or shape, 422 for values that are not known.
    pub(crate) fn parse(query: &Query<'_>, body: Option<Value>) -> Result<Self, Failure> {
        query.number("gracePeriodSeconds")?;
        let raw = match body {
            Some(body) => Self::from_body(body)?,
            None => Raw {
                dry_run: query.all("dryRun").map(str::to_owned).collect(),
                propagation_policy: query.get("propagationPolicy").map(str::to_owned),
                orphan_dependents: query.switch("orphanDependents"),
                preconditions: None,
            },
        };
        let mut causes = Vec::new();
        let dry_run = dry_run(raw.dry_run.iter().map(String::as_str), &mut causes);
        let propagation = propagation(&raw, &mut causes);
        if !causes.is_empty() {
            return Err(invalid_options("DeleteOptions", causes));
        }
        let Preconditions { uid, resource_version } = raw.preconditions.unwrap_or_default();
        Ok(Self { dry_run, propagation, uid, resource_version })
    }

    fn from_body(body: Value) -> Result<Raw, Failure> {
        if let Some(kind) = body.get("kind").and_then(Value::as_str)
            && !kind.is_empty()
            && kind != "DeleteOptions"
        {
            let version = body.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
            let why = format!("no kind {kind:?} is registered for version {version:?}");
            return Err(Failure::bad_request(why));
        }
        serde_json::from_value(body).map_err(|error| {
            Failure::bad_request(format!("the delete options cannot be read: {error}"))
        })
    }
}

fn propagation(raw: &Raw, causes: &mut Vec<Cause>) -> Option<Propagation> {
    const FIELD: &str = "propagationPolicy";
    let policy = raw.propagation_policy.as_deref();
    if let (Some(policy), Some(_)) = (policy, raw.orphan_dependents) {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        causes.push(Cause::invalid(FIELD, &Value::from(policy), why));
        return None;
    }
    match (policy, raw.orphan_dependents) {
        (None, None) => None,
        (None, Some(true)) | (Some("Orphan"), _) => Some(Propagation::Orphan),
        (None, Some(false)) | (Some("Background"), _) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some(other), _) => {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            causes.push(Cause::not_supported(FIELD, &Value::from(other), &supported));
            None
        }
    }
}
