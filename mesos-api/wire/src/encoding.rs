//! The two forms of a message on the wire.

use crate::error::DecodeError;
use crate::message::Message;
use crate::{json, protobuf};

/// In which form messages go over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Text, see [`json`].
    Json,
    /// Bytes, see [`protobuf`].
    Protobuf,
}

impl Encoding {
    /// The media type, exactly as it must stand in `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }

    /// `message` in this encoding.
    #[must_use]
    pub fn encode<M: Message>(self, message: &M) -> Vec<u8> {
        match self {
            Self::Json => json::encode(message),
            Self::Protobuf => protobuf::encode(message),
        }
    }

    /// The message that `bytes` are in this encoding.
    ///
    /// # Errors
    /// If they are not this encoding, not this message, or beyond the limits on depth and memory.
    pub fn decode<M: Message>(self, bytes: &[u8]) -> Result<M, DecodeError> {
        match self {
            Self::Json => json::decode(bytes),
            Self::Protobuf => protobuf::decode(bytes),
        }
    }
}
