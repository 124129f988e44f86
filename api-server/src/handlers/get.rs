//! `get`: one object.

use std::sync::Arc;

use http::StatusCode;
use meseta_store::Version;

use super::{check_condition, object, wanted};
use crate::answer::Response;
use crate::request::verb::Verb;
use crate::server::{Request, Server};
use crate::status::Failure;

/// Answers with the object as the store has it, or with one not older than was asked for.
///
/// # Errors
/// 403, 404, 406, 504.
pub(crate) async fn handle(
    server: &Arc<Server>,
    request: &Request<'_>,
) -> Result<Response, Failure> {
    let wanted = wanted(request)?;
    let (resource, key) = (request.resource, request.key());
    let found = match request.query.resource_version()? {
        None => resource.read(server.store(), &key).await?,
        Some(version) => {
            if version > Version::default() {
                resource.cache.wait_for(server.store(), version).await?;
            }
            resource.cache.get(&key)
        }
    };
    let Some(found) = found else {
        return Err(Failure::not_found(request.kind(), &request.objects.name));
    };
    if request.condition.is_some() {
        check_condition(request, Verb::Get, Some(found.outline()), None)?;
    }
    Ok(object(StatusCode::OK, request.kind(), found.body(), found.version(), wanted))
}
