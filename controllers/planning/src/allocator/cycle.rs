//! The cycle: turn by turn, until nothing more can be placed or offered, or enough was placed.
//!
//! Each turn places a task, makes an offer, finds a limit in the way of a framework, or finds that a
//! shape or a seat has nowhere to go; so a cycle takes at most as many turns as there are
//! placements, offers, limits, shapes and seats.

use super::Allocator;
use super::fair_share::{TaskTurn, Turn};
use super::room::AgentId;
use super::rows::{Decisions, Placement, TaskKey};
use super::seats::Stance;
use super::shapes::{Candidates, Shape, ShapeId};
use super::tasks::Entry;
use super::volumes::Pin;

/// How often offers are taken back in one cycle: each time serves something that was guaranteed, and
/// what is left over is served in the next cycles.
const MAX_RECLAIMS: usize = 1000;

impl Allocator {
    /// Decides what can be decided at `now`, in milliseconds of a clock that never goes back.
    ///
    /// There are at most `room` placements; offers are not bounded by it, but when it is used up the
    /// cycle ends at the first turn that is a task's. Each placement is assumed until
    /// [`Self::confirm`] or [`Self::forget`].
    pub fn decide(&mut self, now: i64, room: usize) -> Decisions {
        self.pass_time(now);
        self.take_in();
        self.refused.clear();
        let last_offer = self.offers.last();
        let mut placements = Vec::new();
        let mut reclaims = 0;
        loop {
            match self.tree.next() {
                Some(Turn::Seat(seat)) => self.make_offer(seat),
                Some(Turn::Task(_)) if placements.len() >= room => break,
                Some(Turn::Task(turn)) => placements.extend(self.place_first(&turn)),
                None if reclaims < MAX_RECLAIMS
                    && std::mem::take(&mut self.stirred)
                    && self.reclaim() =>
                {
                    reclaims += 1;
                    self.take_in();
                }
                None => break,
            }
            self.stirred = true;
        }
        let rescinded = std::mem::take(&mut self.rescinded).into_keys();
        // What was offered and taken back in this cycle was never there.
        let rescinded = rescinded.filter(|id| *id <= last_offer).collect();
        Decisions { placements, offers: self.take_made(), rescinded }
    }

    /// Lets everything that waits hear of what has become possible.
    fn take_in(&mut self) {
        for seat in self.tree.refresh() {
            self.set_stance(seat, Stance::Standing);
        }
        self.tell_of_growth();
    }

    /// Places the task whose turn it is, if it can be.
    fn place_first(&mut self, turn: &TaskTurn) -> Option<Placement> {
        let needs = &self.shapes.get(turn.shape).needs;
        if let Some(role) = self.tree.limit_reached(turn.framework, needs) {
            self.tree.park(turn.framework, turn.shape, role);
            return None;
        }
        let Some(agent) = self.pick(turn.shape) else {
            self.shapes.close(turn.shape);
            self.set_open(turn.shape, false);
            return None;
        };
        Some(self.assign(turn, agent))
    }

    /// Lets the shapes and seats that had nowhere to go hear of agents that have grown.
    fn tell_of_growth(&mut self) {
        let grown = std::mem::take(&mut self.grown);
        if grown.is_empty() {
            return;
        }
        self.stirred = true;
        self.wake_seats(&grown);
        let narrowed: Vec<ShapeId> = self.shapes.narrowed().collect();
        for id in narrowed {
            let mut opened = false;
            for agent in &grown {
                if self.fits(self.shapes.get(id), *agent) {
                    opened |= self.shapes.offer(id, *agent);
                }
            }
            if opened {
                self.set_open(id, true);
            }
        }
    }

    /// Whether a task of the shape can be placed on the agent now.
    fn fits(&self, shape: &Shape, agent: AgentId) -> bool {
        self.suits(shape, agent)
            && self.agents.get(agent).is_some_and(|found| found.free.covers(&shape.needs))
    }

    /// Whether it could be if there was room.
    pub(super) fn suits(&self, shape: &Shape, agent: AgentId) -> bool {
        let pinned_elsewhere = match self.volumes.pin(shape.volumes()) {
            Pin::Free => false,
            Pin::To(_, pinned) => pinned != agent,
            Pin::Split(..) => true,
        };
        let found = self.agents.get(agent);
        !pinned_elsewhere
            && found.is_some_and(|found| found.suits(&shape.needs, &shape.constraints))
    }

    /// The best agent for a task of the shape.
    fn pick(&mut self, id: ShapeId) -> Option<AgentId> {
        let shape = self.shapes.get(id);
        match (self.volumes.pin(shape.volumes()), &shape.candidates) {
            (Pin::Split(..), _) => None,
            (Pin::To(_, agent), _) => self.fits(shape, agent).then_some(agent),
            (Pin::Free, Candidates::Anywhere) => self.agents.best(&shape.needs, &shape.constraints),
            (Pin::Free, Candidates::Among(agents)) => {
                let fitting = agents.iter().copied().filter(|agent| self.fits(shape, *agent));
                fitting.reduce(
                    |best, agent| {
                        if self.agents.beats(agent, best) { agent } else { best }
                    },
                )
            }
        }
    }

    /// Gives the task whose turn it is room on `agent`.
    fn assign(&mut self, turn: &TaskTurn, agent: AgentId) -> Placement {
        let Some((key, Entry::Waiting(row))) = self.tasks.remove_entry(&*turn.order.key) else {
            unreachable!("what stands in a queue is a waiting task");
        };
        let placement = Placement {
            task: TaskKey::clone(&key),
            uid: row.uid.clone(),
            agent: self.agents.name(agent).to_string(),
        };
        let entry = self.assume(row, agent);
        self.tasks.insert(key, entry);
        placement
    }
}
