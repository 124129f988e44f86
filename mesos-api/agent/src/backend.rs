//! What passes between this crate and the agent.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use meseta_mesos_wire::v1;

/// What the agent does for its executors. Executors and tasks are named by the uid of their record.
pub trait Backend: Send + Sync + 'static {
    /// Writes down that these tasks of one launch may be known to their executor from now on, so
    /// that [`Progress::HandedOver`] can be told after a death of this process. (Not of the machine:
    /// executors do not survive that.) The LAUNCH goes out after it succeeded.
    ///
    /// May be called again for the same tasks, if the executor disconnected meanwhile. The future
    /// may be dropped at any point.
    ///
    /// # Errors
    /// The disk refused; it is tried again a little later.
    fn hand_over(&self, tasks: Vec<String>) -> BoxFuture<'_, io::Result<()>>;

    /// Stores an update of the task, synced, in the order of the calls: one at a time for each
    /// executor. `status` is complete (agent, executor, source, timestamp, container) and has a uuid
    /// of 16 bytes; it may be as large as a call. The future is not dropped before it ends, unless the
    /// process dies.
    ///
    /// # Errors
    /// The disk refused: the executor is answered 503 and not acknowledged.
    fn store(&self, task: String, status: v1::TaskStatus) -> BoxFuture<'_, io::Result<Stored>>;

    /// Takes a message of an executor to its scheduler; best effort. Must not block.
    fn message(&self, executor: &str, data: Bytes);
}

/// What became of an update. Each is acknowledged to the executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is on the disk, after those of the task that came before.
    New,
    /// It was there already: one with this uuid. An executor repeats what it saw no ACKNOWLEDGED of,
    /// so all uuids of tasks that are not over must be remembered.
    Known,
    /// The task was over, so that nothing follows; not stored.
    AfterEnd,
}

/// An executor whose container may run.
#[derive(Clone, Debug)]
pub struct ExecutorFacts {
    /// Uid of its record; also the `container_id` it is told.
    pub uid: String,
    /// Mesos' id of the framework.
    pub framework_id: String,
    /// Mesos' id of the executor.
    pub executor_id: String,
    /// As the scheduler sent it; the ids are filled in.
    pub executor_info: v1::ExecutorInfo,
    /// As it was when the executor was launched; the id is filled in.
    pub framework_info: v1::FrameworkInfo,
    /// Time until it must have subscribed; [`REGISTRATION_TIMEOUT`](crate::REGISTRATION_TIMEOUT) for
    /// one that starts. One that was found comes back when it will; Mesos gives it 2 s, and it takes
    /// its tasks with it when it is ended.
    pub subscribe_within: Duration,
}

/// A task for an executor.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Uid of its record.
    pub uid: String,
    /// As the executor gets it. For a group, with the executor's info in each.
    pub task: v1::TaskInfo,
    /// How far it got before the agent was started; [`Progress::New`] for one just accepted.
    pub progress: Progress,
}

/// How far a task got, from the agent's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Never handed over.
    New,
    /// [`Backend::hand_over`] wrote it down, and no update of the task is stored.
    HandedOver,
    /// An update of the task is stored.
    Answered,
}

/// Why a launch was not taken. Nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No executor of this uid is expected.
    #[error("the executor is not known")]
    NoExecutor,
    /// The executor is told to shut down, and was not given the task before.
    #[error("the executor is shutting down")]
    ShuttingDown,
    /// The executor has another task of this Mesos id, which is not over.
    #[error("the executor has a task of this id")]
    IdInUse,
}

/// What a kill found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Killed {
    /// The executor was told, or will be when it subscribes.
    Told,
    /// The task had not been handed over and never will be; nor will the others of its group. The
    /// uids of all of them. To be reported as TASK_KILLED, REASON_TASK_KILLED_DURING_LAUNCH.
    BeforeHandover(Vec<String>),
    /// The task is over, or was never launched here.
    NotHere,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// The executor is not subscribed.
    #[error("the executor is not connected")]
    NotConnected,
    /// The executor does not read what was sent before.
    #[error("too many messages wait for the executor")]
    Full,
}

/// What the agent must know of an executor: a level, told by a watch, that may be looked at late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// It has subscribed since it was expected.
    pub subscribed: bool,
    /// It has a stream now.
    pub connected: bool,
    /// It did not subscribe in time. The agent ends the container; REASON_EXECUTOR_REGISTRATION_TIMEOUT
    /// for one that was started, REASON_EXECUTOR_REREGISTRATION_TIMEOUT for one that was found.
    pub overdue: bool,
    /// All its tasks were killed before it got any, so it was told to shut down when it subscribed.
    pub unneeded: bool,
    /// The grace of a shutdown is over. The agent ends the container.
    pub grace_over: bool,
    /// Tasks that were on their way to it when a connection or the agent died, and that it does not
    /// have. To be reported as TASK_DROPPED (TASK_LOST to a framework that is not PARTITION_AWARE),
    /// REASON_AGENT_RESTARTED, "Task launched during agent restart".
    pub lost: BTreeSet<String>,
}
