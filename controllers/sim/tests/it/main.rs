//! A whole cluster in one process: the real API server over records in memory, real controllers on
//! threads that can be frozen and killed, and simulated agents.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod cluster;
mod faults;
mod schedulers;
mod shares;
mod whole_way;
