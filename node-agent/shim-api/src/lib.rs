//! The agreement between agent and shim: one directory per run, and one socket in it.
//!
//! The agent makes the directory, writes [`RunRequest`] to [`RUN_FILE`] (synced) and starts
//! `meseta-shim <directory>`. The shim detaches, creates the container, and keeps in the same
//! directory what the agent needs to find everything again after its own death:
//!
//! ```text
//! <agent>/tasks/<task uid>/run-<n>/
//!     run.json     what to run                                  written by the agent, once
//!     shim.json    who runs it, how far it is: [`Checkpoint`]   written by the shim, replaced
//!     exit.json    how it ended: [`Exit`]                       written by the shim, once
//!     shim.sock    [`Command`] in, [`Answer`] out               mode 0600
//!     shim.log     the shim's own words, bounded
//!     state/       libcontainer's own directory, seen by the shim only; empty for others
//! ```
//!
//! All files are JSON, replaced by write-to-temporary, fsync, rename, fsync of the directory. The
//! checkpoints after the first are renamed without being synced: they must outlive the shim, not the
//! machine. So after another boot a checkpoint may be an earlier one, or damaged; it says the same
//! then, that the run was begun and is over. A new agent speaks to old shims: unknown fields are
//! ignored, new fields have defaults.
//!
//! The program started by the agent leaves at once: with 0 when the shim has its socket and its first
//! checkpoint, and otherwise with the reason on stderr, when nothing was started. The shim itself is
//! nobody's child then, in the control group `shims` beside its container's group, which the agent
//! removes when it has no shims any more.
//!
//! A shim finds its files by the path it was given, and makes nothing before its first checkpoint is
//! written. So an agent that renames a directory without a checkpoint knows that nothing will be
//! started from it, even if a shim is on its way.
//!
//! A container never outlives its shim: the kernel ends it with SIGKILL. Of a shim that was killed
//! the agent has to remove the container's control group, [`STATE_DIR`], [`SOCKET_FILE`] and
//! temporary files; its mounts are gone with it. A shim that gets SIGTERM ends its container with
//! SIGKILL, records that as always, cleans up, and leaves without waiting to be acknowledged.
//!
//! **Invariant:** a run directory is used for one run only; a container id never comes back.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Name of the file with the [`RunRequest`].
pub const RUN_FILE: &str = "run.json";
/// Name of the file with the [`Checkpoint`].
pub const CHECKPOINT_FILE: &str = "shim.json";
/// Name of the file with the [`Exit`].
pub const EXIT_FILE: &str = "exit.json";
/// Name of the control socket.
pub const SOCKET_FILE: &str = "shim.sock";
/// Name of the shim's own log.
pub const LOG_FILE: &str = "shim.log";
/// Name of libcontainer's state directory.
pub const STATE_DIR: &str = "state";
/// The longest message on the socket, in bytes, its newline included.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Everything the shim needs to run one container; nothing is left to choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRequest {
    /// Container id, unique for ever: `<task uid>-<run>`. Letters, digits and `-`.
    pub id: String,
    /// Program and arguments; never empty.
    pub args: Vec<String>,
    /// The whole environment, in order.
    pub env: Vec<(String, String)>,
    /// Absolute working directory in the container.
    pub working_dir: PathBuf,
    /// Host name in the container's uts namespace.
    pub hostname: String,
    /// User and group id.
    pub uid: u32,
    /// See `uid`.
    pub gid: u32,
    /// What the container sees as `/`.
    pub root: Root,
    /// Directories and files of the host, mounted in this order after `/proc`, `/dev` and `/sys`.
    pub binds: Vec<Bind>,
    /// Host paths that a task on the host's file system must not see (the agent's own directory).
    pub hidden: Vec<PathBuf>,
    /// Absolute path below each cgroup hierarchy, such as `/meseta/<id>`.
    pub cgroup: PathBuf,
    /// Limits.
    pub limits: Limits,
    /// Files that receive the output, appended to; each bounded.
    pub stdout: PathBuf,
    /// See `stdout`.
    pub stderr: PathBuf,
    /// Bytes after which an output file is renamed to `<name>.1` (replacing the former) and begun anew.
    pub output_limit_bytes: u64,
}

