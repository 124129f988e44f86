//! The executors and the tasks inside them that have an owner here, for all who have to do with both:
//! their owners, and the executor API.
//!
//! ```text
//!  owner of an executor ──► Executor: fate, standing, control group, what was granted ◄─┐
//!  owner of a task      ──► Inner: journal, what happened to it ◄── executor API        │
//!                             └──────────────────── uid of the executor ────────────────┘
//! ```
//!
//! What is here is dropped with its owner; what must be known later is on the disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meseta_mesos_agent::{Launch, Progress, Refused};
use meseta_mesos_wire::v1::TaskInfo;
use meseta_shim_api::Limits;
use tokio::sync::Notify;

use super::executor::Executor;
use super::groups::{Groups, Joined, Key};
use super::inner::Early;
use super::journal::Journal;
use super::messages::Messages;
use crate::cgroup::Cgroups;

/// Everything that owners and the executor API share.
#[derive(Debug)]
pub(crate) struct Registry {
    executors: Mutex<BTreeMap<String, Arc<Executor>>>,
    tasks: Mutex<BTreeMap<String, Arc<Inner>>>,
    groups: Mutex<Groups>,
    pub(crate) messages: Messages,
    pub(crate) cgroups: Cgroups,
}

/// What became of a launch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Launched {
    /// The task is sent, with its group.
    Sent,
    /// Others of its group are to come.
    Waiting,
    /// Its group will not be complete, for this.
    Broken(Early),
    /// It was not taken, and neither were these.
    Refused(Refused, Vec<String>),
}

/// A task that an executor runs, and that has an owner.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) uid: String,
    /// Uid of its executor.
    pub(crate) executor: String,
    /// What its executor is given.
    pub(crate) info: TaskInfo,
    /// Its group, its position, and the group's size.
    pub(crate) group: Option<(String, i64, i64)>,
    /// What it adds to what its executor may use.
    pub(crate) limits: Limits,
    pub(crate) journal: Arc<tokio::sync::Mutex<Journal>>,
    /// Something happened to it.
    pub(crate) changed: Notify,
    early: Mutex<Option<Early>>,
    launched: AtomicBool,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    pub(crate) fn new(cgroups: Cgroups) -> Self {
        Self {
            executors: Mutex::default(),
            tasks: Mutex::default(),
            groups: Mutex::default(),
            messages: Messages::default(),
            cgroups,
        }
    }

    /// The executor of this uid, if it has an owner.
    pub(crate) fn executor(&self, uid: &str) -> Option<Arc<Executor>> {
        locked(&self.executors).get(uid).cloned()
    }

    /// The task of this uid, if it has an owner.
    pub(crate) fn task(&self, uid: &str) -> Option<Arc<Inner>> {
        locked(&self.tasks).get(uid).cloned()
    }

    /// All tasks that have an owner.
    pub(crate) fn tasks(&self) -> Vec<Arc<Inner>> {
        locked(&self.tasks).values().cloned().collect()
    }

    pub(crate) fn add_executor(self: &Arc<Self>, executor: Executor) -> ExecutorHold {
        let executor = Arc::new(executor);
        locked(&self.executors).insert(executor.uid.clone(), Arc::clone(&executor));
        ExecutorHold { registry: Arc::clone(self), executor }
    }

    pub(crate) fn add_task(self: &Arc<Self>, task: Inner) -> InnerHold {
        let task = Arc::new(task);
        locked(&self.tasks).insert(task.uid.clone(), Arc::clone(&task));
        InnerHold { registry: Arc::clone(self), task }
    }

    /// Adds a task to its group, and has the group sent if it is complete: all of it is launched
    /// then, or nothing. A task alone is sent at once.
    ///
    /// Under one lock, so that no task of the group is ended between the two.
    pub(crate) fn launch(
        &self,
        task: &Inner,
        launch: Launch,
        send: impl FnOnce(Vec<Launch>) -> Result<(), Refused>,
    ) -> Launched {
        let mut groups = locked(&self.groups);
        let joined = match &task.group {
            Some((id, index, size)) => {
                let key = (task.executor.clone(), id.clone());
                groups.join(&key, *size, *index, launch)
            }
            None => Joined::Complete(vec![launch]),
        };
        let launches = match joined {
            Joined::Complete(launches) => launches,
            Joined::Waiting => return Launched::Waiting,
            Joined::Broken(early) => return Launched::Broken(early),
        };
        let uids: Vec<String> = launches.iter().map(|launch| launch.uid.clone()).collect();
        match send(launches) {
            Ok(()) => {
                uids.iter().filter_map(|uid| self.task(uid)).for_each(|task| task.set_launched());
                Launched::Sent
            }
            Err(refused) => Launched::Refused(refused, uids),
        }
    }

    /// Sees to it that a task is not launched, and its group neither, of which the others end for
    /// this. False where it is launched already.
    pub(crate) fn forestall(&self, task: &Inner, early: &Early) -> bool {
        let mut groups = locked(&self.groups);
        if task.is_launched() {
            return false;
        }
        if let Some((id, ..)) = &task.group {
            let waiting = groups.break_up(&(task.executor.clone(), id.clone()), early);
            self.end_early(&waiting, early);
        }
        true
    }

    /// The group will not be complete: for this, its tasks end that wait for the others.
    pub(crate) fn break_group(&self, key: &Key, early: &Early) {
        let waiting = locked(&self.groups).break_up(key, early);
        self.end_early(&waiting, early);
    }

    /// The task at this position of a group of `size` is over, or will not come.
    pub(crate) fn leave_group(&self, key: &Key, size: i64, index: i64) {
        locked(&self.groups).leave(key, size, index);
    }

    /// Something happened to an executor that its tasks may have to look at.
    pub(crate) fn notify_tasks_of(&self, executor: &str) {
        for task in locked(&self.tasks).values().filter(|task| task.executor == executor) {
            task.changed.notify_one();
        }
    }

    /// These tasks are never handed over, for this.
    pub(crate) fn end_early(&self, uids: &[String], early: &Early) {
        for task in uids.iter().filter_map(|uid| self.task(uid)) {
            locked(&task.early).get_or_insert_with(|| early.clone());
            task.changed.notify_one();
        }
    }
}

