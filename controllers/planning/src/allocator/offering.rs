//! What a seat is offered when its turn comes.

use std::sync::Arc;

use super::Allocator;
use super::amounts::Amounts;
use super::offers::Live;
use super::room::AgentId;
use super::rows::Offer;
use super::seats::{SeatId, Stance};

impl Allocator {
    /// Makes the offer whose turn it is, if there is one.
    pub(super) fn make_offer(&mut self, id: SeatId) -> Option<Offer> {
        let seat = self.seats.get(id);
        let allowance = self.tree.allowance(seat.node);
        if let Some((_, (_, role))) = allowance.iter().find(|(_, (left, _))| *left == 0) {
            let role = *role;
            self.set_stance(id, Stance::Parked(role));
            return None;
        }
        let found = self.agents.open().find_map(|agent| {
            let mut amounts = self.agents.get(agent)?.free.clone();
            for (resource, (left, _)) in &allowance {
                amounts.set(*resource, amounts.get(*resource).min(*left));
            }
            let refused = self.refusals.refused(id, agent);
            let wanted = !refused.is_some_and(|refused| refused.covers(&amounts));
            (wanted && !amounts.is_empty()).then_some((agent, amounts))
        });
        let Some((agent, amounts)) = found else {
            self.set_stance(id, Stance::Closed);
            return None;
        };
        Some(self.offer(id, agent, amounts))
    }

    fn offer(&mut self, seat: SeatId, agent: AgentId, amounts: Amounts) -> Offer {
        self.resources.retain_amounts(&amounts);
        self.agents.retain(agent);
        self.agents.reserve(agent, &amounts);
        self.tree.charge(self.seats.get(seat).node, &amounts);
        let resources = self.resources.list(&amounts);
        let amounts = Arc::new(amounts);
        let live = Live { seat, agent, amounts, made: self.now, taken: false };
        let expires = live.expires();
        let id = self.offers.insert(live);
        let seat = self.seats.get_mut(seat);
        seat.offers.insert(id);
        let agent = self.agents.name(agent).to_string();
        Offer { id, seat: seat.key.clone(), agent, resources, expires }
    }

    /// Puts the seat where it stands now; one that is suppressed stands nowhere.
    pub(super) fn set_stance(&mut self, id: SeatId, stance: Stance) {
        let seat = self.seats.get_mut(id);
        let stance = if seat.suppressed { Stance::Closed } else { stance };
        let former = std::mem::replace(&mut seat.stance, stance);
        let node = seat.node;
        if former == stance {
            return;
        }
        if let Stance::Parked(role) = former {
            self.tree.unpark_seat(id, role);
        }
        if let Stance::Parked(role) = stance {
            self.tree.park_seat(id, role);
        }
        self.seats.set_closed(id, stance == Stance::Closed);
        self.tree.set_seat(node, (stance == Stance::Standing).then_some(id));
    }

    /// A limit is in the way no more.
    pub(super) fn relieve_seat(&mut self, id: SeatId) {
        self.set_stance(id, Stance::Standing);
    }

    /// The seat may be offered the agent again.
    pub(super) fn filter_ended(&mut self, seat: SeatId, _agent: AgentId) {
        if self.seats.get(seat).stance == Stance::Closed {
            self.set_stance(seat, Stance::Standing);
        }
    }

    /// The agent is gone, or not what it was.
    pub(super) fn forget_refusals(&mut self, agent: AgentId) {
        self.refusals.clear_agent(agent, &mut self.resources);
    }

    /// Lets the seats for which nothing was found hear of agents that have grown.
    pub(super) fn wake_seats(&mut self) {
        for seat in self.seats.closed() {
            self.set_stance(seat, Stance::Standing);
        }
    }
}
