//! What schedulers say: that they are there, want offers or none, decline, accept.

use std::collections::BTreeSet;

use super::Allocator;
use super::amounts::{Amounts, Unreadable};
use super::offers::Live;
use super::room::AgentId;
use super::rows::{AcceptError, OfferId, SeatKey, TaskKey, TaskRow};
use super::seats::{Seat, Stance};
use super::tasks::framework_name;

impl Allocator {
    /// Takes in a scheduler in one role. One that wants offers again starts without filters.
    pub fn upsert_seat(&mut self, key: SeatKey, suppressed: bool) {
        let id = match self.seats.find(&key) {
            Some(id) if self.seats.get(id).suppressed == suppressed => return,
            Some(id) => id,
            None => {
                let node = self.tree.acquire(&key.role, &framework_name(&key.framework));
                self.seats.insert(Seat::new(key, node, &mut self.resources))
            }
        };
        self.seats.get_mut(id).suppressed = suppressed;
        self.refusals.clear_seat(id, &mut self.resources);
        self.set_stance(id, if suppressed { Stance::Closed(None) } else { Stance::Standing });
    }

    /// Takes in that a scheduler is gone, or has left the role. Its offers go back, silently.
    pub fn remove_seat(&mut self, key: &SeatKey) {
        let Some(id) = self.seats.find(key) else { return };
        self.set_stance(id, Stance::Closed(None));
        for offer in self.seats.get(id).offers.clone() {
            self.withdraw(offer);
        }
        self.rescinded.retain(|_, seat| *seat != id);
        self.refusals.clear_seat(id, &mut self.resources);
        let seat = self.seats.remove(id);
        self.tree.release(seat.node);
        self.resources.release_amounts(&seat.unit);
    }

    /// The scheduler wants offers, and forgets what it has refused.
    pub fn revive(&mut self, key: &SeatKey) {
        let Some(id) = self.seats.find(key) else { return };
        self.seats.get_mut(id).suppressed = false;
        self.refusals.clear_seat(id, &mut self.resources);
        self.set_stance(id, Stance::Standing);
    }

    /// The scheduler has taken the offer and is about to launch something on it: until
    /// [`Self::accept`] or [`Self::decline`] it neither expires nor is it rescinded.
    pub fn hold(&mut self, offer: OfferId) {
        self.offers.take(offer);
    }

    /// The scheduler does not want the offer, nor so much of the agent before `filter_until`. An
    /// offer that is not live is passed over.
    pub fn decline(&mut self, offer: OfferId, filter_until: Option<i64>) {
        if let Some(live) = self.offers.get(offer).cloned() {
            self.seats.get_mut(live.seat).answered();
            self.refuse(&live, Amounts::clone(&live.amounts), filter_until);
            self.withdraw(offer);
        }
    }

    /// The scheduler launches `tasks` on the offers; what they leave is refused until
    /// `filter_until`. The tasks are assumed until [`Self::confirm`], [`Self::forget`], or until
    /// their rows come with an agent.
    ///
    /// # Errors
    /// If the offers are not live, of one agent and one seat, or the tasks not of these, new, and
    /// small enough. Nothing has changed then.
    pub fn accept(
        &mut self,
        offers: &[OfferId],
        tasks: Vec<TaskRow>,
        filter_until: Option<i64>,
    ) -> Result<(), AcceptError> {
        let (offer, mut left) = self.sum(offers)?;
        self.check_launch(&offer, &tasks)?;
        for task in &tasks {
            let needs = self.resources.acquire_amounts(&task.resources, Unreadable::Unbounded);
            let fits = left.covers(&needs);
            left.subtract(&needs);
            self.resources.release_amounts(&needs);
            if !fits {
                return Err(AcceptError::TooMuch);
            }
        }
        self.seats.get_mut(offer.seat).answered();
        self.refuse(&offer, left, filter_until);
        for task in tasks {
            let shape = self.launch(task, offer.agent);
            let needs = &self.shapes.get(shape).needs;
            if self.seats.get_mut(offer.seat).learn(needs, &mut self.resources) {
                self.refusals.clear_bars(offer.seat);
                self.set_stance(offer.seat, Stance::Standing);
            }
        }
        for id in offers {
            self.withdraw(*id);
        }
        Ok(())
    }

