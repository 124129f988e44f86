//! `watch`: what changes, one line of JSON per event.
//!
//! ```text
//!  [state now, if asked for] ─► [bookmark "initial-events-end"] ─► changes … bookmarks … ─► end
//! ```
//!
//! A stream ends after its timeout, when the watcher does not keep up, or when the server stops;
//! the client resumes from the last version it has seen. What goes wrong after the answer's head
//! is an `ERROR` event.

pub(crate) mod stream;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use self::stream::{Initial, begin};
use super::wanted;
use crate::answer::{self, Body, Response};
use crate::cache::Start;
use crate::request::params::{At, WatchOptions, WatchStart};
use crate::server::{Request, Server};
use crate::status::Failure;

/// Begins a watch.
///
/// # Errors
/// 400, 406, 422, 429, 504.
pub(crate) async fn handle(
    server: &Arc<Server>,
    request: &Request<'_>,
) -> Result<Response, Failure> {
    let form = wanted(request)?.form;
    let options = WatchOptions::parse(&request.query, request.objects, request.kind())?;
    let room = server.limits.stream()?;
    let cache = &request.resource.cache;
    let (start, ends_initial) = match options.start {
        WatchStart::After(version) => {
            // A version that was never written is from before the store was emptied or restored.
            // Kubernetes would be silent until it is reached; the client would miss all until then.
            if cache.version() < version {
                let newest = server.store().version().await?;
                if newest < version {
                    let why = format!("too new resource version: {version} ({newest})");
                    return Ok(expired(why));
                }
            }
            (Start::After(version), false)
        }
        WatchStart::Now => (Start::Now, false),
        WatchStart::State { at, bookmark } => {
            match at {
                At::Newest => {
                    cache.wait_for_now(server.store()).await?;
                }
                At::NotOlderThan(version) | At::Exactly(version) => {
                    cache.wait_for(server.store(), version).await?;
                }
                At::Any => {}
            }
            (Start::Current, bookmark)
        }
    };
    let mut subscription = match cache.watch(options.selection.clone(), start) {
        Ok(subscription) => subscription,
        Err(too_old) => {
            let asked = request.query.resource_version()?.unwrap_or_default();
            let why = format!("too old resource version: {asked} ({})", too_old.oldest);
            return Ok(expired(why));
        }
    };
    let kind = Arc::clone(request.kind());
    let initial = Initial { objects: subscription.take_initial(), ends: ends_initial };
    Ok(begin(kind, form, &options, initial, subscription, room))
}

fn stream_answer(body: Body) -> Response {
    answer::answer(StatusCode::OK, "application/json", body)
}

/// What makes a client list anew: an answer that begins well, and then the error.
fn expired(why: String) -> Response {
    stream_answer(Body::whole(error_line(&Failure::expired(why, None))))
}

/// What went wrong, as an event.
pub(crate) fn error_line(failure: &Failure) -> Bytes {
    let event = json!({"type": "ERROR", "object": failure.body()});
    Bytes::from(format!("{event}\n"))
}
