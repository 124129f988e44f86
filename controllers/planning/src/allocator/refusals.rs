//! What a seat is not to be offered: filters, and the agents that are not worth another look.
//!
//! A *filter* says what a seat has refused of an agent, and until when. An agent is *barred* for a
//! seat when nothing can be offered of it unless it gets more free than it has: a filter covers
//! everything, or too little is free to be of use. Bars are one bit for each seat and agent, so that
//! a search passes over them 64 at a time. Each agent knows its filters by what was refused, so when
//! more or less of it is free, that is compared once for each different amount, and then only the bars
//! that come or go cost something; not each seat that has a filter.
//!
//! ```text
//!  decline ──► filter ──► bar, as soon as it covers all that is free
//!                           │ the agent grows beyond the filter
//!                           │ the filter ends; revive; another agent by that name
//!                           ▼
//!                         no bar: the seat is woken if it slept
//! ```
//!
//! **Invariant:** at most [`MAX_FILTERS`] filters and one bar for each seat and agent that exist, so
//! they are bounded by the pairs; mostly it is one filter or none. The sets of seats by
//! amount are at most one for each filter, of a bit for each seat.

use std::collections::{BTreeMap, BTreeSet};

use super::amounts::{Amounts, Resources};
use super::bits::Bits;
use super::parcels::{ParcelId, Parcels};
use super::room::AgentId;
use super::seats::SeatId;

/// All filters and bars.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    filters: BTreeSet<FilterKey>,
    ends: BTreeSet<(i64, SeatNumber, AgentNumber, ParcelId)>,
    parcels: Parcels,
    /// By seat: agents that are barred.
    barred: Vec<Bits>,
    /// By agent.
    agents: Vec<OfAgent>,
}

/// Filters of one seat on one agent: of parts of it that were offered apart. With more, the one is
/// forgotten that ends first.
const MAX_FILTERS: usize = 4;

/// Filters may be many.
type SeatNumber = u32;
type AgentNumber = u32;
/// Seat, agent, when it ends, in milliseconds, and what is refused.
type FilterKey = (SeatNumber, AgentNumber, i64, ParcelId);

#[derive(Debug, Default)]
struct OfAgent {
    /// By what is refused: the seats with such a filter.
    refused: BTreeMap<ParcelId, Bits>,
    /// Seats it is barred for by a filter.
    barred: Bits,
    /// Seats it is barred for because they found nothing on it; all of these fall when it grows.
    futile: Bits,
}

fn numbers(seat: SeatId, agent: AgentId) -> (SeatNumber, AgentNumber) {
    let number = |id: usize| u32::try_from(id).expect("there is memory for fewer");
    (number(seat), number(agent))
}

impl Refusals {
    /// Makes place for a seat or an agent.
    fn ensure(&mut self, seat: SeatId, agent: AgentId) {
        if self.barred.len() <= seat {
            self.barred.resize_with(seat + 1, Bits::default);
        }
        if self.agents.len() <= agent {
            self.agents.resize_with(agent + 1, OfAgent::default);
        }
    }

    /// The seat does not want so much, or less, of the agent until then.
    pub(super) fn refuse(
        &mut self,
        (seat, agent): (SeatId, AgentId),
        amounts: Amounts,
        until: i64,
        resources: &mut Resources,
    ) {
        self.ensure(seat, agent);
        let pair = numbers(seat, agent);
        let covers = |key: &FilterKey| self.parcels.get(key.3).covers(&amounts);
        if self.of_pair(pair).any(|key| key.2 >= until && covers(key)) {
            return;
        }
        let said: Vec<FilterKey> = self.of_pair(pair).copied().collect();
        let mut left = said.len();
        for key in said {
            let contained = key.2 <= until && amounts.covers(self.parcels.get(key.3));
            if contained || left >= MAX_FILTERS {
                self.remove(key, resources);
                left -= 1;
            }
        }
        let refused = self.parcels.acquire(amounts, resources);
        self.filters.insert((pair.0, pair.1, until, refused));
        self.ends.insert((until, pair.0, pair.1, refused));
        self.agents[agent].refused.entry(refused).or_default().insert(seat);
    }

    /// What the seat has refused of the agent that covers so much.
    pub(super) fn covering(
        &self,
        seat: SeatId,
        agent: AgentId,
        amounts: &Amounts,
    ) -> Option<&Amounts> {
        let refused = self.of_pair(numbers(seat, agent));
        let mut refused = refused.map(|key| &**self.parcels.get(key.3));
        refused.find(|refused| refused.covers(amounts))
    }

    fn of_pair(
        &self,
        (seat, agent): (SeatNumber, AgentNumber),
    ) -> impl Iterator<Item = &FilterKey> {
        let ends = (seat, agent, i64::MIN, 0)..=(seat, agent, i64::MAX, ParcelId::MAX);
        self.filters.range(ends)
    }

    /// The agents that are barred for the seat.
    pub(super) fn barred(&mut self, seat: SeatId) -> &Bits {
        self.ensure(seat, 0);
        &self.barred[seat]
    }

