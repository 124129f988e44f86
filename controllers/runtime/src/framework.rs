//! Carries out the plans of frameworks: observe, validate, plan, apply, report.
//!
//! Those of external schedulers are left alone, whatever their records say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource as _};
use meseta_crds::condition::{Condition, Time};
use meseta_crds::{Framework, FrameworkStatus, Task, TaskState};
use meseta_planning::framework::{self, Action, Desired, NewTask, Observed, Plan};
use tokio_util::sync::CancellationToken;

use crate::clock::Boottime;
use crate::cluster::{Cluster, Key, OWN_WRITE_AHEAD, TaskRow};
use crate::queue::Outcome;
use crate::write::{WriteError, Writer};

/// Frameworks in hand at the same time.
const WORKERS: usize = 4;
/// Writes of one framework under way at the same time: enough to fill the store's group commit.
const CONCURRENT_WRITES: usize = 64;
/// Everything is looked at once in a while, in case something was missed.
const FULL_PASS: Duration = Duration::from_secs(300);
/// Least time between two status writes that differ only in counts.
const COUNTS_INTERVAL: Duration = Duration::from_millis(500);
/// Runs frameworks until `stop`.
pub(crate) async fn run(cluster: &Cluster, writer: &Writer, stop: &CancellationToken) {
    let controller = Controller { cluster, writer, memory: Mutex::default() };
    let workers = futures::future::join_all((0..WORKERS).map(|_| controller.work(stop)));
    let full_passes = async {
        loop {
            let keys: Vec<Key> = cluster.lock().frameworks.keys().cloned().collect();
            keys.into_iter().for_each(|key| cluster.frameworks.add(key));
            if stop.run_until_cancelled(tokio::time::sleep(FULL_PASS)).await.is_none() {
                break;
            }
        }
    };
    tokio::join!(workers, full_passes);
}

struct Controller<'a> {
    cluster: &'a Cluster,
    writer: &'a Writer,
    memory: Mutex<BTreeMap<Key, Memory>>,
}

/// What is remembered of a framework between two passes; all of it may be lost.
#[derive(Default)]
struct Memory {
    /// Tasks that were created and that no watch has shown yet: name, row, when.
    created: BTreeMap<String, (framework::Task, Boottime)>,
    reported: Option<Boottime>,
}

