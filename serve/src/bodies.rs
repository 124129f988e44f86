//! Bodies of requests, read whole and within bounds: of one, of all together, and of time.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much the bodies of a listener may take.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes of one body.
    pub max_bytes: usize,
    /// Bytes of all bodies together that are being read or whose [`BodyRoom`] is held.
    pub together_bytes: usize,
    /// Room is taken in units of this many bytes.
    pub unit_bytes: usize,
    /// The first so many bytes of each body take no room: ordinary requests get through whoever
    /// fills it.
    pub free_bytes: usize,
    /// Time for a body to come.
    pub timeout: Duration,
}

/// Reads the bodies of a listener. A clone shares the room.
#[derive(Clone, Debug)]
pub struct Bodies {
    limits: BodyLimits,
    room: Arc<Semaphore>,
}

/// The room that a body takes; given back when it is dropped.
#[derive(Debug)]
pub struct BodyRoom(Option<OwnedSemaphorePermit>);

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It has more bytes than [`BodyLimits::max_bytes`].
    #[error("the body is too large")]
    TooLarge,
    /// It was not there within [`BodyLimits::timeout`].
    #[error("the body did not come in time")]
    TooSlow,
    /// Others take all the room.
    #[error("too many bodies are being read")]
    NoRoom,
    /// The connection broke.
    #[error("the body cannot be read")]
    Broken,
}

impl BodyRoom {
    /// The same room in units of [`BodyLimits::unit_bytes`].
    #[must_use]
    pub fn units(&self) -> u32 {
        let held = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(held).unwrap_or(u32::MAX)
    }
}

impl Bodies {
    /// With all the room free.
    #[must_use]
    pub fn new(limits: BodyLimits) -> Self {
        Self { limits, room: Arc::new(Semaphore::new(limits.together_bytes / limits.unit_bytes)) }
    }

    /// A whole body, and the room it takes.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub async fn read<B: Body>(&self, body: B) -> Result<(Bytes, BodyRoom), BodyError> {
        let read = tokio::time::timeout(self.limits.timeout, self.collect(body)).await;
        read.unwrap_or(Err(BodyError::TooSlow))
    }

    async fn collect<B: Body>(&self, body: B) -> Result<(Bytes, BodyRoom), BodyError> {
        let BodyLimits { max_bytes, unit_bytes, free_bytes, .. } = self.limits;
        let mut body = pin!(body);
        let mut bytes = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| BodyError::Broken)?;
            let Ok(mut data) = frame.into_data() else { continue };
            let length = bytes.len() + data.remaining();
            if length > max_bytes {
                return Err(BodyError::TooLarge);
            }
            let needed = length.saturating_sub(free_bytes).div_ceil(unit_bytes);
            let held = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let missing = u32::try_from(needed.saturating_sub(held)).unwrap_or(u32::MAX);
            let more = Arc::clone(&self.room)
                .try_acquire_many_owned(missing)
                .map_err(|_| BodyError::NoRoom)?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            bytes.put(&mut data);
        }
        Ok((bytes.freeze(), BodyRoom(room)))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    const UNIT: usize = 16;
    const LIMITS: BodyLimits = BodyLimits {
        max_bytes: 4096,
        together_bytes: 4096,
        unit_bytes: UNIT,
        free_bytes: UNIT,
        timeout: Duration::from_secs(30),
    };

    async fn read(bodies: &Bodies, length: usize) -> Result<(Bytes, BodyRoom), BodyError> {
        bodies.read(Full::new(Bytes::from(vec![7; length]))).await
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let bodies = Bodies::new(LIMITS);
        for length in [0, 1, UNIT, UNIT + 1, LIMITS.max_bytes] {
            assert_eq!(read(&bodies, length).await.unwrap().0.len(), length);
        }
        assert_eq!(read(&bodies, LIMITS.max_bytes + 1).await.unwrap_err(), BodyError::TooLarge);
    }

    #[tokio::test]
    async fn bodies_share_their_room_and_give_it_back() {
        let bodies = Bodies::new(BodyLimits { together_bytes: 2 * UNIT, ..LIMITS });
        let first = read(&bodies, 2 * UNIT + 1).await.unwrap();
        assert_eq!(first.1.units(), 2);
        assert_eq!(read(&bodies, UNIT + 1).await.unwrap_err(), BodyError::NoRoom);
        read(&bodies, UNIT).await.unwrap();
        drop(first);
        read(&bodies, 3 * UNIT).await.unwrap();
        assert_eq!(read(&bodies, 3 * UNIT + 1).await.unwrap_err(), BodyError::NoRoom);
        assert_eq!(bodies.room.available_permits(), 2);
    }

    #[tokio::test]
    async fn without_free_bytes_each_byte_takes_room() {
        let bodies = Bodies::new(BodyLimits { free_bytes: 0, ..LIMITS });
        assert_eq!(read(&bodies, 0).await.unwrap().1.units(), 0);
        assert_eq!(read(&bodies, 1).await.unwrap().1.units(), 1);
        assert_eq!(read(&bodies, UNIT + 1).await.unwrap().1.units(), 2);
    }
}
