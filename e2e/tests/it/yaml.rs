//! Records to apply.

use serde_json::{Value, json};

/// A task that runs a shell script on the agent's file system, with short names for what is usual.
pub(crate) fn task(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "meseta.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name},
        "spec": spec(script),
    })
}

/// The spec of such a task, also for templates.
pub(crate) fn spec(script: &str) -> Value {
    json!({
        "resources": {"cpu": "10m", "memory": "32Mi"},
        "terminationGracePeriodSeconds": 5,
        "containers": [{"name": "main", "command": ["/bin/sh", "-euc"], "args": [script]}],
    })
}

/// A framework of these sets.
pub(crate) fn framework(name: &str, sets: &[Value]) -> Value {
    json!({
        "apiVersion": "meseta.dev/v1alpha1",
        "kind": "Framework",
        "metadata": {"name": name},
        "spec": {"role": "tests", "taskSets": sets},
    })
}

/// A set of equal tasks.
pub(crate) fn set(name: &str, replicas: u32, spec: &Value) -> Value {
    json!({"name": name, "replicas": replicas, "template": {"spec": spec}})
}
