//! An executor as others see it: how its container fares, what it may use, and whether it may subscribe.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use meseta_mesos_agent::{Launch, Standing};
use meseta_mesos_wire::v1::ExecutorInfo;
use meseta_shim_api::Limits;
use tokio::sync::watch;

use super::registry::{Inner, locked};
use super::status::Capabilities;
use crate::checkpoint::Outcome;

/// An executor that has an owner.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) uid: String,
    pub(crate) name: String,
    /// What the tasks of a group are sent with.
    pub(crate) info: ExecutorInfo,
    /// What its scheduler understands.
    pub(crate) capabilities: Capabilities,
    /// What its container may use without its tasks.
    pub(crate) limits: Limits,
    /// How its container ended, once it has.
    pub(crate) fate: watch::Sender<Option<Outcome>>,
    /// What the executor API says of it, once it may subscribe.
    pub(crate) standing: watch::Sender<Option<watch::Receiver<Standing>>>,
    group: Mutex<Option<PathBuf>>,
    granted: Mutex<BTreeMap<String, Limits>>,
    /// Tasks that were killed before it may subscribe.
    early: Mutex<Vec<Launch>>,
}

impl Executor {
    pub(crate) fn new(
        uid: String,
        name: String,
        info: ExecutorInfo,
        capabilities: Capabilities,
        limits: Limits,
    ) -> Self {
        Self {
            uid,
            name,
            info,
            capabilities,
            limits,
            fate: watch::Sender::new(None),
            standing: watch::Sender::new(None),
            group: Mutex::default(),
            granted: Mutex::default(),
            early: Mutex::default(),
        }
    }

    /// What the executor API says of it, once it may subscribe.
    pub(crate) fn standing(&self) -> Option<Standing> {
        self.standing.borrow().as_ref().map(|standing| standing.borrow().clone())
    }

    /// It may subscribe. Tasks that were killed before.
    pub(crate) fn expected(&self, standing: watch::Receiver<Standing>) -> Vec<Launch> {
        let mut early = locked(&self.early);
        self.standing.send_replace(Some(standing));
        std::mem::take(&mut early)
    }

    /// A task of it was killed that it was not given, and will not be.
    pub(crate) fn killed_early(&self, task: Launch) {
        let mut early = locked(&self.early);
        if self.standing.borrow().is_none() {
            early.push(task);
        }
    }

    /// The control group of its container is, or will be, this.
    pub(crate) fn runs_in(&self, group: PathBuf) {
        *locked(&self.group) = Some(group);
    }

    /// The control group of its container.
    pub(crate) fn group(&self) -> Option<PathBuf> {
        locked(&self.group).clone()
    }

    /// A task is over.
    pub(crate) fn revoke(&self, task: &str) {
        locked(&self.granted).remove(task);
    }

    /// A task is handed over: what the container may use from now on.
    pub(crate) fn grant(&self, task: &Inner) -> Limits {
        let mut granted = locked(&self.granted);
        granted.insert(task.uid.clone(), task.limits.clone());
        granted.values().fold(self.limits.clone(), |sum, limits| sum_of(&sum, limits))
    }
}

/// What two may use together; no limit where the first has none. The executor says whether there is
/// one: its tasks only add to it.
fn sum_of(executor: &Limits, task: &Limits) -> Limits {
    let sum =
        |of: Option<u64>, more: Option<u64>| of.map(|of| of.saturating_add(more.unwrap_or(0)));
    Limits {
        cpu_share_millis: executor.cpu_share_millis.saturating_add(task.cpu_share_millis),
        cpu_limit_millis: executor.cpu_limit_millis,
        memory_bytes: sum(executor.memory_bytes, task.memory_bytes),
        pids: sum(executor.pids, task.pids),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tasks_are_granted_adds_to_the_limits_there_are() {
        let limits = |memory: Option<u64>, pids: Option<u64>| Limits {
            cpu_share_millis: 100,
            cpu_limit_millis: None,
            memory_bytes: memory,
            pids,
        };
        assert_eq!(
            sum_of(&limits(Some(1), Some(2)), &limits(Some(10), None)),
            Limits { cpu_share_millis: 200, ..limits(Some(11), Some(2)) }
        );
        assert_eq!(sum_of(&limits(None, None), &limits(Some(10), Some(1))).memory_bytes, None);
    }
}
