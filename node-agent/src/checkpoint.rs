//! What is written about a task before acting, and how it is found again.
//!
//! ```text
//! tasks/<uid>/task.json     what was accepted, and which run it is at      before anything is made
//!             run-<n>/…     the agreement with the shim                    before the shim is started
//!             stop.json     that the container has to end, why, until when before the first signal
//!             result.json   how the task ended                             before it is reported
//!             released      the record is free of this agent               after it is
//! ```
//!
//! The files here survive a kill of the agent at any instruction: each is replaced by a rename. They
//! are not synced; what a crash of the machine may lose of them is decided by `run-<n>/run.json`,
//! which is synced before a shim is started, and by the record.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use meseta_crds::task::ContainerStatus;
use meseta_crds::{TaskSpec, TaskState};
use meseta_shim_api::ReadError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::directory::TaskDirectory;

pub(crate) const TASK_FILE: &str = "task.json";
const STOP_FILE: &str = "stop.json";
const RESULT_FILE: &str = "result.json";
const RELEASED_FILE: &str = "released";

/// A task that was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    /// Namespace of the record.
    pub(crate) namespace: String,
    /// Name of the record.
    pub(crate) name: String,
    /// Uid of the record.
    pub(crate) uid: String,
    /// What to run, as it was when the task was accepted.
    pub(crate) spec: TaskSpec,
    /// Uid of the executor that is to run it; none for a task with a container.
    #[serde(default)]
    pub(crate) executor_uid: Option<String>,
    /// The run that is under way or to come.
    pub(crate) run: u32,
    /// Runs that were started again after one had ended.
    #[serde(default)]
    pub(crate) restarts: u32,
    /// Restarts since a run last lasted long: what the delay grows with.
    #[serde(default)]
    pub(crate) restarts_in_a_row: u32,
    /// Start of the first run that started, in milliseconds since 1970.
    #[serde(default)]
    pub(crate) first_started_unix_millis: Option<i64>,
    /// How the last run ended, once there was one.
    #[serde(default)]
    pub(crate) last: Option<ContainerStatus>,
}

impl Accepted {
    /// Time between the wish to end and SIGKILL, as it was accepted.
    pub(crate) fn grace_millis(&self) -> i64 {
        self.spec.grace_seconds().max(0).saturating_mul(1000)
    }
}

/// That a container has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stop {
    /// Why.
    pub(crate) cause: StopCause,
    /// When the grace period ends, in milliseconds since 1970.
    pub(crate) kill_unix_millis: i64,
}

/// Why a container has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum StopCause {
    /// The record is being deleted.
    Deleted,
    /// The record says that its scheduler wants its end.
    Killed,
    /// `activeDeadlineSeconds` passed.
    DeadlineExceeded,
    /// The record says that the task has ended: it was given up while this agent was silent.
    Superseded,
    /// The shim did not bring the container to run.
    StartTimeout,
    /// The executor did not subscribe, or not again.
    NotSubscribed,
    /// All tasks of the executor were killed before it was given any.
    Unneeded,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    /// A terminal state.
    pub(crate) state: TaskState,
    /// CamelCase cause.
    pub(crate) reason: String,
    /// One sentence for people.
    pub(crate) message: String,
    /// The container at its end; absent if there never was one.
    #[serde(default)]
    pub(crate) container: Option<ContainerStatus>,
    /// When, in milliseconds since 1970.
    pub(crate) ended_unix_millis: i64,
}

/// Everything that is written about a task beside its runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Checkpoint {
    /// `task.json`; `None` where it is absent or damaged.
    pub(crate) accepted: Option<Accepted>,
    /// `stop.json`.
    pub(crate) stop: Option<Stop>,
    /// `result.json`.
    pub(crate) outcome: Option<Outcome>,
    /// Whether the record is free of this agent.
    pub(crate) released: bool,
}

impl TaskDirectory {
    /// Reads what is written about the task. A damaged file counts as absent: the run directories
    /// say whether anything was started.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn read(&self) -> io::Result<Checkpoint> {
        Ok(Checkpoint {
            accepted: read(&self.path().join(TASK_FILE))?,
            stop: read(&self.path().join(STOP_FILE))?,
            outcome: read(&self.path().join(RESULT_FILE))?,
            released: self.path().join(RELEASED_FILE).try_exists()?,
        })
    }

    /// Writes what was accepted; makes the directory for the first time.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn write_accepted(&self, accepted: &Accepted) -> io::Result<()> {
        crate::directory::make_private(self.path())?;
        write(&self.path().join(TASK_FILE), accepted)
    }

    /// Writes that the container has to end.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn write_stop(&self, stop: &Stop) -> io::Result<()> {
        write(&self.path().join(STOP_FILE), stop)
    }

    /// Writes how the task ended.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn write_outcome(&self, outcome: &Outcome) -> io::Result<()> {
        write(&self.path().join(RESULT_FILE), outcome)
    }

    /// Writes that the record is free of this agent.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn write_released(&self) -> io::Result<()> {
        fs::File::create(self.path().join(RELEASED_FILE)).map(drop)
    }
}

/// Replaces a file so that whoever reads it after a kill finds the old or the new one.
///
/// # Errors
/// The file system refused; the old file is still there.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    fs::rename(&temporary, path)
}

/// Reads a file; `None` where it is absent or damaged, and the latter is logged.
///
/// # Errors
/// The file system refused.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match meseta_shim_api::read(path) {
        Ok(value) => Ok(value),
        Err(err @ ReadError::Damaged { .. }) => {
            tracing::error!(
                error = &err as &dyn std::error::Error,
                "a damaged file counts as absent"
            );
            Ok(None)
        }
        Err(ReadError::Io { source, .. }) => Err(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;

    #[test]
    fn a_damaged_file_counts_as_absent_and_the_others_are_read() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        let task = directory.task("uid-1");
        let accepted = Accepted {
            namespace: "default".to_owned(),
            name: "a".to_owned(),
            uid: "uid-1".to_owned(),
            spec: TaskSpec::default(),
            executor_uid: None,
            run: 3,
            restarts: 2,
            restarts_in_a_row: 1,
            first_started_unix_millis: Some(5),
            last: None,
        };
        task.write_accepted(&accepted).unwrap();
        let stop = Stop { cause: StopCause::Deleted, kill_unix_millis: 7 };
        task.write_stop(&stop).unwrap();
        fs::write(task.path().join(RESULT_FILE), b"{\"state\":").unwrap();
        let expected = Checkpoint {
            accepted: Some(accepted),
            stop: Some(stop),
            outcome: None,
            released: false,
        };
        assert_eq!(task.read().unwrap(), expected);
        fs::write(task.path().join(TASK_FILE), b"").unwrap();
        task.write_released().unwrap();
        let expected = Checkpoint { accepted: None, released: true, ..expected };
        assert_eq!(task.read().unwrap(), expected);
    }
}
