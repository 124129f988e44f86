//! After the end: report it, clean up, let the record go.
//!
//! ```text
//!  shim acknowledged ─► cgroup gone ─► upper layer gone ─┐
//!                                                        ├─► finalizer away ─► kept, or gone
//!  terminal status written ──────────────────────────────┘
//!                             (record being deleted: the whole directory first)
//! ```
//!
//! Nothing runs any more here, so a record that is missing is taken for deleted as soon as absence
//! is believed ([`crate::memory`]). Until then it is waited for: it may come back. After
//! [`ORPHAN_KEPT`] nobody is expected any more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use meseta_shim_api::{CHECKPOINT_FILE, Command, EXIT_FILE, LOG_FILE, RUN_FILE};

use super::life::Life;
use super::{Left, run};
use crate::checkpoint::Accepted;
use crate::directory::names;
use crate::node::{Node, blocking, unix_millis};
use crate::process;
use crate::report::{self, Backoff, Mirror, Record, View};
use crate::shim_client;

/// How long the sandbox and the result of a finished task are kept without a record.
pub(crate) const ORPHAN_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// What tells of a run that is over; the rest of its directory goes.
const KEPT: [&str; 4] = [RUN_FILE, CHECKPOINT_FILE, EXIT_FILE, LOG_FILE];
/// Time between two looks whether a missing record is believed to be deleted.
const DOUBT_INTERVAL: Duration = Duration::from_secs(5);
/// How long a shim may take to leave after it was acknowledged: it only removes its socket.
const SHIM_PATIENCE: Duration = Duration::from_secs(5);

/// Sees a task off whose life has ended.
///
/// Dropping the future loses nothing.
pub(super) async fn conclude(node: &Arc<Node>, life: Life, mut mirror: Mirror) -> Left {
    let accepted = &life.accepted;
    let Some(outcome) = life.outcome() else {
        tracing::error!(uid = accepted.uid, "a task that has not ended is not seen off");
        return Left::Sandbox;
    };
    let directory = node.directory.task(&accepted.uid);
    let mut cleaning = Box::pin(clean(node, accepted));
    let mut cleaned = false;
    let mut backoff = Backoff::default();
    loop {
        let next = match mirror.current() {
            Record::Present(task) if !report::is_terminal(&task) => {
                let reporting = report_end(node, &mut mirror, &life);
                let reported = beside(&mut cleaning, &mut cleaned, reporting).await;
                if reported { Next::Again } else { Next::Wait }
            }
            Record::Present(task) => {
                finish(&mut cleaning, &mut cleaned).await;
                let deleting = report::is_deleting(&task);
                let gone = !deleting || remove_directory(node, accepted).await;
                let released =
                    gone && (!report::is_held(&task) || release(node, &mut mirror, &task).await);
                match (released, deleting) {
                    (true, true) => return Left::Nothing,
                    (true, false) if !directory.exists() => return Left::Nothing,
                    (true, false) => {
                        if let Err(err) = directory.write_released() {
                            let error = &err as &dyn std::error::Error;
                            tracing::warn!(error, uid = accepted.uid, "not marked as released");
                        }
                        return Left::Sandbox;
                    }
                    (false, _) => Next::Wait,
                }
            }
            Record::Deleted(_) => {
                finish(&mut cleaning, &mut cleaned).await;
                if remove_directory(node, accepted).await {
                    return Left::Nothing;
                }
                Next::Wait
            }
            Record::Missing | Record::Unknown if !directory.exists() => return Left::Nothing,
            Record::Missing => {
                finish(&mut cleaning, &mut cleaned).await;
                let now = unix_millis();
                let age = now.saturating_sub(outcome.ended_unix_millis);
                let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
                if !node.memory.absence_is_believed(now) && age < ORPHAN_KEPT {
                    Next::WaitLong
                } else if remove_directory(node, accepted).await {
                    return Left::Nothing;
                } else {
                    Next::Wait
                }
            }
            Record::Unknown => {
                finish(&mut cleaning, &mut cleaned).await;
                Next::WaitLong
            }
        };
        let pause = match next {
            Next::Again => {
                backoff.reset();
                continue;
            }
            Next::Wait => backoff.next(),
            Next::WaitLong => DOUBT_INTERVAL,
        };
        beside(&mut cleaning, &mut cleaned, async {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = mirror.changed() => {}
            }
        })
        .await;
    }
}

/// What comes after a step.
enum Next {
    /// The record is not what it was: look at once.
    Again,
    /// The step has to be tried again.
    Wait,
    /// Nothing can be done before more is known.
    WaitLong,
}

/// Does `work` while the cleaning goes on: neither waits for the other.
async fn beside<T>(
    cleaning: &mut (impl Future<Output = ()> + Unpin),
    cleaned: &mut bool,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = &mut *cleaning, if !*cleaned => *cleaned = true,
        }
    }
}

async fn finish(cleaning: &mut (impl Future<Output = ()> + Unpin), cleaned: &mut bool) {
    if !*cleaned {
        cleaning.await;
        *cleaned = true;
    }
}

