//! What exists without being created: the first namespaces, and the definitions of our kinds.
//!
//! Every control plane does this when it starts; the second one finds it done. A definition that is
//! stored in another form, by an older or a newer Meseta, is replaced by this one's.

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use meseta_crds::SYSTEM_NAMESPACE;
use serde_json::{Value, json};

use crate::admission;
use crate::object::Object;
use crate::registry::Origin;
use crate::server::Server;
use crate::status::Failure;
use crate::storage::{Resource, Step};

/// Namespaces that every cluster has.
const NAMESPACES: [&str; 3] = ["default", "kube-system", SYSTEM_NAMESPACE];

/// Creates what is missing.
///
/// # Errors
/// What the store says.
pub(crate) async fn run(server: &Server) -> Result<(), Failure> {
    for name in NAMESPACES {
        let namespaces = server.namespaces();
        if namespaces.cache.get(name).is_none() {
            let namespace = json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name},
            });
            ensure(server, namespaces, namespace).await?;
        }
    }
    let definitions = server
        .resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        .expect("definitions are a built-in kind");
    for kind in server.registry.kinds() {
        if let Origin::Definition(definition) = &kind.origin {
            define(server, definitions, definition).await?;
        }
    }
    Ok(())
}

/// Creates an object unless its name is taken.
async fn ensure(server: &Server, resource: &Resource, object: Value) -> Result<(), Failure> {
    let object = admission::create(&resource.kind, "", object, Timestamp::now())?;
    match resource.create(&server.storage, &object, false).await {
        Err(failure) if failure.code() == 409 => Ok(()),
        created => created.map(drop),
    }
}

async fn define(
    server: &Server,
    definitions: &Resource,
    definition: &CustomResourceDefinition,
) -> Result<(), Failure> {
    let mut wanted = serde_json::to_value(definition).map_err(Failure::internal)?;
    let since = admission::time_value(Timestamp::now());
    wanted["status"] = status(definition, &since);
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if definitions.read(server.store(), &name).await?.is_none() {
        return ensure_defined(server, definitions, wanted).await;
    }
    let change = |current: &Object| {
        let old = current.value();
        if old["spec"] == wanted["spec"] {
            return Ok(Step::Keep);
        }
        let mut new = old;
        new["spec"] = wanted["spec"].clone();
        new["status"] = wanted["status"].clone();
        Ok(Step::Put(new))
    };
    definitions.update(&server.storage, &name, false, change).await.map(drop)
}

/// A definition is stored as it is: its schema is not one of those that are checked here.
async fn ensure_defined(
    server: &Server,
    definitions: &Resource,
    definition: Value,
) -> Result<(), Failure> {
    let status = definition["status"].clone();
    let mut definition = admission::create(&definitions.kind, "", definition, Timestamp::now())?;
    definition["status"] = status;
    match definitions.create(&server.storage, &definition, false).await {
        Err(failure) if failure.code() == 409 => Ok(()),
        created => created.map(drop),
    }
}

/// Established at once: the server that stores a definition serves it.
fn status(definition: &CustomResourceDefinition, since: &Value) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": "True",
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        })
    };
    let versions = &definition.spec.versions;
    let stored: Vec<&str> = versions
        .iter()
        .filter(|version| version.storage)
        .map(|version| version.name.as_str())
        .collect();
    json!({
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "acceptedNames": definition.spec.names,
        "storedVersions": stored,
    })
}
