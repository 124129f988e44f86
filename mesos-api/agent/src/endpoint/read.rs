//! How much the bodies of requests may take, and what is answered where one takes more.

use std::time::Duration;

use meseta_serve::{BodyError, BodyLimits};

use super::answer::Refusal;

/// A SUBSCRIBE brings all tasks of the executor. Room is held by bodies that are being read or
/// parsed, and by those of SUBSCRIBEs and UPDATEs that are not stored yet.
pub(crate) const LIMITS: BodyLimits = BodyLimits {
    max_bytes: 4 << 20,
    together_bytes: 64 << 20,
    unit_bytes: 16 * 1024,
    free_bytes: 16 * 1024,
    timeout: Duration::from_secs(30),
};

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::too_large(format!(
                "A body of more than {} bytes is not read",
                LIMITS.max_bytes
            )),
            BodyError::TooSlow => Self::timeout("The body did not come in time"),
            BodyError::NoRoom => Self::unavailable("Too many requests are being read"),
            BodyError::Broken => Self::bad_request("The body cannot be read"),
        }
    }
}
