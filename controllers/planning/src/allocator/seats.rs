//! The seats: external schedulers, each in one of its roles.

use std::collections::{BTreeMap, BTreeSet};

use slab::Slab;

use super::amounts::{Amounts, CPU, MEMORY, ResourceId, Resources};
use super::fair_share::NodeId;
use super::room::AgentId;
use super::rows::{OfferId, SeatKey};

pub(super) type SeatId = usize;

/// What a task needs at least, in thousandths: a hundredth of a cpu and 32 MiB, as in Mesos.
pub(super) const LEAST_CPU: i128 = 10;
pub(super) const LEAST_MEMORY: i128 = 32_000 << 20;
/// What one is thought to need of which nothing is known: a cpu and a GiB, if as much as that can
/// be offered; otherwise it may need as little as this.
const USUAL_CPU: i128 = 1000;
const USUAL_MEMORY: i128 = 1000 << 30;
const SMALL_CPU: i128 = 50;
const SMALL_MEMORY: i128 = LEAST_MEMORY;
/// How long a scheduler that lets an offer lapse is not offered the agent again, in milliseconds.
const LAPSE_FILTER: i64 = 5_000;
/// The same after it has let offers lapse again and again: each time doubles it.
const MAX_LAPSE_FILTER: i64 = 300_000;
/// Lapses that count; by then [`MAX_LAPSE_FILTER`] is reached.
const MAX_LAPSES: u32 = 8;

/// All seats.
#[derive(Debug, Default)]
pub(super) struct Seats {
    ids: BTreeMap<SeatKey, SeatId>,
    seats: Slab<Seat>,
    /// Those that are closed and would not be if there was something for them.
    sleeping: BTreeSet<SeatId>,
}

/// One scheduler in one role.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) key: SeatKey,
    /// Its framework in the tree.
    pub(super) node: NodeId,
    /// Whether it wants no offers.
    pub(super) suppressed: bool,
    pub(super) stance: Stance,
    pub(super) offers: BTreeSet<OfferId>,
    /// Where the search for an agent goes on.
    pub(super) next_agent: AgentId,
    /// The most of each resource that one task of it has needed; it is of no use to offer less.
    pub(super) unit: Amounts,
    /// The least cpus and memory that a task of it has needed, if that is less than usual.
    least: (i128, i128),
    /// Whether it has launched anything.
    launched: bool,
    /// How often it has let offers lapse without a word since.
    lapses: u32,
    lapsed_at: i64,
}

/// Whether there may be something to offer a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// It stands in the order.
    Standing,
    /// It wants nothing, or nothing was found; if there is a role, then because of its limit too.
    Closed(Option<NodeId>),
    /// The limit of this role is in the way.
    Parked(NodeId),
}

fn least() -> Amounts {
    Amounts::of([(CPU, LEAST_CPU), (MEMORY, LEAST_MEMORY)])
}

fn usual() -> Amounts {
    Amounts::of([(CPU, USUAL_CPU), (MEMORY, USUAL_MEMORY)])
}

fn small() -> Amounts {
    Amounts::of([(CPU, SMALL_CPU), (MEMORY, SMALL_MEMORY)])
}

impl Seat {
    pub(super) fn new(key: SeatKey, node: NodeId, resources: &mut Resources) -> Self {
        let unit = small();
        resources.retain_amounts(&unit);
        Self {
            key,
            node,
            suppressed: true,
            stance: Stance::Closed(None),
            offers: BTreeSet::new(),
            next_agent: 0,
            unit,
            least: (LEAST_CPU, LEAST_MEMORY),
            launched: false,
            lapses: 0,
            lapsed_at: i64::MIN,
        }
    }

    /// The least of this that is of use to its tasks, as far as anybody knows.
    pub(super) fn least(&self, resource: ResourceId) -> i128 {
        match resource {
            CPU => self.least.0,
            MEMORY => self.least.1,
            _ => 0,
        }
    }

    /// Whether its tasks need as much cpus and memory as is usual, or more.
    pub(super) fn is_usual(&self) -> bool {
        self.least == (LEAST_CPU, LEAST_MEMORY)
    }

    /// Whether it has launched anything, so that its unit is more than a guess.
    pub(super) fn is_known(&self) -> bool {
        self.launched
    }

    /// The task that offers are made for.
    pub(super) fn task(&self) -> Amounts {
        if self.launched { self.unit.clone() } else { usual() }
    }

    /// It launches a task of these needs; returns whether it needs less than was known.
    pub(super) fn learn(&mut self, needs: &Amounts, resources: &mut Resources) -> bool {
        let mut unit = if self.launched { self.unit.clone() } else { least() };
        unit.raise_to(needs);
        resources.retain_amounts(&unit);
        resources.release_amounts(&self.unit);
        self.unit = unit;
        self.launched = true;
        let former = self.least;
        self.least = (former.0.min(needs.get(CPU)), former.1.min(needs.get(MEMORY)));
        former != self.least
    }

    /// The scheduler has said something about an offer.
    pub(super) fn answered(&mut self) {
        self.lapses = 0;
    }

    /// It has said nothing about one made at `made` until it was over; returns until when it is not
    /// offered that agent again. Offers that were out at the same time count once.
    pub(super) fn lapsed(&mut self, made: i64, now: i64) -> i64 {
        if made >= self.lapsed_at {
            self.lapses = self.lapses.saturating_add(1);
            self.lapsed_at = now;
        }
        let doubled = LAPSE_FILTER << (self.lapses.clamp(1, MAX_LAPSES) - 1);
        now.saturating_add(doubled.min(MAX_LAPSE_FILTER))
    }
}

impl Seats {
    pub(super) fn find(&self, key: &SeatKey) -> Option<SeatId> {
        self.ids.get(key).copied()
    }

    pub(super) fn insert(&mut self, seat: Seat) -> SeatId {
        let key = seat.key.clone();
        let id = self.seats.insert(seat);
        self.ids.insert(key, id);
        id
    }

    pub(super) fn remove(&mut self, id: SeatId) -> Seat {
        let seat = self.seats.remove(id);
        self.sleeping.remove(&id);
        self.ids.remove(&seat.key);
        seat
    }

    pub(super) fn get(&self, id: SeatId) -> &Seat {
        &self.seats[id]
    }

    pub(super) fn get_mut(&mut self, id: SeatId) -> &mut Seat {
        &mut self.seats[id]
    }

    pub(super) fn set_sleeping(&mut self, id: SeatId, sleeping: bool) {
        if sleeping {
            self.sleeping.insert(id);
        } else {
            self.sleeping.remove(&id);
        }
    }

    pub(super) fn sleeping(&self) -> Vec<SeatId> {
        self.sleeping.iter().copied().collect()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty() && self.ids.is_empty() && self.sleeping.is_empty()
    }
}
