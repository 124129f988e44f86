//! How much more the limits along a path of roles allow.

use std::collections::BTreeMap;

use super::{Amounts, NodeId};
use crate::allocator::amounts::ResourceId;

/// By resource: how much, and the role whose limit it is. What is not in it has no limit.
#[derive(Debug, Default)]
pub(in crate::allocator) struct Allowance {
    left: BTreeMap<ResourceId, (i128, NodeId)>,
    outermost: Option<NodeId>,
}

impl Allowance {
    /// A limit of `role`, which is above those that were added before.
    pub(super) fn add(&mut self, resource: ResourceId, left: i128, role: NodeId) {
        let left = (left.max(0), role);
        self.outermost = Some(role);
        let least = self.left.entry(resource).or_insert(left);
        if left.0 < least.0 {
            *least = left;
        }
    }

    /// How much is allowed, and by which role.
    pub(in crate::allocator) fn of(&self, resource: ResourceId) -> Option<(i128, NodeId)> {
        self.left.get(&resource).copied()
    }

    /// The outermost role with a limit: when any of the roles holds less, so does it.
    pub(in crate::allocator) fn outermost(&self) -> Option<NodeId> {
        self.outermost
    }

    /// Lowers amounts to what is allowed.
    pub(in crate::allocator) fn apply(&self, amounts: &mut Amounts) {
        for (resource, (left, _)) in &self.left {
            if amounts.get(*resource) > *left {
                amounts.set(*resource, *left);
            }
        }
    }
}
