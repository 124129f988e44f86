//! Mesos v1 messages, in protobuf and JSON, and the RecordIO framing.
//!
//! The messages are Rust types ([`v1`]) made from the files in `proto/`, and are the same in both
//! encodings ([`Encoding`]). Who sends what to whom, and what is valid beyond the form of a
//! message, is left to others; there is no server here and no I/O.
//!
//! ```text
//!   proto/*.proto ──build/──► v1 (types)   codec (which fields a message has)
//!                                              │
//!   Encoding ──► json ─────────────────────────┤
//!            └─► protobuf (prost, and a check) ┘      recordio: records of a stream
//! ```
//!
//! **Invariants**
//! - Input of any kind gives a message or an error, within limits of depth and memory.
//! - Both encodings hold the same: a message that goes through one and then the other is equal,
//!   but for defaults, which JSON always sets.

mod attribute;
mod codec;
mod encoding;
mod error;
pub mod json;
mod message;
mod negotiate;
pub mod protobuf;
pub mod recordio;
pub mod v1;

pub use self::encoding::Encoding;
pub use self::error::DecodeError;
pub use self::message::Message;

/// The Mesos that this speaks like. Clients turn each part into a number.
pub const MESOS_VERSION: &str = "1.11.0";

/// What `/version` of a master and of an agent answers: as [`MESOS_VERSION`] was built, by us.
#[must_use]
pub fn version() -> serde_json::Value {
    serde_json::json!({
        "build_date": "2020-11-24 00:00:00",
        "build_time": 1_606_176_000.0,
        "build_user": "meseta",
        "version": MESOS_VERSION,
    })
}