/// Tries once to write the end. Whether the record is different now.
async fn report_end(node: &Node, mirror: &mut Mirror, life: &Life) -> bool {
    let Record::Present(task) = mirror.current() else { return true };
    match report::write_status(node, &task, &View::of(life, unix_millis())).await {
        Ok(task) => {
            mirror.wrote(task);
            true
        }
        Err(err) => failed(node, mirror, &task, &err, "end not reported yet").await,
    }
}

/// Tries once to take the finalizer away. Whether it is away.
async fn release(node: &Node, mirror: &mut Mirror, task: &meseta_crds::Task) -> bool {
    match report::write_finalizer(node, task, false).await {
        Ok(_) => true,
        // With the record its finalizers are gone.
        Err(report::WriteError::NotFound) => true,
        Err(err) => {
            failed(node, mirror, task, &err, "record not released yet").await;
            false
        }
    }
}

async fn failed(
    node: &Node,
    mirror: &mut Mirror,
    task: &meseta_crds::Task,
    err: &report::WriteError,
    what: &str,
) -> bool {
    tracing::debug!(error = run::chain(err), task = task.metadata.name, "{what}");
    mirror.after(node, task, err).await
}

/// Cleans up behind all runs of a task; tries until it has.
async fn clean(node: &Arc<Node>, accepted: &Accepted) {
    let mut backoff = Backoff::default();
    while let Err(err) = try_clean(node, accepted).await {
        tracing::warn!(error = run::chain(&err), uid = accepted.uid, "not cleaned up yet");
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn try_clean(node: &Arc<Node>, accepted: &Accepted) -> io::Result<()> {
    try_finish_run(node, accepted).await?;
    // A run that is not written down here may have left its cgroup: the directory was lost.
    let (cleaner, groups, uid) = (Arc::clone(node), node.cgroup_parent(), accepted.uid.clone());
    blocking(move || {
        let children = cleaner.cgroups.children(&groups);
        let mut own = children.iter().filter(|name| is_run_of(&uid, name));
        own.try_for_each(|name| cleaner.cgroups.destroy(&groups.join(name)))
    })
    .await
}

/// Whether `name` is the id of a run of the task `uid`.
fn is_run_of(uid: &str, name: &str) -> bool {
    let run = name.strip_prefix(uid).and_then(|rest| rest.strip_prefix('-'));
    run.is_some_and(|run| !run.is_empty() && run.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Lets the shim of a run that has ended go, and cleans up behind it; logs what does not work, the
/// end of the task cleans up again.
pub(super) async fn finish_run(node: &Arc<Node>, accepted: &Accepted) {
    if let Err(err) = try_finish_run(node, accepted).await {
        let error = &err as &dyn std::error::Error;
        tracing::warn!(error, uid = accepted.uid, "run not cleaned up");
    }
}

async fn try_finish_run(node: &Arc<Node>, accepted: &Accepted) -> io::Result<()> {
    let Accepted { uid, run, .. } = accepted;
    let directory = node.directory.task(uid).run(*run);
    if !directory.try_exists()? {
        return Ok(());
    }
    dismiss_shim(&directory).await?;
    node.destroy_cgroup(uid, *run).await?;
    // What the container wrote outside of its sandbox ends with it, and so does whatever a shim
    // leaves that was killed.
    let discarder = Arc::clone(node);
    blocking(move || {
        let parts = names(&directory)?;
        let mut ended = parts.iter().filter(|part| !KEPT.iter().any(|kept| *part == kept));
        ended.try_for_each(|part| discarder.directory.discard(&directory.join(part)))
    })
    .await
}

/// Acknowledges a run's end, and sees to it that the shim leaves.
async fn dismiss_shim(directory: &std::path::Path) -> io::Result<()> {
    let path = directory.join(CHECKPOINT_FILE);
    let checkpoint: Option<meseta_shim_api::Checkpoint> = crate::checkpoint::read(&path)?;
    let Some(checkpoint) = checkpoint else { return Ok(()) };
    if checkpoint.boot_id != process::boot_id()? {
        return Ok(());
    }
    let Some(shim) = process::open(checkpoint.shim)? else { return Ok(()) };
    let leaving = shim.watch()?;
    // A shim is deaf while it removes the container; it hears of it right after.
    if let Err(err) = shim_client::ask(directory, &Command::Acknowledge).await {
        tracing::debug!(error = &err as &dyn std::error::Error, ?directory, "not acknowledged");
    }
    if tokio::time::timeout(SHIM_PATIENCE, leaving.ended()).await.is_err() {
        tracing::warn!(?directory, "a shim that does not leave is killed");
        run::kill_shim(directory)?;
    }
    Ok(())
}

/// Removes everything of a task from the agent's directory. Whether it is gone.
async fn remove_directory(node: &Arc<Node>, accepted: &Accepted) -> bool {
    let (remover, uid) = (Arc::clone(node), accepted.uid.clone());
    let removed = blocking(move || {
        let directory = remover.directory.task(&uid);
        remover.directory.discard(directory.path())
    });
    match removed.await {
        Ok(()) => true,
        Err(err) => {
            let error = &err as &dyn std::error::Error;
            tracing::warn!(error, uid = accepted.uid, "directory not removed yet");
            false
        }
    }
}
