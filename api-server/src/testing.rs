//! What unit tests of several modules begin with.

use std::sync::Arc;

use meseta_store::Version;
use serde_json::{Value, json};

use crate::object::{Body, Object};
use crate::registry::{Kind, Registry};

/// The kind of tasks.
pub(crate) fn task_kind() -> Arc<Kind> {
    let registry = Registry::new();
    Arc::clone(registry.find("meseta.dev", "v1alpha1", "tasks").expect("tasks are served"))
}

/// A task in the namespace `default`, with `patch` merged into it.
pub(crate) fn task(name: &str, patch: Value) -> Object {
    let mut task = json!({
        "apiVersion": "meseta.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-of-{name}")},
        "spec": {"containers": [{"name": "main", "command": ["true"]}]},
    });
    json_patch::merge(&mut task, &patch);
    let kind = task_kind();
    let body = Body::encode(&kind, &task).bytes().clone();
    let key = format!("default/{name}");
    Object::decode(&kind, &key, Version(1), body).expect("it has a name")
}
