//! Reading the body of a request, within bounds, and room for what is made of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body as _;
use hyper::body::Incoming;
use meseta_serve::{Bodies, BodyError, BodyLimits, BodyRoom};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;

/// The largest body is an ACCEPT of some thousand tasks. Room is held by all calls that are read or
/// wait for their turn, until they are carried out.
pub(crate) const LIMITS: BodyLimits = BodyLimits {
    max_bytes: 16 * 1024 * 1024,
    together_bytes: 256 * 1024 * 1024,
    unit_bytes: 1024,
    free_bytes: 0,
    timeout: Duration::from_secs(30),
};
/// Bodies up to so many bytes are decoded without asking for room.
const SMALL_BYTES: usize = 64 * 1024;
/// A message takes so many times its bytes at most, up to the limit of the wire.
const GROWTH: usize = 64;
/// Bytes of one decoded message at most, by the limits of the wire.
const MAX_DECODED_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of all large messages that are decoded at a time.
const MAX_DECODED_MEMORY_BYTES: usize = 512 * 1024 * 1024;
/// Bytes for each permit of that memory.
const UNIT_BYTES: usize = 1024;

/// The whole body, and the room it takes. One that says that it is too large is not read at all.
///
/// # Errors
/// 400 where the connection breaks, 408, 413, 503 where others take all the room.
pub(super) async fn read(bodies: &Bodies, body: Incoming) -> Result<(Bytes, BodyRoom), Refusal> {
    if body.size_hint().lower() > u64::try_from(LIMITS.max_bytes).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLarge.into());
    }
    Ok(bodies.read(body).await?)
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("The body has more than {} bytes", LIMITS.max_bytes),
            ),
            BodyError::TooSlow => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "The body came too slowly")
            }
            BodyError::NoRoom => Self::unavailable("Too many calls are being carried out"),
            BodyError::Broken => Self::bad_request("The body broke off"),
        }
    }
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
