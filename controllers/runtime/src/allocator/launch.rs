//! Creates the records of tasks that a scheduler launches on its offers.
//!
//! Their room is assumed before, and they are placed from birth. Where it is not known whether a
//! record was created it is created again: its name does not depend on the attempt. So each ends up
//! as stored or as refused, and only the end of the term may leave that open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::Api;
use kube::api::PostParams;
use meseta_crds::task::Placement;
use meseta_crds::{AGENT_FINALIZER, SCHEDULER_FINALIZER, Task};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::seats::Held;
use crate::cluster::Key;
use crate::market::{LaunchError, Launched};
use crate::write::{WriteError, Writer};

/// Records of one launch that are created at the same time.
const CONCURRENT_CREATES: usize = 64;
/// Times that the creation of one record is tried; its pauses are 13 seconds together.
const MAX_TRIES: u32 = 8;
/// Pause after the first try; doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(50);

/// Tasks that are launched together.
pub(super) struct Launch {
    /// In the order in which they came.
    pub(super) orders: Vec<Order>,
    /// Those of them that the allocator assumes.
    pub(super) assumed: BTreeSet<Key>,
    pub(super) answer: Launched,
}

/// A record to create.
pub(super) struct Order {
    pub(super) key: Key,
    pub(super) task: Task,
    /// Why it is not created, if that is known already.
    pub(super) refused: Option<LaunchError>,
}

/// What became of a launch.
pub(super) struct Outcome {
    /// In the order in which they came.
    pub(super) tasks: Vec<Created>,
    pub(super) assumed: BTreeSet<Key>,
    pub(super) answer: Launched,
}

/// What became of a record.
pub(super) enum Created {
    /// It is stored.
    Stored(Box<Task>),
    /// It is not.
    Not(Key, LaunchError),
    /// The term ended before it could be known.
    Unknown(Key),
}

/// Fills in what every launched task has.
pub(super) fn place(task: &mut Task, held: &Held, epoch: i64) {
    task.metadata.namespace = Some(held.namespace.clone());
    let finalizers = task.metadata.finalizers.get_or_insert_default();
    for finalizer in [AGENT_FINALIZER, SCHEDULER_FINALIZER] {
        if !finalizers.iter().any(|known| known == finalizer) {
            finalizers.push(finalizer.to_owned());
        }
    }
    task.spec.role.clone_from(&held.role);
    task.spec.agent_name = Some(held.agent.clone());
    task.spec.placement = Some(Placement { epoch });
}

/// Creates the executors, then the others except those whose executor is not stored.
///
/// `permits` bounds what all launches together have under way.
pub(super) async fn carry_out(
    writer: Writer,
    launch: Launch,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
) -> Outcome {
    let Launch { orders, assumed, answer } = launch;
    let orders = orders.into_iter().enumerate();
    let (executors, mut others): (Vec<_>, Vec<_>) =
        orders.partition(|(_, order)| order.task.spec.executor.is_some());
    let all_in = |orders: Vec<(usize, Order)>| {
        let creating = stream::iter(orders).map(|(position, order)| {
            let (writer, permits, stop) = (&writer, &permits, &stop);
            async move {
                // Nobody closes it.
                let _permit = permits.acquire().await;
                (position, create(writer, order, stop).await)
            }
        });
        creating.buffer_unordered(CONCURRENT_CREATES).collect::<BTreeMap<usize, Created>>()
    };
    let mut tasks = all_in(executors).await;
    let missing: BTreeSet<&str> = tasks
        .values()
        .filter_map(|created| match created {
            Created::Stored(_) => None,
            Created::Not(key, _) | Created::Unknown(key) => Some(key.name.as_str()),
        })
        .collect();
    for (_, order) in &mut others {
        let executor = order.task.spec.executor_name.as_deref();
        if order.refused.is_none() && executor.is_some_and(|name| missing.contains(name)) {
            order.refused = Some(LaunchError::Executor);
        }
    }
    let others = all_in(others).await;
    tasks.extend(others);
    Outcome { tasks: tasks.into_values().collect(), assumed, answer }
}

async fn create(writer: &Writer, order: Order, stop: &CancellationToken) -> Created {
    let Order { key, task, refused } = order;
    if let Some(refused) = refused {
        return Created::Not(key, refused);
    }
    let tasks: Api<Task> = Api::namespaced(writer.client.clone(), &key.namespace);
    let parameters = PostParams::default();
    let mut pause = FIRST_RETRY;
    let mut tries = 0;
    while !stop.is_cancelled() {
        let again = tries > 0;
        let found = if tries < MAX_TRIES {
            tries += 1;
            match writer.write(tasks.create(&parameters, &task)).await {
                Ok(task) => return Created::Stored(Box::new(task)),
                Err(WriteError::AlreadyExists) => writer.read(tasks.get_opt(&key.name)).await,
                Err(err) if err.is_retryable() && !matches!(err, WriteError::Conflict) => Err(err),
                Err(err) => return Created::Not(key, LaunchError::Refused(cause(err))),
            }
        } else {
            writer.read(tasks.get_opt(&key.name)).await
        };
        match found {
            Ok(Some(found)) if is_same(&found, &task, again) => {
                return Created::Stored(Box::new(found));
            }
            Ok(Some(_)) => return Created::Not(key, LaunchError::Exists),
            // Whoever had the name has just gone, or there were tries enough.
            Ok(None) if tries < MAX_TRIES => {}
            Ok(None) => {
                let cause = "the store does not take it".to_owned();
                return Created::Not(key, LaunchError::Refused(cause));
            }
            Err(err) => {
                let error = &err as &dyn std::error::Error;
                tracing::debug!(error, namespace = key.namespace, task = key.name, "not created");
            }
        }
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        pause = (pause * 2).min(FIRST_RETRY * (1 << MAX_TRIES));
    }
    Created::Unknown(key)
}

/// Whether `found` is what this launch has created, unheard, in an earlier try; or an executor that
/// another launch has created for the same purpose.
fn is_same(found: &Task, wanted: &Task, again: bool) -> bool {
    let equal = found.spec.owner == wanted.spec.owner
        && found.spec.mesos == wanted.spec.mesos
        && found.spec.agent_name == wanted.spec.agent_name
        && found.spec.executor == wanted.spec.executor
        && found.spec.executor_name == wanted.spec.executor_name;
    let of_this_launch = again && found.spec.placement == wanted.spec.placement;
    let ends = found.metadata.deletion_timestamp.is_some()
        || found.status.as_ref().is_some_and(|status| status.state.is_terminal());
    equal && (of_this_launch || wanted.spec.executor.is_some() && !ends)
}

/// What the server said.
fn cause(err: WriteError) -> String {
    match err {
        WriteError::Rejected(kube::Error::Api(status)) => status.message.clone(),
        err => err.to_string(),
    }
}

#[cfg(test)]
mod tests;
