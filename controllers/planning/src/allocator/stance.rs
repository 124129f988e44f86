//! Which seats stand in the fair-share order, and what wakes the others.
//!
//! ```text
//!               nothing found                  its limit is used up
//!  Closed ◄──────────────────── Standing ──────────────────────────► Parked
//!    │  an agent grew that is not      ▲   ▲      a role holds less      │
//!    └─ barred, a filter ended, revive ┘   └─────────────────────────────┘
//! ```
//!
//! A seat that is suppressed is closed whatever happens.

use std::collections::BTreeSet;

use super::Allocator;
use super::bits::Sparse;
use super::room::AgentId;
use super::seats::{SeatId, Stance};

impl Allocator {
    /// Puts the seat where it stands now.
    pub(super) fn set_stance(&mut self, id: SeatId, stance: Stance) {
        let seat = self.seats.get_mut(id);
        let stance = if seat.suppressed { Stance::Closed(None) } else { stance };
        let former = std::mem::replace(&mut seat.stance, stance);
        let (node, suppressed) = (seat.node, seat.suppressed);
        self.seats.set_sleeping(id, !suppressed && matches!(stance, Stance::Closed(_)));
        if former == stance {
            return;
        }
        if let Stance::Closed(Some(role)) | Stance::Parked(role) = former {
            self.tree.unpark_seat(id, role);
        }
        if let Stance::Closed(Some(role)) | Stance::Parked(role) = stance {
            self.tree.park_seat(id, role);
        }
        self.tree.set_seat(node, (stance == Stance::Standing).then_some(id));
    }

    /// There may be something for the seat of the agent, where there was not; perhaps once others give
    /// it back.
    pub(super) fn filter_ended(&mut self, seat: SeatId, agent: AgentId) {
        self.stirred = true;
        let found = self.seats.get(seat);
        let sleeps = matches!(found.stance, Stance::Closed(_));
        if sleeps && self.agents.shelves(found.is_usual()).has(agent) {
            self.set_stance(seat, Stance::Standing);
        }
    }

    /// The agent is gone, or not what it was.
    pub(super) fn forget_refusals(&mut self, agent: AgentId) {
        self.refusals.clear_agent(agent, &mut self.resources);
    }

    /// Lets the seats for which nothing was found hear of agents that have grown; in the order of
    /// their numbers.
    pub(super) fn wake_seats(&mut self, grown: &BTreeSet<AgentId>) {
        let agents = &self.agents;
        for &agent in grown {
            if let Some(found) = agents.get(agent) {
                self.refusals.grown(agent, &found.free);
            }
        }
        let fresh = [false, true].map(|usual| {
            Sparse::of(grown.iter().copied().filter(|agent| agents.shelves(usual).has(*agent)))
        });
        if fresh.iter().all(Sparse::is_empty) {
            return;
        }
        for seat in self.seats.sleeping() {
            let fresh = &fresh[usize::from(self.seats.get(seat).is_usual())];
            if fresh.any_without(self.refusals.barred(seat)) {
                self.set_stance(seat, Stance::Standing);
            }
        }
    }
}
