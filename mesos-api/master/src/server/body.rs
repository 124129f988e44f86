//! Reading the body of a request, within bounds.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;

/// The largest body: an ACCEPT of some thousand tasks.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Bytes for each permit.
pub(crate) const UNIT_BYTES: usize = 1024;
/// Bytes of all calls that are read or wait for their turn.
const MAX_MEMORY_BYTES: usize = 256 * 1024 * 1024;
/// Bodies up to so many bytes are decoded without asking for room.
const SMALL_BYTES: usize = 64 * 1024;
/// A message takes so many times its bytes at most, up to the limit of the wire.
const GROWTH: usize = 64;
/// Bytes of one decoded message at most, by the limits of the wire.
const MAX_DECODED_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of all large messages that are decoded at a time.
const MAX_DECODED_MEMORY_BYTES: usize = 512 * 1024 * 1024;
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The room that calls share from their first byte until they are carried out.
pub(super) struct Memory(Arc<Semaphore>);

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_MEMORY_BYTES / UNIT_BYTES)))
    }
}

/// The room that one call takes; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    permit: Option<OwnedSemaphorePermit>,
}

/// The room that decoded messages share; those that find none wait.
#[derive(Clone)]
pub(crate) struct Decoding(Arc<Semaphore>);

impl Default for Decoding {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_DECODED_MEMORY_BYTES / UNIT_BYTES)))
    }
}

impl Decoding {
    /// Waits for room for what a body of so many bytes may become; held while that lives.
    pub(crate) async fn room(&self, body_bytes: usize) -> Option<OwnedSemaphorePermit> {
        if body_bytes <= SMALL_BYTES {
            return None;
        }
        let bytes = body_bytes.saturating_mul(GROWTH).min(MAX_DECODED_BYTES) + body_bytes;
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        // It is never closed.
        Arc::clone(&self.0).acquire_many_owned(units).await.ok()
    }
}

impl Room {
    /// The same room as a number of permits.
    pub(crate) fn units(&self) -> u32 {
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(held).unwrap_or(u32::MAX)
    }
}

impl Memory {
    /// The whole body, and the room it takes.
    ///
    /// # Errors
    /// 400 where the connection breaks, 408, 413, 503 where others take all the room.
    pub(super) async fn read(&self, body: Incoming) -> Result<(Bytes, Room), Refusal> {
        let read = tokio::time::timeout(BODY_TIMEOUT, self.collect(body)).await;
        read.map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "The body came too slowly"))?
    }

    async fn collect(&self, mut body: Incoming) -> Result<(Bytes, Room), Refusal> {
        let too_large = || {
            let text = format!("The body has more than {MAX_BODY_BYTES} bytes");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
        };
        if body.size_hint().lower() > u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX) {
            return Err(too_large());
        }
        let mut bytes = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::bad_request("The body broke off"))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > MAX_BODY_BYTES {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
            let wanted = bytes.len().div_ceil(UNIT_BYTES);
            let held = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = u32::try_from(wanted.saturating_sub(held)).unwrap_or(u32::MAX);
            let more = Arc::clone(&self.0)
                .try_acquire_many_owned(more)
                .map_err(|_| Refusal::unavailable("Too many calls are being carried out"))?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
        }
        Ok((bytes.freeze(), Room { permit: room }))
    }
}
