//! The JSON form, with the rules of a Mesos server.
//!
//! ```text
//!   bytes ──Reader──► read, kind ──► message ──► write, kind ──► bytes
//!                        ▲ which fields, in which order: generated, see `codec`
//! ```
//!
//! Reading is lenient where Mesos is: unknown keys are skipped, `null` is nothing, numbers and
//! truths may be strings, a repeated field may be a single value. Writing is compact: keys in the
//! order of their numbers, nothing for what is unset, but fields with a default always.
//!
//! **Invariants**
//! - Any input is a message or an error; depth and memory are bounded.
//! - What was written reads back equal, except that defaults are then set.

pub(crate) mod kind;
pub(crate) mod read;
mod reader;
mod value;
pub(crate) mod write;

use serde_json::Value;

pub(crate) use self::reader::Reader;
use crate::error::{At, DecodeError};
use crate::message::Message;

/// How deep objects and arrays may lie within each other.
pub const MAX_DEPTH: usize = 200;

/// `message` as compact JSON, without a line feed.
#[must_use]
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    let mut out = Vec::new();
    message.write_json(&mut out);
    out
}

/// The message that `bytes` are.
///
/// # Errors
/// If they are not JSON, or not this message.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let mut reader = Reader::new(bytes, MAX_DEPTH)?;
    let message = M::read_json(&mut reader, &At::ROOT)?;
    reader.finish()?;
    Ok(message)
}

/// `message` as a JSON value, an object, as it stands in records.
///
/// # Panics
/// If it is nested deeper than twice [`MAX_DEPTH`]. Nothing that was decoded is: at most, an array
/// is written where a single value was read.
#[must_use]
pub fn to_value<M: Message>(message: &M) -> Value {
    let bytes = encode(message);
    let value = Reader::new(&bytes, 2 * MAX_DEPTH).and_then(|mut reader| value::read(&mut reader));
    value.expect("what this crate writes, it reads")
}

/// The message that `value` is.
///
/// # Errors
/// If it is not this message.
pub fn from_value<M: Message>(value: &Value) -> Result<M, DecodeError> {
    decode(value.to_string().as_bytes())
}
