//! Owns a task that an executor runs: gives it to the executor, has it killed, tells its end where the
//! executor does not, and keeps its record as its journal says.
//!
//! Level, not edge: each pass looks at record, journal and executor, does what follows, and waits
//! until one of them has changed. An owner that is dropped anywhere is the same as an agent that was
//! killed there: what was kept is in the journal.

mod record;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use meseta_crds::TaskState;
use meseta_crds::task::{Kill, MesosStatus, reason};
use meseta_mesos_agent::{Killed, Launch, Progress, Refused};
use meseta_mesos_wire::v1::{DurationInfo, KillPolicy};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::executor::Executor;
use super::inner::{self, Early, End, Seen, Step, tell};
use super::journal::{Entry, Journal};
use super::registry::{Inner, Launched};
use super::status;
use crate::checkpoint::{Accepted, Outcome};
use crate::node::{Node, blocking, unix_millis};
use crate::report::{Backoff, Mirror, Record};
use crate::task::wish::Wish;
use record::Next;

/// How long a task waits for the others of its group. Their records are made together.
const GROUP_PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at what nothing tells of: an executor that is not here yet, a record that
/// is missing.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The step of an end that the agent tells in the executor's place.
const ENDED: &str = "ended";

struct Owner<'a> {
    node: &'a Arc<Node>,
    accepted: &'a Accepted,
    task: &'a Arc<Inner>,
    /// When it began, in milliseconds since 1970.
    begun: i64,
    /// When the others of its group are not waited for any more.
    group_due: Instant,
    backoff: Backoff,
}

/// Owns a task inside an executor until it is over and its record says so; `over` is called as soon as
/// it is over. How it ended.
///
/// Dropping the future stops nothing that runs; another owner can adopt the task.
///
/// # Errors
/// The agent's directory cannot be read.
pub(crate) async fn own(
    node: &Arc<Node>,
    accepted: &Accepted,
    task: &Arc<Inner>,
    mirror: &mut Mirror,
    over: impl Fn(),
) -> io::Result<Outcome> {
    node.mesos.until_recovered().await;
    let mut owner = Owner {
        node,
        accepted,
        task,
        begun: unix_millis(),
        group_due: Instant::now() + GROUP_PATIENCE,
        backoff: Backoff::default(),
    };
    loop {
        let record = mirror.current();
        let look_again = owner.act(&record).await?;
        let pause = match owner.report(&record, mirror, &over).await {
            Next::Again => continue,
            Next::Wait(None) => look_again.then_some(LOOK_INTERVAL),
            Next::Wait(pause) => pause,
            Next::Over(outcome) => {
                if let Some(executors) = node.mesos.executors() {
                    executors.ended(&task.executor, &task.uid);
                }
                return Ok(outcome);
            }
        };
        let pause = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pause => {}
            () = mirror.changed() => {}
            () = task.changed.notified() => {}
        }
    }
}

