//! How much more a framework may be offered before others that want something have got as much.
//!
//! What is free is divided as water is: among the children of a node that stand in its order the
//! lowest weighted shares are raised first, to one level, by what there is; the part that a child is
//! raised by is divided among its own children in the same way. Who does not stand keeps what it
//! holds, and takes no part.
//!
//! ```text
//!            ─ ─ ─ ─ ─ ─ level          A and B are raised to the level; C holds more than that
//!    ░░░     ░░░   ███                  already and takes no part.
//!    ░░░     ███   ███
//!    ███     ███   ███
//!     A       B     C
//! ```
//!
//! It is computed with dominant shares, so it is exact as long as all run short of one resource, and
//! otherwise leaves something for another turn.

use super::{Amounts, Node, NodeId, Stand, Tree, WEIGHT_SCALE, WHOLE};
use crate::allocator::amounts::ResourceId;

/// What one turn may give.
#[derive(Debug)]
pub(in crate::allocator) struct Entitlement {
    /// As a share of the cluster; nothing if nobody else wants anything.
    share: Option<u128>,
    /// What the roles have been guaranteed and do not hold.
    guaranteed: Amounts,
}

impl Entitlement {
    /// Whether nobody else wants anything.
    pub(in crate::allocator) fn is_unbounded(&self) -> bool {
        self.share.is_none()
    }

    /// Whether it has its share already, and it is its turn all the same: for a guarantee.
    pub(in crate::allocator) fn is_used_up(&self) -> bool {
        self.share == Some(0)
    }

    /// How much of a resource of which the cluster has `total`; nothing if there is no bound.
    pub(in crate::allocator) fn of(&self, id: ResourceId, total: i128) -> Option<i128> {
        let share = i128::try_from(self.share?).unwrap_or(i128::MAX);
        let whole = i128::try_from(WHOLE).unwrap_or(i128::MAX);
        let fair = share.saturating_mul(total) / whole;
        Some(fair.max(self.guaranteed.get(id)))
    }
}

impl Tree {
    /// What a framework that stands, with tasks like this, may be given in one turn if so much is
    /// free. What counts is the resource that its tasks run out of first.
    pub(in crate::allocator) fn entitlement(
        &self,
        framework: NodeId,
        task: &Amounts,
        free: &Amounts,
    ) -> Entitlement {
        let path: Vec<NodeId> = self.path_up(framework).collect();
        let mut raise = scarcest_share(task, free, &self.total);
        let mut alone = true;
        let mut guaranteed = Amounts::default();
        for node in path.into_iter().rev().map(|id| self.get(id)) {
            let parent = self.get(node.parent);
            if parent.order.len() > 1 {
                alone = false;
                raise = self.raise(parent, node, raise);
            }
            if node.is_below_guarantee() {
                for (id, amount) in &node.guarantees {
                    guaranteed.set(*id, guaranteed.get(*id).max(amount - node.held.get(*id)));
                }
            }
        }
        Entitlement { share: (!alone).then_some(raise), guaranteed }
    }

    /// What `child` gets of `water` that is poured over those that stand beneath `parent`.
    fn raise(&self, parent: &Node, child: &Node, water: u128) -> u128 {
        let Some(own) = child.standing else { return 0 };
        let (Some((first, ..)), Some((last, ..))) = (parent.order.first(), parent.order.last())
        else {
            return 0;
        };
        let one_class = (first.guaranteed, first.priority) == (last.guaranteed, last.priority);
        let from_last = parent.order.iter().rev().filter_map(|(.., id)| self.get(*id).standing);
        let level = if one_class {
            let sums = (parent.standing_share, parent.standing_weight);
            level(sums, from_last, water)
        } else {
            // Not in the order of their shares; and those of less priority wait until it is done.
            let rivals = from_last.filter(|stand| stand.rank.priority <= own.rank.priority);
            let mut rivals: Vec<Stand> = rivals.collect();
            rivals.sort_by_key(|stand| std::cmp::Reverse(stand.rank.weighted_share));
            let add = |(share, weight), stand: &Stand| (share + stand.share, weight + stand.weight);
            level(rivals.iter().fold((0, 0), add), rivals.into_iter(), water)
        };
        (level.saturating_mul(own.weight) / WEIGHT_SCALE).saturating_sub(own.share)
    }
}

/// The least of the shares of what a task needs, in parts of [`WHOLE`].
fn scarcest_share(task: &Amounts, free: &Amounts, total: &Amounts) -> u128 {
    let share = |(id, _): (ResourceId, i128)| {
        let total = u128::try_from(total.get(id)).unwrap_or_default();
        let free = u128::try_from(free.get(id)).unwrap_or_default();
        free.saturating_mul(WHOLE).checked_div(total)
    };
    task.iter().filter_map(share).min().unwrap_or_default()
}

/// The weighted share that the water reaches; those that stand come from the highest down, with the
/// sums of their shares and weights.
fn level(sums: (u128, u128), standing: impl Iterator<Item = Stand>, water: u128) -> u128 {
    let (mut share, mut weight) = sums;
    let reached = |share: u128, weight: u128| {
        (share + water).saturating_mul(WEIGHT_SCALE).checked_div(weight).unwrap_or_default()
    };
    let mut level = reached(share, weight);
    for stand in standing {
        if stand.rank.weighted_share <= level {
            break;
        }
        share -= stand.share;
        weight -= stand.weight;
        level = reached(share, weight);
    }
    level
}
