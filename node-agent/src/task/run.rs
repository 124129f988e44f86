//! One run as the agent sees it: its directory, its shim, and what happens to them.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use meseta_crds::task::reason;
use meseta_shim_api::{CHECKPOINT_FILE, Checkpoint as ShimCheckpoint, Command};
use rustix::process::Signal;

use super::life::Event;
use super::outcome::Failure;
use super::recover::{self, Seen};
use crate::checkpoint::{self, Accepted};
use crate::directory::TaskDirectory;
use crate::node::Node;
use crate::process;
use crate::run_watch::Watched;
use crate::shim_client::{self, LaunchError};

/// SIGTERM and SIGKILL by number, as the agreement has them.
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// A launch under way.
type Launching = Pin<Box<dyn Future<Output = Result<(), LaunchError>> + Send>>;

/// A run whose shim was, or is being, started.
pub(super) struct Run {
    node: Arc<Node>,
    accepted: Accepted,
    directory: PathBuf,
    watched: Watched,
    launching: Option<Launching>,
    shim: Option<process::Watch>,
    started: bool,
    /// Set when no shim came and none can come any more.
    given_up: Option<Failure>,
}

impl Run {
    /// Attaches to a run that was started before.
    pub(super) fn attach(node: &Arc<Node>, accepted: &Accepted) -> Self {
        let directory = node.directory.task(&accepted.uid).run(accepted.run);
        Self {
            node: Arc::clone(node),
            accepted: accepted.clone(),
            watched: node.run_watch.watch(&directory),
            directory,
            launching: None,
            shim: None,
            started: false,
            given_up: None,
        }
    }

    /// Starts the shim of a run whose request is on disk.
    pub(super) fn launch(node: &Arc<Node>, accepted: &Accepted) -> Self {
        let mut run = Self::attach(node, accepted);
        let (directory, shim) = (run.directory.clone(), node.shim.clone());
        let node = Arc::clone(node);
        run.launching = Some(Box::pin(async move {
            let _slot = node.launches.acquire().await.expect("the semaphore is never closed");
            shim_client::launch(&shim, &directory).await
        }));
        run
    }

    /// What happens next. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The file system or the kernel refused.
    pub(super) async fn next(&mut self) -> io::Result<Event> {
        loop {
            if let Some(failure) = self.given_up.take() {
                return Ok(Event::NotLaunched(failure));
            }
            match recover::look(&self.directory, &self.node.boot_id)? {
                Seen::Exited(exit) => return Ok(Event::Exited(exit)),
                Seen::Rebooted => return Ok(Event::Rebooted),
                Seen::Dead => {
                    let Accepted { uid, run, .. } = &self.accepted;
                    self.node.destroy_cgroup(uid, *run).await?;
                    return Ok(Event::ShimLost);
                }
                Seen::Live(shim) => {
                    if let Some(event) = recover::started(&shim).filter(|_| !self.started) {
                        self.started = true;
                        return Ok(event);
                    }
                    if !self.watch_shim(&shim)? {
                        continue;
                    }
                }
                Seen::NotBegun | Seen::Unclaimed => {}
            }
            let launched = match &mut self.launching {
                Some(launching) => {
                    tokio::select! {
                        launched = launching => Some(launched),
                        () = self.watched.changed() => None,
                        () = ended(self.shim.as_ref()) => None,
                    }
                }
                None => {
                    tokio::select! {
                        () = self.watched.changed() => {}
                        () = ended(self.shim.as_ref()) => self.shim = None,
                    }
                    None
                }
            };
            if let Some(launched) = launched {
                self.launching = None;
                if let Err(err) = launched {
                    self.give_up(launch_failure(&err))?;
                }
            }
        }
    }

    /// Sees to it that the end of the shim is noticed; false where it has ended since the last look.
    fn watch_shim(&mut self, shim: &ShimCheckpoint) -> io::Result<bool> {
        if self.shim.is_none() {
            self.shim = match process::open(shim.shim)? {
                Some(handle) => Some(handle.watch()?),
                None => return Ok(false),
            };
        }
        Ok(true)
    }

    /// No shim came to be, unless the directory says otherwise.
    fn give_up(&mut self, failure: Failure) -> io::Result<()> {
        if recover::look(&self.directory, &self.node.boot_id)? == Seen::Unclaimed
            && abandon(&self.node, &self.accepted)? == Abandoned::Nothing
        {
            self.given_up = Some(failure);
        }
        Ok(())
    }

