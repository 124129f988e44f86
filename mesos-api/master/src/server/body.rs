//! Reading the body of a request, within bounds.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body as _;
use hyper::body::Incoming;
use meseta_serve::{Bodies, BodyError, BodyLimits, BodyRoom};

use super::answer::Refusal;

/// The largest body is an ACCEPT of some thousand tasks. Room is held by all calls that are read or
/// wait for their turn, until they are carried out.
pub(crate) const LIMITS: BodyLimits = BodyLimits {
    max_bytes: 16 * 1024 * 1024,
    together_bytes: 256 * 1024 * 1024,
    unit_bytes: 1024,
    free_bytes: FREE_BYTES,
    timeout: Duration::from_secs(30),
};
/// A call that is no larger, as nearly all are, gets through whoever takes the room. On all
/// connections together these are 128 MiB.
const FREE_BYTES: usize = 16 * 1024;

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

#[cfg(test)]
mod tests;
