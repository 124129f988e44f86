//! `update`: another version of an object, as a whole.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::{check_condition, check_placement, object, wanted};
use crate::admission::{self, Fields, Origin, Part};
use crate::answer::{self, Response};
use crate::object::Object;
use crate::registry::Kind;
use crate::request::media;
use crate::request::params::{WriteKind, WriteOptions};
use crate::request::verb::Verb;
use crate::server::{Request, Server};
use crate::status::{Cause, Failure};
use crate::storage::{Outcome, Step};

/// Replaces an object and answers with it.
///
/// # Errors
/// 400, 403, 404, 406, 409, 413, 415, 422.
pub(crate) async fn handle(
    server: &Arc<Server>,
    request: &Request<'_>,
) -> Result<Response, Failure> {
    let wanted = wanted(request)?;
    let options = WriteOptions::parse(&request.query, WriteKind::Update)?;
    let kind = request.kind();
    let body_type = media::body_type(request.headers)?;
    let new = admission::decode(kind, &request.body, body_type)?;
    let mut fields = Fields::new(options.field_validation, Origin::Body);
    fields.find_duplicates(&request.body);

    let change = |current: &Object| {
        let old = current.value();
        let mut new = new.clone();
        fields.prune(kind, &mut new, Some(&old));
        fields.check(kind)?;
        check_has_version(kind, &new)?;
        step(request, Verb::Update, &old, new)
    };
    let key = request.key();
    let outcome = request.resource.update(&server.storage, &key, options.dry_run, change).await?;
    let mut response = respond(kind, outcome, wanted);
    answer::warn(response.headers_mut(), &fields.into_warnings());
    Ok(response)
}

/// Whether the version that was changed is said, for kinds that cannot do without.
///
/// # Errors
/// 422.
pub(super) fn check_has_version(kind: &Kind, new: &Value) -> Result<(), Failure> {
    let text = |name: &str| new["metadata"][name].as_str().unwrap_or_default();
    let needed = kind.custom || kind.group == "coordination.k8s.io";
    if !needed || !text("resourceVersion").is_empty() {
        return Ok(());
    }
    let field = "metadata.resourceVersion";
    let cause = Cause::invalid(field, &0.into(), "must be specified for an update");
    Err(Failure::invalid_type(&kind.group, &kind.plural, text("name"), vec![cause]))
}

/// What an update makes of an object: nothing where nothing changes, and its end where it was only
/// held by finalizers that are gone now.
///
/// # Errors
/// 400, 403, 409, 422.
pub(super) fn step(
    request: &Request<'_>,
    verb: Verb,
    old: &Value,
    new: Value,
) -> Result<Step, Failure> {
    let kind = request.kind();
    check_condition(request, verb, Some(old), None)?;
    let part = Part::of(kind, &request.objects.subresource)
        .ok_or_else(|| Failure::not_found(kind, &request.objects.name))?;
    let new = admission::update(kind, part, old, new)?;
    check_condition(request, verb, Some(old), Some(&new))?;
    check_placement(request, Some(old), &new)?;
    if new == *old {
        return Ok(Step::Keep);
    }
    let terminating = old["metadata"].get("deletionTimestamp").is_some();
    if terminating && !admission::is_held(kind, &new) {
        return Ok(Step::Delete(new));
    }
    Ok(Step::Put(new))
}

/// The answer to an update.
pub(super) fn respond(kind: &Kind, outcome: Outcome, wanted: media::Wanted) -> Response {
    match outcome {
        Outcome::Stored(body, version) => object(StatusCode::OK, kind, &body, version, wanted),
        Outcome::Gone(value) => super::value(StatusCode::OK, kind, &value, wanted),
    }
}
