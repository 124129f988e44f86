//! What a seat is offered when its turn comes: of which agent, and how much.
//!
//! - **Of which**: the next agent after the last, of those that are emptiest (`shelves`), passing
//!   over what it has refused (`refusals`). If there is none the seat leaves the order and sleeps
//!   until an agent grows, a filter ends, or it is revived.
//! - **How much** (`portion`): all that is free there, as far as the limits of its roles allow; but
//!   while others want something about its entitlement. When that is no more than it has just refused
//!   of the agent it is offered more. A rest of cpus or memory that is too small for anybody is
//!   offered with it; one that is not stays, also when nothing is left of the other, as it would
//!   count as held by a scheduler that has no use for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Allocator;
use super::amounts::{Amounts, CPU, MEMORY};
use super::bits::Bits;
use super::fair_share::{Allowance, Entitlement};
use super::offers::Live;
use super::portion::Portion;
use super::room::AgentId;
use super::rows::{Offer, OfferId};
use super::seats::{LEAST_CPU, LEAST_MEMORY, SeatId, Stance};
use super::shelves::Shelves;

/// Why an agent is not offered.
enum Unsuitable {
    /// Nothing will change that but more room on it.
    UntilItGrows,
    /// A limit of its roles does not allow enough.
    UntilRelieved,
}

/// How much of what is free a seat has refused, as it was seen in this cycle when its turn came first.
/// To count it anew at each turn would cost as much as there are agents.
#[derive(Debug)]
pub(super) struct Refused {
    part: Amounts,
    of: Amounts,
}

impl Refused {
    fn of(shelves: &Shelves, barred: &Bits) -> Self {
        Self { part: shelves.sum(barred), of: shelves.spare().clone() }
    }

    /// What is left of `spare`, if that is refused to the same part.
    fn rest(&self, spare: &Amounts) -> Amounts {
        let mut rest = spare.clone();
        for (resource, part) in self.part.iter() {
            let amount = spare.get(resource);
            let refused = amount.saturating_mul(part).checked_div(self.of.get(resource));
            rest.set(resource, amount - refused.unwrap_or_default());
        }
        rest
    }
}

impl Allocator {
    /// Makes the offer whose turn it is, if there is one.
    pub(super) fn make_offer(&mut self, id: SeatId) {
        let seat = self.seats.get(id);
        let shelves = self.agents.shelves(seat.is_usual());
        if shelves.next(self.refusals.barred(id), seat.next_agent).is_none() {
            self.set_stance(id, Stance::Closed(None));
            return;
        }
        let allowance = self.tree.allowance(seat.node);
        let exhausted = |resource| {
            let (left, role) = allowance.of(resource)?;
            (left < seat.least(resource)).then_some(role)
        };
        if let Some(role) = exhausted(CPU).or_else(|| exhausted(MEMORY)) {
            self.set_stance(id, Stance::Parked(role));
            return;
        }
        // What it has refused is nothing to be divided between it and the others.
        let barred = self.refusals.barred(id);
        let refused = self.refused.entry(id).or_insert_with(|| Refused::of(shelves, barred));
        let spare = refused.rest(shelves.spare());
        let entitlement = self.tree.entitlement(seat.node, &seat.task(), &spare);
        // Agents that only a limit keeps from being offered; they are passed over meanwhile.
        let mut limited = Vec::new();
        let found = loop {
            let seat = self.seats.get(id);
            let barred = self.refusals.barred(id);
            let next = self.agents.shelves(seat.is_usual()).next(barred, seat.next_agent);
            let Some(agent) = next else { break None };
            match self.size(id, agent, &allowance, &entitlement) {
                Ok(amounts) => break Some((agent, amounts)),
                Err(Unsuitable::UntilItGrows) => self.refusals.bar(id, agent),
                Err(Unsuitable::UntilRelieved) => {
                    self.refusals.bar(id, agent);
                    limited.push(agent);
                }
            }
        };
        let role = (!limited.is_empty()).then(|| allowance.outermost()).flatten();
        limited.into_iter().for_each(|agent| self.refusals.unbar(id, agent));
        match found {
            Some((agent, amounts)) => self.offer(id, agent, &amounts),
            None => self.set_stance(id, Stance::Closed(role)),
        }
    }

