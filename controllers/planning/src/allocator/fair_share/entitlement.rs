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

use super::{Amounts, Node, NodeId, Stand, Tree, WEIGHT_SCALE, WHOLE, dominant_share};
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
    /// How much of a resource of which the cluster has `total`; nothing if there is no bound.
    pub(in crate::allocator) fn of(&self, id: ResourceId, total: i128) -> Option<i128> {
        let share = i128::try_from(self.share?).unwrap_or(i128::MAX);
        let whole = i128::try_from(WHOLE).unwrap_or(i128::MAX);
        let fair = share.saturating_mul(total) / whole;
        Some(fair.max(self.guaranteed.get(id)))
    }
}

impl Tree {
    /// What a framework that stands may be given in one turn, if so much is free.
    pub(in crate::allocator) fn entitlement(
        &self,
        framework: NodeId,
        free: &Amounts,
    ) -> Entitlement {
        let path: Vec<NodeId> = self.path_up(framework).collect();
        let mut raise = dominant_share(free, &self.total);
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
        let (Some((first, ..)), Some((last, ..))) = (parent.order.first(), parent.order.last())
        else {
            return water;
        };
        let one_class = (first.guaranteed, first.priority) == (last.guaranteed, last.priority);
        let from_last = parent.order.iter().rev().filter_map(|(.., id)| self.get(*id).standing);
        let level = if one_class {
            level(parent, from_last, water)
        } else {
            // Not in the order of their shares.
            let mut all: Vec<Stand> = from_last.collect();
            all.sort_by_key(|stand| std::cmp::Reverse(stand.rank.weighted_share));
            level(parent, all.into_iter(), water)
        };
        (level.saturating_mul(child.weight) / WEIGHT_SCALE)
            .saturating_sub(child.standing.map_or(0, |stand| stand.share))
    }
}

/// The weighted share that the water reaches; those that stand come from the highest down.
fn level(parent: &Node, standing: impl Iterator<Item = Stand>, water: u128) -> u128 {
    let (mut share, mut weight) = (parent.standing_share, parent.standing_weight);
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
