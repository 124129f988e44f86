//! The tree and its order.

use std::collections::BTreeSet;
use std::sync::Arc;

use slab::Slab;

use super::{Amounts, Limited, Node, Order, SEAT_PRIORITY, SeatId, ShapeId, TaskTurn, Turn};
use crate::allocator::amounts::ResourceId;

pub(in crate::allocator) type NodeId = usize;

/// The node that all roles are beneath.
pub(in crate::allocator) const ROOT: NodeId = 0;
/// Name of the place of a role's own frameworks; no segment of a role path.
const OWN: &str = ".";

/// All roles and frameworks that hold something, wait for something or were declared.
#[derive(Debug)]
pub(in crate::allocator) struct Tree {
    pub(super) nodes: Slab<Node>,
    /// Capacity of all agents.
    pub(super) total: Amounts,
    total_changed: bool,
    /// Nodes with limits that hold less than before, or have other limits.
    relieved: BTreeSet<NodeId>,
    /// Roles with a guarantee.
    pub(super) guaranteed: BTreeSet<NodeId>,
    /// Seats that a limit held back and does no more.
    pub(super) relieved_seats: BTreeSet<SeatId>,
}

impl Tree {
    pub(in crate::allocator) fn new() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::new(ROOT, OWN.into()));
        Self {
            nodes,
            total: Amounts::default(),
            total_changed: false,
            relieved: BTreeSet::new(),
            guaranteed: BTreeSet::new(),
            relieved_seats: BTreeSet::new(),
        }
    }

    pub(in crate::allocator) fn get(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    pub(in crate::allocator) fn total(&self) -> &Amounts {
        &self.total
    }

    /// Takes in that the cluster has `more` and has `less` no more.
    pub(in crate::allocator) fn change_total(&mut self, less: &Amounts, more: &Amounts) {
        self.total.subtract(less);
        self.total.add(more);
        self.total_changed |= less != more;
    }

    /// Sets what an operator says about a role; returns its former limits and guarantees.
    pub(in crate::allocator) fn declare(
        &mut self,
        path: &str,
        weight: i64,
        limits: Vec<(ResourceId, i128)>,
        guarantees: Vec<(ResourceId, i128)>,
    ) -> Vec<(ResourceId, i128)> {
        let id = self.ensure_role(path);
        let node = &mut self.nodes[id];
        node.declared = true;
        node.weight = u128::try_from(weight).unwrap_or_default().max(1);
        let mut former = std::mem::replace(&mut node.limits, limits);
        former.extend(std::mem::replace(&mut node.guarantees, guarantees));
        if node.guarantees.is_empty() {
            self.guaranteed.remove(&id);
        } else {
            self.guaranteed.insert(id);
        }
        // A seat waits at the outermost of the roles that limit it.
        let above: Vec<NodeId> = self.path_up(id).collect();
        self.relieved.extend(above);
        self.settle(id);
        former
    }

    /// Forgets what was said about it; returns its former limits and guarantees.
    pub(in crate::allocator) fn undeclare(&mut self, path: &str) -> Vec<(ResourceId, i128)> {
        let Some(id) = self.find_role(path) else { return Vec::new() };
        let former = self.declare(path, 1, Vec::new(), Vec::new());
        self.nodes[id].declared = false;
        self.relieve(id);
        self.forget_if_unused(id);
        former
    }

    /// The framework `name` of a role, to be kept until [`Self::release`].
    pub(in crate::allocator) fn acquire(&mut self, role: &str, name: &str) -> NodeId {
        let role = self.ensure_role(role);
        let own = self.ensure_child(role, OWN);
        let framework = self.ensure_child(own, name);
        self.nodes[framework].users += 1;
        framework
    }

    /// Another task counts on the framework.
    pub(in crate::allocator) fn retain(&mut self, framework: NodeId) {
        self.nodes[framework].users += 1;
    }

    /// Takes back one [`Self::acquire`] or [`Self::retain`].
    pub(in crate::allocator) fn release(&mut self, framework: NodeId) {
        self.nodes[framework].users -= 1;
        self.forget_if_unused(framework);
    }

    /// Adds a waiting task; `open` says whether one of its shape may fit somewhere. Returns whether
    /// it is the only one of its shape in this framework.
    pub(in crate::allocator) fn enqueue(
        &mut self,
        framework: NodeId,
        shape: ShapeId,
        order: Order,
        open: bool,
    ) -> bool {
        let first = self.nodes[framework].queue.insert(shape, order, open);
        self.up(framework, |node| node.pending += 1);
        self.settle(framework);
        first
    }

    /// Removes a waiting task; returns whether it was the last of its shape in this framework.
    pub(in crate::allocator) fn dequeue(
        &mut self,
        framework: NodeId,
        shape: ShapeId,
        order: &Order,
    ) -> bool {
        let last = self.nodes[framework].queue.remove(shape, order);
        self.up(framework, |node| {
            node.pending -= 1;
            if last && !node.limited.is_empty() {
                node.limited.remove(&Limited::Lane(framework, shape));
            }
        });
        self.settle(framework);
        last
    }

    pub(in crate::allocator) fn set_open(&mut self, framework: NodeId, shape: ShapeId, open: bool) {
        self.nodes[framework].queue.set_open(shape, open);
        self.settle(framework);
    }

    /// Says whether there may be something to offer the framework's scheduler.
    pub(in crate::allocator) fn set_seat(&mut self, framework: NodeId, seat: Option<SeatId>) {
        self.nodes[framework].seat = seat;
        self.settle(framework);
    }

    /// A task or an offer of the framework holds `needs`.
    pub(in crate::allocator) fn charge(&mut self, framework: NodeId, needs: &Amounts) {
        self.up(framework, |node| node.held.add(needs));
        self.settle(framework);
    }

    /// It holds them no more.
    pub(in crate::allocator) fn discharge(&mut self, framework: NodeId, needs: &Amounts) {
        let mut id = framework;
        loop {
            let node = &mut self.nodes[id];
            node.held.subtract(needs);
            if !node.limited.is_empty() {
                self.relieved.insert(id);
            }
            if id == ROOT {
                break;
            }
            id = node.parent;
        }
        self.settle(framework);
    }

    /// Brings the order up to date with changes that concern many nodes; returns the seats that no
    /// limit holds back any more.
    pub(in crate::allocator) fn refresh(&mut self) -> BTreeSet<SeatId> {
        while let Some(id) = self.relieved.pop_first() {
            self.relieve(id);
        }
        if std::mem::take(&mut self.total_changed) {
            self.order_anew();
        }
        std::mem::take(&mut self.relieved_seats)
    }

    /// Whose turn it is.
    pub(in crate::allocator) fn next(&self) -> Option<Turn> {
        let mut id = ROOT;
        loop {
            let node = &self.nodes[id];
            match (node.queue.first(), node.seat) {
                (Some((order, shape)), seat)
                    if seat.is_none() || order.priority <= SEAT_PRIORITY =>
                {
                    let (shape, order) = (*shape, order.clone());
                    return Some(Turn::Task(TaskTurn { framework: id, shape, order }));
                }
                (_, Some(seat)) => return Some(Turn::Seat(seat)),
                _ => {}
            }
            id = node.order.first()?.2;
        }
    }

    /// Whether `one` would not be behind `other` in the fair order if that held `needs` as well.
    pub(in crate::allocator) fn is_ahead(
        &self,
        one: NodeId,
        other: NodeId,
        needs: &Amounts,
    ) -> bool {
        let down = |node: NodeId| {
            let mut path: Vec<NodeId> = self.path_up(node).collect();
            path.reverse();
            path
        };
        let (one, other) = (down(one), down(other));
        let Some((one, other)) = one.into_iter().zip(other).find(|(one, other)| one != other)
        else {
            return false;
        };
        let (one, other) = (self.get(one), self.get(other));
        let mut held = other.held.clone();
        held.add(needs);
        let share = |held: &Amounts| super::dominant_share(held, &self.total);
        other.weighted(share(&held)) <= one.weighted(share(&one.held))
    }

    /// All roles: path and node, in the order of the tree.
    pub(in crate::allocator) fn roles(&self) -> Vec<(String, &Node)> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, id)) = open.pop() {
            let node = &self.nodes[id];
            for (name, child) in node.children.iter().rev().filter(|(name, _)| &***name != OWN) {
                open.push((join(&path, name), *child));
            }
            if id != ROOT {
                found.push((path, node));
            }
        }
        found
    }

    /// Path of a role, or of the role that a framework belongs to.
    pub(in crate::allocator) fn path(&self, id: NodeId) -> String {
        let mut segments = Vec::new();
        let mut at = id;
        while at != ROOT {
            let node = &self.nodes[at];
            if &*node.name == OWN {
                segments.clear();
            } else {
                segments.push(&*node.name);
            }
            at = node.parent;
        }
        segments.reverse();
        segments.join("/")
    }

    /// The role of a framework.
    pub(in crate::allocator) fn role_of(&self, framework: NodeId) -> &Node {
        let own = self.nodes[framework].parent;
        &self.nodes[self.nodes[own].parent]
    }

    #[cfg(test)]
    pub(in crate::allocator) fn is_empty(&self) -> bool {
        let root = &self.nodes[ROOT];
        let nothing_stands = (root.standing_share, root.standing_weight) == (0, 0);
        self.nodes.len() == 1 && root.order.is_empty() && nothing_stands
    }

    pub(in crate::allocator) fn find_role(&self, path: &str) -> Option<NodeId> {
        let mut segments = path.split('/');
        segments.try_fold(ROOT, |id, segment| self.nodes[id].children.get(segment).copied())
    }

    fn ensure_role(&mut self, path: &str) -> NodeId {
        path.split('/').fold(ROOT, |id, segment| self.ensure_child(id, segment))
    }

    fn ensure_child(&mut self, parent: NodeId, name: &str) -> NodeId {
        if let Some(id) = self.nodes[parent].children.get(name) {
            return *id;
        }
        let name: Arc<str> = name.into();
        let id = self.nodes.insert(Node::new(parent, name.clone()));
        self.nodes[parent].children.insert(name, id);
        id
    }

    fn forget_if_unused(&mut self, id: NodeId) {
        let mut id = id;
        while id != ROOT {
            let node = &self.nodes[id];
            if node.declared || node.users > 0 || !node.children.is_empty() {
                return;
            }
            let node = self.nodes.remove(id);
            self.relieved.remove(&id);
            self.guaranteed.remove(&id);
            self.nodes[node.parent].children.remove(&node.name);
            id = node.parent;
        }
    }

    /// Changes a node and all above it.
    fn up(&mut self, id: NodeId, change: impl Fn(&mut Node)) {
        let mut id = id;
        loop {
            change(&mut self.nodes[id]);
            if id == ROOT {
                return;
            }
            id = self.nodes[id].parent;
        }
    }

    /// Puts a node and all above it where they should stand now.
    pub(super) fn settle(&mut self, id: NodeId) {
        let mut id = id;
        while id != ROOT {
            self.settle_one(id);
            id = self.nodes[id].parent;
        }
    }

    fn settle_one(&mut self, id: NodeId) {
        let node = &mut self.nodes[id];
        let now = node.stand(&self.total);
        let former = std::mem::replace(&mut node.standing, now);
        if former == now {
            return;
        }
        let (parent, name) = (node.parent, node.name.clone());
        let parent = &mut self.nodes[parent];
        if let Some(former) = former {
            parent.standing_share -= former.share;
            parent.standing_weight -= former.weight;
            parent.order.remove(&(former.rank, name.clone(), id));
        }
        if let Some(now) = now {
            parent.standing_share += now.share;
            parent.standing_weight += now.weight;
            parent.order.insert((now.rank, name, id));
        }
    }

    /// Ranks all standing nodes, in any order: a rank depends on what the node holds and on whether
    /// something stands beneath it, and neither changes here.
    fn order_anew(&mut self) {
        let ids: Vec<NodeId> = self.nodes.iter().map(|(id, _)| id).collect();
        for id in ids.into_iter().filter(|id| *id != ROOT) {
            if self.nodes[id].standing.is_some() {
                self.settle_one(id);
            }
        }
    }
}

fn join(path: &str, segment: &str) -> String {
    if path.is_empty() { segment.to_owned() } else { format!("{path}/{segment}") }
}
