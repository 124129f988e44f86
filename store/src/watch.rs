//! One way to watch for every store: read on from a version in the history, then wait for more.
//!
//! A watch keeps nothing but its place. It takes the events after that place from the store's
//! [`History`] in batches and sleeps when there are none, so a slow reader costs no memory and is
//! never in the way of writers; when a compaction overtakes it, it ends with
//! [`Error::Compacted`].
//!
//! ```text
//!   writer ──commit──► history                    watch: after ─► read batch ─► events
//!          ──signal──► newest version, asked ───────────────► wake up: read on, or say progress
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream;
use tokio::sync::watch::Receiver;
use tokio::time::timeout;

use crate::{Error, Event, Version, Watch, WatchItem};

/// How long a watch stays silent at most. As in Kubernetes' own etcd: often enough for bookmarks,
/// and free beside real events.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Events read from memory at once: enough to make the read cheap, few enough to keep a batch
/// of large records small.
pub(crate) const BATCH_EVENTS: usize = 128;

/// What wakes watches up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Signal {
    /// The newest version that can be read from the history.
    pub(crate) newest: Version,
    /// How often progress was asked for.
    pub(crate) asked: u64,
}

/// A piece of the history as one watch sees it.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The changes under the prefix, in order.
    pub(crate) events: Vec<Event>,
    /// There is no other change under the prefix up to and including this version.
    pub(crate) through: Version,
}

/// Where a watch reads.
pub(crate) trait History: Send + Sync + 'static {
    /// The changes under `prefix` after version `after`; not necessarily all of them, but at least
    /// one if there is one that the last [`Signal`] spoke of.
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::Unavailable`], [`Error::Corrupt`].
    fn read<'a>(&'a self, prefix: &'a str, after: Version) -> BoxFuture<'a, Result<Batch, Error>>;
}

/// A watch of `prefix` after version `after`. Ends with an error when the other end of `signal` is
/// dropped, that is, with its store.
///
/// After `idle` it says by itself how far it is; a store that may be cut off from its truth gives
/// none and asks its watches instead, through the signal, whenever it hears from it.
pub(crate) fn watch<H: History>(
    history: Arc<H>,
    signal: Receiver<Signal>,
    prefix: &str,
    after: Version,
    idle: Option<Duration>,
) -> Watch {
    let asked = signal.borrow().asked;
    let place = Place {
        history,
        signal,
        prefix: prefix.to_owned(),
        after,
        ready: VecDeque::new(),
        asked,
        idle,
    };
    Box::pin(stream::try_unfold(place, |mut place| async move {
        let item = place.next().await?;
        Ok(Some((item, place)))
    }))
}

/// How far one watch has come.
struct Place<H> {
    history: Arc<H>,
    signal: Receiver<Signal>,
    prefix: String,
    /// Everything up to here is given or ready.
    after: Version,
    /// Read and not yet given.
    ready: VecDeque<Event>,
    /// The last wish for progress that was seen to.
    asked: u64,
    idle: Option<Duration>,
}

impl<H: History> Place<H> {
    async fn next(&mut self) -> Result<WatchItem, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(WatchItem::Event(event));
            }
            // Before the read, so that a commit after it wakes this watch again.
            let Signal { newest, asked } = *self.signal.borrow_and_update();
            let batch = self.history.read(&self.prefix, self.after).await?;
            let caught_up = batch.events.is_empty() && batch.through >= newest;
            // A watch may begin in the future; until then there is no progress.
            let begun = batch.through >= self.after;
            self.after = self.after.max(batch.through);
            self.ready.extend(batch.events);
            if !caught_up {
                continue;
            }
            if self.asked != asked && begun {
                self.asked = asked;
                return Ok(WatchItem::Progress(self.after));
            }
            let idle = self.idle.unwrap_or(Duration::MAX);
            match timeout(idle, self.signal.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(closed)) => return Err(Error::Unavailable(Box::new(closed))),
                Err(_idle) if begun => return Ok(WatchItem::Progress(self.after)),
                Err(_idle) => {}
            }
        }
    }
}
