//! The seats of external schedulers, and what each of them was told and has not given back.
//!
//! Stands between the [`Market`](crate::Market) and the allocator: commands in, notices out, both
//! without waiting. The allocator knows offers by number and seats by framework and role; here they
//! get their names, their readers and their place in the book.
//!
//! ```text
//!            deliver                take                     launch
//!   (none) ──────────► out, in book ──────► held (Taken) ───────────► tasks and the rest
//!      ▲                  │                    │
//!      └──────────────────┴────────────────────┘ decline, rescind, leave; drop of Taken
//! ```
//!
//! **Invariants:** what is out is in the book, and was told to a reader that is still there and not
//! told to be gone. Each offer that the allocator has live is out or held. A notice that cannot be
//! handed over at once ends the seat.

mod take;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use meseta_crds::ResourceList;
use meseta_planning::allocator::{self, Allocator, OfferId, SeatKey};
use tokio::sync::mpsc;

pub(super) use self::take::Held;
use super::convert;
use crate::market::{LiveOffer, Notice, Seat};
use crate::offer_book::Pen;

/// Notices that wait for one reader. Each cycle of the allocator adds at most two, and cycles are
/// milliseconds apart: a reader that is so far behind does not read.
const MAX_NOTICES: usize = 1024;

/// All seats of one term.
pub(super) struct Seats {
    epoch: i64,
    pen: Pen,
    /// By uid of the framework.
    seats: BTreeMap<String, Occupied>,
    out: BTreeMap<OfferId, Out>,
    /// By number of the [`Taken`](crate::Taken).
    held: BTreeMap<u64, Held>,
    last_taken: u64,
    /// Whether a seat was left, and its room with it.
    freed: bool,
    /// End when their [`Taken`](crate::Taken) is gone.
    kept: FuturesUnordered<BoxFuture<'static, u64>>,
}

/// A seat and its reader.
struct Occupied {
    namespace: String,
    framework: String,
    roles: BTreeSet<String>,
    notices: mpsc::Sender<Notice>,
    offers: BTreeSet<OfferId>,
}

/// An offer that its seat knows of.
struct Out {
    uid: String,
    role: String,
    agent: String,
    resources: ResourceList,
}

fn key(uid: &str, role: &str) -> SeatKey {
    SeatKey { framework: uid.to_owned(), role: role.to_owned() }
}

impl Seats {
    pub(super) fn new(epoch: i64, pen: Pen) -> Self {
        Self {
            epoch,
            pen,
            seats: BTreeMap::new(),
            out: BTreeMap::new(),
            held: BTreeMap::new(),
            last_taken: 0,
            freed: false,
            kept: FuturesUnordered::new(),
        }
    }

    /// See [`Market::enter`](crate::Market::enter).
    pub(super) fn enter(
        &mut self,
        allocator: &mut Allocator,
        seat: Seat,
    ) -> mpsc::Receiver<Notice> {
        let Seat { namespace, framework, uid, roles, suppressed } = seat;
        self.leave(allocator, &uid);
        let (notices, receiver) = mpsc::channel(MAX_NOTICES);
        let offers = BTreeSet::new();
        let seat = Occupied { namespace, framework, roles: BTreeSet::new(), notices, offers };
        self.seats.insert(uid.clone(), seat);
        self.set_roles(allocator, &uid, roles, &suppressed);
        receiver
    }

    /// See [`Market::leave`](crate::Market::leave).
    pub(super) fn leave(&mut self, allocator: &mut Allocator, uid: &str) {
        let Some(seat) = self.seats.remove(uid) else { return };
        for role in &seat.roles {
            allocator.remove_seat(&key(uid, role));
        }
        for offer in &seat.offers {
            self.out.remove(offer);
        }
        self.pen.remove(seat.offers);
        self.held.retain(|_, held| held.uid != uid);
        self.freed = true;
    }

    /// Whether seats have been left since the last look, so that there is something to decide.
    pub(super) fn freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    /// See [`Market::set_roles`](crate::Market::set_roles).
    pub(super) fn set_roles(
        &mut self,
        allocator: &mut Allocator,
        uid: &str,
        roles: Vec<String>,
        suppressed: &BTreeSet<String>,
    ) {
        let Some(seat) = self.seats.get_mut(uid) else { return };
        let roles: BTreeSet<String> = roles.into_iter().collect();
        let left: Vec<String> = seat.roles.difference(&roles).cloned().collect();
        for role in &roles {
            allocator.upsert_seat(key(uid, role), suppressed.contains(role));
        }
        seat.roles = roles;
        for role in &left {
            allocator.remove_seat(&key(uid, role));
            self.held.retain(|_, held| held.uid != uid || held.role != *role);
        }
        let of_left = |id: &OfferId| self.out.get(id).is_some_and(|out| left.contains(&out.role));
        let gone: Vec<OfferId> = seat.offers.iter().copied().filter(of_left).collect();
        self.rescind(allocator, &gone);
    }

    /// See [`Market::suppress`](crate::Market::suppress).
    pub(super) fn suppress(&self, allocator: &mut Allocator, uid: &str, roles: &[String]) {
        for role in self.named(uid, roles) {
            allocator.upsert_seat(key(uid, role), true);
        }
    }