    /// When [`Self::decide`] has something to do without any other news, in milliseconds.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        let offer = self.offers.next_end().map(|(end, _)| end);
        let stale = self.offers.next_stale(self.now);
        offer.into_iter().chain(stale).chain(self.refusals.next_end()).min()
    }

    /// One of the offers, and what all of them hold.
    fn sum(&self, offers: &[OfferId]) -> Result<(Live, Amounts), AcceptError> {
        let mut named = BTreeSet::new();
        let mut sum = Amounts::default();
        let mut found: Option<Live> = None;
        for id in offers {
            let offer = self.offers.get(*id).filter(|_| named.insert(*id));
            let offer = offer.ok_or(AcceptError::Gone(*id))?;
            let first = found.get_or_insert_with(|| offer.clone());
            if (first.seat, first.agent) != (offer.seat, offer.agent) {
                return Err(AcceptError::Mixed);
            }
            sum.add(&offer.amounts);
        }
        Ok((found.ok_or(AcceptError::NoOffer)?, sum))
    }

    fn check_launch(&self, offer: &Live, tasks: &[TaskRow]) -> Result<(), AcceptError> {
        let seat = &self.seats.get(offer.seat).key;
        let agent = self.agents.name(offer.agent);
        let mut named: BTreeSet<&TaskKey> = BTreeSet::new();
        for task in tasks {
            let here = task.agent.as_deref().is_none_or(|named| named == &**agent);
            let ours = task.framework.as_ref() == Some(&seat.framework) && task.role == seat.role;
            if !here || !ours {
                return Err(AcceptError::Foreign(task.key.clone()));
            }
            if self.tasks.contains_key(&task.key) || !named.insert(&task.key) {
                return Err(AcceptError::Exists(task.key.clone()));
            }
        }
        Ok(())
    }

    /// Ends an offer; its room is free.
    pub(super) fn withdraw(&mut self, id: OfferId) {
        let Some(offer) = self.offers.remove(id) else { return };
        let seat = self.seats.get_mut(offer.seat);
        seat.offers.remove(&id);
        self.tree.discharge(seat.node, &offer.amounts);
        self.agents.unreserve(offer.agent, &offer.amounts);
        self.grown.insert(offer.agent);
        self.agents.release(offer.agent);
        self.resources.release_amounts(&offer.amounts);
    }

    /// Ends an offer and lets the scheduler be told.
    pub(super) fn rescind(&mut self, id: OfferId) {
        if let Some(live) = self.offers.get(id) {
            self.rescinded.insert(id, live.seat);
        }
        self.withdraw(id);
    }

    /// Takes back what was offered of an agent that has no room for it any more, or is to get
    /// nothing new.
    pub(super) fn take_back(&mut self, agent: AgentId) {
        let found = self.agents.get(agent);
        if found.is_some_and(|found| !found.is_sound()) {
            self.offers.revocable(agent).into_iter().for_each(|id| self.rescind(id));
        }
    }

    /// Takes back what is offered beneath a role beyond its limits, the newest first.
    pub(super) fn take_back_beyond_limits(&mut self, path: &str) {
        let Some(role) = self.tree.find_role(path) else { return };
        // Mostly it is within them, and then no offer is looked at.
        if self.tree.get(role).beyond_limit().is_empty() {
            return;
        }
        for id in self.offers.all_revocable() {
            let beyond = self.tree.get(role).beyond_limit();
            let Some(live) = self.offers.get(id) else { continue };
            let helps = beyond.iter().any(|resource| live.amounts.get(*resource) > 0);
            if helps && self.tree.is_beneath(self.seats.get(live.seat).node, role) {
                self.rescind(id);
            }
        }
    }

    /// The seat wants no more of this agent than what it has refused, until then.
    fn refuse(&mut self, offer: &Live, refused: Amounts, until: Option<i64>) {
        let Some(until) = until.filter(|until| *until > self.now) else { return };
        let known = self.agents.get(offer.agent).is_some_and(|agent| agent.facts.is_some());
        if known && !refused.is_empty() && !self.seats.get(offer.seat).suppressed {
            self.refusals.refuse((offer.seat, offer.agent), refused, until, &mut self.resources);
        }
    }

    /// Ends the offers and filters that are over by `now`.
    pub(super) fn pass_time(&mut self, now: i64) {
        self.stirred |= self.offers.next_stale(self.now).is_some_and(|stale| stale <= now);
        self.now = self.now.max(now);
        while let Some((_, id)) = self.offers.next_end().filter(|(end, _)| *end <= self.now) {
            if let Some(live) = self.offers.get(id).cloned() {
                self.lapse(&live);
            }
            self.rescind(id);
        }
        while let Some((seat, agent)) = self.refusals.end_one(self.now, &mut self.resources) {
            self.filter_ended(seat, agent);
        }
    }

    /// The seat has not answered an offer: for a while it is not offered the agent, however empty.
    pub(super) fn lapse(&mut self, offer: &Live) {
        let until = self.seats.get_mut(offer.seat).lapsed(offer.made, self.now);
        let facts = self.agents.get(offer.agent).and_then(|agent| agent.facts.as_ref());
        let all = facts.map_or_else(|| Amounts::clone(&offer.amounts), |f| f.capacity.clone());
        self.refuse(offer, all, Some(until));
    }
}
