//! Room for writes that wait, in bytes: what bounds the queues before the writers.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Change;

/// Bytes that may wait, counting [`COMMAND_BYTES`] for each command; who comes then waits outside.
/// A few groups are enough to keep a writer busy.
const QUEUE_BYTES: usize = 32 << 20;
/// What a command takes beside its value, generously; with it 16,384 wait at most.
const COMMAND_BYTES: usize = 2048;

/// The room of one queue.
#[derive(Debug)]
pub(crate) struct Room(Arc<Semaphore>);

/// Some of it, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Room {
    /// All of it is free.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(QUEUE_BYTES)))
    }

    /// Waits until there is room for a command with a value of `bytes`.
    pub(crate) async fn take(&self, bytes: usize) -> Taken {
        let bytes = u32::try_from(bytes + COMMAND_BYTES).expect("values are bounded");
        let taken = Arc::clone(&self.0).acquire_many_owned(bytes).await;
        Taken(taken.expect("the semaphore is never closed"))
    }
}

/// The length of the value that `change` carries.
pub(crate) fn value_bytes(change: &Change) -> usize {
    match change {
        Change::Put { value, .. } => value.len(),
        Change::Delete => 0,
    }
}
