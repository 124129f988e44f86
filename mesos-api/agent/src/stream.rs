//! The stream of an executor's events: asks its session what is next, and encodes it.
//!
//! Each event is a record of its own, and each record a frame of the body, hence a chunk. Nothing is
//! taken from the session before hyper has room for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http_body::Frame;
use meseta_mesos_wire::{Encoding, recordio, v1};
use meseta_serve::BodyRoom;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, interval_at};
use tokio_util::sync::CancellationToken;

use crate::call::Subscription;
use crate::event;
use crate::executors::{Executors, Slot, Turn, take_brought};
use crate::session::Step;

/// Time between heartbeats, and before the first one: there are executors that die of them.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// Time before a hand-over that failed is tried again.
const HANDOVER_RETRY: Duration = Duration::from_secs(1);

/// What a SUBSCRIBE brought, and what it holds until that is stored.
pub(crate) struct Brought {
    pub(crate) subscription: Subscription,
    pub(crate) turn: Turn,
    pub(crate) room: BodyRoom,
}

/// One stream. When it is dropped the executor is disconnected, unless a newer one has begun.
pub(crate) struct Events {
    executors: Executors,
    slot: Arc<Slot>,
    number: u64,
    encoding: Encoding,
    /// What the SUBSCRIBE brought, until it was looked at.
    brought: Option<Brought>,
    changes: watch::Receiver<()>,
    heartbeat: Interval,
    shutdown: CancellationToken,
}

impl Events {
    /// Begins a stream; the older one of the executor ends.
    pub(crate) fn open(
        executors: Executors,
        slot: Arc<Slot>,
        brought: Brought,
        encoding: Encoding,
        shutdown: CancellationToken,
    ) -> Self {
        let number = slot.change(|session| session.subscribe());
        tracing::info!(executor = slot.facts().uid, number, "executor subscribes");
        Self {
            executors,
            changes: slot.changes(),
            slot,
            number,
            encoding,
            brought: Some(brought),
            heartbeat: interval_at(Instant::now() + HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL),
            shutdown,
        }
    }

    /// As the frames of a body.
    pub(crate) fn frames(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
        futures::stream::unfold(self, async |mut events| {
            let record = events.next().await?;
            Some((Ok(Frame::data(record)), events))
        })
    }

    /// The next record; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(brought) = self.brought.take() {
            self.recover(brought).await;
        }
        loop {
            match self.slot.quietly(|session| session.next(self.number)) {
                Step::Send(out) => {
                    let event = event::event(out, self.slot.facts(), self.executors.agent());
                    return Some(self.record(&event));
                }
                Step::HandOver(tasks) => {
                    if let Some(record) = self.hand_over(tasks).await {
                        return Some(record);
                    }
                }
                Step::Wait => tokio::select! {
                    changed = self.changes.changed() => changed.ok()?,
                    _ = self.heartbeat.tick() => return Some(self.record(&event::heartbeat())),
                    () = self.shutdown.cancelled() => return None,
                },
                Step::End => return None,
            }
        }
    }

    async fn recover(&self, brought: Brought) {
        let Brought { subscription: Subscription { listed, updates }, turn, room } = brought;
        take_brought(&self.executors, &self.slot, updates, (turn, room)).await;
        let lost = self.slot.change(|session| session.recovered(self.number, &listed));
        if lost > 0 {
            tracing::warn!(executor = self.slot.facts().uid, lost, "tasks lost on their way");
        }
    }

    async fn hand_over(&self, tasks: Vec<String>) -> Option<Bytes> {
        match self.executors.backend().hand_over(tasks).await {
            Ok(()) => {
                let out = self.slot.quietly(|session| session.handed_over(self.number))?;
                let event = event::event(out, self.slot.facts(), self.executors.agent());
                Some(self.record(&event))
            }
            Err(error) => {
                tracing::warn!(executor = self.slot.facts().uid, %error, "launch not written down");
                tokio::time::sleep(HANDOVER_RETRY).await;
                self.slot.quietly(|session| session.not_handed_over(self.number));
                None
            }
        }
    }

    fn record(&self, event: &v1::executor::Event) -> Bytes {
        recordio::frame(&self.encoding.encode(event)).into()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.slot.change(|session| session.disconnected(self.number));
        tracing::info!(executor = self.slot.facts().uid, number = self.number, "stream ended");
    }
}
