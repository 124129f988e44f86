//! Mesos v1 messages, in protobuf and JSON, and the RecordIO framing.

pub mod recordio;
pub mod v1;
