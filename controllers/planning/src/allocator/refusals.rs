//! Filters: what a seat does not want to be offered of an agent for a while.
//!
//! **Invariant:** at most one filter for each seat and agent.

use std::collections::{BTreeMap, BTreeSet};

use super::amounts::{Amounts, Resources};
use super::parcels::{ParcelId, Parcels};
use super::room::AgentId;
use super::seats::SeatId;

/// All filters.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    filters: BTreeMap<(SeatId, AgentId), Filter>,
    by_agent: BTreeSet<(AgentId, SeatId)>,
    ends: BTreeSet<(i64, SeatId, AgentId)>,
    parcels: Parcels,
}

/// An offer is not made if there is nothing in it beyond `refused`.
#[derive(Debug)]
struct Filter {
    refused: ParcelId,
    until: i64,
}

impl Refusals {
    /// The seat does not want so much, or less, of the agent until then. It replaces what the seat
    /// has said before.
    pub(super) fn refuse(
        &mut self,
        (seat, agent): (SeatId, AgentId),
        amounts: Amounts,
        until: i64,
        resources: &mut Resources,
    ) {
        self.remove((seat, agent), resources);
        let refused = self.parcels.acquire(amounts, resources);
        self.filters.insert((seat, agent), Filter { refused, until });
        self.by_agent.insert((agent, seat));
        self.ends.insert((until, seat, agent));
    }

    /// What the seat has refused of the agent.
    pub(super) fn refused(&self, seat: SeatId, agent: AgentId) -> Option<&Amounts> {
        let filter = self.filters.get(&(seat, agent))?;
        Some(self.parcels.get(filter.refused))
    }

    pub(super) fn next_end(&self) -> Option<i64> {
        self.ends.first().map(|(until, _, _)| *until)
    }

    /// Removes one filter that is over by `now`.
    pub(super) fn end_one(
        &mut self,
        now: i64,
        resources: &mut Resources,
    ) -> Option<(SeatId, AgentId)> {
        let (_, seat, agent) = *self.ends.first().filter(|(until, _, _)| *until <= now)?;
        self.remove((seat, agent), resources);
        Some((seat, agent))
    }

    pub(super) fn clear_seat(&mut self, seat: SeatId, resources: &mut Resources) {
        let of_seat = self.filters.range((seat, 0)..=(seat, AgentId::MAX));
        let pairs: Vec<_> = of_seat.map(|(pair, _)| *pair).collect();
        pairs.into_iter().for_each(|pair| self.remove(pair, resources));
    }

    pub(super) fn clear_agent(&mut self, agent: AgentId, resources: &mut Resources) {
        let of_agent = self.by_agent.range((agent, 0)..=(agent, SeatId::MAX));
        let pairs: Vec<_> = of_agent.map(|(agent, seat)| (*seat, *agent)).collect();
        pairs.into_iter().for_each(|pair| self.remove(pair, resources));
    }

    fn remove(&mut self, (seat, agent): (SeatId, AgentId), resources: &mut Resources) {
        if let Some(filter) = self.filters.remove(&(seat, agent)) {
            self.by_agent.remove(&(agent, seat));
            self.ends.remove(&(filter.until, seat, agent));
            self.parcels.release(filter.refused, resources);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.filters.is_empty()
            && self.by_agent.is_empty()
            && self.ends.is_empty()
            && self.parcels.is_empty()
    }
}
