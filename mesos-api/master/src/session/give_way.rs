//! The end of a framework whose place others need.

use meseta_runtime::uptime_millis;

use super::Session;
use crate::core::lifecycle;
use crate::core::rows::TaskRow;

impl Session {
    /// Whether it is to end as soon as that can be written.
    pub(crate) fn is_ending(&self) -> bool {
        self.lock().torn_down
    }

    /// Since when its scheduler is gone, if it may give way to another framework.
    pub(crate) fn idle_since(&self) -> Option<i64> {
        let state = self.lock();
        if state.live.is_some() || state.subscribing || state.torn_down || state.record.is_none() {
            return None;
        }
        state
            .since
            .filter(|since| lifecycle::may_give_way(*since, self.office.began, uptime_millis()))
    }

    /// Whether it has a task that has not ended, or whose end its scheduler has not acknowledged.
    pub(crate) fn has_live_tasks(&self) -> bool {
        let Some(record) = self.record() else { return false };
        self.office.rows.with_tasks(&record.uid, |rows| rows.iter().any(TaskRow::is_live))
    }

    /// Ends it as if its scheduler had been gone for too long.
    pub(crate) fn give_way(&self) {
        tracing::warn!(framework = self.framework_id, "there are too many; it ends early");
        self.lock().torn_down = true;
        self.look();
    }
}
