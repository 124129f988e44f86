//! Decides which waiting task goes to which agent, what is offered to external schedulers, and when.
//!
//! Pure and incremental: it is told what has changed, row by row, and [`Allocator::decide`] looks
//! only at what a change may have made possible. Equal rows give equal placements, in whatever order
//! they were told; with offers, which are no rows, equal histories give equal decisions.
//!
//! ```text
//!  rows ──► fair_share ──► limits ──► filter ──► score ──► assign
//!           whose turn     of the     agents     the       assumed until
//!           it is          roles      that fit   emptiest  confirmed or forgotten
//!               │
//!               └────────► limits ──► refusals ──► shelves ──► portion
//!                          of the     what it does about the   live until accepted,
//!                          roles      not want     emptiest    declined or taken back
//! ```
//!
//! - **Order** (`fair_share`): dominant resource fairness over the tree of roles, with weights
//!   among siblings, guarantees and limits at every level; within a role the higher priority first,
//!   then fairness over frameworks; within a framework priority, age, name. Tasks that were applied
//!   alone count as one framework per namespace and role. A task that cannot be placed does not hold
//!   up those behind it.
//! - **Place** (`agents`): the emptiest agent that fits. Tasks of one framework that name a shared
//!   volume all go where the first went (`volumes`).
//! - **Offer** (`offering`, `market`): a *seat*, a scheduler in one of its roles, stands in the order
//!   beside the waiting tasks of its framework as long as it wants offers and there is an agent it
//!   can be offered something of. Its turn comes by the same shares; what it is offered counts as
//!   held and is nobody else's. A portion is about what the seat is entitled to; alone it gets all.
//! - **Cost**: a cycle without news costs nothing, a new task the logarithm of what there is. Equal
//!   tasks are searched for once (`shapes`); when nothing fits, only agents that grow are looked at.
//!   A declined offer costs one bit for each seat that sleeps, and no look at any other agent.
//!
//! A decision is *assumed* when it is made: it holds its room at once. The caller writes it and says
//! [`confirm`](Allocator::confirm) or [`forget`](Allocator::forget); until then the task is not
//! decided again, whatever is told about it. Tasks for which offers are accepted are assumed too.
//!
//! ```text
//!               decide               confirm, or the row has an agent        terminal
//!   waiting ──────────────► assumed ───────────────────────────────► held ──────────► (ended)
//!      ▲                     │  ▲                          ▲
//!      └─────────────────────┘  │ accept                   │ (the rest is free)
//!             forget            │                          │
//!                decide       live ─────────────────────► free
//!   free room ──────────────►     decline, time, rescind
//! ```
//!
//! **Invariant:** the needs of assumed and held tasks and of live offers on an agent exceed its
//! capacity only where somebody else placed them or the agent has shrunk; then nothing more is placed
//! or offered there, and what is offered is taken back.
//!
//! **Invariant:** no two live offers overlap; one is of one agent and for one seat.

mod agents;
mod amounts;
mod bits;
mod cycle;
mod explain;
mod fair_share;
mod filter;
mod market;
mod offering;
mod offers;
mod parcels;
mod portion;
mod queue;
mod reclaim;
mod refusals;
mod room;
mod rows;
mod seats;
mod shapes;
mod shelves;
mod stance;
mod tasks;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::agents::{Agents, Facts};
use self::amounts::{ResourceId, Resources, Unreadable};
pub use self::explain::Explanation;
use self::fair_share::Tree;
use self::offering::Refused;
use self::offers::Offers;
use self::refusals::Refusals;
use self::room::AgentId;
pub use self::rows::{
    AcceptError, AgentRow, Decisions, Offer, OfferId, Placement, RoleRow, RoleShare, SeatKey,
    TaskKey, TaskRow,
};
use self::seats::{SeatId, Seats};
use self::shapes::Shapes;
use self::tasks::Entry;
use self::volumes::Volumes;