impl Owner<'_> {
    /// Does what follows for a task that is not over. Whether to look again though nothing tells.
    async fn act(&mut self, record: &Record) -> io::Result<bool> {
        loop {
            let mut journal = self.journal().await;
            journal.observe(written(record));
            if journal.is_over() {
                return Ok(false);
            }
            let executor = self.node.mesos.registry.executor(&self.task.executor);
            let executor = executor.as_deref();
            match inner::next(&self.look(record, executor)?) {
                Step::Wait => return Ok(executor.is_none()),
                Step::Launch => {
                    let progress = journal.progress();
                    drop(journal);
                    if !self.launch(executor, progress) {
                        return Ok(true);
                    }
                }
                Step::Kill(kill) => {
                    drop(journal);
                    if !self.kill(kill) {
                        return Ok(executor.is_none());
                    }
                }
                Step::End(end) => {
                    let early = matches!(*end, End::Early(Early::Killed, _));
                    // It may have been launched with its group since it was looked at.
                    if early
                        && self.task.early().is_none()
                        && !self.node.mesos.registry.forestall(self.task, &Early::Killed)
                    {
                        continue;
                    }
                    let kept = self.end(journal, executor, &end).await;
                    if let Err(err) = &kept {
                        let error = err as &dyn std::error::Error;
                        tracing::warn!(error, uid = self.task.uid, "end not kept yet");
                    }
                    return Ok(kept.is_err());
                }
            }
        }
    }

    fn look(&self, record: &Record, executor: Option<&Executor>) -> io::Result<Seen> {
        let executor_ended = match executor {
            Some(executor) => executor.fate.borrow().clone(),
            None => self.end_of_executor()?,
        };
        let standing = executor.and_then(Executor::standing).unwrap_or_default();
        Ok(Seen {
            executor_ended,
            lost: standing.lost.contains(&self.task.uid),
            early: self.task.early(),
            wish: Wish::of(record),
            launched: self.task.is_launched(),
        })
    }

    /// How an executor ended that has no owner; `None` where it will have one again.
    fn end_of_executor(&self) -> io::Result<Option<Outcome>> {
        let directory = self.node.directory.task(&self.task.executor);
        // Without a uid it is nobody's.
        if !self.task.executor.is_empty() && directory.exists() {
            return Ok(directory.read()?.outcome);
        }
        Ok(Some(Outcome {
            state: TaskState::Failed,
            reason: reason::EXECUTOR_TERMINATED.to_owned(),
            message: "nothing of it is on the agent".to_owned(),
            container: None,
            ended_unix_millis: unix_millis(),
        }))
    }

    /// Gives the task to the executor, with its group. Whether there is something to look at again.
    fn launch(&self, executor: Option<&Executor>, progress: Progress) -> bool {
        let registry = &self.node.mesos.registry;
        let (Some(executors), Some(executor)) = (self.node.mesos.executors(), executor) else {
            return false;
        };
        if executor.standing().is_none() {
            // It may not subscribe yet; all are told when it may.
            return false;
        }
        let mut launch = self.task.launch(progress);
        if self.task.group.is_some() {
            launch.task.executor = Some(executor.info.clone());
        }
        let send = |launches: Vec<Launch>| match &self.task.group {
            Some(_) => executors.launch_group(&executor.uid, launches),
            None => launches.into_iter().try_for_each(|one| executors.launch(&executor.uid, one)),
        };
        match registry.launch(self.task, launch, send) {
            Launched::Sent => false,
            Launched::Waiting if Instant::now() >= self.group_due => {
                registry.forestall(self.task, &Early::GroupBroken)
            }
            Launched::Waiting => false,
            Launched::Broken(early) => {
                registry.end_early(std::slice::from_ref(&self.task.uid), &early);
                true
            }
            // It has just ended: that is told.
            Launched::Refused(Refused::NoExecutor, _) => false,
            Launched::Refused(refused, uids) => {
                registry.end_early(&uids, &Early::Refused(refused));
                true
            }
        }
    }

    /// Has the executor end the task. Whether there is something to look at again.
    fn kill(&self, kill: Kill) -> bool {
        let Some(executors) = self.node.mesos.executors() else { return false };
        let policy = kill.grace_period_seconds.map(|seconds| KillPolicy {
            grace_period: Some(DurationInfo { nanoseconds: seconds.saturating_mul(1_000_000_000) }),
        });
        match executors.kill(&self.task.executor, &self.task.uid, policy, kill.repeats) {
            Killed::BeforeHandover(uids) => {
                self.node.mesos.registry.end_early(&uids, &Early::Killed);
                true
            }
            Killed::Told | Killed::NotHere => false,
        }
    }

    /// Keeps the end that the executor does not tell.
    async fn end(
        &self,
        mut journal: OwnedMutexGuard<Journal>,
        executor: Option<&Executor>,
        end: &End,
    ) -> io::Result<()> {
        let now = unix_millis();
        let spec = &self.accepted.spec;
        let mesos = spec.mesos.clone().unwrap_or_default();
        let of_executor = || executor.map(|executor| executor.capabilities);
        let capabilities = status::capabilities(&mesos).or_else(of_executor).unwrap_or_default();
        let name = spec.executor_name.as_deref().unwrap_or_default();
        let (state, why, said) = tell(end, name, capabilities, now);
        let entry = Entry {
            update: status::update(&self.task.uid, &self.node.name, &mesos, ENDED, &said),
            state,
            reason: Some(why.to_owned()),
            message: said.message,
            at: now,
        };
        if let (End::Early(Early::Killed, _), Some(executor)) = (end, executor) {
            executor.killed_early(self.task.launch(Progress::New));
        }
        let node = Arc::clone(self.node);
        let kept = blocking(move || {
            let _in_hand = node;
            journal.append(entry)
        });
        kept.await?;
        if let Some(executors) = self.node.mesos.executors() {
            executors.ended(&self.task.executor, &self.task.uid);
        }
        Ok(())
    }

    async fn journal(&self) -> OwnedMutexGuard<Journal> {
        Arc::clone(&self.task.journal).lock_owned().await
    }
}

/// What the record says of the updates.
fn written(record: &Record) -> Option<&MesosStatus> {
    match record {
        Record::Present(task) | Record::Deleted(task) => task.status.as_ref()?.mesos.as_ref(),
        Record::Missing | Record::Unknown => None,
    }
}