    /// See [`Market::revive`](crate::Market::revive).
    pub(super) fn revive(&self, allocator: &mut Allocator, uid: &str, roles: &[String]) {
        for role in self.named(uid, roles) {
            allocator.revive(&key(uid, role));
        }
    }

    /// The roles of a seat that are named; all where none is.
    fn named<'a>(&'a self, uid: &str, roles: &'a [String]) -> impl Iterator<Item = &'a String> {
        let all = self.seats.get(uid).map(|seat| &seat.roles).into_iter().flatten();
        all.filter(|role| roles.is_empty() || roles.contains(role))
    }

    /// See [`Market::decline`](crate::Market::decline).
    pub(super) fn decline(
        &mut self,
        allocator: &mut Allocator,
        uid: &str,
        offers: &[String],
        filter_until: Option<i64>,
    ) {
        let own = self.own(uid, offers);
        self.strike(&own);
        for id in own {
            allocator.decline(id, filter_until);
        }
    }

    /// Tells the seats of what the allocator has decided at `now`.
    pub(super) fn deliver(
        &mut self,
        allocator: &mut Allocator,
        now: i64,
        offers: Vec<allocator::Offer>,
        rescinded: &[OfferId],
    ) {
        self.rescind(allocator, rescinded);
        if offers.is_empty() {
            return;
        }
        let clock = jiff::Timestamp::now();
        let mut told: BTreeMap<String, Vec<LiveOffer>> = BTreeMap::new();
        let mut records = Vec::with_capacity(offers.len());
        for offer in offers {
            let uid = &offer.seat.framework;
            let Some(seat) = self.seats.get_mut(uid) else {
                // Nobody sits there: it cannot be, and would be lost until it expires.
                allocator.decline(offer.id, None);
                continue;
            };
            let left = Duration::from_millis(u64::try_from(offer.expires - now).unwrap_or(0));
            let (namespace, framework) = (&seat.namespace, &seat.framework);
            let record =
                convert::offer(self.epoch, &offer, namespace, framework, (clock, clock + left));
            records.push((offer.id, record));
            seat.offers.insert(offer.id);
            let live = LiveOffer {
                id: convert::offer_name(self.epoch, offer.id),
                agent: offer.agent.clone(),
                role: offer.seat.role.clone(),
                resources: offer.resources.clone(),
            };
            match told.get_mut(uid) {
                Some(told) => told.push(live),
                None => drop(told.insert(uid.clone(), vec![live])),
            }
            let allocator::Offer {
                id, seat: SeatKey { framework, role }, agent, resources, ..
            } = offer;
            self.out.insert(id, Out { uid: framework, role, agent, resources });
        }
        self.pen.add(records);
        for (uid, offers) in told {
            self.tell(allocator, &uid, Notice::Offered(offers));
        }
    }

    /// Leaves the seats whose readers are gone.
    pub(super) fn sweep(&mut self, allocator: &mut Allocator) {
        let gone = self.seats.iter().filter(|(_, seat)| seat.notices.is_closed());
        let gone: Vec<String> = gone.map(|(uid, _)| uid.clone()).collect();
        gone.iter().for_each(|uid| self.leave(allocator, uid));
    }

    /// Leaves all seats, at the end of the term.
    pub(super) fn close(mut self, allocator: &mut Allocator) {
        while let Some(uid) = self.seats.keys().next().cloned() {
            self.leave(allocator, &uid);
        }
    }

    /// Takes offers back and says so.
    fn rescind(&mut self, allocator: &mut Allocator, offers: &[OfferId]) {
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in offers {
            if let Some(out) = self.out.get(id) {
                let name = convert::offer_name(self.epoch, *id);
                told.entry(out.uid.clone()).or_default().push(name);
            }
        }
        self.strike(offers);
        for (uid, offers) in told {
            self.tell(allocator, &uid, Notice::Rescinded(offers));
        }
    }

    fn tell(&mut self, allocator: &mut Allocator, uid: &str, notice: Notice) {
        let Some(seat) = self.seats.get(uid) else { return };
        match seat.notices.try_send(notice) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => self.leave(allocator, uid),
            Err(mpsc::error::TrySendError::Full(_)) => {
                let framework = &seat.framework;
                tracing::warn!(framework, uid, "its notices are not read; its seat is left");
                self.leave(allocator, uid);
            }
        }
    }

    /// Those of the named offers that the seat has, each once.
    fn own(&self, uid: &str, offers: &[String]) -> Vec<OfferId> {
        let ids = offers.iter().filter_map(|name| convert::offer_id(self.epoch, name));
        let own = ids.filter(|id| self.out.get(id).is_some_and(|out| out.uid == uid));
        own.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Takes offers off their seats and out of the book.
    fn strike(&mut self, offers: &[OfferId]) {
        for id in offers {
            let Some(out) = self.out.remove(id) else { continue };
            if let Some(seat) = self.seats.get_mut(&out.uid) {
                seat.offers.remove(id);
            }
        }
        self.pen.remove(offers.iter().copied());
    }
}

#[cfg(test)]
mod tests;
