//! What a value is wrapped in wherever it is kept.
//!
//! ```text
//!  byte  0         1       2..4                  4..
//!        version   codec   position (be u16)     the value
//! ```
//!
//! The version is that of this layout. The codec says how the value is written; only
//! [`PLAIN`] is known, the byte keeps the place of compression and of encryption at rest. The
//! position is that of the write in its commit: etcd counts commits only, so a
//! [`Version`](crate::Version) cannot be had back without it.

use bytes::{BufMut as _, Bytes};

use crate::POSITIONS;

/// The layout above.
const LAYOUT: u8 = 1;
/// The value as it is.
const PLAIN: u8 = 0;
/// Bytes before the value.
pub(crate) const HEADER_BYTES: usize = 4;

/// Wraps `value`, written at `position` of its commit.
pub(crate) fn seal(position: u64, value: &[u8]) -> Vec<u8> {
    let position = u16::try_from(position).expect("positions are below 1024");
    let mut envelope = Vec::with_capacity(HEADER_BYTES + value.len());
    envelope.put_u8(LAYOUT);
    envelope.put_u8(PLAIN);
    envelope.put_u16(position);
    envelope.put_slice(value);
    envelope
}

/// The position and the value in `envelope`, or what is wrong with it.
pub(crate) fn open(mut envelope: Bytes) -> Result<(u64, Bytes), String> {
    let Some(header) = envelope.first_chunk::<HEADER_BYTES>() else {
        return Err(format!("{} bytes are too few for an envelope", envelope.len()));
    };
    let [layout, codec, high, low] = *header;
    if layout != LAYOUT {
        return Err(format!("envelope version {layout} is unknown"));
    }
    if codec != PLAIN {
        return Err(format!("codec {codec} is unknown"));
    }
    let position = u64::from(u16::from_be_bytes([high, low]));
    if position >= POSITIONS {
        return Err(format!("position {position} is out of range"));
    }
    Ok((position, envelope.split_off(HEADER_BYTES)))
}

#[cfg(test)]
mod tests;
