//! The gateway behind a real socket: records in memory behind a real API server, the controllers,
//! simulated agents, and schedulers that speak raw HTTP in both encodings.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod cluster;
mod scheduler;
mod scribe;

mod access;
mod bad_input;
mod failover;
mod messages;
mod subscribe;
mod tasks;
mod traps;
