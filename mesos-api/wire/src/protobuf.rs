//! The protobuf form. prost reads and writes it; what prost does not do is done around it.
//!
//! prost takes a missing required field for its default, and keeps values of enums that nobody
//! knows. So the bytes are checked before (`check`), and if there was such a value, it is dropped
//! from the message after.

mod check;

use crate::error::DecodeError;
use crate::message::Message;

/// `message` as protobuf bytes.
#[must_use]
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    message.encode_to_vec()
}

/// The message that `bytes` are.
///
/// # Errors
/// If they are not protobuf, or not this message.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let unknown = check::check(bytes, M::shape())?;
    let mut message = M::decode(bytes).map_err(DecodeError::Protobuf)?;
    if unknown {
        message.drop_unknown();
    }
    Ok(message)
}
