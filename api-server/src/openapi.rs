//! The API described for machines: OpenAPI v3, one document per group and version.
//!
//! `kubectl create|apply|replace|edit` look in it for a `patch` operation of the kind with a query
//! parameter `fieldValidation` (and `dryRun`), `kubectl explain` for the kind's schema and a path
//! of its resource. Clients keep documents by their hash, which changes with the content.

mod components;
mod paths;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use meseta_crds::{LIVE_GROUP, VERSION};
use serde_json::{Map, Value, json};

use crate::discovery;
use crate::registry::{Kind, Registry, api_version};

/// All documents by their path, such as `apis/meseta.dev/v1alpha1`.
pub(crate) type Documents = BTreeMap<String, Document>;

/// One document.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// Changes with the body.
    pub hash: String,
    /// JSON.
    pub body: Bytes,
}

/// `GET /openapi/v3`: where the documents are.
pub(crate) fn index(registry: &Registry) -> Value {
    let paths: Map<String, Value> = registry
        .documents()
        .iter()
        .map(|(path, document)| {
            let url = format!("/openapi/v3/{path}?hash={}", document.hash);
            (path.clone(), json!({ "serverRelativeURL": url }))
        })
        .collect();
    json!({ "paths": paths })
}

/// `GET /openapi/v3/{path}`.
pub(crate) fn document(registry: &Registry, path: &str) -> Option<Document> {
    registry.documents().get(path).cloned()
}

/// Describes all stored `kinds`, and what is `live`.
pub(crate) fn describe(kinds: &[Arc<Kind>], live: &[Arc<Kind>]) -> Documents {
    let mut documents = Documents::new();
    for group in kinds.chunk_by(|a, b| (&a.group, &a.version) == (&b.group, &b.version)) {
        let paths: Map<String, Value> = group.iter().flat_map(|kind| paths::of(kind)).collect();
        let path = root(&group[0].group, &group[0].version);
        documents.insert(path, encode(&paths, &components::of(group)));
    }
    let root = root(LIVE_GROUP, VERSION);
    let paths = live.iter().flat_map(|kind| paths::of(kind)).chain(paths::of_log(&root));
    let document = encode(&paths.collect(), &components::of(live));
    documents.insert(root, document);
    documents
}

/// The path beneath which a group's version is served, without the first slash.
fn root(group: &str, version: &str) -> String {
    let prefix = if group.is_empty() { "api" } else { "apis" };
    format!("{prefix}/{}", api_version(group, version))
}

fn encode(paths: &Map<String, Value>, schemas: &Map<String, Value>) -> Document {
    let document = json!({
        "openapi": "3.0.0",
        "info": { "title": "Meseta", "version": discovery::version()["gitVersion"] },
        "paths": paths,
        "components": { "schemas": schemas },
    });
    let body = document.to_string();
    Document { hash: discovery::hash(body.as_bytes()), body: body.into() }
}

/// What marks schemas and operations as those of a kind.
fn group_version_kind(kind: &Kind, name: &str) -> Value {
    json!({ "group": kind.group, "version": kind.version, "kind": name })
}

#[cfg(test)]
mod tests;
