//! One watch of etcd for all watches of this store: fills the recent events and wakes them up.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::events::{End, Events, News};
use super::layout;
use super::{PROGRESS_PAUSE, Replaced, Shared};
use crate::watch::{PROGRESS_INTERVAL, Signal};
use crate::{Error, Version};

/// Between two attempts to watch again: short, since everything waits for it, and enough for a
/// member that restarts not to be flooded.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// What follows etcd.
pub(super) struct Feed {
    pub(super) shared: Arc<Shared>,
    /// Dropped with the feed, which ends the watches.
    pub(super) signal: watch::Sender<Signal>,
    /// Somebody wants to know how far the watches are.
    pub(super) wanted: Arc<Notify>,
    pub(super) generation: String,
}

impl Feed {
    /// Follows etcd for as long as it is the same store.
    pub(super) async fn run(self) {
        loop {
            match self.check().await {
                Ok(()) => match self.follow().await {
                    End::Compacted(revision) | End::Overflow(revision) => self.skip(revision).await,
                    lost @ (End::Lost(_) | End::Canceled(_)) => {
                        let error: &dyn std::error::Error = &lost;
                        tracing::warn!(error, "watching etcd again");
                    }
                },
                Err(Error::Unavailable(cause)) if cause.is::<Replaced>() => {
                    tracing::error!(error = &*cause as &dyn std::error::Error, "etcd was replaced");
                    self.shared.replaced.store(true, std::sync::atomic::Ordering::Relaxed);
                    return;
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "etcd cannot be reached");
                }
            }
            sleep(RECONNECT_PAUSE).await;
        }
    }

    /// Whether etcd is still the store that this one was opened as, and has not gone back.
    async fn check(&self) -> Result<(), Error> {
        let name = self.shared.layout.generation.clone();
        let call = |mut member: super::cluster::Member| {
            let name = name.clone();
            async move { member.kv.get(name, None).await }.boxed()
        };
        let found = self.shared.cluster.read(call).await.map_err(super::Fault::into_error)?;
        let revision = found.header().map_or(0, |header| layout::revision(header.revision()));
        let same = found.kvs().first().is_some_and(|kv| kv.value() == self.generation.as_bytes());
        let known = self.shared.recent.newest().revision();
        if same && revision >= known {
            return Ok(());
        }
        Err(super::unavailable(Replaced))
    }

    /// Follows one watch to its end.
    async fn follow(&self) -> End {
        match self.try_follow().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn try_follow(&self) -> Result<std::convert::Infallible, End> {
        let Shared { cluster, layout, recent, .. } = &*self.shared;
        let mut events = Events::open(cluster, layout, recent.newest()).await?;
        let mut idle = interval(PROGRESS_INTERVAL);
        idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again = interval(PROGRESS_PAUSE);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asking = false;
        loop {
            tokio::select! {
                news = events.next() => match news? {
                    News::Changes(entries) => {
                        recent.push(entries, Version(0));
                        self.signal.send_modify(|signal| signal.newest = recent.newest());
                    }
                    News::Progress(version) => {
                        asking = false;
                        recent.push([], version);
                        self.signal.send_modify(|signal| {
                            signal.newest = recent.newest();
                            signal.asked += 1;
                        });
                    }
                },
                () = self.wanted.notified() => {
                    asking = true;
                    events.ask_progress().await?;
                }
                _ = idle.tick() => {
                    asking = true;
                    events.ask_progress().await?;
                }
                _ = again.tick(), if asking => events.ask_progress().await?,
            }
        }
    }

    /// What lies before the newest revision cannot be followed; who needs it is told when it asks.
    async fn skip(&self, revision: u64) {
        tracing::warn!(revision, "etcd was compacted before it was followed so far");
        match self.shared.newest().await {
            Ok(newest) => {
                self.shared.recent.reset(newest);
                self.signal.send_modify(|signal| signal.newest = newest);
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "etcd cannot be reached");
            }
        }
    }
}
