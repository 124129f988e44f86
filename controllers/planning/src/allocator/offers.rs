//! The live offers: found by number, agent, or time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::amounts::Amounts;
use super::room::AgentId;
use super::rows::OfferId;
use super::seats::SeatId;

/// How long a scheduler may think about an offer, in milliseconds. Schedulers answer within
/// milliseconds; what one holds longer lies idle, and others want it.
pub(super) const OFFER_TTL: i64 = 60_000;

/// How long it may while others that have less want the same, in milliseconds: longer than a pause
/// of a garbage collector.
pub(super) const PATIENCE: i64 = 5_000;

/// All live offers.
#[derive(Debug, Default)]
pub(super) struct Offers {
    live: BTreeMap<OfferId, Live>,
    by_agent: BTreeMap<AgentId, BTreeSet<OfferId>>,
    ends: BTreeSet<(i64, OfferId)>,
    /// The number given last.
    last: OfferId,
}

/// One offer.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) seat: SeatId,
    pub(super) agent: AgentId,
    /// Named in the resources as long as it is live.
    pub(super) amounts: Arc<Amounts>,
    pub(super) made: i64,
    /// Somebody has taken it and is about to use it: it is neither rescinded nor does it expire.
    pub(super) taken: bool,
}

impl Live {
    pub(super) fn expires(&self) -> i64 {
        self.made.saturating_add(OFFER_TTL)
    }

    /// Whether it could have been answered by `now`, and was not.
    pub(super) fn is_stale(&self, now: i64) -> bool {
        !self.taken && self.made.saturating_add(PATIENCE) <= now
    }
}

impl Offers {
    pub(super) fn insert(&mut self, offer: Live) -> OfferId {
        self.last += 1;
        let id = self.last;
        self.ends.insert((offer.expires(), id));
        self.by_agent.entry(offer.agent).or_default().insert(id);
        self.live.insert(id, offer);
        id
    }

    pub(super) fn get(&self, id: OfferId) -> Option<&Live> {
        self.live.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: OfferId) -> Option<&mut Live> {
        self.live.get_mut(&id)
    }

    /// The number given last.
    pub(super) fn last(&self) -> OfferId {
        self.last
    }

    pub(super) fn remove(&mut self, id: OfferId) -> Option<Live> {
        let offer = self.live.remove(&id)?;
        self.ends.remove(&(offer.expires(), id));
        if let Some(here) = self.by_agent.get_mut(&offer.agent) {
            here.remove(&id);
            if here.is_empty() {
                self.by_agent.remove(&offer.agent);
            }
        }
        Some(offer)
    }

    /// Lets the offer neither expire nor be rescinded any more.
    pub(super) fn take(&mut self, id: OfferId) {
        if let Some(offer) = self.live.get_mut(&id) {
            offer.taken = true;
            self.ends.remove(&(offer.expires(), id));
        }
    }

    /// Agents of which something is offered.
    pub(super) fn agents(&self) -> impl Iterator<Item = AgentId> {
        self.by_agent.keys().copied()
    }

    /// Those of an agent.
    pub(super) fn of(&self, agent: AgentId) -> impl Iterator<Item = &Live> {
        self.by_agent.get(&agent).into_iter().flatten().map(|id| &self.live[id])
    }

    /// Those of an agent that can be rescinded, the newest first.
    pub(super) fn revocable(&self, agent: AgentId) -> Vec<OfferId> {
        let here = self.by_agent.get(&agent).into_iter().flatten().rev();
        here.copied().filter(|id| !self.live[id].taken).collect()
    }

    /// Those that can be rescinded, the newest first.
    pub(super) fn all_revocable(&self) -> Vec<OfferId> {
        let live = self.live.iter().rev().filter(|(_, offer)| !offer.taken);
        live.map(|(id, _)| *id).collect()
    }

    /// The first that expires, and when.
    pub(super) fn next_end(&self) -> Option<(i64, OfferId)> {
        self.ends.first().copied()
    }

    /// Those that could have been answered by `now`, the oldest first.
    pub(super) fn stale(&self, now: i64) -> impl Iterator<Item = &Live> {
        let live = self.ends.iter().map(|(_, id)| &self.live[id]);
        live.take_while(move |live| live.is_stale(now))
    }

    /// When the first of the others will be.
    pub(super) fn next_stale(&self, now: i64) -> Option<i64> {
        let made = now.saturating_sub(PATIENCE);
        let later = self.ends.range((made.saturating_add(OFFER_TTL), OfferId::MAX)..).next();
        later.map(|(end, _)| end.saturating_sub(OFFER_TTL).saturating_add(PATIENCE))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.by_agent.is_empty() && self.ends.is_empty()
    }
}
