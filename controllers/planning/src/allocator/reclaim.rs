//! Takes offers back for who has less: than it was guaranteed, or than who does not answer.
//!
//! When the cycle has nothing more to place or offer and something still waits, outstanding offers on
//! one agent are taken back, the newest first, until what waits fits; its turn is the next then.
//!
//! - For a role below its guarantee: those of all other roles.
//! - For anybody: those that were not answered for [`PATIENCE`], of who is ahead in the fair order and
//!   would not be behind afterwards. Who so hoards is not offered the agent again for a while.
//!
//! Offers that a role holds within a guarantee of its own stay, and so do those that somebody is about
//! to use. What runs is never touched.
//!
//! [`PATIENCE`]: super::offers::PATIENCE

use std::collections::{BTreeMap, BTreeSet};

use super::Allocator;
use super::amounts::Amounts;
use super::fair_share::{NodeId, ROOT};
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

/// Why offers are taken back.
#[derive(Clone, Copy, Debug)]
enum Claim {
    /// This role is below its guarantee.
    Guarantee(NodeId),
    /// Others hold more and do not answer.
    Patience,
}

impl Allocator {
    /// Takes back what lets something be served that has a claim; returns whether it did.
    pub(super) fn reclaim(&mut self) -> bool {
        let guarantees = self.tree.below_guarantee().into_iter().map(Claim::Guarantee);
        let stale = self.offers.stale(self.now).next().map(|_| Claim::Patience);
        for claim in guarantees.chain(stale) {
            let role = match claim {
                Claim::Guarantee(role) => role,
                Claim::Patience => ROOT,
            };
            for want in self.wants(role) {
                if let Some(offers) = self.reclaimable(claim, want) {
                    offers.into_iter().for_each(|id| self.take_from_holder(id));
                    return true;
                }
            }
        }
        false
    }

    /// Takes an offer back; of who has had time to answer, this counts as a lapse.
    fn take_from_holder(&mut self, id: OfferId) {
        if let Some(live) = self.offers.get(id).filter(|live| live.is_stale(self.now)).cloned() {
            self.lapse(&live);
        }
        self.rescind(id);
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
    fn reclaimable(&self, claim: Claim, want: Want) -> Option<Vec<OfferId>> {
        let (framework, needs) = match want {
            Want::Task(framework, shape) => (framework, &self.shapes.get(shape).needs),
            Want::Seat(seat) => (self.seats.get(seat).node, &self.seats.get(seat).unit),
        };
        if self.tree.limit_reached(framework, needs).is_some() {
            return None;
        }
        let agents = match claim {
            Claim::Guarantee(role) if !self.tree.advances_guarantee(role, needs) => return None,
            Claim::Guarantee(_) => self.offers.agents().collect(),
            Claim::Patience => self.hoarded_for(framework, needs),
        };
        let allowance = self.tree.allowance(framework);
        agents.into_iter().find_map(|agent: AgentId| {
            if let Want::Task(_, shape) = want
                && !self.suits(self.shapes.get(shape), agent)
            {
                return None;
            }
            let (offers, mut room) = self.room_without(agent, claim, framework, needs)?;
            if let Want::Seat(seat) = want {
                // What it has refused it would refuse again.
                allowance.apply(&mut room);
                self.refusals.covering(seat, agent, &room).is_none().then_some(offers)
            } else {
                Some(offers)
            }
        })
    }

    /// Agents of which something is held without an answer by who is ahead of a framework that needs
    /// so much.
    fn hoarded_for(&self, framework: NodeId, needs: &Amounts) -> BTreeSet<AgentId> {
        let mut ahead: BTreeMap<SeatId, bool> = BTreeMap::new();
        let hoarded = self.offers.stale(self.now).filter(|live| {
            let node = self.seats.get(live.seat).node;
            *ahead.entry(live.seat).or_insert_with(|| self.tree.is_ahead(node, framework, needs))
        });
        hoarded.map(|live| live.agent).collect()
    }

    /// Offers without which the agent has room for `needs`, and what is free then.
    fn room_without(
        &self,
        agent: AgentId,
        claim: Claim,
        framework: NodeId,
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
            let (claimed, role) = match claim {
                Claim::Guarantee(role) => (!self.tree.is_beneath(node, role), role),
                Claim::Patience => {
                    let ahead = self.tree.is_ahead(node, framework, needs);
                    (live.is_stale(self.now) && ahead, framework)
                }
            };
            if claimed && self.tree.take_beyond_guarantees(node, role, &live.amounts, &mut taken) {
                room.add(&live.amounts);
                offers.push(id);
            }
        }
        (!offers.is_empty() && room.covers(needs)).then_some((offers, room))
    }
}
