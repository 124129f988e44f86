//! Calls from their bytes, with bounds on what large ones take of memory and of the threads that
//! everybody's calls are served on.

use std::sync::Arc;

use bytes::Bytes;
use meseta_mesos_wire::v1::scheduler::Call;
use meseta_mesos_wire::{DecodeError, Encoding};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies up to so many bytes are decoded at once, without asking for room.
const SMALL_BYTES: usize = 64 * 1024;
/// A message takes so many times its bytes at most, up to the limit of the wire.
const GROWTH: usize = 64;
/// Bytes of one decoded message at most, by the limits of the wire.
const MAX_DECODED_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of all large messages that are decoded at a time.
const MAX_DECODED_MEMORY_BYTES: usize = 512 * 1024 * 1024;
/// Bytes for each permit of that memory.
const UNIT_BYTES: usize = 1024;
/// Large bodies that are decoded at the same time. Each takes a processor for up to a second, and
/// small machines have two.
const LARGE_AT_ONCE: usize = 1;

/// What all decoding shares; those that find no room wait. A clone shares the same.
#[derive(Clone)]
pub(crate) struct Decoding {
    room: Arc<Semaphore>,
    threads: Arc<Semaphore>,
}

/// The room of a decoded call, held while that lives; none for a small one.
pub(crate) type Room = Option<OwnedSemaphorePermit>;

impl Default for Decoding {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(MAX_DECODED_MEMORY_BYTES / UNIT_BYTES)),
            threads: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
        }
    }
}

impl Decoding {
    /// What `look` makes of the call that `bytes` are, and the call's room. A large one is decoded,
    /// and given to `look`, on a thread that nobody else is served on.
    ///
    /// # Errors
    /// If they are no call.
    pub(crate) async fn decode<T: Send + 'static>(
        &self,
        encoding: Encoding,
        bytes: Bytes,
        look: impl FnOnce(Call) -> T + Send + 'static,
    ) -> Result<(T, Room), DecodeError> {
        if bytes.len() <= SMALL_BYTES {
            return Ok((look(encoding.decode(&bytes)?), None));
        }
        let growing = bytes.len().saturating_mul(GROWTH).min(MAX_DECODED_BYTES) + bytes.len();
        let units = u32::try_from(growing.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        // Neither is ever closed.
        let room = Arc::clone(&self.room).acquire_many_owned(units).await.ok();
        let thread = Arc::clone(&self.threads).acquire_owned().await.ok();
        // Both go with the work, which goes on where nobody waits for it any more.
        let work = move || {
            let looked = encoding.decode(&bytes).map(look);
            drop(thread);
            Ok((looked?, room))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(decoded) => decoded,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only a runtime that is shutting down cancels it, and then nobody waits.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests;
