//! Writes to records that end: tasks deleted and let go of, frameworks released.

use futures::StreamExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Resource};
use meseta_crds::{Framework, SCHEDULER_FINALIZER, Task};
use meseta_runtime::WriteError;
use serde_json::json;

use super::Office;
use crate::core::lifecycle::Step;
use crate::core::rows::TaskRow;

/// Steps of one teardown under way at a time.
const MAX_STEPS: usize = 64;

impl Office {
    /// The records of tasks.
    pub(crate) fn tasks(&self) -> Api<Task> {
        Api::namespaced(self.gateway.client.clone(), &self.gateway.namespace)
    }

    /// The records of frameworks.
    pub(crate) fn frameworks(&self) -> Api<Framework> {
        Api::namespaced(self.gateway.client.clone(), &self.gateway.namespace)
    }

    /// Carries out steps for the framework of this record; all are tried. Says whether all were done.
    pub(crate) async fn carry_out(&self, steps: Vec<Step>, uid: &str, framework: &str) -> bool {
        let done = futures::stream::iter(steps)
            .map(|step| self.step(step, uid, framework))
            .buffer_unordered(MAX_STEPS);
        done.fold(true, |all, done| async move { all && done }).await
    }

    async fn step(&self, step: Step, framework_uid: &str, framework: &str) -> bool {
        let done = match &step {
            Step::Delete { name, uid } => self.delete_task(name, uid).await,
            Step::Free { name } => {
                let row = self.rows.with_tasks(framework_uid, |rows| rows.get(name).cloned());
                match row {
                    Some(row) => self.free(&row).await.map(|task| self.wrote(&task)),
                    None => Ok(()),
                }
            }
            Step::Release => self.release(framework, framework_uid).await,
        };
        match done {
            Ok(()) | Err(WriteError::NotFound) => true,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, framework, ?step, "not done yet");
                false
            }
        }
    }

    async fn delete_task(&self, name: &str, uid: &str) -> Result<(), WriteError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let parameters = DeleteParams::background().preconditions(preconditions);
        match self.term.writer.write(self.tasks().delete(name, &parameters)).await {
            Ok(either) => {
                if let Some(task) = either.left() {
                    self.wrote(&task);
                }
                Ok(())
            }
            // Another record of that name: what was meant is gone.
            Err(WriteError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes in what the answer to a write shows of a task.
    pub(crate) fn wrote(&self, task: &Task) {
        let finalizers = task.metadata.finalizers.as_deref().unwrap_or_default();
        if task.metadata.deletion_timestamp.is_some() && finalizers.is_empty() {
            self.rows.remove_task(task.metadata.name.as_deref().unwrap_or_default());
        } else {
            self.rows.wrote_task(task);
        }
    }

    /// Takes the scheduler's finalizer off a task.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub(crate) async fn free(&self, row: &TaskRow) -> Result<Task, WriteError> {
        let (writer, tasks) = (&self.term.writer, self.tasks());
        // Where it is from birth, so that a write of the agent meanwhile does no harm.
        let index = usize::from(row.held_by_agent);
        let path = format!("/metadata/finalizers/{index}");
        let patch = json!([
            { "op": "test", "path": "/metadata/uid", "value": row.uid },
            { "op": "test", "path": path, "value": SCHEDULER_FINALIZER },
            { "op": "remove", "path": path },
        ]);
        if let Ok(patch) = serde_json::from_value::<json_patch::Patch>(patch) {
            let patch = Patch::<()>::Json(patch);
            let parameters = PatchParams::default();
            match writer.write(tasks.patch(&row.name, &parameters, &patch)).await {
                Err(WriteError::Rejected(_) | WriteError::Conflict) => {}
                other => return other,
            }
        }
        // The agent let go meanwhile, or somebody else has a finalizer too.
        let task = writer.read(tasks.get(&row.name)).await?;
        if task.metadata.uid.as_ref() != Some(&row.uid) {
            return Err(WriteError::NotFound);
        }
        let patch = without_finalizer(&task);
        let patch = Patch::Merge(&patch);
        writer.write(tasks.patch(&row.name, &PatchParams::default(), &patch)).await
    }

    async fn release(&self, name: &str, uid: &str) -> Result<(), WriteError> {
        let (writer, frameworks) = (&self.term.writer, self.frameworks());
        let framework = writer.read(frameworks.get(name)).await?;
        if framework.metadata.uid.as_deref() != Some(uid) {
            return Ok(());
        }
        let patch = without_finalizer(&framework);
        let patch = Patch::Merge(&patch);
        writer.write(frameworks.patch(name, &PatchParams::default(), &patch)).await.map(drop)
    }
}

/// The patch of this version of a record that takes the scheduler's finalizer off it.
fn without_finalizer<K: Resource>(record: &K) -> serde_json::Value {
    let meta = record.meta();
    let kept = meta.finalizers.iter().flatten().filter(|name| *name != SCHEDULER_FINALIZER);
    json!({
        "metadata": {
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
            "finalizers": kept.collect::<Vec<_>>(),
        },
    })
}
