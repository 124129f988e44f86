//! What a seat is not to be offered: filters, and the agents that are not worth another look.
//!
//! A *filter* says what a seat has refused of an agent, and until when. An agent is *barred* for a
//! seat when nothing can be offered of it unless it gets more free than it has: a filter covers
//! everything, or too little is free to be of use. Bars are one bit for each seat and agent, so that
//! a search passes over them 64 at a time; and each agent knows a `floor`, so that one that grows
//! looks at its bars only if one of them may fall.
//!
//! ```text
//!  decline ──► filter ──► bar, if it covers all that is free
//!                           │ the agent grows beyond the floor and the filter
//!                           │ the filter ends; revive; another agent by that name
//!                           ▼
//!                         no bar: the seat is woken if it slept
//! ```
//!
//! **Invariant:** at most [`MAX_FILTERS`] filters and one bar for each seat and agent that exist, so
//! they are bounded by the pairs; mostly it is one filter or none.

use std::collections::{BTreeMap, BTreeSet};

use super::amounts::{Amounts, Resources};
use super::bits::Bits;
use super::parcels::{ParcelId, Parcels};
use super::room::AgentId;
use super::seats::SeatId;

/// All filters and bars.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    filters: BTreeMap<FilterKey, ParcelId>,
    ends: BTreeSet<(i64, SeatNumber, AgentNumber)>,
    parcels: Parcels,
    /// By seat: agents that are barred.
    barred: Vec<Bits>,
    /// By agent.
    agents: Vec<OfAgent>,
    /// Filters that may bar their agent; known for sure when all that is given back is.
    new: Vec<(SeatId, AgentId)>,
}

/// Filters of one seat on one agent: of parts of it that were offered apart. With more, the one is
/// forgotten that ends first.
const MAX_FILTERS: usize = 4;

/// Filters may be many.
type SeatNumber = u32;
type AgentNumber = u32;
/// Seat, agent, and when it ends, in milliseconds.
type FilterKey = (SeatNumber, AgentNumber, i64);

#[derive(Debug, Default)]
struct OfAgent {
    /// Seats with a filter.
    filtered: Bits,
    /// Seats it is barred for by a filter.
    barred: Bits,
    /// As long as no more than this is free, none of these falls.
    floor: Amounts,
    /// Seats it is barred for because too little is free; all of these fall when it grows.
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
        let covers = |refused: &ParcelId| self.parcels.get(*refused).covers(&amounts);
        if self.of_pair(pair).any(|(key, refused)| key.2 >= until && covers(refused)) {
            return;
        }
        let said = self.of_pair(pair).map(|(key, refused)| (*key, *refused));
        let said: Vec<(FilterKey, ParcelId)> = said.collect();
        let mut left = said.len();
        for (key, refused) in said {
            let contained = key.2 <= until && amounts.covers(self.parcels.get(refused));
            if contained || left >= MAX_FILTERS {
                self.remove(key, resources);
                left -= 1;
            }
        }
        let mut key = (pair.0, pair.1, until);
        while self.filters.contains_key(&key) {
            key.2 = key.2.saturating_add(1);
        }
        let refused = self.parcels.acquire(amounts, resources);
        self.filters.insert(key, refused);
        self.ends.insert((key.2, pair.0, pair.1));
        self.agents[agent].filtered.insert(seat);
        self.new.push((seat, agent));
    }

    /// What the seat has refused of the agent that covers so much.
    pub(super) fn covering(
        &self,
        seat: SeatId,
        agent: AgentId,
        amounts: &Amounts,
    ) -> Option<&Amounts> {
        let refused = self.of_pair(numbers(seat, agent));
        let mut refused = refused.map(|(_, refused)| &**self.parcels.get(*refused));
        refused.find(|refused| refused.covers(amounts))
    }

    fn of_pair(
        &self,
        (seat, agent): (SeatNumber, AgentNumber),
    ) -> impl Iterator<Item = (&FilterKey, &ParcelId)> {
        self.filters.range((seat, agent, i64::MIN)..=(seat, agent, i64::MAX))
    }

    /// The agents that are barred for the seat.
    pub(super) fn barred(&mut self, seat: SeatId) -> &Bits {
        self.ensure(seat, 0);
        &self.barred[seat]
    }

    /// Bars the agent for the seat as long as it has no more than `free`.
    pub(super) fn bar(&mut self, seat: SeatId, agent: AgentId, free: &Amounts) {
        self.ensure(seat, agent);
        let refused = self.covering(seat, agent, free).cloned();
        let of_agent = &mut self.agents[agent];
        if let Some(refused) = refused {
            if of_agent.barred.is_empty() {
                of_agent.floor = refused;
            } else {
                of_agent.floor.lower_to(&refused);
            }
            of_agent.barred.insert(seat);
        } else {
            of_agent.futile.insert(seat);
        }
        self.barred[seat].insert(agent);
    }

    /// Takes in that so much is free on the agent; what has been refused may not be all of it.
    pub(super) fn grown(&mut self, agent: AgentId, free: &Amounts) {
        let Some(of_agent) = self.agents.get_mut(agent) else { return };
        for seat in std::mem::take(&mut of_agent.futile).iter() {
            self.barred[seat].remove(agent);
        }
        if of_agent.barred.is_empty() || of_agent.floor.covers(free) {
            return;
        }
        let seats: Vec<SeatId> = of_agent.barred.iter().collect();
        let mut floor: Option<Amounts> = None;
        for seat in seats {
            match self.covering(seat, agent, free) {
                Some(refused) => match &mut floor {
                    Some(floor) => floor.lower_to(refused),
                    None => floor = Some(refused.clone()),
                },
                None => self.unbar(seat, agent),
            }
        }
        self.agents[agent].floor = floor.unwrap_or_default();
    }

    /// Bars what the new filters cover all of.
    pub(super) fn settle<'a>(&mut self, free: impl Fn(AgentId) -> Option<&'a Amounts>) {
        for (seat, agent) in std::mem::take(&mut self.new) {
            let free = free(agent).filter(|free| self.covering(seat, agent, free).is_some());
            if let Some(free) = free {
                self.bar(seat, agent, free);
            }
        }
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
        let (until, seat, agent) = *self.ends.first().filter(|(until, _, _)| *until <= now)?;
        self.remove((seat, agent, until), resources);
        Some((usize::try_from(seat).ok()?, usize::try_from(agent).ok()?))
    }

    /// Forgets what concerns a seat.
    pub(super) fn clear_seat(&mut self, seat: SeatId, resources: &mut Resources) {
        let (number, _) = numbers(seat, 0);
        let all = (number, 0, i64::MIN)..=(number, AgentNumber::MAX, i64::MAX);
        let keys: Vec<FilterKey> = self.filters.range(all).map(|(key, _)| *key).collect();
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
        let seats: Vec<SeatId> = of_agent.filtered.iter().collect();
        for pair in seats.into_iter().map(|seat| numbers(seat, agent)) {
            let keys: Vec<FilterKey> = self.of_pair(pair).map(|(key, _)| *key).collect();
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
        let Some(refused) = self.filters.remove(&key) else { return };
        self.ends.remove(&(key.2, key.0, key.1));
        self.parcels.release(refused, resources);
        let (Ok(seat), Ok(agent)) = (usize::try_from(key.0), usize::try_from(key.1)) else {
            return;
        };
        if self.of_pair((key.0, key.1)).next().is_none() {
            self.agents[agent].filtered.remove(seat);
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
                .all(|of| of.filtered.is_empty() && of.barred.is_empty() && of.futile.is_empty())
            && self.new.is_empty()
    }
}
