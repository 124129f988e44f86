//! What every part of a running agent uses: who it is, and its means.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::Client;
use tokio::sync::Semaphore;

use crate::cgroup::Cgroups;
use crate::directory::Directory;
use crate::images::Images;
use crate::logs::Outputs;
use crate::memory::Memory;
use crate::mesos::Mesos;
use crate::run_watch::RunWatch;
use crate::volumes::Volumes;

/// Requests of tasks to the API server at a time.
pub(crate) const REQUESTS_AT_ONCE: usize = 32;
/// Tasks whose image, sandbox and volumes are prepared at a time: mostly disk work.
pub(crate) const STAGINGS_AT_ONCE: usize = 8;
/// Shims that are being started at a time. A start is some 10 ms of CPU.
pub(crate) const LAUNCHES_AT_ONCE: usize = 16;

/// The agent's identity and means; one per agent, shared.
pub(crate) struct Node {
    /// Name of the agent's record.
    pub(crate) name: String,
    /// The API server.
    pub(crate) client: Client,
    /// The agent's directory, locked for as long as anything works in it.
    pub(crate) directory: Arc<Directory>,
    /// What is remembered of the cluster.
    pub(crate) memory: Memory,
    /// The program `meseta-shim`.
    pub(crate) shim: PathBuf,
    /// Paths of the host that no task sees: the agent's own directory among them.
    pub(crate) hidden: Vec<PathBuf>,
    /// Which boot of the machine this is.
    pub(crate) boot_id: String,
    /// Control groups of the machine.
    pub(crate) cgroups: Cgroups,
    /// Tells when files of runs change.
    pub(crate) run_watch: RunWatch,
    /// Unpacked images.
    pub(crate) images: Images,
    /// Volumes shared by the tasks of a framework.
    pub(crate) volumes: Volumes,
    /// Executors and the tasks inside them.
    pub(crate) mesos: Mesos,
    /// Outputs that may still grow.
    pub(crate) outputs: Outputs,
    /// Whether no task has an owner; while it is so nobody makes control groups.
    pub(crate) idle: AtomicBool,
    /// See [`REQUESTS_AT_ONCE`].
    pub(crate) requests: Semaphore,
    /// See [`STAGINGS_AT_ONCE`].
    pub(crate) stagings: Semaphore,
    /// See [`LAUNCHES_AT_ONCE`].
    pub(crate) launches: Semaphore,
}

impl Node {
    /// The control group of a run, on each hierarchy.
    pub(crate) fn cgroup(&self, uid: &str, run: u32) -> PathBuf {
        self.cgroup_parent().join(run_id(uid, run))
    }

    /// The control group in which those of all runs are.
    pub(crate) fn cgroup_parent(&self) -> PathBuf {
        PathBuf::from("/meseta").join(&self.name)
    }

    /// Removes the control groups of this agent if it has no task: those of shims stay between
    /// tasks, so that each start need not make them.
    pub(crate) fn remove_cgroups_if_idle(&self) {
        if self.idle.load(Ordering::Acquire) {
            self.cgroups.remove_empty(&self.cgroup_parent());
        }
    }

    /// Ends everything in the control group of a run, and removes it.
    ///
    /// # Errors
    /// Processes survive, or the kernel refused.
    pub(crate) async fn destroy_cgroup(self: &Arc<Self>, uid: &str, run: u32) -> io::Result<()> {
        let group = self.cgroup(uid, run);
        let node = Arc::clone(self);
        blocking(move || node.cgroups.destroy(&group)).await
    }
}

/// Id of a container, unique for ever.
pub(crate) fn run_id(uid: &str, run: u32) -> String {
    format!("{uid}-{run}")
}

/// Now, in milliseconds since 1970.
pub(crate) fn unix_millis() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Runs something that blocks where it does not stop others. It runs to its end even if the future
/// is dropped: what it changes in the agent's directory it must do with the [`Node`], or its
/// [`Directory`], in hand, so that the next agent waits for it.
///
/// # Panics
/// Where `work` does.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down cancels it, and then nobody waits.
            Err(_) => std::future::pending().await,
        },
    }
}