    /// Bars the agent for the seat until it grows, whatever the reason.
    pub(super) fn bar(&mut self, seat: SeatId, agent: AgentId) {
        self.ensure(seat, agent);
        self.agents[agent].futile.insert(seat);
        self.barred[seat].insert(agent);
    }

    /// Takes in that the agent may have more free, or that more was refused of it.
    pub(super) fn grown(&mut self, agent: AgentId, free: &Amounts) {
        let Some(of_agent) = self.agents.get_mut(agent) else { return };
        for seat in std::mem::take(&mut of_agent.futile).iter_without(&of_agent.barred) {
            self.barred[seat].remove(agent);
        }
        self.compare(agent, free);
    }

    /// Bars the agent, of which so much is free, for all who have refused that, and lets the bars
    /// fall of those who have refused less.
    pub(super) fn compare(&mut self, agent: AgentId, free: &Amounts) {
        let Some(of_agent) = self.agents.get_mut(agent) else { return };
        let mut barred = Bits::default();
        for (refused, seats) in &of_agent.refused {
            if self.parcels.get(*refused).covers(free) {
                barred.add(seats);
            }
        }
        for seat in barred.iter_without(&of_agent.barred) {
            self.barred[seat].insert(agent);
        }
        for seat in of_agent.barred.iter_without(&barred) {
            if !of_agent.futile.contains(seat) {
                self.barred[seat].remove(agent);
            }
        }
        of_agent.barred = barred;
    }

    pub(super) fn next_end(&self) -> Option<i64> {
        self.ends.first().map(|(until, ..)| *until)
    }

    /// Removes one filter that is over by `now`.
    pub(super) fn end_one(
        &mut self,
        now: i64,
        resources: &mut Resources,
    ) -> Option<(SeatId, AgentId)> {
        let first = self.ends.first().filter(|(until, ..)| *until <= now);
        let (until, seat, agent, refused) = *first?;
        self.remove((seat, agent, until, refused), resources);
        Some((usize::try_from(seat).ok()?, usize::try_from(agent).ok()?))
    }

    /// Forgets what concerns a seat.
    pub(super) fn clear_seat(&mut self, seat: SeatId, resources: &mut Resources) {
        let (number, _) = numbers(seat, 0);
        let all = (number, 0, i64::MIN, 0)..=(number, AgentNumber::MAX, i64::MAX, ParcelId::MAX);
        let keys: Vec<FilterKey> = self.filters.range(all).copied().collect();
        keys.into_iter().for_each(|key| self.remove(key, resources));
        self.clear_bars(seat);
    }

    /// Forgets the bars of a seat: it may find something where there was nothing for it.
    pub(super) fn clear_bars(&mut self, seat: SeatId) {
        let Some(bits) = self.barred.get_mut(seat) else { return };
        for agent in std::mem::take(bits).iter() {
            self.agents[agent].barred.remove(seat);
            self.agents[agent].futile.remove(seat);
        }
    }

    /// Forgets what concerns an agent.
    pub(super) fn clear_agent(&mut self, agent: AgentId, resources: &mut Resources) {
        let Some(of_agent) = self.agents.get(agent) else { return };
        let mut seats = Bits::default();
        of_agent.refused.values().for_each(|refusing| seats.add(refusing));
        for pair in seats.iter().map(|seat| numbers(seat, agent)) {
            let keys: Vec<FilterKey> = self.of_pair(pair).copied().collect();
            keys.into_iter().for_each(|key| self.remove(key, resources));
        }
        self.clear_bars_of_agent(agent);
    }

    /// Forgets the bars of an agent: other things may be of use on it than before.
    pub(super) fn clear_bars_of_agent(&mut self, agent: AgentId) {
        let Some(of_agent) = self.agents.get(agent) else { return };
        let seats: Vec<SeatId> = of_agent.barred.iter().chain(of_agent.futile.iter()).collect();
        seats.into_iter().for_each(|seat| self.unbar(seat, agent));
    }

    /// The agent is worth another look.
    pub(super) fn unbar(&mut self, seat: SeatId, agent: AgentId) {
        self.barred[seat].remove(agent);
        self.agents[agent].barred.remove(seat);
        self.agents[agent].futile.remove(seat);
    }

    /// Ends a filter, and with it the bar: others may not be as large.
    fn remove(&mut self, key: FilterKey, resources: &mut Resources) {
        if !self.filters.remove(&key) {
            return;
        }
        let refused = key.3;
        self.ends.remove(&(key.2, key.0, key.1, refused));
        self.parcels.release(refused, resources);
        let (Ok(seat), Ok(agent)) = (usize::try_from(key.0), usize::try_from(key.1)) else {
            return;
        };
        let by_amount = &mut self.agents[agent].refused;
        if let Some(seats) = by_amount.get_mut(&refused) {
            seats.remove(seat);
            if seats.is_empty() {
                by_amount.remove(&refused);
            }
        }
        self.unbar(seat, agent);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.filters.is_empty()
            && self.ends.is_empty()
            && self.parcels.is_empty()
            && self.barred.iter().all(Bits::is_empty)
            && self
                .agents
                .iter()
                .all(|of| of.refused.is_empty() && of.barred.is_empty() && of.futile.is_empty())
    }
}
