//! UPDATE_FRAMEWORK and TEARDOWN: the framework itself changes, or ends by its scheduler's wish.

use std::sync::Arc;

use kube::api::{DeleteParams, Preconditions};
use meseta_mesos_wire::v1::scheduler::call;
use meseta_runtime::WriteError;

use super::Session;
use crate::core::framework::{self, Accepted};
use crate::core::offer;
use crate::server::answer::Refusal;

impl Session {
    /// Changes the framework.
    ///
    /// # Errors
    /// 400 with what is wrong, 503 where it could not be stored.
    pub(super) async fn update(
        self: &Arc<Self>,
        update: call::UpdateFramework,
        principal: Option<String>,
    ) -> Result<(), Refusal> {
        let record =
            self.record().ok_or_else(|| Refusal::bad_request("Framework cannot be found"))?;
        let accepted = framework::update(
            update.framework_info,
            &update.suppressed_roles,
            update.offer_constraints.as_ref(),
            &self.framework_id,
            principal.as_deref(),
            &record.info,
        )
        .map_err(Refusal::bad_request)?;
        let stored =
            self.write(Some(record.name), &accepted).await.map_err(|error| match error {
                WriteError::Rejected(cause) => {
                    Refusal::bad_request(format!("The framework cannot be stored: {cause}"))
                }
                WriteError::AlreadyExists | WriteError::NotFound => {
                    Refusal::bad_request("Framework has been removed")
                }
                WriteError::Fenced
                | WriteError::TimedOut
                | WriteError::Conflict
                | WriteError::Unavailable(_) => {
                    Refusal::unavailable("The framework was not stored")
                }
            })?;
        {
            // What it did not want so far is declined before, and comes again below.
            let _declining = self.declining.lock().await;
            self.know(stored, &accepted);
        }
        let Accepted { info, roles, suppressed, .. } = accepted;
        let wants_more = |role: &&String| {
            !suppressed.contains(*role) && offer::may_want_more(&record.info, &info, role)
        };
        let revived: Vec<String> = roles.iter().filter(wants_more).cloned().collect();
        let ended = |_| Refusal::unavailable("This master does not lead any more");
        let market = &self.office.term.market;
        market.set_roles(&record.uid, roles, suppressed).await.map_err(ended)?;
        if revived.is_empty() {
            return Ok(());
        }
        market.revive(&record.uid, revived).await.map_err(ended)
    }

    /// Ends the framework by its scheduler's wish: its stream ends without a further event.
    pub(super) async fn teardown(&self) {
        let Some(record) = self.record() else { return };
        tracing::info!(framework = self.framework_id, name = record.name, "teardown");
        // Until it is done, or the term ends.
        self.lock().torn_down = true;
        self.end_stream(None);
        self.office.term.market.leave(&record.uid).await.ok();
        self.look();
    }

    /// Asks for the end of a framework: its record gets a deletion timestamp, and what follows is
    /// decided from that.
    ///
    /// # Errors
    /// See [`WriteError`]; one that is gone, or another, is no error.
    pub(super) async fn delete_framework(&self, name: &str, uid: &str) -> Result<(), WriteError> {
        let frameworks = self.office.frameworks();
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let parameters = DeleteParams::background().preconditions(preconditions);
        match self.office.term.writer.write(frameworks.delete(name, &parameters)).await {
            Ok(_) | Err(WriteError::NotFound | WriteError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
