//! Everything that acts on the records: watches in, plans of `meseta-planning` carried out.
//!
//! Every control plane runs this. All of them watch and keep the allocator's state; the one that
//! holds the leader lease writes:
//!
//! ```text
//!  watches ──► rows ─┬─► allocator ──────► placements, pending explanations, roles ─┐
//!                    │       ▲                                                      │
//!  schedulers ───────┼───────┴─ market ──► offers; tasks that are launched on them ─┤
//!                    ├─► framework ──────► tasks, framework status                  ├─► fence ─► API
//!                    ├─► agent_lifecycle ► unreachable, lost                        │
//!                    └─► retention ──────► finished tasks deleted                  ─┘
//! ```
//!
//! [`Handle`] tells the rest of the process who leads, and gives it, while that is this process, the
//! [`Market`] for external schedulers and the [`OfferBook`].
//!
//! **Invariants:** it reaches the records through a `kube::Client` only, in process or over the
//! network. What it keeps in memory may be lost at any moment. A write is sent only while the lease
//! holds, and carries a resource version, a uid or a name that does not depend on the attempt.

mod agent_lifecycle;
mod allocator;
mod clock;
mod cluster;
mod config;
mod controllers;
mod framework;
mod handle;
mod leader;
mod market;
mod offer_book;
mod queue;
mod retention;
mod watch;
mod write;

use kube::Client;
pub use meseta_planning::agent_lifecycle::Policy as AgentPolicy;
pub use meseta_planning::retention::Policy as RetentionPolicy;
use tokio_util::sync::CancellationToken;

pub use crate::clock::uptime_millis;
pub use crate::config::Config;
pub use crate::controllers::{Controllers, Error};
pub use crate::handle::{Handle, LeaderAddress, Leadership, Term};
pub use crate::market::{Ended, LaunchError, LiveOffer, Market, Notice, Seat, TakeError, Taken};
pub use crate::offer_book::{OfferBook, OfferChange, OfferEvent};
pub use crate::write::{WriteError, Writer};

/// Runs all controllers of a control plane that nobody asks for offers; see [`Controllers::run`].
///
/// # Errors
/// See [`Controllers::run`].
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    Controllers::new(config).0.run(client, shutdown).await
}
