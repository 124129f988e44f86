//! What the executor API has to know before executors come back, from the disk alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meseta_crds::TaskState;
use meseta_mesos_agent::environment::RECOVERY_TIMEOUT;
use meseta_mesos_agent::{Launch, Progress};
use meseta_shim_api::RUN_FILE;

use super::Mesos;
use super::groups::Key;
use super::inner::Early;
use super::journal::Journal;
use super::registry::Inner;
use super::room::Room;
use crate::checkpoint::Accepted;
use crate::node::unix_millis;

/// What an executor has said of a task that is over.
struct Said {
    executor: String,
    task_id: String,
    uuids: Vec<Vec<u8>>,
    /// When the task ended, in milliseconds since 1970.
    ended: i64,
}

impl Said {
    fn of(executor: &str, task_id: &str, journal: &Journal) -> Option<Self> {
        let (executor, task_id) = (executor.to_owned(), task_id.to_owned());
        Some(Self { executor, task_id, uuids: journal.uuids().collect(), ended: journal.end()?.at })
    }
}

impl Mesos {
    /// Lets executors come back whose containers may run, and has those told to end that were to.
    /// They may take as long as they were told that they may be without an agent: until then nobody
    /// can say that one will not come.
    pub(crate) fn expect_found(&self, accepted: &Accepted) {
        let directory = self.directory.task(&accepted.uid);
        let begun = directory.run(accepted.run).join(RUN_FILE).is_file();
        // What cannot be read is looked at again by its owner.
        let checkpoint = directory.read().ok();
        let ended = checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.outcome.is_some());
        if !begun || ended || !self.try_expect(accepted, RECOVERY_TIMEOUT) {
            return;
        }
        let stop = checkpoint.and_then(|checkpoint| checkpoint.stop);
        if let (Some(stop), Some(served)) = (stop, &self.served) {
            let left = u64::try_from(stop.kill_unix_millis - unix_millis()).unwrap_or(0);
            served.executors.shutdown(&accepted.uid, Duration::from_millis(left));
        }
    }

    /// Tells the executor API which tasks executors may know, and lets them come. `seen_off` are tasks
    /// without an owner: nothing is done about them, but their executors may not know yet that all they
    /// said was heard.
    pub(crate) fn recover(&self, seen_off: &[Accepted]) {
        let mut said: Vec<Said> = seen_off.iter().filter_map(|task| self.said(task)).collect();
        let mut groups: BTreeMap<Key, Vec<(Arc<Inner>, Progress)>> = BTreeMap::new();
        for task in self.registry.tasks() {
            // Nobody else has it yet.
            let Ok(journal) = task.journal.try_lock() else { continue };
            if let Some(end) = journal.end() {
                if let (true, Some((id, ..))) = (journal.ended_early(), &task.group) {
                    // It took its group along, of which others may not have heard yet.
                    let killed = end.state == TaskState::Killed;
                    let early = if killed { Early::Killed } else { Early::GroupBroken };
                    let key = (task.executor.clone(), id.clone());
                    self.registry.break_group(&key, &early);
                }
                said.extend(Said::of(&task.executor, &task.info.task_id.value, &journal));
                continue;
            }
            let progress = journal.progress();
            drop(journal);
            match &task.group {
                Some((id, ..)) => {
                    let key = (task.executor.clone(), id.clone());
                    groups.entry(key).or_default().push((task, progress));
                }
                None if progress > Progress::New => self.known(&[(task, progress)]),
                None => {}
            }
        }
        for members in groups.values_mut() {
            // What was not written for all of a group was not sent; it is for the executor API to say.
            if members.iter().any(|(_, progress)| *progress > Progress::New) {
                members.sort_by_key(|(task, _)| task.group.as_ref().map(|(_, index, _)| *index));
                self.known(members);
            }
        }
        if let Some(served) = &self.served {
            said.sort_by_key(|said| said.ended);
            for Said { executor, task_id, uuids, .. } in said {
                served.executors.remember(&executor, &task_id, uuids);
            }
            served.executors.recovered();
        }
        self.recovered.send_replace(true);
    }

    /// Waits until executors may be spoken to.
    pub(crate) async fn until_recovered(&self) {
        // The sender is here.
        drop(self.recovered.subscribe().wait_for(|recovered| *recovered).await);
    }

    /// What the executor of a task without an owner has said of it, if it may be asked again.
    fn said(&self, task: &Accepted) -> Option<Said> {
        let executor = task.executor_uid.as_deref()?;
        self.registry.executor(executor)?;
        let task_id = task.spec.mesos.as_ref()?.task_id.as_deref()?;
        // What cannot be read is not known to have been stored.
        let room = Room::beside(&task.spec);
        let journal = Journal::open(&self.directory.task(&task.uid), room).ok()?;
        Said::of(executor, task_id, &journal)
    }

    /// The executor of these tasks, a group or one alone, may know them.
    fn known(&self, tasks: &[(Arc<Inner>, Progress)]) {
        let (Some(served), Some((first, progress))) = (&self.served, tasks.first()) else { return };
        let launched = match &first.group {
            Some(_) => {
                let launches = tasks.iter().map(|(task, progress)| {
                    let mut launch: Launch = task.launch(*progress);
                    launch.task.executor =
                        self.registry.executor(&task.executor).map(|e| e.info.clone());
                    launch
                });
                served.executors.launch_group(&first.executor, launches.collect())
            }
            None => served.executors.launch(&first.executor, first.launch(*progress)),
        };
        if let Err(refused) = launched {
            // Its executor has ended, or is ending; its owner sees to that.
            let error = &refused as &dyn std::error::Error;
            tracing::info!(error, uid = first.uid, "not taken up again");
        }
        for (task, _) in tasks {
            task.set_launched();
        }
    }
}
