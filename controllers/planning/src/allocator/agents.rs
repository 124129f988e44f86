//! The agents: what each has, what its tasks hold, and in which order they are taken.
//!
//! **Score: spread.** The agent is taken whose scarcest resource is least used, then the first by
//! name. A container may use idle cores beyond its share, so tasks get the most from the emptiest
//! agent; and the end of one agent takes few tasks of one framework. It is what people know from
//! Kubernetes (least allocated) and from Mesos (agents in random order). The price is that a large
//! task may find crumbs only. The number of tasks counts like a resource of which an agent has
//! [`TASKS_PER_AGENT`], so that tasks which need nothing are spread too; it is no limit.
//!
//! An agent is known by name as soon as a task names it; its own row may come later, or be gone.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use meseta_crds::task::Constraint;
use slab::Slab;

use super::amounts::{Amounts, CPU, MEMORY, ResourceId};
use super::filter;
use super::room::{AgentId, Contestants, Room};
use super::seats::{LEAST_CPU, LEAST_MEMORY};
use super::shelves::Shelves;

/// How many tasks an agent is built for (design, section 7).
const TASKS_PER_AGENT: u64 = 110;
/// A share of one, in fixed point.
const ONE: i128 = 1 << 32;

/// All agents.
#[derive(Debug, Default)]
pub(super) struct Agents {
    contestants: Entries,
    by_name: BTreeMap<Arc<str>, AgentId>,
    room: Room,
    /// Of which as much can be offered as tasks usually need.
    usual: Shelves,
    /// Of which something can be offered at all.
    any: Shelves,
    /// Grows with every change of what an agent has or holds.
    version: u64,
    /// Grows with every change of what an agent's row says.
    facts_version: u64,
}

#[derive(Debug, Default)]
struct Entries(Slab<Agent>);

/// One agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) name: Arc<str>,
    /// What its row says; nothing if there is none.
    pub(super) facts: Option<Facts>,
    /// By tasks and offers.
    used: Amounts,
    /// Capacity less `used`; less than nothing on an agent that has shrunk.
    pub(super) free: Amounts,
    /// Tasks that hold something here.
    pub(super) tasks: u64,
    /// Reasons to remember the agent beside its row: tasks that hold something, volumes.
    users: usize,
    /// How empty it is; from `free` and `tasks`.
    emptiness: i128,
}

/// What the row of an agent says.
#[derive(Debug, PartialEq)]
pub(super) struct Facts {
    pub(super) capacity: Amounts,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) schedulable: bool,
}

impl Contestants for Entries {
    fn free(&self, agent: AgentId) -> &Amounts {
        &self.0[agent].free
    }

    fn beats(&self, one: AgentId, other: AgentId) -> bool {
        self.0[one].rank() < self.0[other].rank()
    }
}

impl Agent {
    /// The least is taken first.
    fn rank(&self) -> (Reverse<i128>, u64, &str) {
        (Reverse(self.emptiness), self.tasks, &self.name)
    }

    /// Whether it could run a task of `needs` and `constraints` if it were empty, and takes tasks.
    pub(super) fn suits(&self, needs: &Amounts, constraints: &[Constraint]) -> bool {
        self.facts.as_ref().is_some_and(|facts| {
            facts.schedulable
                && facts.capacity.covers(needs)
                && filter::matches(constraints, &self.name, &facts.attributes)
        })
    }

    /// Whether it takes something new and holds no more than it has.
    pub(super) fn is_sound(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.schedulable)
            && self.free.iter().all(|(_, free)| free >= 0)
    }

    /// Whether a task may run on so much of it: on the `least` of each of cpus and memory, as far as the
    /// agent has them at all.
    pub(super) fn is_useful(&self, amounts: &Amounts, least: impl Fn(ResourceId) -> i128) -> bool {
        let capacity = |id| self.facts.as_ref().map_or(0, |facts| facts.capacity.get(id));
        let enough = |id| capacity(id) == 0 || amounts.get(id) >= least(id);
        enough(CPU) && enough(MEMORY) && !amounts.is_empty()
    }

    fn recount(&mut self) {
        let nothing = Amounts::default();
        let capacity = self.facts.as_ref().map_or(&nothing, |facts| &facts.capacity);
        self.free.clear();
        self.free.add(capacity);
        self.free.subtract(&self.used);
        let idle_slots = TASKS_PER_AGENT.saturating_sub(self.tasks);
        let idle = i128::from(idle_slots) * ONE / i128::from(TASKS_PER_AGENT);
        let shares = capacity.iter().map(|(id, amount)| self.free.get(id) * ONE / amount);
        self.emptiness = shares.fold(idle, i128::min);
    }
}

impl Agents {
    /// Takes in what the row of `name` says, or that it has none any more. Returns the agent if
    /// something has changed, and the facts that are not kept: the former ones, or, if nothing has
    /// changed, these.
    pub(super) fn set_facts(
        &mut self,
        name: &str,
        facts: Option<Facts>,
    ) -> (Option<AgentId>, Option<Facts>) {
        let id = match (self.by_name.get(name), &facts) {
            (Some(id), _) => *id,
            (None, None) => return (None, None),
            (None, Some(_)) => self.insert(name),
        };
        let agent = &mut self.contestants.0[id];
        if agent.facts == facts {
            return (None, facts);
        }
        let former = std::mem::replace(&mut agent.facts, facts);
        self.facts_version += 1;
        self.changed(id);
        self.forget_if_unused(id);
        (Some(id), former)
    }