    /// Asks the container to end: its first process or, as is done with the command of a Mesos
    /// framework, all of its processes.
    pub(super) async fn terminate(&mut self, to_all: bool) {
        self.signal(SIGTERM, to_all).await;
    }

    /// Kills everything in the container.
    pub(super) async fn kill(&mut self) {
        self.signal(SIGKILL, false).await;
    }

    async fn signal(&mut self, signal: i32, to_all: bool) {
        let command = Command::Signal { signal, to_all };
        let asked = shim_client::ask(&self.directory, &command).await;
        if let Err(err) = asked {
            // It may be too early or too late; what is due comes again with time.
            let error = &err as &dyn std::error::Error;
            tracing::debug!(error, uid = self.accepted.uid, signal, "not signalled");
        }
    }

    /// Kills the shim, and with it everything in the container; a shim that has not come never will.
    ///
    /// # Errors
    /// The file system refused.
    pub(super) async fn destroy(&mut self) -> io::Result<()> {
        self.launching = None;
        self.give_up(Failure::new(reason::START_FAILED, "the shim did not come to life"))?;
        let uid = &self.accepted.uid;
        if let Err(err) = kill_shim(&self.directory) {
            tracing::warn!(error = &err as &dyn std::error::Error, uid, "shim not killed");
        }
        let Accepted { uid, run, .. } = &self.accepted;
        if let Err(err) = self.node.destroy_cgroup(uid, *run).await {
            tracing::warn!(error = &err as &dyn std::error::Error, uid, "cgroup not ended");
        }
        Ok(())
    }
}

/// Waits for the end of a shim, for ever where there is none.
async fn ended(shim: Option<&process::Watch>) {
    match shim {
        Some(shim) => shim.ended().await,
        None => std::future::pending().await,
    }
}

/// Kills the shim of a run, if it lives.
pub(super) fn kill_shim(directory: &std::path::Path) -> io::Result<()> {
    let shim: Option<ShimCheckpoint> = checkpoint::read(&directory.join(CHECKPOINT_FILE))?;
    match shim.map(|shim| process::open(shim.shim)).transpose()?.flatten() {
        Some(handle) => handle.signal(Signal::KILL),
        None => Ok(()),
    }
}

fn launch_failure(error: &LaunchError) -> Failure {
    /// What the kernel's ENOSPC is called.
    const DISK_FULL: &str = "No space left on device";
    let message = chain(error);
    let reason = match error {
        LaunchError::Killed(_) | LaunchError::Died => reason::SHIM_LOST,
        _ if message.contains(DISK_FULL) => reason::DISK_FULL,
        LaunchError::Spawn { .. } | LaunchError::Wait(_) | LaunchError::Complained(_) => {
            reason::START_FAILED
        }
    };
    Failure::new(reason, message)
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// What became of a run that is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abandoned {
    /// Nothing was started, and nothing will be.
    Nothing,
    /// Its shim has come after all; the run is as it was.
    Claimed,
}

/// Gives up a run whose shim has not said that it is there.
///
/// A shim writes its first checkpoint into the directory, by the path it was given, before it makes
/// anything. Once the directory has another name it cannot, and ends; if it has done so before, the
/// checkpoint is there.
///
/// # Errors
/// The file system refused.
pub(super) fn abandon(node: &Node, accepted: &Accepted) -> io::Result<Abandoned> {
    let task = node.directory.task(&accepted.uid);
    fs::rename(task.run(accepted.run), task.run_aside(accepted.run))?;
    let abandoned = finish_abandoning(&task, accepted.run)?;
    if abandoned == Abandoned::Nothing {
        tracing::info!(uid = accepted.uid, run = accepted.run, "a run without a shim is abandoned");
    }
    Ok(abandoned)
}

/// Ends what [`abandon`] has begun, in this agent or in an earlier one.
///
/// # Errors
/// The file system refused.
pub(super) fn finish_abandoning(task: &TaskDirectory, run: u32) -> io::Result<Abandoned> {
    let aside = task.run_aside(run);
    if aside.join(CHECKPOINT_FILE).try_exists()? {
        fs::rename(&aside, task.run(run))?;
        return Ok(Abandoned::Claimed);
    }
    crate::beneath::remove_at(&aside)?;
    Ok(Abandoned::Nothing)
}
