//! `delete`: the end of an object, or the beginning of its end where finalizers hold it.

use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use super::{object, wanted};
use crate::admission;
use crate::answer::{self, Response};
use crate::object::Object;
use crate::registry::Kind;
use crate::request::media;
use crate::request::params::{DeleteOptions, Propagation};
use crate::server::{Request, Server};
use crate::status::{self, Failure};
use crate::storage::{Outcome, Resource, Step, Storage};

/// The finalizer of an object that goes after its dependents.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object whose dependents lose their reference before it goes.
pub(crate) const ORPHAN: &str = "orphan";
/// Namespaces that everything relies on.
const PROTECTED: [&str; 3] = ["default", "kube-system", meseta_crds::SYSTEM_NAMESPACE];

/// Deletes an object; answers with the object while it is held, else with a `Status`.
///
/// # Errors
/// 400, 403, 404, 406, 409, 415, 422.
pub(crate) async fn handle(
    server: &Arc<Server>,
    request: &Request<'_>,
) -> Result<Response, Failure> {
    let options = options(request)?;
    let wanted = wanted(request)?;
    let kind = request.kind();
    let outcome = delete(&server.storage, request.resource, &request.key(), &options).await?;
    Ok(match outcome {
        Outcome::Stored(body, version) => object(StatusCode::OK, kind, &body, version, wanted),
        // A few kinds answer with what they were.
        Outcome::Gone(value) if kind.kind == "ServiceAccount" => {
            super::value(StatusCode::OK, kind, &value, wanted)
        }
        Outcome::Gone(value) => {
            let uid = value["metadata"]["uid"].as_str().unwrap_or_default();
            let status = status::success(kind, &request.objects.name, uid);
            answer::value(StatusCode::OK, wanted.encoding, &status)
        }
    })
}

/// The options in the body, or in the query.
///
/// # Errors
/// 400, 415, 422.
pub(super) fn options(request: &Request<'_>) -> Result<DeleteOptions, Failure> {
    let body = if request.body.is_empty() {
        None
    } else {
        let body_type = media::body_type(request.headers)?;
        let body = admission::parse(&request.body, body_type).map_err(|why| {
            Failure::bad_request(format!("couldn't get version/kind; json parse error: {why}"))
        })?;
        Some(body)
    };
    DeleteOptions::parse(&request.query, body)
}

/// Deletes the object with `key`, or marks it for deletion.
///
/// # Errors
/// 403, 404, 409; what the store says.
pub(crate) async fn delete(
    storage: &Storage,
    resource: &Resource,
    key: &str,
    options: &DeleteOptions,
) -> Result<Outcome, Failure> {
    let kind = &*resource.kind;
    let now = Timestamp::now();
    let change = |current: &Object| {
        check_preconditions(kind, current, options)?;
        if admission::is_namespace(kind) && PROTECTED.contains(&current.name()) {
            let why = "this namespace may not be deleted";
            return Err(Failure::forbidden_because(kind, current.name(), why));
        }
        let old = current.value();
        let mut new = old.clone();
        let finalizers = finalizers(&old, options.propagation);
        admission::mark_for_deletion(kind, &mut new, finalizers, now);
        if !admission::is_held(kind, &new) {
            return Ok(Step::Delete(old));
        }
        Ok(if new == old { Step::Keep } else { Step::Put(new) })
    };
    resource.update(storage, key, options.dry_run, change).await
}

fn check_preconditions(
    kind: &Kind,
    current: &Object,
    options: &DeleteOptions,
) -> Result<(), Failure> {
    let conflict = |why: &str| Err(Failure::conflict(kind, current.name(), why));
    if let Some(uid) = &options.uid
        && uid != current.uid()
    {
        return conflict(&format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object \
             might have been deleted and then recreated",
            current.uid()
        ));
    }
    let version = current.version().to_string();
    match &options.resource_version {
        Some(asked) if *asked != version => conflict(&format!(
            "the ResourceVersion in the precondition ({asked}) does not match the ResourceVersion \
             in record ({version}). The object might have been modified"
        )),
        _ => Ok(()),
    }
}

/// The finalizers of an object that is being deleted in a certain way.
fn finalizers(old: &Value, propagation: Option<Propagation>) -> Vec<String> {
    let list = old["metadata"]["finalizers"].as_array().map_or(&[][..], Vec::as_slice);
    let mut finalizers: Vec<String> =
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let wanted = match propagation {
        None => return finalizers,
        Some(Propagation::Background) => None,
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Orphan) => Some(ORPHAN),
    };
    finalizers.retain(|own| own != FOREGROUND && own != ORPHAN || wanted == Some(own));
    if let Some(wanted) = wanted
        && !finalizers.iter().any(|own| own == wanted)
    {
        finalizers.push(wanted.to_owned());
    }
    finalizers
}
