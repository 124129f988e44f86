//! Agents, schedulers and control planes that can be had by the thousand, frozen and killed.
//!
//! A simulated agent is an agent to everybody else: it registers, renews its lease, watches its own
//! tasks, reports what becomes of them and removes their finalizer. What it does not have is a
//! machine: a task "runs" for a time that its name and a seed decide. Time is tokio's, so it passes at
//! once where a test has paused it. All agents of a [`Fleet`] write into one [`Ledger`], which keeps
//! what no single agent sees: that nothing was started twice, and that nothing was started where
//! there was no room. An [`Auditor`] looks at the records instead. A [`Scheduler`] stands in for an
//! external one and for the gateway before it: it takes offers and launches on them.
//!
//! ```text
//!            ┌────────────┐  kube::Client, in process or TLS   ┌────────────┐
//!  Fleet ──► │ agent × n  ├────────────────────────────────────┤ API server │
//!    │       └─────┬──────┘                                    └─────┬──────┘
//!    └─► Ledger ◄──┘ started, ended, refused       ControlPlane ─────┘  freeze, kill
//!                                                        │ Handle: offers
//!                                                    Scheduler × n
//! ```
//!
//! **Invariant:** nothing here knows more of the cluster than a real agent or control plane would.

mod agent;
mod auditor;
mod control_plane;
mod fleet;
mod ledger;
mod scheduler;

pub use auditor::{Auditor, Totals};
pub use control_plane::ControlPlane;
pub use fleet::{Config, Fleet};
pub use ledger::{Counts, Ledger};
pub use scheduler::{Done, Scheduler, Wishes};
