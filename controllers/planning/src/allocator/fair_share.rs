//! Whose turn it is: dominant resource fairness over the tree of roles and, within a role, over its
//! frameworks (Ghodsi et al., NSDI 2011; the order of Mesos' sorters).
//!
//! ```text
//!                    root
//!            ┌────────┴────────┐
//!           eng (weight 2)    ops             share = max over resources of held ÷ cluster,
//!       ┌────┼─────┐           │              divided by the weight
//!      etl  web   "."         "."
//!       │    │     │           │
//!      "."  "."  framework   framework        "." is the place of a role's own frameworks:
//!       │    │                                they compete with its children at weight 1
//!      …    …
//! ```
//!
//! The next task is found from the root down: at each node the child with the smallest share that has
//! a task to be tried, and of equal shares the first by name. Within one role a framework with a task
//! of higher priority goes before any share. A node stands in its parent's order only while a task
//! beneath it can be tried, so idle frameworks cost nothing; a placement moves one node per level.
//!
//! A scheduler that wants offers stands beside the waiting tasks of its framework, and its turn comes
//! by the same shares; what it is offered counts as held. How much it is offered at once is its
//! entitlement ([`Tree::entitlement`]), so that one turn does not take what others are about to get.
//!
//! A role that holds less than its guarantee goes before all others, and so do its parents.
//!
//! Shares are integers in fixed point, so that equal input gives equal order on every machine. When
//! the cluster's total changes, all standing nodes are ordered anew before the next turn.

mod allowance;
mod entitlement;
mod guarantees;
mod limits;
mod tree;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) use self::allowance::Allowance;
pub(super) use self::entitlement::Entitlement;
pub(super) use self::tree::{NodeId, ROOT, Tree};
use super::amounts::{Amounts, ResourceId};
use super::queue::{Order, Queue};
use super::seats::SeatId;
use super::shapes::ShapeId;

/// One whole, in fixed point: a share is exact to a millionth of a millionth.
const WHOLE: u128 = 1 << 40;
/// What a share is multiplied with before it is divided by a weight (of at most 1,000,000), so that
/// weights lose nothing.
const WEIGHT_SCALE: u128 = 1 << 20;

/// Of schedulers among the frameworks of their role; and of all roles among each other.
const SEAT_PRIORITY: Reverse<i32> = Reverse(0);

/// Whose turn it is, and for what.
#[derive(Debug)]
pub(super) enum Turn {
    /// A task is to be placed.
    Task(TaskTurn),
    /// A scheduler is to be offered something.
    Seat(SeatId),
}

/// The task to be placed.
#[derive(Debug)]
pub(super) struct TaskTurn {
    pub(super) framework: NodeId,
    pub(super) shape: ShapeId,
    pub(super) order: Order,
}

/// What waits until a role holds less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Limited {
    /// The tasks of one shape in a framework.
    Lane(NodeId, ShapeId),
    Seat(SeatId),
}

/// Where a node stands among its siblings; the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Whether the role has a guarantee that it does not use yet, or one beneath that stands has.
    guaranteed: Reverse<bool>,
    /// Of the first task to be tried; the same for all roles.
    priority: Reverse<i32>,
    weighted_share: u128,
}

/// How a node stands in its parent's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stand {
    rank: Rank,
    /// Dominant share, not weighted.
    share: u128,
    weight: u128,
}

/// An entry of a node's order.
type Standing = (Rank, Arc<str>, NodeId);

/// A role, the place of a role's own frameworks, or a framework.
#[derive(Debug)]
pub(super) struct Node {
    parent: NodeId,
    name: Arc<str>,
    weight: u128,
    pub(super) limits: Vec<(ResourceId, i128)>,
    guarantees: Vec<(ResourceId, i128)>,
    /// Whether an operator has said something about it.
    declared: bool,
    children: BTreeMap<Arc<str>, NodeId>,
    /// Tasks that count on it, if it is a framework.
    users: usize,
    /// What is held by tasks beneath, and offered.
    pub(super) held: Amounts,
    /// Tasks beneath that wait.
    pub(super) pending: usize,
    /// Children with a task that can be tried, or a seat.
    order: BTreeSet<Standing>,
    /// Sums over `order`: shares and weights.
    standing_share: u128,
    standing_weight: u128,
    /// How it stands in its parent's order, if it does.
    standing: Option<Stand>,
    /// What waits until this node holds less.
    limited: BTreeSet<Limited>,
    /// Waiting tasks, if it is a framework.
    queue: Queue,
    /// The scheduler of this framework, as long as there may be something to offer it.
    seat: Option<SeatId>,
}

impl Node {
    fn new(parent: NodeId, name: Arc<str>) -> Self {
        Self {
            parent,
            name,
            weight: 1,
            limits: Vec::new(),
            guarantees: Vec::new(),
            declared: false,
            children: BTreeMap::new(),
            users: 0,
            held: Amounts::default(),
            pending: 0,
            order: BTreeSet::new(),
            standing_share: 0,
            standing_weight: 0,
            standing: None,
            limited: BTreeSet::new(),
            queue: Queue::default(),
            seat: None,
        }
    }

    /// How it should stand among its siblings: not at all without a task to be tried or a seat.
    fn stand(&self, total: &Amounts) -> Option<Stand> {
        let beneath = self.seat.is_some() || !self.order.is_empty();
        let priority = match (self.queue.first(), beneath) {
            (Some((order, _)), false) => order.priority,
            (Some((order, _)), true) => order.priority.min(SEAT_PRIORITY),
            (None, true) => SEAT_PRIORITY,
            (None, false) => return None,
        };
        let beneath = self.order.first().is_some_and(|(rank, ..)| rank.guaranteed.0);
        let guaranteed = Reverse(beneath || self.is_below_guarantee());
        let (share, weight) = (dominant_share(&self.held, total), self.weight);
        let weighted_share = self.weighted(share);
        Some(Stand { rank: Rank { guaranteed, priority, weighted_share }, share, weight })
    }

    /// A share of the cluster as it counts among siblings.
    fn weighted(&self, share: u128) -> u128 {
        share * WEIGHT_SCALE / self.weight
    }

    /// Whether it has a guarantee of which it does not use all of anything yet.
    fn is_below_guarantee(&self) -> bool {
        let below = |(id, amount): &(ResourceId, i128)| self.held.get(*id) < *amount;
        !self.guarantees.is_empty() && self.guarantees.iter().all(below)
    }
}

/// The largest of the shares of one resource, in parts of [`WHOLE`]. What the cluster has not at all
/// (any more) is not counted.
fn dominant_share(held: &Amounts, total: &Amounts) -> u128 {
    let share = |(id, amount): (ResourceId, i128)| {
        let total = u128::try_from(total.get(id)).unwrap_or_default();
        let amount = u128::try_from(amount).unwrap_or_default();
        amount.saturating_mul(WHOLE).checked_div(total)
    };
    held.iter().filter_map(share).max().unwrap_or_default()
}

/// The same as a fraction, for people.
pub(super) fn as_fraction(held: &Amounts, total: &Amounts) -> f64 {
    /// Parts in which a share is told; few enough for a float.
    const PARTS: u128 = 1_000_000_000;
    let parts = (dominant_share(held, total) * PARTS / WHOLE).min(u128::from(u32::MAX));
    f64::from(u32::try_from(parts).unwrap_or(u32::MAX)) / 1e9
}
