//! `deletecollection`: the end of all objects that are selected.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};

use super::list::{page, render};
use super::{delete, wanted};
use crate::answer::Response;
use crate::request::params::{DeleteOptions, ListOptions};
use crate::server::{Request, Server};
use crate::status::Failure;

/// Deletes at a time; they share the store's syncs.
const CONCURRENCY: usize = 16;

/// Deletes what is selected and answers with what it was.
///
/// # Errors
/// As a list and a delete; the first failure ends it.
pub(crate) async fn handle(
    server: &Arc<Server>,
    request: &Request<'_>,
) -> Result<Response, Failure> {
    let options = delete::options(request)?;
    let wanted = wanted(request)?;
    let selected = ListOptions::parse(&request.query, request.objects, request.kind())?;
    let page = page(server, request.resource, &selected).await?;
    let (storage, resource) = (&server.storage, request.resource);
    let mut deletes = Vec::new();
    for object in &page.objects {
        let options = DeleteOptions { uid: Some(object.uid().to_owned()), ..options.clone() };
        deletes.push(async move {
            match Box::pin(delete::delete(storage, resource, object.key(), &options)).await {
                Ok(_) => Ok(()),
                // Somebody else was faster; another one may have taken the name.
                Err(failure) if matches!(failure.code(), 404 | 409) => Ok(()),
                Err(failure) => Err(failure),
            }
        });
    }
    futures::stream::iter(deletes).buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
    Ok(render(Arc::clone(request.kind()), page, wanted))
}
