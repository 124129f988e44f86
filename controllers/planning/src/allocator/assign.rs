//! The cycle: turn by turn, until nothing more can be placed or enough was.
//!
//! Each turn places a task, finds a limit in the way of a framework, or finds that a shape fits
//! nowhere; so a cycle takes at most as many turns as there are placements, limits and shapes.

use super::Allocator;
use super::fair_share::Turn;
use super::room::AgentId;
use super::rows::{Placement, TaskKey};
use super::shapes::{Candidates, Shape, ShapeId};
use super::tasks::Entry;
use super::volumes::Pin;

impl Allocator {
    /// At most `room` placements, in the order in which they were decided. Each is assumed until
    /// [`Self::confirm`] or [`Self::forget`].
    pub fn allocate(&mut self, room: usize) -> Vec<Placement> {
        self.tree.refresh();
        self.offer_grown();
        let mut placements = Vec::new();
        while placements.len() < room {
            let Some(turn) = self.tree.next() else { break };
            let needs = &self.shapes.get(turn.shape).needs;
            if let Some(role) = self.tree.limit_reached(turn.framework, needs) {
                self.tree.park(turn.framework, turn.shape, role);
                continue;
            }
            match self.pick(turn.shape) {
                Some(agent) => placements.push(self.assign(&turn, agent)),
                None => {
                    self.shapes.close(turn.shape);
                    self.set_open(turn.shape, false);
                }
            }
        }
        placements
    }

    /// Lets the shapes that fitted nowhere hear of agents that have grown.
    fn offer_grown(&mut self) {
        let grown = std::mem::take(&mut self.grown);
        if grown.is_empty() {
            return;
        }
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
        let pinned_elsewhere = match self.volumes.pin(shape.volumes()) {
            Pin::Free => false,
            Pin::To(_, pinned) => pinned != agent,
            Pin::Split(..) => true,
        };
        let found = self.agents.get(agent);
        !pinned_elsewhere && found.is_some_and(|found| found.fits(&shape.needs, &shape.constraints))
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
    fn assign(&mut self, turn: &Turn, agent: AgentId) -> Placement {
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
