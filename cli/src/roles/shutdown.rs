//! Ending a role: on a signal, or because one of its parts has ended.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long the parts of a role may take to end: the drain time of a listener, and some.
const LONGEST_SHUTDOWN: Duration = Duration::from_secs(15);

/// Parts of a role that run side by side; where one ends, all do.
#[derive(Default)]
pub(crate) struct Parts(JoinSet<Result<()>>);

impl Parts {
    /// Runs `part` until it ends; `name` is for its error.
    pub(crate) fn spawn(
        &mut self,
        name: &'static str,
        part: impl Future<Output = Result<()>> + Send + 'static,
    ) {
        self.0.spawn(async move { part.await.context(name) });
    }

    /// Waits for SIGINT, SIGTERM or the end of a part, then cancels `stop` and waits for the rest.
    ///
    /// # Errors
    /// The first error of a part.
    pub(crate) async fn run(&mut self, stop: &CancellationToken) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let ended = tokio::select! {
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
            ended = self.0.join_next() => ended,
        };
        let first = match ended {
            None => {
                info!("ending on a signal");
                Ok(())
            }
            Some(ended) => ended.context("a part panicked").flatten(),
        };
        stop.cancel();
        let rest = self.finish();
        let rest = tokio::time::timeout(LONGEST_SHUTDOWN, rest).await.unwrap_or_else(|_| {
            warn!(seconds = LONGEST_SHUTDOWN.as_secs(), "not everything ended in time");
            Ok(())
        });
        first.and(rest)
    }

    /// Waits until every part has ended.
    async fn finish(&mut self) -> Result<()> {
        let mut result = Ok(());
        while let Some(ended) = self.0.join_next().await {
            let ended = ended.context("a part panicked").flatten();
            result = result.and(ended);
        }
        result
    }
}
