//! The seats: external schedulers, each in one of its roles.

use std::collections::{BTreeMap, BTreeSet};

use slab::Slab;

use super::fair_share::NodeId;
use super::rows::{OfferId, SeatKey};

pub(super) type SeatId = usize;

/// How long a scheduler that lets an offer lapse is not offered the same again, in milliseconds.
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
    /// Those for which nothing was found.
    closed: BTreeSet<SeatId>,
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
    /// How often it has let offers lapse without a word since.
    lapses: u32,
    lapsed_at: i64,
}

/// Whether there may be something to offer a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// It stands in the order.
    Standing,
    /// Nothing was found, or it wants nothing.
    Closed,
    /// The limit of this role is in the way.
    Parked(NodeId),
}

impl Seat {
    pub(super) fn new(key: SeatKey, node: NodeId) -> Self {
        Self {
            key,
            node,
            suppressed: true,
            stance: Stance::Closed,
            offers: BTreeSet::new(),
            lapses: 0,
            lapsed_at: i64::MIN,
        }
    }

    /// The scheduler has said something about an offer.
    pub(super) fn answered(&mut self) {
        self.lapses = 0;
    }

    /// It has said nothing about one made at `made` until it was over; returns how long it is not
    /// offered so much of that agent again. Offers that were out at the same time count once.
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
        self.closed.remove(&id);
        self.ids.remove(&seat.key);
        seat
    }

    pub(super) fn get(&self, id: SeatId) -> &Seat {
        &self.seats[id]
    }

    pub(super) fn get_mut(&mut self, id: SeatId) -> &mut Seat {
        &mut self.seats[id]
    }

    pub(super) fn set_closed(&mut self, id: SeatId, closed: bool) {
        if closed && !self.seats[id].suppressed {
            self.closed.insert(id);
        } else {
            self.closed.remove(&id);
        }
    }

    pub(super) fn closed(&self) -> Vec<SeatId> {
        self.closed.iter().copied().collect()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty() && self.ids.is_empty() && self.closed.is_empty()
    }
}
