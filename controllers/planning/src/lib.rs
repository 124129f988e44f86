//! Everything that decides: what has been observed goes in as values, what is to be done comes out.
//!
//! ```text
//!  rows of what was watched, and the time ──► plan, allocate ──► actions, placements, sentences
//! ```
//!
//! - [`allocator`]: which waiting task goes to which agent, by dominant resource fairness; and why
//!   the others wait.
//! - [`framework`]: which tasks a framework is to have, from its sets and from what became of the
//!   earlier ones.
//! - [`agent_lifecycle`]: what becomes of agents that are silent, back or removed, and of their tasks.
//! - [`retention`]: which finished tasks are forgotten.
//!
//! `meseta-runtime` reads and writes for it.
//!
//! **Invariant:** pure. No I/O, no clock, no randomness, no `async`, no order that changes from run
//! to run: equal input gives equal output, on the leader of today as on that of tomorrow.
//! `cargo xtask check` and `clippy.toml` look after it.

pub mod agent_lifecycle;
pub mod allocator;
pub mod framework;
pub mod retention;
