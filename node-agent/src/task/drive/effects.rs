//! Does what a task's life asks for, one effect after the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use meseta_crds::task::reason;
use meseta_shim_api::RUN_FILE;

use super::Driver;
use crate::checkpoint::Accepted;
use crate::node::{blocking, unix_millis};
use crate::task::life::{Effect, Event, State};
use crate::task::outcome::Failure;
use crate::task::run::Run;
use crate::task::{conclude, stage};

impl Driver<'_> {
    pub(super) async fn carry_out(&mut self, effect: Effect) -> io::Result<()> {
        let accepted = &self.life.accepted;
        let directory = self.node.directory.task(&accepted.uid);
        match effect {
            Effect::Stage => {
                self.staging =
                    Some(Box::pin(stage::stage(Arc::clone(self.node), accepted.clone())));
            }
            Effect::Launch => match self.write_request().await {
                Ok(()) => self.runs(Run::launch(self.node, &self.life.accepted)),
                Err(failure) => self.pending.push(Event::NotLaunched(failure)),
            },
            Effect::Terminate => {
                if let Some(executor) = &self.executor {
                    // Whoever is not connected hears of it when it is, or of SIGKILL.
                    self.node.mesos.shut_down(executor, self.grace_left());
                } else if let Some(run) = &mut self.run {
                    run.terminate(accepted.spec.mesos.is_some()).await;
                }
            }
            Effect::Kill => {
                if let Some(run) = &mut self.run {
                    run.kill().await;
                }
            }
            Effect::Destroy => {
                if let Some(run) = &mut self.run {
                    run.destroy().await?;
                }
            }
            Effect::RememberAccepted => {
                if let Err(err) = directory.write_accepted(accepted) {
                    let what = "cannot write that the next run begins";
                    self.pending.push(Event::NotStaged(stage::io_failure(what, &err)));
                }
            }
            Effect::RememberStop(stop) => forgivable(&accepted.uid, directory.write_stop(&stop)),
            Effect::RememberOutcome(outcome) => {
                self.staging = None;
                if directory.exists() {
                    forgivable(&accepted.uid, directory.write_outcome(&outcome));
                }
            }
            Effect::FinishRun => {
                self.run = None;
                // After the end there is more time for it, and more to do.
                if self.life.outcome().is_none() {
                    let accepted = self.life.accepted.clone();
                    conclude::finish_run(self.node, &accepted).await;
                }
            }
            Effect::DiscardRun(run) => {
                let (node, run) = (Arc::clone(self.node), directory.run(run));
                let discarded = blocking(move || node.directory.discard(&run)).await;
                forgivable(&self.life.accepted.uid, discarded);
            }
        }
        Ok(())
    }

    /// Intent first: after this, and not before, there may be a container.
    async fn write_request(&mut self) -> Result<(), Failure> {
        let Some(request) = self.request.take() else {
            return Err(Failure::new(reason::START_FAILED, "the run was not prepared"));
        };
        let Accepted { uid, run, .. } = &self.life.accepted;
        let directory = self.node.directory.task(uid);
        let (node, run) = (Arc::clone(self.node), directory.run(*run));
        let written = blocking(move || {
            meseta_shim_api::write(&run.join(RUN_FILE), &request)?;
            // The directories the file is in are as new as the file.
            for parent in [directory.path(), &node.directory.tasks()] {
                std::fs::File::open(parent)?.sync_all()?;
            }
            Ok::<_, io::Error>(())
        });
        written.await.map_err(|err| stage::io_failure("cannot write the run's request", &err))
    }

    /// Time until SIGKILL.
    fn grace_left(&self) -> Duration {
        let State::Stopping { stop, .. } = &self.life.state else { return Duration::ZERO };
        let left = stop.kill_unix_millis.saturating_sub(unix_millis());
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }
}

/// A write whose loss is made good by the record, or by the next event of the same kind.
fn forgivable(uid: &str, result: io::Result<()>) {
    if let Err(err) = result {
        tracing::warn!(error = &err as &dyn std::error::Error, uid, "checkpoint not written");
    }
}
