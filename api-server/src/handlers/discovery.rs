//! What is served here: versions, groups, resources, OpenAPI, health.
//!
//! Anybody with a certificate may ask.

use http::{Method, StatusCode, header, request};
use serde_json::Value;

use crate::answer::{self, Body, Response};
use crate::discovery;
use crate::openapi;
use crate::request::media::{self, Encoding};
use crate::request::params::Query;
use crate::request::path::Path;
use crate::server::Server;
use crate::status::Failure;

/// The type of aggregated discovery; clients read its parameters.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Answers a path that is not about objects.
///
/// # Errors
/// 405, 406.
pub(crate) fn handle(
    server: &Server,
    head: &request::Parts,
    path: &Path,
) -> Result<Response, Failure> {
    if *path == Path::Unknown {
        return Ok(answer::no_such_page());
    }
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(Failure::method_not_allowed());
    }
    let registry = &server.registry;
    let plain = |value: Option<Value>| match value {
        Some(value) => answer::value(StatusCode::OK, media::plain_encoding(&head.headers), &value),
        None => answer::no_such_page(),
    };
    Ok(match path {
        Path::Version => plain(Some(discovery::version())),
        Path::Health { check } => health(check),
        Path::CoreVersions if media::wants_aggregated_discovery(&head.headers)? => {
            aggregated(head, &discovery::aggregated_api(registry))
        }
        Path::CoreVersions => plain(Some(discovery::legacy_api())),
        Path::Groups if media::wants_aggregated_discovery(&head.headers)? => {
            aggregated(head, &discovery::aggregated_groups(registry))
        }
        Path::Groups => plain(Some(discovery::legacy_groups(registry))),
        Path::Group { group } => plain(discovery::legacy_group(registry, group)),
        Path::Resources { group, version } => {
            plain(discovery::legacy_resources(registry, group, version))
        }
        Path::OpenApiIndex => plain(Some(openapi::index(registry))),
        Path::OpenApi { document } => open_api(server, head, document),
        Path::Objects(_) | Path::Unknown => answer::no_such_page(),
    })
}

/// The server answers only when its caches are filled, so whoever gets an answer is served.
fn health(check: &str) -> Response {
    match check {
        "" | "ping" | "etcd" => answer::text(StatusCode::OK, "ok"),
        _ => answer::no_such_page(),
    }
}

/// Aggregated discovery, which clients revalidate with every command.
fn aggregated(head: &request::Parts, body: &Value) -> Response {
    let etag = discovery::etag(body);
    let mut response = if is_known(head, &etag) {
        not_modified()
    } else {
        answer::answer(StatusCode::OK, AGGREGATED, Body::whole(body.to_string()))
    };
    set(&mut response, header::ETAG, &etag);
    set(&mut response, header::VARY, "Accept");
    set(&mut response, header::CACHE_CONTROL, "public");
    response
}

fn is_known(head: &request::Parts, etag: &str) -> bool {
    let known = head.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|known| known.trim() == etag))
}

fn not_modified() -> Response {
    let mut response = Response::new(Body::whole(""));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = header::HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// An OpenAPI document; the right hash in the query makes it one to be kept for ever.
fn open_api(server: &Server, head: &request::Parts, path: &str) -> Response {
    let Some(document) = openapi::document(&server.registry, path) else {
        return answer::no_such_page();
    };
    let query = Query::parse(head.uri.query());
    let asked = query.get("hash");
    if asked.is_some_and(|asked| asked != document.hash) {
        let mut response = Response::new(Body::whole(""));
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        let location = format!("/openapi/v3/{path}?hash={}", document.hash);
        set(&mut response, header::LOCATION, &location);
        return response;
    }
    let etag = format!("\"{}\"", document.hash);
    let mut response = if is_known(head, &etag) {
        not_modified()
    } else {
        let content_type = Encoding::Json.content_type();
        answer::answer(StatusCode::OK, content_type, Body::whole(document.body))
    };
    set(&mut response, header::ETAG, &etag);
    if asked.is_some() {
        set(&mut response, header::CACHE_CONTROL, "public, immutable");
    }
    response
}
