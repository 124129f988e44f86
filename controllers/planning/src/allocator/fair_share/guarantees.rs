//! Who has less than was guaranteed, and who may not lose anything.

use std::collections::BTreeMap;

use super::tree::ROOT;
use super::{Amounts, NodeId, ShapeId, Tree};

impl Tree {
    /// Roles with a guarantee that they do not use yet.
    pub(in crate::allocator) fn below_guarantee(&self) -> Vec<NodeId> {
        let below = |id: &NodeId| self.get(*id).is_below_guarantee();
        self.guaranteed.iter().copied().filter(below).collect()
    }

    /// At most so many shapes of tasks beneath a role that wait for room alone, with their framework;
    /// those only that are `possible`.
    pub(in crate::allocator) fn blocked(
        &self,
        role: NodeId,
        most: usize,
        possible: impl Fn(ShapeId) -> bool,
    ) -> Vec<(NodeId, ShapeId)> {
        let mut found = Vec::new();
        let mut open = vec![role];
        while let Some(id) = open.pop() {
            let node = self.get(id);
            if node.pending == 0 {
                continue;
            }
            let blocked = node.queue.blocked().filter(|shape| possible(*shape));
            found.extend(blocked.take(most - found.len()).map(|shape| (id, shape)));
            if found.len() == most {
                break;
            }
            open.extend(node.children.values().rev());
        }
        found
    }

    /// Whether so much is some of what the role was guaranteed.
    pub(in crate::allocator) fn advances_guarantee(&self, role: NodeId, amounts: &Amounts) -> bool {
        self.get(role).guarantees.iter().any(|(resource, _)| amounts.get(*resource) > 0)
    }

    pub(in crate::allocator) fn is_beneath(&self, node: NodeId, role: NodeId) -> bool {
        role == ROOT || self.path_up(node).any(|id| id == role)
    }

    /// Notes that a framework gives so much away to a role, if none of its own roles is below its
    /// guarantee or gets there by it, with what was noted before; returns whether it is so. Roles that
    /// both are beneath lose nothing.
    pub(in crate::allocator) fn take_beyond_guarantees(
        &self,
        framework: NodeId,
        role: NodeId,
        amounts: &Amounts,
        taken: &mut BTreeMap<NodeId, Amounts>,
    ) -> bool {
        let roles = self.path_up(framework).filter(|id| self.guaranteed.contains(id));
        let roles = roles.filter(|id| !self.is_beneath(role, *id));
        let roles: Vec<NodeId> = roles.collect();
        let keeps = |role: &NodeId| {
            let node = self.get(*role);
            !node.is_below_guarantee()
                && node.guarantees.iter().all(|(resource, guarantee)| {
                    let before = taken.get(role).map_or(0, |taken| taken.get(*resource));
                    let amount = amounts.get(*resource);
                    amount == 0 || node.held.get(*resource) - before - amount >= *guarantee
                })
        };
        if !roles.iter().all(keeps) {
            return false;
        }
        roles.into_iter().for_each(|role| taken.entry(role).or_default().add(amounts));
        true
    }

    /// A node and all above it, but for the root.
    pub(super) fn path_up(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        let inner = Some(node).filter(|node| *node != ROOT);
        std::iter::successors(inner, |id| Some(self.get(*id).parent).filter(|up| *up != ROOT))
    }
}
