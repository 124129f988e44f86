//! What is done for each verb, one module each, and what they have in common.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod delete_collection;
pub(crate) mod discovery;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod update;
pub(crate) mod watch;

use http::StatusCode;
use meseta_store::Version;
use serde_json::Value;

use crate::answer::{self, Response};
use crate::authz::{self, Attributes, Condition, Decision, TaskScope};
use crate::cache::{Form, write_object};
use crate::object::Body;
use crate::registry::Kind;
use crate::request::media::{self, Wanted};
use crate::request::verb::Verb;
use crate::server::{Request, forbidden};
use crate::status::Failure;

/// How the client wants the object of its answer.
///
/// # Errors
/// 400, 406.
fn wanted(request: &Request<'_>) -> Result<Wanted, Failure> {
    media::wanted(request.headers, request.query.include_object()?)
}

/// An answer with one object.
pub(crate) fn object(
    status: StatusCode,
    kind: &Kind,
    body: &Body,
    version: Version,
    wanted: Wanted,
) -> Response {
    let mut json = Vec::new();
    write_object(kind, body, version, wanted.form, true, &mut json);
    answer::encoded(status, wanted.encoding, json)
}

/// An answer with one object that is not stored, or not any more.
fn value(status: StatusCode, kind: &Kind, value: &Value, wanted: Wanted) -> Response {
    match wanted.form {
        Form::Object => answer::value(status, wanted.encoding, value),
        Form::Metadata { beta } => {
            answer::value(status, wanted.encoding, &crate::cache::metadata(value, beta))
        }
        Form::Table(include) => {
            let table = crate::cache::table(kind, value, include, true);
            answer::value(status, wanted.encoding, &table)
        }
    }
}

/// Whether the object as it is, or was, is one that the caller may have to do with.
///
/// # Errors
/// 403.
fn check_condition(
    request: &Request<'_>,
    verb: Verb,
    old: Option<&Value>,
    new: Option<&Value>,
) -> Result<(), Failure> {
    let holds = match &request.condition {
        None => true,
        Some(Condition::Named(name)) => {
            let object = new.or(old);
            object.is_some_and(|object| object["metadata"]["name"] == name.as_str())
        }
        Some(Condition::TaskOf { agent, scope }) => {
            let is_own = |object: &Value| object["spec"]["agentName"] == agent.as_str();
            old.is_some_and(is_own)
                && match (scope, old, new) {
                    (TaskScope::Finalizers, Some(old), Some(new)) => {
                        differ_in_finalizers_only(old, new)
                    }
                    _ => true,
                }
        }
    };
    if holds {
        Ok(())
    } else {
        Err(forbidden(request.identity, request.kind(), request.objects, verb))
    }
}

fn differ_in_finalizers_only(old: &Value, new: &Value) -> bool {
    let without_finalizers = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("finalizers");
        }
        object
    };
    without_finalizers(old) == without_finalizers(new)
}

/// Setting `spec.agentName` of a Task is a placement, which needs a permission of its own.
///
/// # Errors
/// 403.
fn check_placement(request: &Request<'_>, old: Option<&Value>, new: &Value) -> Result<(), Failure> {
    let kind = request.kind();
    if (kind.group.as_str(), kind.plural.as_str()) != (meseta_crds::GROUP, "tasks") {
        return Ok(());
    }
    let agent = |object: &Value| {
        object["spec"]["agentName"].as_str().filter(|name| !name.is_empty()).map(str::to_owned)
    };
    let (before, after) = (old.and_then(agent), agent(new));
    if after.is_none() || before == after {
        return Ok(());
    }
    let attributes = Attributes {
        verb: Verb::Place,
        group: &kind.group,
        resource: &kind.plural,
        subresource: "",
        namespace: &request.objects.namespace,
        name: &request.objects.name,
        agent_name: None,
    };
    match authz::authorize(request.identity, &attributes) {
        Decision::Allow => Ok(()),
        Decision::AllowIf(_) | Decision::Deny => {
            Err(forbidden(request.identity, kind, request.objects, Verb::Place))
        }
    }
}
