//! What the server serves, in the two forms clients ask for.
//!
//! ```text
//!  aggregated   /api, /apis with `as=APIGroupDiscoveryList`      kubectl, Helm 4, controller-runtime
//!  legacy       /api, /apis, /apis/{group}, /apis/{group}/{v}    Helm 3, Python, kube-rs
//! ```
//!
//! The group of live resources comes last. Of `tasks` it lists only subresources, so that the name
//! is always that of the stored kind.

use meseta_crds::{LIVE_GROUP, VERSION};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::admission::is_namespace;
use crate::registry::{Kind, Registry, api_version};

/// `GET /api`.
pub(crate) fn legacy_api() -> Value {
    json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })
}

/// `GET /apis`.
pub(crate) fn legacy_groups(registry: &Registry) -> Value {
    let groups: Vec<Value> =
        groups(registry).into_iter().map(|group| group_members(group).into()).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `GET /apis/{group}`.
pub(crate) fn legacy_group(registry: &Registry, group: &str) -> Option<Value> {
    let group = groups(registry).into_iter().find(|found| found.0 == group)?;
    let mut body = Map::new();
    body.insert("kind".to_owned(), "APIGroup".into());
    body.insert("apiVersion".to_owned(), "v1".into());
    body.extend(group_members(group));
    Some(body.into())
}

/// `GET /api/v1` (where `group` is empty) and `GET /apis/{group}/{version}`.
pub(crate) fn legacy_resources(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut resources: Vec<Value> =
        kinds_of(registry, group, version).flat_map(legacy_entries).collect();
    if (group, version) == (LIVE_GROUP, VERSION) {
        resources.push(json!({
            "name": "tasks/log",
            "singularName": "",
            "namespaced": true,
            "kind": "Log",
            "verbs": ["get"],
        }));
    }
    (!resources.is_empty()).then(|| {
        json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": api_version(group, version),
            "resources": resources,
        })
    })
}

/// `GET /api` in the aggregated form: the core group.
pub(crate) fn aggregated_api(registry: &Registry) -> Value {
    aggregated(&[aggregated_group(registry, ("", "v1"))])
}

/// `GET /apis` in the aggregated form: all other groups.
pub(crate) fn aggregated_groups(registry: &Registry) -> Value {
    let groups = groups(registry).into_iter();
    let items: Vec<Value> = groups.map(|group| aggregated_group(registry, group)).collect();
    aggregated(&items)
}

/// A quoted ETag that changes with the body.
pub(crate) fn etag(body: &Value) -> String {
    format!("\"{}\"", hash(body.to_string().as_bytes()))
}

/// 128 bits of SHA-256, in hexadecimal capitals.
pub(crate) fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(16).map(|byte| format!("{byte:02X}")).collect()
}

/// `GET /version`: the Kubernetes version whose API this is, with ours as build metadata.
pub(crate) fn version() -> Value {
    // The names that Go has for machines.
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": "1",
        "minor": "36",
        "gitVersion": concat!("v1.36.0+meseta.", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{machine}", std::env::consts::OS),
    })
}

/// Group and version of all but the core group, by priority.
fn groups(registry: &Registry) -> Vec<(&str, &str)> {
    let stored = registry.kinds().iter().map(|kind| (kind.group.as_str(), kind.version.as_str()));
    let mut groups: Vec<_> = stored.filter(|(group, _)| !group.is_empty()).collect();
    groups.dedup();
    groups.push((LIVE_GROUP, VERSION));
    groups
}

fn kinds_of<'a>(
    registry: &'a Registry,
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = &'a Kind> {
    let kinds = registry.kinds().iter().chain(registry.live()).map(|kind| &**kind);
    kinds.filter(move |kind| kind.group == group && kind.version == version)
}

fn group_members((group, version): (&str, &str)) -> Map<String, Value> {
    let version = json!({ "groupVersion": api_version(group, version), "version": version });
    let mut members = Map::new();
    members.insert("name".to_owned(), group.into());
    members.insert("versions".to_owned(), json!([version]));
    members.insert("preferredVersion".to_owned(), version);
    members
}

/// The subresources of a kind, with their verbs.
fn subresources(kind: &Kind) -> Vec<(&'static str, &'static [&'static str])> {
    let finalize = is_namespace(kind).then_some(("finalize", &["update"] as &[_]));
    let status = kind.status_subresource.then_some(("status", &["get", "patch", "update"] as &[_]));
    finalize.into_iter().chain(status).collect()
}

fn legacy_entries(kind: &Kind) -> Vec<Value> {
    let mut entry = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs,
    });
    add_names(&mut entry, kind);
    let subresources = subresources(kind).into_iter().map(|(subresource, verbs)| {
        json!({
            "name": format!("{}/{subresource}", kind.plural),
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": verbs,
        })
    });
    std::iter::once(entry).chain(subresources).collect()
}

fn add_names(entry: &mut Value, kind: &Kind) {
    for (key, names) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
        if !names.is_empty() {
            entry[key] = json!(names);
        }
    }
}

fn aggregated(items: &[Value]) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(registry: &Registry, (group, version): (&str, &str)) -> Value {
    let mut resources: Vec<Value> =
        kinds_of(registry, group, version).map(aggregated_entry).collect();
    if group == LIVE_GROUP {
        // Without a kind of its own the resource is only the parent of its subresources.
        let kind = json!({ "group": group, "version": version, "kind": "Log" });
        resources.push(json!({
            "resource": "tasks",
            "scope": "Namespaced",
            "singularResource": "",
            "verbs": [],
            "subresources": [{ "subresource": "log", "responseKind": kind, "verbs": ["get"] }],
        }));
    }
    let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
    json!({
        "metadata": metadata,
        "versions": [{ "version": version, "freshness": "Current", "resources": resources }],
    })
}

fn aggregated_entry(kind: &Kind) -> Value {
    // Built-in kinds leave group and version to the enclosing entry.
    let (group, version) =
        if kind.custom { (kind.group.as_str(), kind.version.as_str()) } else { ("", "") };
    let response_kind = json!({ "group": group, "version": version, "kind": kind.kind });
    let mut entry = json!({
        "resource": kind.plural,
        "responseKind": response_kind,
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    add_names(&mut entry, kind);
    let subresources = subresources(kind);
    if !subresources.is_empty() {
        let described = subresources.into_iter().map(|(name, verbs)| {
            json!({ "subresource": name, "responseKind": response_kind, "verbs": verbs })
        });
        entry["subresources"] = described.collect();
    }
    entry
}

#[cfg(test)]
mod tests;
