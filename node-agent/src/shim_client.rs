//! The agent's end of the agreement with `meseta-shim`: start one, and speak to it.
//!
//! A shim is no child that dies with the agent: it leads a session of its own, and every agent that
//! comes later finds it by its files. Nothing here waits for longer than a named limit.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use meseta_shim_api::{Answer, Command, MAX_MESSAGE_BYTES, SOCKET_FILE};
use rustix::fs::{CWD, Mode, OFlags, openat};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// Longest wait for an answer: a shim answers from a loop that does nothing slow.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes that are kept of what a shim says when it cannot start.
const MAX_COMPLAINT_BYTES: u64 = 4096;
/// What the launcher says when the shim itself died before it was ready.
const DIED_WHILE_STARTING: &str = "the shim died while it was starting";

/// Why there is no shim.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// The program cannot be executed.
    #[error("cannot execute {shim}")]
    Spawn {
        /// The program.
        shim: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The kernel does not say what became of it.
    #[error("cannot wait for the shim's launcher")]
    Wait(#[source] io::Error),
    /// Somebody killed it before it had done anything.
    #[error("the shim was killed by signal {0} while it was starting")]
    Killed(i32),
    /// The same, one process further.
    #[error("{DIED_WHILE_STARTING}")]
    Died,
    /// It said why it cannot.
    #[error("{0}")]
    Complained(String),
}

/// Why a shim did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no socket, or nobody listens.
    #[error("cannot reach the shim")]
    Unreachable(#[source] io::Error),
    /// No answer in time.
    #[error("the shim does not answer")]
    TimedOut,
    /// The answer is none of the agreement.
    #[error("the shim's answer is not understood")]
    NotUnderstood(#[source] serde_json::Error),
    /// It said no.
    #[error("the shim refused: {0}")]
    Refused(String),
}

/// Starts `shim` for the run in `directory`; returns when it is ready, which its first checkpoint
/// says too.
///
/// Dropping the future leaves the shim to itself.
///
/// # Errors
/// No shim came to be. One that is merely late may still: see [`crate::task`] on abandoned runs.
pub(crate) async fn launch(shim: &Path, directory: &Path) -> Result<(), LaunchError> {
    let spawned = tokio::process::Command::new(shim)
        .arg(directory)
        // What this process was told by its environment is not for the shim.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A Ctrl-C in the agent's terminal is not meant for it either.
        .process_group(0)
        .kill_on_drop(false)
        .spawn();
    let mut launcher =
        spawned.map_err(|source| LaunchError::Spawn { shim: shim.to_owned(), source })?;
    let mut complaint = Vec::new();
    if let Some(stderr) = launcher.stderr.take() {
        // Without its words the status says enough.
        drop(stderr.take(MAX_COMPLAINT_BYTES).read_to_end(&mut complaint).await);
    }
    let status = launcher.wait().await.map_err(LaunchError::Wait)?;
    if status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
    match status.signal() {
        Some(signal) => Err(LaunchError::Killed(signal)),
        None if complaint.contains(DIED_WHILE_STARTING) => Err(LaunchError::Died),
        None => Err(LaunchError::Complained(complaint)),
    }
}

/// Asks the shim of the run in `directory`.
///
/// # Errors
/// It cannot be reached, does not answer, or refuses.
pub(crate) async fn ask(directory: &Path, command: &Command) -> Result<(), Error> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange(directory, command));
    match answer.await.map_err(|_| Error::TimedOut)?? {
        Answer::Ok => Ok(()),
        Answer::Failed { message } => Err(Error::Refused(message)),
    }
}

async fn exchange(directory: &Path, command: &Command) -> Result<Answer, Error> {
    // The path of a socket is short; the way through the open directory always is.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, directory, flags, Mode::empty())
        .map_err(|err| Error::Unreachable(err.into()))?;
    let path = format!("/proc/self/fd/{}/{SOCKET_FILE}", opened.as_raw_fd());
    let mut stream = UnixStream::connect(path).await.map_err(Error::Unreachable)?;
    let mut line = serde_json::to_vec(command).map_err(Error::NotUnderstood)?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(Error::Unreachable)?;
    let bounded = u64::try_from(MAX_MESSAGE_BYTES).unwrap_or(u64::MAX);
    let mut answer = Vec::new();
    let mut reader = BufReader::new(stream.take(bounded));
    reader.read_until(b'\n', &mut answer).await.map_err(Error::Unreachable)?;
    serde_json::from_slice(&answer).map_err(Error::NotUnderstood)
}
