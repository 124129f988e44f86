//! Reads the bodies of requests within limits: of one, of all together, and of time.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;

/// Bytes of one request's body. A SUBSCRIBE brings all tasks of the executor.
pub(super) const MAX_BODY_BYTES: usize = 4 << 20;

/// Bytes of all bodies that are being read or parsed, or of SUBSCRIBEs that are not stored yet,
/// without the first piece of each.
const MAX_BYTES_TOGETHER: usize = 64 << 20;

/// Room is taken in pieces of this many bytes. The first one is free: ordinary calls get through
/// whoever fills the room.
const PIECE_BYTES: usize = 16 * 1024;

/// Time for a body to come.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Room for the bodies of all requests together.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_BYTES_TOGETHER / PIECE_BYTES)))
    }
}

#[cfg(test)]
impl Room {
    /// With room for so many pieces.
    pub(super) fn of_pieces(pieces: usize) -> Self {
        Self(Arc::new(Semaphore::new(pieces)))
    }
}

/// A body, and the room it takes.
#[derive(Debug)]
pub(super) struct Read {
    bytes: BytesMut,
    room: Held,
}

/// The room of a body; given back when it is dropped.
pub(crate) type Held = Option<OwnedSemaphorePermit>;

impl Read {
    /// The room alone: the bytes are not needed any more.
    pub(super) fn into_room(self) -> Held {
        self.room
    }
}

impl std::ops::Deref for Read {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a whole body.
///
/// # Errors
/// 413, 408, 503 where a limit is reached; 400 where the connection broke.
pub(super) async fn read<B: Body>(body: B, room: &Room) -> Result<Read, Refusal> {
    match tokio::time::timeout(READ_TIMEOUT, read_all(body, room)).await {
        Ok(read) => read,
        Err(_) => Err(Refusal::timeout("The body did not come in time")),
    }
}

async fn read_all<B: Body>(body: B, room: &Room) -> Result<Read, Refusal> {
    let mut body = pin!(body);
    let mut bytes = BytesMut::new();
    let mut permit: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let broken = |_| Refusal::bad_request("The body cannot be read");
        let Ok(mut data) = frame.map_err(broken)?.into_data() else { continue };
        let length = bytes.len() + data.remaining();
        if length > MAX_BODY_BYTES {
            return Err(Refusal::too_large(format!(
                "A body of more than {MAX_BODY_BYTES} bytes is not read"
            )));
        }
        let held = permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needed = length.saturating_sub(1) / PIECE_BYTES;
        let missing = u32::try_from(needed.saturating_sub(held));
        let more = Arc::clone(&room.0)
            .try_acquire_many_owned(missing.unwrap_or(u32::MAX))
            .map_err(|_| Refusal::unavailable("Too many requests are being read"))?;
        match &mut permit {
            Some(permit) => permit.merge(more),
            None => permit = Some(more),
        }
        bytes.put(&mut data);
    }
    Ok(Read { bytes, room: permit })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;

    use super::*;

    async fn read_bytes(length: usize, room: &Room) -> Result<Read, Refusal> {
        read(Full::new(Bytes::from(vec![7; length])), room).await
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let room = Room::default();
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, MAX_BODY_BYTES] {
            assert_eq!(read_bytes(length, &room).await.unwrap().len(), length);
        }
        read_bytes(MAX_BODY_BYTES + 1, &room).await.unwrap_err();
    }

    #[tokio::test]
    async fn bodies_share_their_room_and_give_it_back() {
        let room = Room::of_pieces(2);
        let first = read_bytes(2 * PIECE_BYTES + 1, &room).await.unwrap();
        read_bytes(PIECE_BYTES + 1, &room).await.unwrap_err();
        read_bytes(PIECE_BYTES, &room).await.unwrap();
        drop(first);
        read_bytes(3 * PIECE_BYTES, &room).await.unwrap();
        read_bytes(3 * PIECE_BYTES + 1, &room).await.unwrap_err();
        assert_eq!(room.0.available_permits(), 2);
    }
}
