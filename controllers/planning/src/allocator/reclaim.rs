//! Takes offers back for roles that have less than they were guaranteed.
//!
//! When the cycle has nothing more to place or offer, and something of a role below its guarantee
//! still waits, the outstanding offers of other roles on one agent are taken back, the newest first,
//! until what waits fits; its turn is the next then. Offers that a role holds within a guarantee of
//! its own stay, and so do those that somebody is about to use. What runs is never touched.

use std::collections::BTreeMap;

use super::Allocator;
use super::amounts::Amounts;
use super::fair_share::NodeId;
use super::room::AgentId;
use super::rows::OfferId;
use super::seats::{SeatId, Stance};
use super::shapes::ShapeId;

/// Things that are tried for one role in one cycle; the others get their turn when these are served.
const MAX_WANTS: usize = 16;

/// What waits.
#[derive(Clone, Copy, Debug)]
enum Want {
    Task(NodeId, ShapeId),
    Seat(SeatId),
}

impl Allocator {
    /// Takes back what lets something that was guaranteed be served; returns whether it did.
    pub(super) fn reclaim(&mut self) -> bool {
        for role in self.tree.below_guarantee() {
            for want in self.wants(role) {
                if let Some(offers) = self.reclaimable(role, want) {
                    offers.into_iter().for_each(|id| self.rescind(id));
                    return true;
                }
            }
        }
        false
    }

    /// What waits beneath the role and is held up by nothing but room.
    fn wants(&mut self, role: NodeId) -> Vec<Want> {
        let version = self.agents.facts_version();
        // What fits on no agent at all must not hide what does.
        let lanes = loop {
            let possible = |shape| self.shapes.get(shape).fits_nowhere != Some(version);
            let lanes = self.tree.blocked(role, MAX_WANTS, possible);
            let suits = |shape: &ShapeId| {
                let shape = self.shapes.get(*shape);
                self.agents.any_suits(&shape.needs, &shape.constraints)
            };
            let shapes = lanes.iter().map(|(_, shape)| *shape);
            let misfits: Vec<ShapeId> = shapes.filter(|shape| !suits(shape)).collect();
            if misfits.is_empty() {
                break lanes;
            }
            for shape in misfits {
                self.shapes.get_mut(shape).fits_nowhere = Some(version);
            }
        };
        let seats = self.seats.sleeping().into_iter().filter(|seat| {
            let seat = self.seats.get(*seat);
            matches!(seat.stance, Stance::Closed(_)) && self.tree.is_beneath(seat.node, role)
        });
        let lanes = lanes.into_iter().map(|(framework, shape)| Want::Task(framework, shape));
        lanes.chain(seats.take(MAX_WANTS).map(Want::Seat)).collect()
    }

    /// The offers to be taken back on one agent.
    fn reclaimable(&self, role: NodeId, want: Want) -> Option<Vec<OfferId>> {
        let (framework, needs) = match want {
            Want::Task(framework, shape) => (framework, &self.shapes.get(shape).needs),
            Want::Seat(seat) => (self.seats.get(seat).node, &self.seats.get(seat).unit),
        };
        let advances = self.tree.advances_guarantee(role, needs);
        if !advances || self.tree.limit_reached(framework, needs).is_some() {
            return None;
        }
        let allowance = self.tree.allowance(framework);
        self.offers.agents().find_map(|agent| {
            if let Want::Task(_, shape) = want
                && !self.suits(self.shapes.get(shape), agent)
            {
                return None;
            }
            let (offers, mut room) = self.room_without(agent, role, needs)?;
            if let Want::Seat(seat) = want {
                // What it has refused it would refuse again.
                allowance.apply(&mut room);
                self.refusals.covering(seat, agent, &room).is_none().then_some(offers)
            } else {
                Some(offers)
            }
        })
    }

    /// Offers without which the agent has room for `needs`, and what is free then.
    fn room_without(
        &self,
        agent: AgentId,
        role: NodeId,
        needs: &Amounts,
    ) -> Option<(Vec<OfferId>, Amounts)> {
        let found = self.agents.get(agent).filter(|found| found.is_sound())?;
        let mut room = found.free.clone();
        let mut offers = Vec::new();
        let mut taken: BTreeMap<NodeId, Amounts> = BTreeMap::new();
        for id in self.offers.revocable(agent) {
            if room.covers(needs) {
                break;
            }
            let Some(live) = self.offers.get(id) else { continue };
            let node = self.seats.get(live.seat).node;
            let ours = self.tree.is_beneath(node, role);
            if !ours && self.tree.take_beyond_guarantees(node, role, &live.amounts, &mut taken) {
                room.add(&live.amounts);
                offers.push(id);
            }
        }
        (!offers.is_empty() && room.covers(needs)).then_some((offers, room))
    }
}
