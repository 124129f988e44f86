//! From an offer to what is launched on it: [`Taken`], at most once.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use meseta_crds::{Quantity, ResourceList};
use meseta_planning::allocator::{Allocator, OfferId};
use tokio::sync::oneshot;

use super::{Seats, convert};
use crate::market::{TakeError, Taken};

/// Offers that are being launched on.
pub(in crate::allocator) struct Held {
    pub(in crate::allocator) uid: String,
    pub(in crate::allocator) namespace: String,
    pub(in crate::allocator) role: String,
    pub(in crate::allocator) agent: String,
    pub(in crate::allocator) offers: Vec<OfferId>,
}

impl Seats {
    /// See [`Market::take`](crate::Market::take). What goes back at once is not offered to the seat
    /// again before `filter_until`.
    pub(in crate::allocator) fn take(
        &mut self,
        allocator: &mut Allocator,
        uid: &str,
        offers: &[String],
        filter_until: Option<i64>,
    ) -> Result<Taken, TakeError> {
        let own = self.own(uid, offers);
        let checked = self.check(uid, offers);
        self.strike(&own);
        let Checked { agent, role, namespace, resources } = match checked {
            Ok(checked) => checked,
            Err(err) => {
                own.into_iter().for_each(|id| allocator.decline(id, filter_until));
                return Err(err);
            }
        };
        own.iter().for_each(|id| allocator.hold(*id));
        self.last_taken += 1;
        let number = self.last_taken;
        let held = Held {
            uid: uid.to_owned(),
            namespace,
            role: role.clone(),
            agent: agent.clone(),
            offers: own,
        };
        self.held.insert(number, held);
        let (kept, gone) = oneshot::channel();
        self.kept.push(Box::pin(async move {
            // It never says anything; it goes.
            drop(gone.await);
            number
        }));
        Ok(Taken { agent, role, resources, number, _kept: kept })
    }

    /// What is launched on, once; nothing if it has gone back meanwhile.
    pub(in crate::allocator) fn use_up(&mut self, taken: &Taken) -> Option<Held> {
        self.held.remove(&taken.number)
    }

    /// Waits until a [`Taken`] is gone, used up or not; the caller says [`Self::give_back`]. Ends
    /// at once, with nothing, where there is none.
    pub(in crate::allocator) async fn next_gone(&mut self) -> Option<u64> {
        self.kept.next().await
    }

    /// Gives back what is not used up of a [`Taken`] that is gone; it is not offered to the seat
    /// again before `filter_until`.
    pub(in crate::allocator) fn give_back(
        &mut self,
        allocator: &mut Allocator,
        number: u64,
        filter_until: Option<i64>,
    ) {
        let Some(held) = self.held.remove(&number) else { return };
        held.offers.into_iter().for_each(|id| allocator.decline(id, filter_until));
    }

    /// Whether the named offers can be taken together; the order of the checks is Mesos'.
    fn check(&self, uid: &str, offers: &[String]) -> Result<Checked, TakeError> {
        let mut named = BTreeSet::new();
        for name in offers {
            if !named.insert(name) {
                return Err(TakeError::Duplicate(name.clone()));
            }
        }
        let mut found = Vec::with_capacity(offers.len());
        for name in offers {
            let out = convert::offer_id(self.epoch, name).and_then(|id| self.out.get(&id));
            let own = out.filter(|out| out.uid == uid);
            found.push((name, own.ok_or_else(|| TakeError::Invalid(name.clone()))?));
        }
        let Some((first, rest)) = found.split_first() else { return Err(TakeError::None) };
        let first = first.1;
        if let Some((name, _)) = rest.iter().find(|(_, out)| out.role != first.role) {
            return Err(TakeError::Roles((*name).clone()));
        }
        if let Some((name, _)) = rest.iter().find(|(_, out)| out.agent != first.agent) {
            return Err(TakeError::Agents((*name).clone()));
        }
        let Some(seat) = self.seats.get(uid) else { return Err(TakeError::None) };
        Ok(Checked {
            agent: first.agent.clone(),
            role: first.role.clone(),
            namespace: seat.namespace.clone(),
            resources: sum(found.iter().map(|(_, out)| &out.resources)),
        })
    }
}

/// What offers that can be taken together have in common, and their sum.
struct Checked {
    agent: String,
    role: String,
    namespace: String,
    resources: ResourceList,
}

fn sum<'a>(lists: impl Iterator<Item = &'a ResourceList>) -> ResourceList {
    let mut sum = ResourceList::new();
    for (name, amount) in lists.flatten() {
        match sum.get_mut(name) {
            None => drop(sum.insert(name.clone(), amount.clone())),
            Some(so_far) => {
                let millis = |amount: &Quantity| amount.millis().unwrap_or(0);
                *so_far = Quantity::from_millis(millis(so_far).saturating_add(millis(amount)));
            }
        }
    }
    sum
}
