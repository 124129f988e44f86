//! Limits of roles: what they allow, and what waits until a role holds less.

use super::tree::ROOT;
use super::{Allowance, Amounts, Limited, Node, NodeId, ResourceId, SeatId, ShapeId, Tree};

impl Node {
    /// What it holds more of than a limit allows.
    pub(in crate::allocator) fn beyond_limit(&self) -> Vec<ResourceId> {
        let beyond = self.limits.iter().filter(|(id, limit)| self.held.get(*id) > *limit);
        beyond.map(|(id, _)| *id).collect()
    }

    /// Whether holding `needs` as well would exceed a limit.
    fn exceeds_limit(&self, needs: &Amounts) -> bool {
        self.limits.iter().any(|(resource, limit)| {
            let need = needs.get(*resource);
            need > 0 && self.held.get(*resource) + need > *limit
        })
    }
}

impl Tree {
    /// The innermost role whose limit does not allow the framework to hold `needs` as well.
    pub(in crate::allocator) fn limit_reached(
        &self,
        framework: NodeId,
        needs: &Amounts,
    ) -> Option<NodeId> {
        let mut id = framework;
        loop {
            let node = &self.nodes[id];
            if node.exceeds_limit(needs) {
                return Some(id);
            }
            if id == ROOT {
                return None;
            }
            id = node.parent;
        }
    }

    /// The shape's tasks in this framework, which need so much each, wait until `role` holds less.
    pub(in crate::allocator) fn park(&mut self, framework: NodeId, shape: ShapeId, role: NodeId) {
        self.nodes[role].limited.insert(Limited::Lane(framework, shape));
        self.nodes[framework].queue.set_limited(shape, true);
        self.settle(framework);
    }

    /// The seat waits until `role` holds less.
    pub(in crate::allocator) fn park_seat(&mut self, seat: SeatId, role: NodeId) {
        self.nodes[role].limited.insert(Limited::Seat(seat));
    }

    /// It waits no more for that.
    pub(in crate::allocator) fn unpark_seat(&mut self, seat: SeatId, role: NodeId) {
        self.nodes[role].limited.remove(&Limited::Seat(seat));
        self.relieved_seats.remove(&seat);
    }

    /// What the limits of all its roles allow the framework to hold as well.
    pub(in crate::allocator) fn allowance(&self, framework: NodeId) -> Allowance {
        let mut allowance = Allowance::default();
        let mut id = framework;
        loop {
            let node = &self.nodes[id];
            for (resource, limit) in &node.limits {
                allowance.add(*resource, limit - node.held.get(*resource), id);
            }
            if id == ROOT {
                return allowance;
            }
            id = node.parent;
        }
    }

    /// Lets the lanes be tried again that the limits of `id` hold back no more.
    pub(super) fn relieve(&mut self, id: NodeId) {
        let waiting = std::mem::take(&mut self.nodes[id].limited);
        for limited in waiting {
            match limited {
                Limited::Lane(framework, shape) => {
                    self.nodes[framework].queue.set_limited(shape, false);
                    self.settle(framework);
                }
                Limited::Seat(seat) => {
                    self.relieved_seats.insert(seat);
                }
            }
        }
    }
}