impl Inner {
    pub(crate) fn new(
        uid: String,
        executor: String,
        info: TaskInfo,
        group: Option<(String, i64, i64)>,
        limits: Limits,
        journal: Journal,
    ) -> Self {
        Self {
            uid,
            executor,
            info,
            group,
            limits,
            journal: Arc::new(tokio::sync::Mutex::new(journal)),
            changed: Notify::new(),
            early: Mutex::default(),
            launched: AtomicBool::new(false),
        }
    }

    /// What the executor API is given.
    pub(crate) fn launch(&self, progress: Progress) -> Launch {
        Launch { uid: self.uid.clone(), task: self.info.clone(), progress }
    }

    /// What ended it before it was handed over, if something did.
    pub(crate) fn early(&self) -> Option<Early> {
        locked(&self.early).clone()
    }

    /// Whether the executor API has it, or its group has.
    pub(crate) fn is_launched(&self) -> bool {
        self.launched.load(Ordering::Acquire)
    }

    pub(crate) fn set_launched(&self) {
        self.launched.store(true, Ordering::Release);
    }
}

/// An executor is registered until this is dropped.
#[derive(Debug)]
pub(crate) struct ExecutorHold {
    registry: Arc<Registry>,
    pub(crate) executor: Arc<Executor>,
}

impl Drop for ExecutorHold {
    fn drop(&mut self) {
        locked(&self.registry.executors).remove(&self.executor.uid);
        locked(&self.registry.groups).forget(&self.executor.uid);
    }
}

/// A task is registered until this is dropped.
#[derive(Debug)]
pub(crate) struct InnerHold {
    registry: Arc<Registry>,
    pub(crate) task: Arc<Inner>,
}

impl Drop for InnerHold {
    fn drop(&mut self) {
        locked(&self.registry.tasks).remove(&self.task.uid);
        if let Some((id, index, size)) = &self.task.group {
            let key = (self.task.executor.clone(), id.clone());
            self.registry.leave_group(&key, *size, *index);
        }
        if let Some(executor) = self.registry.executor(&self.task.executor) {
            executor.revoke(&self.task.uid);
        }
    }
}
