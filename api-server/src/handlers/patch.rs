//! `patch`: a change of an object, applied to what it is by then.

use std::sync::Arc;

use super::update::{respond, step};
use super::wanted;
use crate::admission::{Fields, Origin, Patch};
use crate::answer::{self, Response};
use crate::object::Object;
use crate::request::media;
use crate::request::params::{WriteKind, WriteOptions};
use crate::request::verb::Verb;
use crate::server::{Request, Server};
use crate::status::Failure;

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
        step(request, Verb::Patch, &old, new)
    };
    let key = request.key();
    let outcome = request.resource.update(&server.storage, &key, options.dry_run, change).await?;
    let mut response = respond(kind, outcome, wanted);
    answer::warn(response.headers_mut(), &fields.into_warnings());
    Ok(response)
}
