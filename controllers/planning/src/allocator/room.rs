//! The agents by room: which is the emptiest of those that have at least so much?
//!
//! A tournament over the agents. Each match knows the emptiest agent beneath it and, for each
//! resource, the most that any agent beneath has free; so a search goes down only where an agent
//! may fit, to the emptiest first, and looks at a few agents out of all. It looks at many only where
//! many are rejected for something that the tree does not know (constraints), or where one has the
//! cpus and another the memory.
//!
//! ```text
//!                 emptiest: c, free: 4 cpus 8Gi
//!              ┌──────────────┴──────────────┐
//!       a, 1 cpu 8Gi                    c, 4 cpus 2Gi
//!      ┌───────┴──────┐               ┌───────┴──────┐
//!   a, 1 cpu 8Gi   b, 0 cpu 1Gi    c, 4 cpus 2Gi    (none)
//! ```
//!
//! A change costs one match per level. Which agent sits where makes no difference to an answer.

use super::amounts::Amounts;

/// Position of an agent, from its [`super::agents::Agents`].
pub(super) type AgentId = usize;

/// What the tournament reads of the agents.
pub(super) trait Contestants {
    /// What is free on it.
    fn free(&self, agent: AgentId) -> &Amounts;
    /// Whether `one` is taken before `other`; a total order.
    fn beats(&self, one: AgentId, other: AgentId) -> bool;
}

/// The tournament.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Node 1 is the root, node `n` has the children `2n` and `2n + 1`, and the agent of position `p`
    /// is the leaf `size + p`. Node 0 is not used.
    nodes: Vec<Node>,
    /// Leaves; a power of two, or none.
    size: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    emptiest: Option<AgentId>,
    /// Elementwise, over all agents beneath.
    most_free: Amounts,
}

impl Room {
    /// Takes in that `agent` has changed; `present` says whether it takes tasks at all.
    pub(super) fn update(&mut self, agent: AgentId, present: bool, agents: &impl Contestants) {
        if agent >= self.size {
            if !present {
                return;
            }
            self.grow(agent + 1, agents);
        }
        self.set_leaf(agent, present, agents);
        let mut node = (self.size + agent) / 2;
        while node > 0 {
            self.play(node, agents);
            node /= 2;
        }
    }

    /// The first agent, in the order of [`Contestants::beats`], that has `needs` free and is
    /// accepted.
    pub(super) fn emptiest(
        &self,
        needs: &Amounts,
        agents: &impl Contestants,
        accepts: impl Fn(AgentId) -> bool,
    ) -> Option<AgentId> {
        let mut best: Option<AgentId> = None;
        let mut open = vec![1];
        while let Some(index) = open.pop() {
            let Some(node) = self.nodes.get(index) else { continue };
            let Some(emptiest) = node.emptiest else { continue };
            let beaten = best.is_some_and(|best| agents.beats(best, emptiest));
            if beaten || best == Some(emptiest) || !node.most_free.covers(needs) {
                continue;
            }
            if index >= self.size {
                if accepts(emptiest) {
                    best = Some(emptiest);
                }
                continue;
            }
            // The side of the emptiest is looked at first.
            let (left, right) = (2 * index, 2 * index + 1);
            if self.nodes[left].emptiest == Some(emptiest) {
                open.extend([right, left]);
            } else {
                open.extend([left, right]);
            }
        }
        best
    }

    fn grow(&mut self, wanted: usize, agents: &impl Contestants) {
        let present: Vec<AgentId> = self.nodes[self.size.min(self.nodes.len())..]
            .iter()
            .filter_map(|leaf| leaf.emptiest)
            .collect();
        self.size = wanted.next_power_of_two();
        self.nodes = vec![Node::default(); 2 * self.size];
        for agent in present {
            self.set_leaf(agent, true, agents);
        }
        for node in (1..self.size).rev() {
            self.play(node, agents);
        }
    }

    fn set_leaf(&mut self, agent: AgentId, present: bool, agents: &impl Contestants) {
        let leaf = &mut self.nodes[self.size + agent];
        leaf.emptiest = present.then_some(agent);
        leaf.most_free.clear();
        if present {
            leaf.most_free.raise_to(agents.free(agent));
        }
    }

    /// Decides the match of `node` from its two children.
    fn play(&mut self, node: usize, agents: &impl Contestants) {
        let (parents, children) = self.nodes.split_at_mut(2 * node);
        let (parent, left, right) = (&mut parents[node], &children[0], &children[1]);
        parent.emptiest = match (left.emptiest, right.emptiest) {
            (Some(left), Some(right)) if agents.beats(right, left) => Some(right),
            (None, right) => right,
            (left, _) => left,
        };
        parent.most_free.clear();
        parent.most_free.raise_to(&left.most_free);
        parent.most_free.raise_to(&right.most_free);
    }
}
