//! Amounts that many things have in common, each kept once: what offers hold and filters refuse.
//!
//! Agents are much alike, and so is what is offered of them; a filter costs a number instead of a
//! list.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use slab::Slab;

use super::amounts::{Amounts, Resources};

pub(super) type ParcelId = usize;

/// All amounts that somebody names.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    ids: BTreeMap<ByAmount, ParcelId>,
    parcels: Slab<Parcel>,
}

#[derive(Debug)]
struct Parcel {
    amounts: Arc<Amounts>,
    users: usize,
}

/// In any order, so that equal ones are found.
#[derive(Debug)]
struct ByAmount(Arc<Amounts>);

impl Ord for ByAmount {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.iter().cmp(other.0.iter())
    }
}

impl PartialOrd for ByAmount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByAmount {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByAmount {}

impl Parcels {
    /// The number of these amounts, to be kept until [`Self::release`].
    pub(super) fn acquire(&mut self, amounts: Amounts, resources: &mut Resources) -> ParcelId {
        let key = ByAmount(Arc::new(amounts));
        if let Some(id) = self.ids.get(&key) {
            self.parcels[*id].users += 1;
            return *id;
        }
        resources.retain_amounts(&key.0);
        let id = self.parcels.insert(Parcel { amounts: key.0.clone(), users: 1 });
        self.ids.insert(key, id);
        id
    }

    /// Takes back one [`Self::acquire`].
    pub(super) fn release(&mut self, id: ParcelId, resources: &mut Resources) {
        let parcel = &mut self.parcels[id];
        parcel.users -= 1;
        if parcel.users == 0 {
            let parcel = self.parcels.remove(id);
            resources.release_amounts(&parcel.amounts);
            self.ids.remove(&ByAmount(parcel.amounts));
        }
    }

    pub(super) fn get(&self, id: ParcelId) -> &Arc<Amounts> {
        &self.parcels[id].amounts
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }
}
