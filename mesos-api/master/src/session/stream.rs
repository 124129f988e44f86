//! The stream of events to one scheduler: a bounded queue that a response's body empties.
//!
//! ```text
//!  Sender ──record──► queue [MAX_RECORDS, MAX_BYTES] ──► EventStream ──one chunk each──► scheduler
//!                       │ full: cut, hang up              └─ heartbeat when it is due
//!                       └ finished: ends once empty, or is hung up after [FINISH_TIMEOUT]
//! ```
//!
//! **Invariants:** nobody waits for a scheduler that does not read: it loses its stream and the
//! memory of its queue. One record is one frame of the body, and so one chunk. Heartbeats
//! come from the stream itself, however busy the gateway is.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use meseta_serve::Hangup;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Time between two heartbeats, as a Mesos master's; told in SUBSCRIBED.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// Records that wait for a scheduler to read.
const MAX_RECORDS: usize = 65_536;
/// Their bytes; one record may always wait.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Half of these wait at most where the gateway can choose when it sends: a scheduler of a hundred
/// thousand tasks that subscribes again is told of them as fast as it reads.
const ROOM_RECORDS: usize = 4096;
/// The same in bytes.
const ROOM_BYTES: usize = 2 * 1024 * 1024;
/// How long a scheduler may read nothing while there is no room.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a scheduler may take to read what came before the end of its stream.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);

/// The stream has ended, from either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// A stream's two ends. `heartbeat` is a framed record; `held` is kept until the stream has ended.
pub(crate) fn open(
    heartbeat: Bytes,
    hangup: Hangup,
    held: OwnedSemaphorePermit,
) -> (Sender, EventStream) {
    let shared = Arc::new(Shared::default());
    let mut due = tokio::time::interval_at(Instant::now() + HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sender = Sender { shared: Arc::clone(&shared), hangup };
    (sender, EventStream { shared, heartbeat, due, _held: held })
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Cancelled when the body is gone.
    gone: CancellationToken,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Bytes>,
    bytes: usize,
    /// Nothing is added any more.
    finished: bool,
    reader: Option<Waker>,
    /// When something was read last, or waited for.
    read: Option<Instant>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The gateway's end. Dropping it finishes the stream.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    hangup: Hangup,
}

impl Sender {
    /// Queues a framed record.
    ///
    /// # Errors
    /// [`Closed`] where the stream has ended, or ends now because the queue is full.
    pub(crate) fn send(&self, record: Bytes) -> Result<(), Closed> {
        let mut queue = self.shared.lock();
        if queue.finished || self.shared.gone.is_cancelled() {
            return Err(Closed);
        }
        let full = queue.records.len() >= MAX_RECORDS || queue.bytes + record.len() > MAX_BYTES;
        if full && !queue.records.is_empty() {
            self.cut(queue);
            return Err(Closed);
        }
        queue.bytes += record.len();
        queue.records.push_back(record);
        queue.wake();
        Ok(())
    }

    /// Whether nothing can be sent any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.gone.is_cancelled() || self.shared.lock().finished
    }

    /// Whether what can wait may be sent now. A scheduler that reads nothing for [`PATIENCE`] while
    /// there is no room loses its stream.
    pub(crate) fn has_room(&self) -> bool {
        let mut queue = self.shared.lock();
        if queue.finished || (queue.records.len() < ROOM_RECORDS && queue.bytes < ROOM_BYTES) {
            return true;
        }
        let now = Instant::now();
        if now.duration_since(*queue.read.get_or_insert(now)) > PATIENCE {
            self.cut(queue);
        }
        false
    }

    /// Ends the stream at once.
    fn cut(&self, mut queue: MutexGuard<'_, Queue>) {
        tracing::warn!(records = queue.records.len(), "a scheduler does not read its events");
        *queue = Queue { finished: true, reader: queue.reader.take(), ..Queue::default() };
        queue.wake();
        drop(queue);
        self.hangup.hang_up();
    }

    /// Waits until the scheduler or the queue's limit has ended the stream.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        self.shared.gone.clone().cancelled_owned()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.finished = true;
        queue.wake();
        drop(queue);
        let (gone, hangup) = (self.shared.gone.clone(), self.hangup.clone());
        if gone.is_cancelled() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if tokio::time::timeout(FINISH_TIMEOUT, gone.cancelled()).await.is_err() {
                    hangup.hang_up();
                }
            });
        }
    }
}

/// The scheduler's end: a response's body.
pub(crate) struct EventStream {
    shared: Arc<Shared>,
    heartbeat: Bytes,
    due: Interval,
    _held: OwnedSemaphorePermit,
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let mut queue = this.shared.lock();
        if let Some(record) = queue.records.pop_front() {
            queue.bytes -= record.len();
            queue.read = None;
            return Poll::Ready(Some(Ok(Frame::data(record))));
        }
        if queue.finished {
            return Poll::Ready(None);
        }
        queue.reader = Some(context.waker().clone());
        drop(queue);
        this.due.poll_tick(context).map(|_| Some(Ok(Frame::data(this.heartbeat.clone()))))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.shared.gone.cancel();
        *self.shared.lock() = Queue { finished: true, ..Queue::default() };
    }
}

#[cfg(test)]
mod tests;
