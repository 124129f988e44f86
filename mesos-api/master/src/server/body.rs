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
const UNIT_BYTES: usize = 1024;
/// Bytes of all calls that are read or wait for their turn.
const MAX_MEMORY_BYTES: usize = 256 * 1024 * 1024;
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
    _permit: Option<OwnedSemaphorePermit>,
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
        Ok((bytes.freeze(), Room { _permit: room }))
    }
}
