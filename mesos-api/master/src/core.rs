//! The rules of Mesos, without I/O, clock and `async`: values in, values out.
//!
//! Each file is one rule. The gateway around it reads records and calls, asks here what follows, and
//! carries it out. Times are milliseconds since 1970 and always an argument.
//!
//! ```text
//!  SUBSCRIBE, UPDATE_FRAMEWORK ─► call ─► framework (ids, roles) ─► the framework's record
//!  offers ─► offer (resources) ─► OFFERS
//!  ACCEPT ─► accept (checks, supported, resources) ─► launch ─► task records
//!                └────────────────────────────────► statuses ─► UPDATE
//!  task records ─► rows ─► updates (statuses) ─► UPDATE ◄─ ACKNOWLEDGE
//!                   ├────► reconcile, kill, failure
//!                   └────► lifecycle ─► teardown, what is forgotten
//! ```
//!
//! **Invariant:** equal input gives equal output, and no input panics.

pub mod accept;
pub mod call;
pub mod checks;
pub mod failure;
pub mod framework;
pub mod ids;
pub mod kill;
pub mod launch;
pub mod lifecycle;
pub mod offer;
pub mod reconcile;
pub mod resources;
pub mod roles;
pub mod rows;
pub mod statuses;
pub mod supported;
pub mod updates;