/// The container's root file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Root {
    /// The host's tree, cloned read-only in the shim's own mount namespace.
    Host,
    /// Overlay of unpacked layers; everything it writes is below `upper`.
    #[serde(rename_all = "camelCase")]
    Layers {
        /// Unpacked layers, top to bottom.
        lower: Vec<PathBuf>,
        /// Fresh upper directory.
        upper: PathBuf,
        /// Overlay's work directory, on the file system of `upper`.
        work: PathBuf,
    },
}

/// One bind mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bind {
    /// Absolute path on the host; must exist.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: PathBuf,
    /// Refuse writes.
    pub read_only: bool,
}

/// cgroup limits; `None` means no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Thousandths of a core set aside: the weight among neighbours.
    pub cpu_share_millis: u64,
    /// Thousandths of a core at most.
    #[serde(default)]
    pub cpu_limit_millis: Option<u64>,
    /// Bytes, swap included.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    #[serde(default)]
    pub pids: Option<u64>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// The shim exists; there may be parts of a container.
    Preparing,
    /// The container is created and waits.
    Created,
    /// The program runs, or ran.
    Running,
    /// [`Exit`] is on disk; only cleaning up is left.
    Ended,
}

/// Who runs the container; enough to know it again, or to clean up after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// The container id.
    pub id: String,
    /// How far the run is.
    pub phase: Phase,
    /// `/proc/sys/kernel/random/boot_id`: another one means the machine was rebooted since.
    pub boot_id: String,
    /// The shim.
    pub shim: Process,
    /// The container's first process, once created.
    #[serde(default)]
    pub container: Option<Process>,
    /// When the program was started, in milliseconds since 1970.
    #[serde(default)]
    pub started_unix_millis: Option<i64>,
}

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Pid in the host's namespace.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`, in clock ticks since boot.
    pub start_ticks: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// What happened.
    pub outcome: Outcome,
    /// When the program was started; absent if it never was.
    #[serde(default)]
    pub started_unix_millis: Option<i64>,
    /// When it ended.
    pub finished_unix_millis: i64,
    /// Times the kernel killed a process of the cgroup for want of memory.
    #[serde(default)]
    pub oom_kills: u64,
}

/// The ways a run can end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Outcome {
    /// The program ended by itself with this code.
    #[serde(rename_all = "camelCase")]
    Exited {
        /// 0 to 255.
        code: i32,
    },
    /// A signal ended it.
    #[serde(rename_all = "camelCase")]
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// It could not be created or started.
    #[serde(rename_all = "camelCase")]
    NotStarted {
        /// What kind of failure.
        cause: StartFailure,
        /// The whole chain of causes, for people.
        message: String,
    },
}

/// Why a container was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StartFailure {
    /// The program (or its interpreter) does not exist in the container, or is not executable.
    CommandNotFound,
    /// No room on the disk.
    DiskFull,
    /// Anything else.
    Other,
}

/// What the agent can ask of a shim: one JSON object on one line, answered by one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "command")]
pub enum Command {
    /// Sends a signal to the container's first process (9 also to everything else in its cgroup).
    #[serde(rename_all = "camelCase")]
    Signal {
        /// The signal's number.
        signal: i32,
        /// For SIGTERM: to all processes of the container. Each that does nothing about it dies of
        /// it, the first one too, which the kernel alone would spare. Shims of an earlier version
        /// send it to the first process only.
        #[serde(default)]
        to_all: bool,
    },
    /// The agent has stored the exit: the shim may clean up its socket and leave.
    Acknowledge,
}

/// The answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "answer")]
pub enum Answer {
    /// Done.
    Ok,
    /// Not done.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// Why.
        message: String,
    },
}

/// Why a file of a run could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refused.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The content is not what it should be.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads a JSON file of a run; `None` where there is none.
///
/// # Errors
/// The file exists and cannot be read or understood.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ReadError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| ReadError::Damaged { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReadError::Io { path: path.to_owned(), source }),
    }
}

/// Replaces a JSON file so that after a crash at any moment either the old or the new one is there.
///
/// # Errors
/// The file system refused; the old file is still there.
pub fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let directory = path.parent().ok_or_else(|| io::Error::other("a file needs a directory"))?;
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}