impl Controller<'_> {
    async fn work(&self, stop: &CancellationToken) {
        while let Some(key) = stop.run_until_cancelled(self.cluster.frameworks.next()).await {
            let outcome = match self.reconcile(&key).await {
                Ok(None) => Outcome::Done,
                Ok(Some(after)) => Outcome::Again(after),
                Err(err) => {
                    let error = &err as &dyn std::error::Error;
                    tracing::warn!(error, namespace = key.namespace, name = key.name, "not done");
                    Outcome::Failed
                }
            };
            self.cluster.frameworks.done(key, &outcome);
        }
    }

    /// Runs one pass over one framework; returns when the next is due.
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, WriteError> {
        let Some((record, tasks, assumed)) = self.observe(key) else {
            self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
            return Ok(None);
        };
        // What an external scheduler runs, and its end, are the gateway's.
        if record.metadata.deletion_timestamp.is_some() || record.spec.scheduler.is_some() {
            return Ok(None);
        }
        let now = Time(jiff::Timestamp::now());
        let observed = Observed { now, tasks, status: record.status.as_ref() };
        let plan = match Desired::validate(&record) {
            Ok(desired) => framework::plan(&desired, &observed),
            Err(invalid) => {
                let generation = record.metadata.generation.unwrap_or_default();
                let status = framework::invalid_status(&invalid, generation, &observed);
                Plan { actions: Vec::new(), status, requeue_after: None }
            }
        };
        let Plan { actions, status, requeue_after } = plan;
        tracing::debug!(
            namespace = key.namespace,
            name = key.name,
            actions = actions.len(),
            summary = status.summary,
            "planned"
        );
        let applied = self.apply(key, &record, actions).await;
        let reported = self.report(key, &record, status).await;
        applied?;
        let held_back = reported?;
        let assumed = assumed.then_some(OWN_WRITE_AHEAD);
        Ok([requeue_after, held_back, assumed].into_iter().flatten().min())
    }

    /// The record, its tasks, and whether some of them are known from their creation only.
    fn observe(&self, key: &Key) -> Option<(Arc<Framework>, Vec<framework::Task>, bool)> {
        let state = self.cluster.lock();
        let record = state.frameworks.get(key)?.clone();
        let uid = record.metadata.uid.clone().unwrap_or_default();
        let mut tasks: BTreeMap<String, framework::Task> = state
            .framework_tasks(&uid)
            .filter(|(task, _)| task.namespace == key.namespace)
            .filter_map(|(task, row)| Some((task.name.clone(), observed_task(&task.name, row)?)))
            .collect();
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let created = &mut memory.entry(key.clone()).or_default().created;
        created.retain(|name, (task, when)| {
            !tasks.contains_key(name)
                && !state.was_removed(&task.uid)
                && when.elapsed() < OWN_WRITE_AHEAD
        });
        drop(state);
        let assumed = !created.is_empty();
        tasks.extend(created.iter().map(|(name, (task, _))| (name.clone(), task.clone())));
        Some((record, tasks.into_values().collect(), assumed))
    }

    /// Tries every action; the first error that can be tried again is returned.
    async fn apply(
        &self,
        key: &Key,
        record: &Framework,
        actions: Vec<Action>,
    ) -> Result<(), WriteError> {
        let tasks: Api<Task> = Api::namespaced(self.writer.client.clone(), &key.namespace);
        let (tasks, owner) = (&tasks, record.controller_owner_ref(&()));
        let results: Vec<_> = futures::stream::iter(actions)
            .map(|action| {
                let owner = owner.clone();
                async move {
                    match action {
                        Action::Create(task) => self.create(tasks, key, owner, *task).await,
                        Action::Delete { name, uid, resource_version } => {
                            self.delete(tasks, &name, uid, resource_version).await
                        }
                    }
                }
            })
            .buffer_unordered(CONCURRENT_WRITES)
            .collect()
            .await;
        results.into_iter().collect()
    }

    async fn create(
        &self,
        tasks: &Api<Task>,
        key: &Key,
        owner: Option<OwnerReference>,
        new: NewTask,
    ) -> Result<(), WriteError> {
        let NewTask { name, labels, annotations, spec } = new;
        let mut task = Task::new(&name, spec);
        let metadata = &mut task.metadata;
        metadata.namespace = Some(key.namespace.clone());
        metadata.labels = Some(labels);
        metadata.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
        metadata.owner_references = owner.map(|owner| vec![owner]);
        let uid = task.spec.owner.as_ref().map(|owner| owner.framework_uid.clone());
        let created = self.writer.write(tasks.create(&PostParams::default(), &task)).await;
        let created = match created {
            Ok(created) => created,
            // The same task, of an attempt whose answer was lost or not yet watched; or the name is
            // taken, by a namesake that is about to go or by somebody else.
            Err(WriteError::AlreadyExists) => {
                let existing = self.writer.read(tasks.get_opt(&name)).await?;
                let Some(existing) = existing else { return Err(WriteError::Conflict) };
                let owner = existing.spec.owner.as_ref().map(|owner| owner.framework_uid.clone());
                if owner != uid {
                    tracing::warn!(namespace = key.namespace, task = name, "name of task is taken");
                    return Err(WriteError::Conflict);
                }
                existing
            }
            // The framework's namespace is going, or the template is refused: wait for a change.
            Err(err) if !err.is_retryable() => {
                let error = &err as &dyn std::error::Error;
                tracing::warn!(error, namespace = key.namespace, task = name, "task is refused");
                return Err(err);
            }
            Err(err) => return Err(err),
        };
        if let Some(task) = observed_task(&name, &TaskRow::new(&created, None)) {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let memory = memory.entry(key.clone()).or_default();
            memory.created.insert(name, (task, Boottime::now()));
        }
        Ok(())
    }

    async fn delete(
        &self,
        tasks: &Api<Task>,
        name: &str,
        uid: String,
        resource_version: Option<String>,
    ) -> Result<(), WriteError> {
        let preconditions = Preconditions { uid: Some(uid), resource_version };
        let parameters = DeleteParams::background().preconditions(preconditions);
        match self.writer.write(tasks.delete(name, &parameters)).await {
            // Gone, or not what was seen: the watch will tell, and wake this framework.
            Ok(_) | Err(WriteError::NotFound | WriteError::Conflict) => Ok(()),
            Err(err) => Err(err),
        }
    }

    /// Writes the status if it says something new; returns when it should be written if it is held
    /// back.
    async fn report(
        &self,
        key: &Key,
        record: &Framework,
        status: FrameworkStatus,
    ) -> Result<Option<Duration>, WriteError> {
        if record.status.as_ref() == Some(&status) {
            return Ok(None);
        }
        let reported = {
            let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.get(key).and_then(|memory| memory.reported)
        };
        let differs_in_counts = record.status.as_ref().is_some_and(|s| same_verdict(s, &status));
        if let Some(reported) = reported.filter(|_| differs_in_counts) {
            let left = COUNTS_INTERVAL.saturating_sub(reported.elapsed());
            if !left.is_zero() {
                return Ok(Some(left));
            }
        }
        let patch = serde_json::json!({
            "metadata": {
                "uid": record.metadata.uid,
                "resourceVersion": record.metadata.resource_version,
            },
            "status": status,
        });
        let frameworks: Api<Framework> =
            Api::namespaced(self.writer.client.clone(), &key.namespace);
        let parameters = PatchParams::default();
        let patch = Patch::Merge(&patch);
        let written = self.writer.write(frameworks.patch_status(&key.name, &parameters, &patch));
        match written.await {
            Ok(written) => self.cluster.apply_framework(written, true),
            Err(WriteError::NotFound) => return Ok(None),
            Err(err) => return Err(err),
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.entry(key.clone()).or_default().reported = Some(Boottime::now());
        Ok(None)
    }
}

/// A task as its framework's plan sees it.
fn observed_task(name: &str, row: &TaskRow) -> Option<framework::Task> {
    let owner = row.owner.as_ref()?;
    Some(framework::Task {
        name: name.to_owned(),
        uid: row.uid.clone(),
        resource_version: row.version.clone(),
        task_set: owner.task_set.clone(),
        index: owner.index,
        incarnation: owner.incarnation,
        template_hash: owner.template_hash.clone(),
        state: row.state,
        reason: row.reason.clone(),
        placed: row.agent.is_some() && row.state != TaskState::Dropped,
        deleting: row.deleting,
        created: row.created,
        ended: row.ended,
    })
}

/// Whether two statuses differ at most in numbers and words.
fn same_verdict(one: &FrameworkStatus, other: &FrameworkStatus) -> bool {
    fn verdicts(conditions: &[Condition]) -> Vec<(&str, &str, &str)> {
        conditions
            .iter()
            .map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str()))
            .collect()
    }
    one.state == other.state
        && one.observed_generation == other.observed_generation
        && verdicts(&one.conditions) == verdicts(&other.conditions)
}
