//! What all agents together have done, and what they must never do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meseta_crds::ResourceList;

/// Faults that are kept; one is enough to fail a test.
const MAX_FAULTS: usize = 20;

/// Shared by the agents of a fleet; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    counts: Counts,
    /// Where each task was started, by uid; kept for ever.
    started: BTreeMap<String, String>,
    /// By agent and resource, in thousandths.
    used: BTreeMap<(String, String), i64>,
    faults: Vec<String>,
}

/// How often something has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks that were started.
    pub started: u64,
    /// Tasks that have run to their end.
    pub finished: u64,
    /// Tasks that were ended because their record was deleted.
    pub killed: u64,
    /// Placements of a leader that had been replaced.
    pub refused_stale: u64,
    /// Placements that the agent had no room for.
    pub refused_room: u64,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Everything that must not happen and did, as sentences.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.lock().faults.clone()
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock().counts);
    }

    /// An agent starts a task that needs so much of its capacity.
    pub(crate) fn start(
        &self,
        agent: &str,
        uid: &str,
        needs: &ResourceList,
        capacity: &ResourceList,
    ) {
        let mut inner = self.lock();
        inner.counts.started += 1;
        if let Some(before) = inner.started.insert(uid.to_owned(), agent.to_owned()) {
            inner.fault(format!("task {uid} was started on {before} and again on {agent}"));
        }
        for (resource, need) in needs {
            let used = inner.used.entry((agent.to_owned(), resource.clone())).or_default();
            *used += need.millis().unwrap_or(i64::MAX / 2);
            let (used, limit) = (*used, capacity.get(resource).and_then(|q| q.millis().ok()));
            if used > limit.unwrap_or_default() {
                inner.fault(format!("agent {agent} runs more than its {resource}: {used}m"));
            }
        }
    }

    /// A started task holds nothing any more.
    pub(crate) fn end(&self, agent: &str, needs: &ResourceList) {
        let mut inner = self.lock();
        for (resource, need) in needs {
            let used = inner.used.entry((agent.to_owned(), resource.clone())).or_default();
            *used -= need.millis().unwrap_or(i64::MAX / 2);
        }
    }
}

impl Inner {
    fn fault(&mut self, fault: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }
}