/// Everything the decisions depend on.
#[derive(Debug)]
pub struct Allocator {
    resources: Resources,
    agents: Agents,
    shapes: Shapes,
    tree: Tree,
    volumes: Volumes,
    tasks: BTreeMap<Arc<TaskKey>, Entry>,
    /// Agents that may have more room than when they were looked at last.
    grown: BTreeSet<AgentId>,
    seats: Seats,
    offers: Offers,
    refusals: Refusals,
    /// Offers of this cycle.
    made: BTreeMap<(SeatId, AgentId), OfferId>,
    /// Of the seats whose turn came in this cycle.
    refused: BTreeMap<SeatId, Refused>,
    /// Offers that were taken back and of which nobody was told yet.
    rescinded: BTreeMap<OfferId, SeatId>,
    /// Whether something has happened since it was last looked for offers to be taken back.
    stirred: bool,
    /// The time of the last cycle, in milliseconds.
    now: i64,
}

impl Default for Allocator {
    fn default() -> Self {
        Self::new()
    }
}

impl Allocator {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            resources: Resources::default(),
            agents: Agents::default(),
            shapes: Shapes::default(),
            tree: Tree::new(),
            volumes: Volumes::default(),
            tasks: BTreeMap::new(),
            grown: BTreeSet::new(),
            seats: Seats::default(),
            offers: Offers::default(),
            refusals: Refusals::default(),
            made: BTreeMap::new(),
            refused: BTreeMap::new(),
            rescinded: BTreeMap::new(),
            stirred: false,
            now: i64::MIN,
        }
    }

    /// Takes in an agent as it is now.
    pub fn upsert_agent(&mut self, row: AgentRow) {
        let AgentRow { name, capacity, attributes, schedulable } = row;
        let capacity = self.resources.acquire_amounts(&capacity, Unreadable::Zero);
        self.set_facts(&name, Some(Facts { capacity, attributes, schedulable }));
    }

    /// Takes in that an agent is gone. Its tasks hold what they hold until they are told to be over.
    pub fn remove_agent(&mut self, name: &str) {
        self.set_facts(name, None);
    }

    fn set_facts(&mut self, name: &str, facts: Option<Facts>) {
        let now = facts.as_ref().map(|facts| facts.capacity.clone()).unwrap_or_default();
        // Of another kind of agent nothing has been refused: with other attributes, or with or without
        // gpus.
        let kind = |facts: &Facts| {
            let resources: Vec<ResourceId> = facts.capacity.iter().map(|(id, _)| id).collect();
            (facts.attributes.clone(), resources)
        };
        let kind_now = facts.as_ref().map(kind);
        let (changed, dropped) = self.agents.set_facts(name, facts);
        if let Some(agent) = changed.filter(|_| dropped.as_ref().map(kind) != kind_now) {
            self.forget_refusals(agent);
        }
        let former = dropped.map(|facts| facts.capacity).unwrap_or_default();
        if let Some(agent) = changed {
            self.refusals.clear_bars_of_agent(agent);
            self.tree.change_total(&former, &now);
            self.grown.insert(agent);
            self.take_back(agent);
        }
        self.resources.release_amounts(&former);
    }

    /// Takes in a role as it is now. Roles that nobody has said anything about have weight 1,
    /// no limits and no guarantees.
    pub fn upsert_role(&mut self, row: RoleRow) {
        let RoleRow { path, weight, limits, guarantees } = row;
        let [limits, guarantees] = [limits, guarantees].map(|list| {
            let amounts = list.iter().map(|(name, amount)| {
                (self.resources.acquire(name), amounts::thousandths(amount, Unreadable::Zero))
            });
            amounts.collect::<Vec<(ResourceId, i128)>>()
        });
        self.stirred = true;
        let former = self.tree.declare(&path, weight, limits, guarantees);
        self.release_limits(former);
        self.take_back_beyond_limits(&path);
    }

    /// Takes in that nothing is said about a role any more.
    pub fn remove_role(&mut self, path: &str) {
        self.stirred = true;
        let former = self.tree.undeclare(path);
        self.release_limits(former);
    }

    fn release_limits(&mut self, limits: Vec<(ResourceId, i128)>) {
        for (resource, _) in limits {
            self.resources.release(resource);
        }
    }

    /// What each role holds, in the order of the tree.
    #[must_use]
    pub fn role_shares(&self) -> Vec<RoleShare> {
        let share = |(path, role): (String, &fair_share::Node)| RoleShare {
            path,
            allocated: self.resources.list(&role.held),
            dominant_share: fair_share::as_fraction(&role.held, self.tree.total()),
            pending_tasks: role.pending,
        };
        self.tree.roles().into_iter().map(share).collect()
    }
}

#[cfg(test)]
mod tests;
