//! Deletes finished tasks that are not kept any longer.

use std::time::Duration;

use futures::StreamExt as _;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use meseta_crds::Task;
use meseta_planning::retention::{self, Delete, Policy};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::write::{WriteError, Writer};

/// Longest time between two passes; what is kept may exceed the policy by what ends meanwhile.
const PASS_INTERVAL: Duration = Duration::from_secs(10);
/// Shortest time between two passes.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Writes under way at the same time.
const CONCURRENT_WRITES: usize = 16;

/// Keeps finished tasks within `policy` until `stop`.
pub(crate) async fn run(
    cluster: &Cluster,
    writer: &Writer,
    policy: Policy,
    stop: &CancellationToken,
) {
    loop {
        let tasks = observe(cluster);
        let plan = retention::plan(jiff::Timestamp::now(), &tasks, policy);
        let deletes = futures::stream::iter(plan.deletes).map(|task| delete(writer, task));
        deletes.buffer_unordered(CONCURRENT_WRITES).for_each(|()| std::future::ready(())).await;
        let pause = plan.requeue_after.unwrap_or(PASS_INTERVAL);
        let pause = pause.clamp(SHORTEST_INTERVAL, PASS_INTERVAL);
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

fn observe(cluster: &Cluster) -> Vec<retention::Task> {
    let state = cluster.lock();
    let rows = state.finished_alone.iter().filter_map(|key| state.tasks.get_key_value(key));
    rows.filter(|(_, row)| !row.deleting)
        .map(|(key, row)| retention::Task {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: row.uid.clone(),
            ended: row.ended.unwrap_or(row.created),
        })
        .collect()
}

async fn delete(writer: &Writer, task: Delete) {
    let Delete { namespace, name, uid } = task;
    let tasks: Api<Task> = Api::namespaced(writer.client.clone(), &namespace);
    let preconditions = Preconditions { uid: Some(uid), resource_version: None };
    let parameters = DeleteParams::background().preconditions(preconditions);
    match writer.write(tasks.delete(&name, &parameters)).await {
        Ok(_) => tracing::info!(namespace, name, "finished task forgotten"),
        Err(WriteError::NotFound | WriteError::Conflict) => {}
        Err(err) => {
            tracing::warn!(error = &err as &dyn std::error::Error, namespace, name, "not deleted");
        }
    }
}
