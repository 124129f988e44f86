//! Tasks whose framework has no record any more: nobody else would let go of them.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::ListParams;

use super::Office;
use crate::core::lifecycle::{self, MAX_STEPS, Step};

/// Pause before what is left is looked at again.
const AGAIN: Duration = Duration::from_secs(1);

impl Office {
    /// Deletes and lets go of the tasks of the framework of this uid, if it has none.
    pub(super) fn look_for_orphans(self: &Arc<Self>, uid: &str) {
        let steps: Vec<Step> = self.rows.with_tasks(uid, |rows| {
            rows.iter().flat_map(lifecycle::remove).take(MAX_STEPS).collect()
        });
        if steps.is_empty() {
            return;
        }
        let (office, uid) = (Arc::clone(self), uid.to_owned());
        tokio::spawn(async move {
            let stop = office.stop.clone();
            let remove = office.remove_orphans(steps, &uid);
            stop.run_until_cancelled(remove).await;
        });
    }

    async fn remove_orphans(&self, steps: Vec<Step>, uid: &str) {
        // The rows may lag behind, or miss one without the label; whether to end what runs is asked
        // of the server.
        let (frameworks, parameters) = (self.frameworks(), ListParams::default());
        match self.term.writer.read(frameworks.list_metadata(&parameters)).await {
            Ok(all) if all.iter().any(|framework| framework.uid().as_deref() == Some(uid)) => {}
            Ok(_) => {
                tracing::warn!(uid, "tasks of a framework without a record are removed");
                self.carry_out(steps, uid, "").await;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "frameworks not listed");
            }
        }
        tokio::time::sleep(AGAIN).await;
        self.rows.touch_framework(uid);
    }
}
