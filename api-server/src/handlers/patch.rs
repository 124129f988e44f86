//! `patch`: a change of an object, applied to what it is by then.

use std::sync::Arc;

use serde_json::Value;

use super::update::{check_has_version, respond, step};
use super::wanted;
use crate::admission::{Fields, Origin, Patch};
use crate::answer::{self, Response};
use crate::object::Object;
use crate::registry::Kind;
use crate::request::media;
use crate::request::params::{WriteKind, WriteOptions};
use crate::request::verb::Verb;
use crate::server::{Request, Server};
use crate::status::{Cause, Failure};

/// Patches an object and answers with it. A patch that says a resource version or a uid applies to
/// that one only; any other is tried again where somebody else was faster.
///
/// # Errors
/// 400, 403, 404, 406, 409, 413, 415, 422.
pub(crate) async fn handle(
    server: &Arc<Server>,
    request: &Request<'_>,
) -> Result<Response, Failure> {
    let wanted = wanted(request)?;
    let kind = request.kind();
    let patch_type = media::patch_type(request.headers, kind.custom)?;
    let options = WriteOptions::parse(&request.query, WriteKind::Patch)?;
    let patch = Patch::parse(patch_type, &request.body)?;
    let mut fields = Fields::new(options.field_validation, Origin::Patch(&request.body));
    fields.find_duplicates_in(&patch, &request.body);

    let change = |current: &Object| {
        let old = current.value();
        let mut new = patch.apply(&old)?;
        fields.prune(kind, &mut new, Some(&old));
        fields.check(kind)?;
        check_has_version(kind, &new)?;
        check_uid(kind, &old, &new)?;
        step(request, Verb::Patch, &old, new)
    };
    let key = request.key();
    let outcome = request.resource.update(&server.storage, &key, options.dry_run, change).await?;
    let mut response = respond(kind, outcome, wanted);
    answer::warn(response.headers_mut(), &fields.into_warnings());
    Ok(response)
}

/// Whether the patch leaves the uid as it is: another one is no other object, as in an update, but
/// an attempt to change this one. A version that is stale as well is told first, since that is a
/// conflict and not a fault.
///
/// # Errors
/// 422.
fn check_uid(kind: &Kind, old: &Value, new: &Value) -> Result<(), Failure> {
    let (before, after) = (&old["metadata"]["uid"], &new["metadata"]["uid"]);
    let stale = old["metadata"]["resourceVersion"] != new["metadata"]["resourceVersion"];
    if stale || after.as_str().is_none_or(str::is_empty) || after == before {
        return Ok(());
    }
    let name = old["metadata"]["name"].as_str().unwrap_or_default();
    let cause = Cause::invalid("metadata.uid", after, "field is immutable");
    Err(Failure::invalid(kind, name, vec![cause]))
}
