//! The executor API over real sockets, with an agent that keeps what it must on a real disk.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod agent;
mod checks;
mod client;
mod limits;
mod restart;
mod streams;
mod traps;
mod updates;
