//! Volumes: shared ones and paths of the host.

use meseta_crds::TaskState;
use meseta_crds::task::reason;
use serde_json::{Value, json};

use crate::cluster::{Cluster, message_of, reason_of, script, state_of, uid_of};
use crate::eventually;
use crate::machine::{Machine, names};

/// A task of a framework that mounts its volume `v`.
fn of_framework(text: &str, read_only: bool) -> Value {
    let mut spec = script(text);
    spec["owner"] = json!({
        "framework": "job", "frameworkUid": "11111111-2222-3333-4444-555555555555",
        "taskSet": "set", "index": 0, "incarnation": 0,
    });
    spec["volumes"] = json!([{"name": "v", "shared": {}}]);
    spec["containers"][0]["volumeMounts"] =
        json!([{"name": "v", "mountPath": "/mnt/v", "readOnly": read_only}]);
    spec
}

#[tokio::test]
async fn tasks_of_a_framework_share_a_volume_that_goes_with_them() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    cluster.place(&machine.name, "writer", of_framework("echo shared >/mnt/v/f", false)).await;
    cluster.until_released("writer").await;
    let mut reading = of_framework("cat /mnt/v/f; touch /mnt/v/x || echo refused", true);
    reading["containers"][0]["user"] = json!({"uid": 1000, "gid": 1000});
    let uid = uid_of(&cluster.place(&machine.name, "reader", reading).await);
    let reader = cluster.until_released("reader").await;
    assert_eq!(state_of(&reader), TaskState::Finished, "{:?}", reader.status);
    assert_eq!(machine.output(&uid), "shared\nrefused\n");
    let volumes = machine.directory().join("volumes");
    assert_eq!(names(&volumes).len(), 1);
    for name in ["writer", "reader"] {
        assert_eq!(names(&volumes).len(), 1, "a task is left");
        cluster.delete(name).await;
        cluster.until_gone(name).await;
    }
    eventually(|| {
        let left = names(&volumes);
        async move { if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) } }
    })
    .await;
    machine.until_nothing_left(0).await;
}

#[tokio::test]
async fn paths_of_the_host_are_read_only_and_must_exist() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let input = tempfile::tempdir().unwrap();
    std::fs::write(input.path().join("f"), "from the host\n").unwrap();
    let mounted = |path: &std::path::Path, text: &str| {
        let mut spec = script(text);
        spec["volumes"] = json!([{"name": "input", "hostPath": {"path": path}}]);
        spec["containers"][0]["volumeMounts"] =
            json!([{"name": "input", "mountPath": "/mnt/input"}]);
        spec
    };
    let text = "cat /mnt/input/f; echo x >/mnt/input/f || echo refused";
    let uid = uid_of(&cluster.place(&machine.name, "reads", mounted(input.path(), text)).await);
    cluster.until_released("reads").await;
    assert_eq!(machine.output(&uid), "from the host\nrefused\n");
    let absent = input.path().join("absent");
    cluster.place(&machine.name, "absent", mounted(&absent, "true")).await;
    let task = cluster.until_released("absent").await;
    assert_eq!((state_of(&task), reason_of(&task)), (TaskState::Failed, reason::START_FAILED));
    assert!(message_of(&task).contains("volume `input`: cannot find"), "{}", message_of(&task));
    machine.until_nothing_left(2).await;
}
