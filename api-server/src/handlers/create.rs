//! `create`: a new object.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{check_condition, check_placement, object, wanted};
use crate::admission::{self, Fields, Origin};
use crate::answer::{self, Response};
use crate::request::media;
use crate::request::params::{WriteKind, WriteOptions};
use crate::request::verb::Verb;
use crate::server::{CREATED, Request, Server};
use crate::status::Failure;

/// How often another name is generated where one is taken, as in kube-apiserver.
const MAX_NAMES: usize = 8;

/// Stores a new object and answers with it.
///
/// # Errors
/// 400, 403, 404 for the namespace, 406, 409, 413, 415, 422.
pub(crate) async fn handle(
    server: &Arc<Server>,
    request: &Request<'_>,
) -> Result<Response, Failure> {
    let wanted = wanted(request)?;
    let options = WriteOptions::parse(&request.query, WriteKind::Create)?;
    let kind = request.kind();
    let body_type = media::body_type(request.headers)?;
    let mut new = admission::decode(kind, &request.body, body_type)?;
    let mut fields = Fields::new(options.field_validation, Origin::Body);
    fields.find_duplicates(&request.body);
    fields.prune(kind, &mut new, None);
    fields.check(kind)?;

    let namespace = &request.objects.namespace;
    if kind.namespaced {
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        check_namespace(server, request, namespace, name).await?;
    }
    let generates = set_name(&mut new);
    let mut new = admission::create(kind, namespace, new, Timestamp::now())?;
    check_condition(request, Verb::Create, None, Some(&new))?;
    check_placement(request, None, &new)?;

    let mut names = 1;
    let (body, version) = loop {
        let created = request.resource.create(&server.storage, &new, options.dry_run).await;
        match created {
            Err(failure) if failure.code() == 409 && generates && names < MAX_NAMES => {
                names += 1;
                generate_name(&mut new);
            }
            created => break created?,
        }
    };
    let mut response = if options.dry_run {
        super::value(CREATED, kind, &new, wanted)
    } else {
        object(CREATED, kind, &body, version, wanted)
    };
    answer::warn(response.headers_mut(), &fields.into_warnings());
    Ok(response)
}

/// Generates a name where only a prefix is given; whether it did.
fn set_name(object: &mut Value) -> bool {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    let generates = text("name").is_empty() && !text("generateName").is_empty();
    if generates {
        generate_name(object);
    }
    generates
}

fn generate_name(object: &mut Value) {
    let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default();
    let name = admission::generated_name(prefix);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".to_owned(), name.into());
    }
}

/// Whether the namespace exists and takes new content. Where the cache does not know it, the store
/// is asked: it may be a moment old.
///
/// # Errors
/// 404, 403.
async fn check_namespace(
    server: &Server,
    request: &Request<'_>,
    namespace: &str,
    name: &str,
) -> Result<(), Failure> {
    let namespaces = server.namespaces();
    let found = match namespaces.cache.get(namespace) {
        Some(found) => Some(found),
        None => namespaces.read(server.store(), namespace).await?,
    };
    match found {
        None => Err(Failure::not_found(&namespaces.kind, namespace)),
        Some(found) if found.is_terminating() => {
            Err(Failure::namespace_terminating(request.kind(), name, namespace))
        }
        Some(_) => Ok(()),
    }
}
