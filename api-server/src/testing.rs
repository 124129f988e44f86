//! What unit tests of several modules begin with.

use std::sync::{Arc, LazyLock};

use meseta_store::Version;
use serde_json::{Value, json};

use crate::object::{Body, Object};
use crate::registry::{Kind, Registry};

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

/// The served kind of this name.
pub(crate) fn kind(name: &str) -> Arc<Kind> {
    let found = REGISTRY.kinds().iter().find(|kind| kind.kind == name);
    Arc::clone(found.expect("it is served"))
}

/// The kind of tasks.
pub(crate) fn task_kind() -> Arc<Kind> {
    kind("Task")
}

/// A task in the namespace `default`, with `patch` merged into it.
pub(crate) fn task(name: &str, patch: &Value) -> Object {
    let mut task = json!({
        "apiVersion": "meseta.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-of-{name}")},
        "spec": {"containers": [{"name": "main", "command": ["true"]}]},
    });
    json_patch::merge(&mut task, patch);
    let kind = task_kind();
    let body = Body::encode(&kind, &task).bytes().clone();
    let key = format!("default/{name}");
    Object::decode(&kind, &key, Version(1), body).expect("it has a name")
}
