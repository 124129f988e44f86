//! The agent's directory: where everything is, and the lock that makes the agent its only user.
//!
//! ```text
//! <data_dir>/
//!     lock                     held while an agent runs
//!     agent.json               which cluster this agent knows: [`crate::memory`]
//!     executor-api.json        where executors find it: [`crate::mesos`]
//!     tasks/<task uid>/        one task: [`crate::checkpoint`]
//!         task.json  stop.json  result.json  released
//!         sandbox/stdout  stderr  work/
//!         run-<n>/             one run of its container: `meseta-shim-api`
//!         handed-over updates/ of a task inside an executor: [`crate::mesos`]
//!     volumes/<framework uid>/ volumes shared by the tasks of a framework: [`crate::volumes`]
//!     snapshots/<chain id>/    unpacked layers: [`crate::images`]
//!     tmp/                     what is being made or removed; emptied at each start
//! ```
//!
//! **Invariant:** a directory of `tasks` is made before anything of the task exists elsewhere on the
//! machine, and removed after everything else of it is gone.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::beneath;

/// How long a new agent waits for the last steps of an earlier one in the same directory.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);
/// Time between two tries.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// The directory of an agent, locked.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    /// Held by being open.
    _lock: File,
    temporaries: AtomicU64,
}

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Another agent works in it.
    #[error("another agent uses {0}")]
    Locked(PathBuf),
    /// The file system refused.
    #[error("cannot use {path}")]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Directory {
    /// Makes the directory where there is none, locks it, and removes what was half made or half
    /// removed. Blocks for up to [`LOCK_PATIENCE`] while an earlier agent finishes.
    ///
    /// # Errors
    /// Another agent uses it, or the file system refused.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(failed(path))?;
        let root = fs::canonicalize(path).map_err(failed(path))?;
        let lock = lock(&root)?;
        let directory = Self { root, _lock: lock, temporaries: AtomicU64::new(0) };
        beneath::remove_at(&directory.temporary()).map_err(failed(&directory.temporary()))?;
        for part in
            [directory.tasks(), directory.volumes(), directory.snapshots(), directory.temporary()]
        {
            make_private(&part).map_err(failed(&part))?;
        }
        Ok(directory)
    }

    /// The directory itself, without links in its path.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// One directory per task.
    pub(crate) fn tasks(&self) -> PathBuf {
        self.root.join("tasks")
    }

    /// The directory of a task, by its uid.
    pub(crate) fn task(&self, uid: &str) -> TaskDirectory {
        TaskDirectory { path: self.tasks().join(uid) }
    }

    /// One directory per framework.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// One directory per unpacked layer.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// Where the agent remembers its cluster.
    pub(crate) fn memory(&self) -> PathBuf {
        self.root.join("agent.json")
    }

    /// Where executors were told to find the agent.
    pub(crate) fn executor_api(&self) -> PathBuf {
        self.root.join("executor-api.json")
    }

    fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// A path beneath `tmp/` that is used once.
    pub(crate) fn new_temporary(&self) -> PathBuf {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        self.temporary().join(number.to_string())
    }

    /// Removes `path`, which is the agent's own: at once for whoever looks, and then in earnest.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn discard(&self, path: &Path) -> io::Result<()> {
        let doomed = self.new_temporary();
        match fs::rename(path, &doomed) {
            Ok(()) => beneath::remove_at(&doomed),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(err) => Err(err),
        }
    }
}

/// The directory of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskDirectory {
    path: PathBuf,
}

impl TaskDirectory {
    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the task keeps: its output, and the working directory it may write to.
    pub(crate) fn sandbox(&self) -> PathBuf {
        self.path.join("sandbox")
    }

    /// What its container sees of the sandbox. The output lies beside it, where no workload can put
    /// a link in its place.
    pub(crate) fn work(&self) -> PathBuf {
        self.sandbox().join("work")
    }

    /// The file with the output of a stream.
    pub(crate) fn output(&self, stream: Stream) -> PathBuf {
        self.sandbox().join(stream.as_str())
    }

    /// The directory of a run.
    pub(crate) fn run(&self, run: u32) -> PathBuf {
        self.path.join(format!("run-{run}"))
    }

    /// Where a run is put to see whether a shim has come to it.
    pub(crate) fn run_aside(&self, run: u32) -> PathBuf {
        self.path.join(format!("run-{run}.aside"))
    }

    /// The runs there are, by number.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn runs(&self) -> io::Result<Vec<u32>> {
        let mut runs: Vec<u32> = names(&self.path)?
            .iter()
            .filter_map(|name| name.to_str()?.strip_prefix("run-")?.parse().ok())
            .collect();
        runs.sort_unstable();
        Ok(runs)
    }

    /// Whether there is anything of the task.
    pub(crate) fn exists(&self) -> bool {
        self.path.is_dir()
    }
}

/// One of the two outputs of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl Stream {
    /// Its name, in URLs as on disk.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Whether a uid can be the name of a directory. Those of API servers are.
pub(crate) fn is_usable_uid(uid: &str) -> bool {
    /// A uuid has 36.
    const MAX_LENGTH: usize = 64;
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !uid.is_empty() && uid.len() <= MAX_LENGTH && !uid.starts_with('-') && uid.chars().all(letter)
}

/// The names in a directory; none where there is no such directory.
///
/// # Errors
/// The file system refused.
pub(crate) fn names(path: &Path) -> io::Result<Vec<OsString>> {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect(),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(err) => Err(err),
    }
}

/// Makes a directory for the agent alone; one that exists is kept as it is. The one it is in must
/// exist: a task whose directory was removed meanwhile does not get another.
///
/// # Errors
/// The file system refused.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

fn lock(root: &Path) -> Result<File, Error> {
    let path = root.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| Error::Io { path: path.clone(), source })?;
    let begin = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if begin.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_INTERVAL);
            }
            Err(Errno::WOULDBLOCK) => return Err(Error::Locked(root.to_owned())),
            Err(err) => return Err(Error::Io { path, source: err.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_half_made_is_removed_at_the_next_start() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        let half = directory.new_temporary();
        fs::create_dir(&half).unwrap();
        drop(directory);
        Directory::open(root.path()).unwrap();
        assert!(!half.exists());
    }

    #[test]
    fn what_was_removed_is_not_made_again_in_passing() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        let task = directory.task("uid-1");
        make_private(task.path()).unwrap();
        make_private(task.path()).unwrap();
        directory.discard(task.path()).unwrap();
        assert!(make_private(&task.run(0)).is_err());
        assert!(!task.exists());
        directory.discard(task.path()).unwrap();
    }

    #[test]
    fn uids_are_directory_names() {
        assert!(is_usable_uid("0b2f3c1e-0000-4000-8000-000000000000"));
        for uid in ["", "..", "a/b", "a.b", "-a", "a b"] {
            assert!(!is_usable_uid(uid), "{uid}");
        }
    }
}
