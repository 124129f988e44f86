//! The messages of Mesos 1.11, made from `proto/`, with prost's naming: `FrameworkID` is
//! [`FrameworkId`], `Offer.Operation` is [`offer::Operation`]. Optional fields are `Option`,
//! required ones are plain. Enum fields are `i32`, with accessors that give the enum.

#![allow(missing_docs, reason = "described in the .proto files, and in Mesos' documentation")]
#![allow(clippy::all, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/mesos.v1.rs"));

/// Calls and events of schedulers.
pub mod scheduler {
    include!(concat!(env!("OUT_DIR"), "/mesos.v1.scheduler.rs"));
}

/// Calls and events of executors.
pub mod executor {
    include!(concat!(env!("OUT_DIR"), "/mesos.v1.executor.rs"));
}