    /// How much of the agent the seat is offered.
    fn size(
        &self,
        id: SeatId,
        agent_id: AgentId,
        allowance: &Allowance,
        entitlement: &Entitlement,
    ) -> Result<Amounts, Unsuitable> {
        let seat = self.seats.get(id);
        let least = |resource| seat.least(resource);
        let agent = self.agents.get(agent_id).ok_or(Unsuitable::UntilItGrows)?;
        if !agent.is_useful(&agent.free, least) {
            return Err(Unsuitable::UntilItGrows);
        }
        let mut allowed = agent.free.clone();
        allowance.apply(&mut allowed);
        if !agent.is_useful(&allowed, least) {
            return Err(Unsuitable::UntilRelieved);
        }
        if self.refusals.covering(id, agent_id, &agent.free).is_some() {
            return Err(Unsuitable::UntilItGrows);
        }
        if self.refusals.covering(id, agent_id, &allowed).is_some() {
            return Err(Unsuitable::UntilRelieved);
        }
        let resources = &self.resources;
        let portion = Portion { seat, free: &agent.free, allowed: &allowed, resources };
        let step = portion.step(entitlement, self.tree.total());
        let mut amounts = step.clone();
        amounts.lower_to(&allowed);
        while let Some(refused) = self.refusals.covering(id, agent_id, &amounts) {
            amounts = portion.larger(refused, &step);
        }
        let mut rest = allowed.clone();
        rest.subtract(&amounts);
        for (resource, least) in [(CPU, LEAST_CPU), (MEMORY, LEAST_MEMORY)] {
            if rest.get(resource) < least {
                amounts.set(resource, allowed.get(resource));
            }
        }
        Ok(if agent.is_useful(&amounts, least) { amounts } else { allowed })
    }

    /// Offers so much; what is offered of an agent to a seat in one cycle is one offer.
    fn offer(&mut self, seat: SeatId, agent: AgentId, amounts: &Amounts) {
        self.agents.reserve(agent, amounts);
        let shelves = self.agents.shelves(self.seats.get(seat).is_usual());
        let rest = self.agents.get(agent).filter(|_| shelves.has(agent));
        if let Some(rest) = rest {
            // Who has refused so much of it need not look at it one by one.
            self.refusals.compare(agent, &rest.free);
        }
        self.tree.charge(self.seats.get(seat).node, amounts);
        self.seats.get_mut(seat).next_agent = agent + 1;
        let known = self.made.get(&(seat, agent)).copied();
        if let Some(live) = known.and_then(|id| self.offers.get_mut(id)) {
            let mut sum = amounts.clone();
            sum.add(&live.amounts);
            self.resources.retain_amounts(&sum);
            self.resources.release_amounts(&live.amounts);
            live.amounts = Arc::new(sum);
            return;
        }
        self.resources.retain_amounts(amounts);
        self.agents.retain(agent);
        let amounts = Arc::new(amounts.clone());
        let id = self.offers.insert(Live { seat, agent, amounts, made: self.now, taken: false });
        self.seats.get_mut(seat).offers.insert(id);
        self.made.insert((seat, agent), id);
    }

    /// What was offered in this cycle and not taken back in it again.
    pub(super) fn take_made(&mut self) -> Vec<Offer> {
        let ids: BTreeSet<OfferId> = std::mem::take(&mut self.made).into_values().collect();
        let offers = ids.into_iter().filter_map(|id| {
            let live = self.offers.get(id)?;
            Some(Offer {
                id,
                seat: self.seats.get(live.seat).key.clone(),
                agent: self.agents.name(live.agent).to_string(),
                resources: self.resources.list(&live.amounts),
                expires: live.expires(),
            })
        });
        offers.collect()
    }
}
