//! Empties namespaces that are being deleted, then lets them go.
//!
//! A namespace holds itself with a finalizer in its spec. Everything in it is deleted; when
//! nothing is left, the finalizer goes, and the namespace with it. What is left, and why, stands
//! in its conditions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::{debug, warn};

use super::change;
use crate::admission;
use crate::cache::Selection;
use crate::object::Object;
use crate::request::params::Propagation;
use crate::server::Server;
use crate::status::Failure;
use crate::storage::Resource;

/// The finalizer that holds a namespace while it has content.
const FINALIZER: &str = "kubernetes";
/// Deletes at a time.
const CONCURRENCY: usize = 16;
/// How often a namespace that is not empty is looked at again.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long after its deletion a namespace is kept at least: another control plane may not have
/// seen it yet, and store one more object.
const GRACE: Duration = Duration::from_secs(2);

/// What is left of a namespace.
#[derive(Debug, Default)]
struct Left {
    /// Objects by resource.
    objects: BTreeMap<String, usize>,
    /// Those of them that are held, by finalizer.
    finalizers: BTreeMap<String, usize>,
}

/// Empties namespaces until the future is dropped.
pub(super) async fn run(server: Arc<Server>) {
    let mut changes = server.namespaces().cache.follow();
    loop {
        changes.borrow_and_update();
        let namespaces = server.namespaces().cache.list(&Selection::default(), None, None).objects;
        let mut terminating = namespaces;
        terminating.retain(|namespace| namespace.is_terminating());
        for namespace in &terminating {
            if let Err(failure) = Box::pin(empty(&server, namespace)).await {
                let namespace = namespace.name();
                warn!(namespace, failure = failure.message(), "cannot empty the namespace");
            }
        }
        if terminating.is_empty() {
            if changes.changed().await.is_err() {
                return;
            }
        } else {
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// One pass over a namespace.
async fn empty(server: &Server, namespace: &Object) -> Result<(), Failure> {
    let mut left = Left::default();
    for resource in server.resources().iter().filter(|resource| resource.kind.namespaced) {
        empty_of(server, resource, namespace.name(), &mut left).await?;
    }
    let namespaces = server.namespaces();
    if left.objects.is_empty() && is_older_than_grace(namespace) {
        debug!(namespace = namespace.name(), "empty");
        return change::edit(&server.storage, namespaces, namespace, |value| {
            change::retain(&mut value["spec"], "finalizers", |own| own != FINALIZER);
        })
        .await;
    }
    change::edit(&server.storage, namespaces, namespace, |value| report(value, &left)).await
}

/// Deletes the objects of a resource in a namespace and notes those that stay.
async fn empty_of(
    server: &Server,
    resource: &Resource,
    namespace: &str,
    left: &mut Left,
) -> Result<(), Failure> {
    resource.cache.wait_for_now(server.store()).await?;
    let selection = Selection { namespace: Some(namespace.to_owned()), ..Selection::default() };
    let objects = resource.cache.list(&selection, None, None).objects;
    if objects.is_empty() {
        return Ok(());
    }
    left.objects.insert(resource.kind.resource(), objects.len());
    for object in &objects {
        let finalizers = object.outline().pointer("/metadata/finalizers").and_then(Value::as_array);
        for finalizer in finalizers.into_iter().flatten().filter_map(Value::as_str) {
            *left.finalizers.entry(finalizer.to_owned()).or_default() += 1;
        }
    }
    let storage = &server.storage;
    let mut deletes = Vec::new();
    for object in objects {
        if !object.is_terminating() {
            deletes.push(async move {
                let deleted = change::delete(storage, resource, &object, Propagation::Background);
                Box::pin(deleted).await
            });
        }
    }
    let failures: Vec<Failure> = futures::stream::iter(deletes)
        .buffer_unordered(CONCURRENCY)
        .filter_map(|deleted| std::future::ready(deleted.err()))
        .collect()
        .await;
    // One that has changed meanwhile is deleted by the next pass.
    match failures.into_iter().find(|failure| failure.code() != 409) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

fn is_older_than_grace(namespace: &Object) -> bool {
    let deleted = namespace.outline().pointer("/metadata/deletionTimestamp");
    let deleted = deleted.and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    deleted.is_none_or(|deleted| {
        Duration::try_from(Timestamp::now() - deleted).is_ok_and(|age| age >= GRACE)
    })
}

/// Sets the conditions that Kubernetes has for this, in its words.
fn report(namespace: &mut Value, left: &Left) {
    let count = |counts: &BTreeMap<String, usize>| -> Vec<String> {
        counts.iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect()
    };
    let remaining: Vec<String> = left
        .objects
        .iter()
        .map(|(name, count)| format!("{name} has {count} resource instances"))
        .collect();
    let finalizers = count(&left.finalizers);
    let conditions = [
        (
            "NamespaceDeletionDiscoveryFailure",
            None,
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            None,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            (!remaining.is_empty()).then(|| {
                (
                    "SomeResourcesRemain",
                    format!("Some resources are remaining: {}", remaining.join(", ")),
                )
            }),
            "ContentRemoved",
            "All content successfully removed",
        ),
        (
            "NamespaceFinalizersRemaining",
            (!finalizers.is_empty()).then(|| {
                let list = finalizers.join(", ");
                (
                    "SomeFinalizersRemain",
                    format!("Some content in the namespace has finalizers remaining: {list}"),
                )
            }),
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    ];
    let old = namespace.pointer("/status/conditions").cloned().unwrap_or_default();
    let conditions = conditions.into_iter().map(|(kind, fault, reason, message)| {
        let (status, reason, message) = match fault {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", reason, message.to_owned()),
        };
        condition(&old, kind, status, reason, &message)
    });
    let conditions: Vec<Value> = conditions.collect();
    if let Some(status) = namespace.get_mut("status").and_then(Value::as_object_mut) {
        status.insert("conditions".to_owned(), conditions.into());
    }
}

/// A condition, whose time is that of the old one unless its status changes.
fn condition(old: &Value, kind: &str, status: &str, reason: &str, message: &str) -> Value {
    let mut conditions = old.as_array().into_iter().flatten();
    let since = conditions
        .find(|condition| condition["type"] == kind && condition["status"] == status)
        .map(|condition| condition["lastTransitionTime"].clone())
        .unwrap_or_else(|| admission::time_value(Timestamp::now()));
    json!({
        "type": kind,
        "status": status,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    })
}