    /// The agent `name`, to be remembered until [`Self::release`].
    pub(super) fn acquire(&mut self, name: &str) -> AgentId {
        let id = match self.by_name.get(name) {
            Some(id) => *id,
            None => self.insert(name),
        };
        self.contestants.0[id].users += 1;
        id
    }

    /// Another task remembers it.
    pub(super) fn retain(&mut self, id: AgentId) {
        self.contestants.0[id].users += 1;
    }

    /// Takes back one [`Self::acquire`] or [`Self::retain`].
    pub(super) fn release(&mut self, id: AgentId) {
        self.contestants.0[id].users -= 1;
        self.forget_if_unused(id);
    }

    /// A task that needs so much holds it here.
    pub(super) fn charge(&mut self, id: AgentId, needs: &Amounts) {
        let agent = &mut self.contestants.0[id];
        agent.used.add(needs);
        agent.tasks += 1;
        self.changed(id);
    }

    /// It holds it no more.
    pub(super) fn discharge(&mut self, id: AgentId, needs: &Amounts) {
        let agent = &mut self.contestants.0[id];
        agent.used.subtract(needs);
        agent.tasks -= 1;
        self.changed(id);
    }

    /// So much of it is offered to somebody.
    pub(super) fn reserve(&mut self, id: AgentId, amounts: &Amounts) {
        self.contestants.0[id].used.add(amounts);
        self.changed(id);
    }

    /// It is offered no more.
    pub(super) fn unreserve(&mut self, id: AgentId, amounts: &Amounts) {
        self.contestants.0[id].used.subtract(amounts);
        self.changed(id);
    }

    /// The first agent, in the order of the score, on which such a task can be placed.
    pub(super) fn best(&self, needs: &Amounts, constraints: &[Constraint]) -> Option<AgentId> {
        self.room.emptiest(needs, &self.contestants, |id| {
            self.contestants.0[id].suits(needs, constraints)
        })
    }

    /// Whether `one` is taken before `other`.
    pub(super) fn beats(&self, one: AgentId, other: AgentId) -> bool {
        self.contestants.beats(one, other)
    }

    /// The name of an agent that somebody remembers.
    pub(super) fn name(&self, id: AgentId) -> &Arc<str> {
        &self.contestants.0[id].name
    }

    /// The agent, unless it was forgotten; its position may have another by now.
    pub(super) fn get(&self, id: AgentId) -> Option<&Agent> {
        self.contestants.0.get(id)
    }

    /// Those of which something can be offered to seats whose tasks need what is usual, or to the
    /// others.
    pub(super) fn shelves(&self, usual: bool) -> &Shelves {
        if usual { &self.usual } else { &self.any }
    }

    /// Those that have a row.
    pub(super) fn known(&self) -> impl Iterator<Item = (AgentId, &Agent, &Facts)> {
        let agents = self.contestants.0.iter();
        agents.filter_map(|(id, agent)| Some((id, agent, agent.facts.as_ref()?)))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty() && self.any.spare().is_empty()
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn facts_version(&self) -> u64 {
        self.facts_version
    }

    /// Whether such a task could be placed on one of them if it were empty.
    pub(super) fn any_suits(&self, needs: &Amounts, constraints: &[Constraint]) -> bool {
        self.contestants.0.iter().any(|(_, agent)| agent.suits(needs, constraints))
    }

    fn insert(&mut self, name: &str) -> AgentId {
        let name: Arc<str> = name.into();
        let id = self.contestants.0.insert(Agent {
            name: name.clone(),
            facts: None,
            used: Amounts::default(),
            free: Amounts::default(),
            tasks: 0,
            users: 0,
            emptiness: 0,
        });
        self.by_name.insert(name, id);
        id
    }

    fn changed(&mut self, id: AgentId) {
        self.version += 1;
        let agent = &mut self.contestants.0[id];
        agent.recount();
        let takes_tasks = agent.facts.as_ref().is_some_and(|facts| facts.schedulable);
        self.room.update(id, takes_tasks, &self.contestants);
        let agent = &self.contestants.0[id];
        let offerable = takes_tasks && agent.is_sound() && !agent.free.is_empty();
        let free = offerable.then_some((&agent.free, agent.emptiness));
        self.any.put(id, free, ONE);
        let usual = |id| if id == CPU { LEAST_CPU } else { LEAST_MEMORY };
        self.usual.put(id, free.filter(|(free, _)| agent.is_useful(free, usual)), ONE);
    }

    fn forget_if_unused(&mut self, id: AgentId) {
        let agent = &self.contestants.0[id];
        if agent.users == 0 && agent.facts.is_none() {
            let agent = self.contestants.0.remove(id);
            self.by_name.remove(&agent.name);
        }
    }
}
