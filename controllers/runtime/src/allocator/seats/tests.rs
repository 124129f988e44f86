//! Whatever is said in whatever order: the book holds what the seats were told and have not given
//! back, and the allocator holds no more.

use std::collections::{BTreeMap, BTreeSet};

use meseta_crds::{Quantity, ResourceList};
use meseta_planning::allocator::{AgentRow, Allocator, Decisions};
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::{MAX_NOTICES, Seats};
use crate::market::{Notice, Seat, TakeError, Taken};
use crate::offer_book::OfferBook;

const EPOCH: i64 = 3;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Enter(u8, Vec<u8>),
    SetRoles(u8, Vec<u8>),
    Leave(u8),
    Suppress(u8),
    Revive(u8),
    /// Of some of the offers that somebody knows, by this seat, for so long.
    Decline(u8, Vec<prop::sample::Index>, i64),
    Take(u8, Vec<prop::sample::Index>),
    /// One of those taken goes.
    Drop(prop::sample::Index),
    /// One of those taken is launched on, with nothing.
    UseUp(prop::sample::Index),
    /// The reader goes, without a word.
    Deafen(u8),
    Agent(u8, bool),
    AgentGone(u8),
    Decide(i64),
}

/// A scheduler, as far as it knows.
struct Scheduler {
    notices: mpsc::Receiver<Notice>,
    offers: BTreeSet<String>,
}

struct World {
    allocator: Allocator,
    book: OfferBook,
    seats: Seats,
    schedulers: BTreeMap<String, Scheduler>,
    taken: Vec<(String, Taken)>,
    /// Every offer that was ever made.
    known: Vec<String>,
    now: i64,
}

fn uid(number: u8) -> String {
    format!("f{number}")
}

fn roles(numbers: &[u8]) -> Vec<String> {
    numbers.iter().map(|number| format!("role{number}")).collect()
}

fn cpus(count: i64) -> ResourceList {
    [("cpu".to_owned(), Quantity::from_millis(count * 1000))].into()
}

impl World {
    fn new() -> Self {
        let book = OfferBook::default();
        let seats = Seats::new(EPOCH, book.open(EPOCH));
        Self {
            allocator: Allocator::new(),
            book,
            seats,
            schedulers: BTreeMap::new(),
            taken: Vec::new(),
            known: Vec::new(),
            now: 0,
        }
    }

    fn named(&self, some: &[prop::sample::Index]) -> Vec<String> {
        if self.known.is_empty() {
            return vec!["offer-3-99".to_owned()];
        }
        some.iter().map(|index| index.get(&self.known).clone()).collect()
    }

    fn run(&mut self, event: Event) {
        let Self { allocator, seats, .. } = self;
        match event {
            Event::Enter(number, of) => {
                let seat = Seat {
                    namespace: "default".to_owned(),
                    framework: uid(number),
                    uid: uid(number),
                    roles: roles(&of),
                    suppressed: BTreeSet::new(),
                };
                let notices = seats.enter(allocator, seat);
                let scheduler = Scheduler { notices, offers: BTreeSet::new() };
                self.schedulers.insert(uid(number), scheduler);
            }
            Event::SetRoles(number, of) => {
                seats.set_roles(allocator, &uid(number), roles(&of), &BTreeSet::new());
            }
            Event::Leave(number) => {
                seats.leave(allocator, &uid(number));
                self.schedulers.remove(&uid(number));
            }
            Event::Suppress(number) => seats.suppress(allocator, &uid(number), &[]),
            Event::Revive(number) => seats.revive(allocator, &uid(number), &[]),
            Event::Decline(number, some, time) => {
                let named = self.named(&some);
                let until = (time > 0).then_some(self.now + time);
                self.seats.decline(&mut self.allocator, &uid(number), &named, until);
                if let Some(scheduler) = self.schedulers.get_mut(&uid(number)) {
                    scheduler.offers.retain(|offer| !named.contains(offer));
                }
            }
            Event::Take(number, some) => self.take(&uid(number), &some),
            Event::Drop(index) => {
                if !self.taken.is_empty() {
                    let (_, taken) = self.taken.remove(index.index(self.taken.len()));
                    self.seats.give_back(&mut self.allocator, taken.number, None);
                }
            }
            Event::UseUp(index) => {
                if !self.taken.is_empty() {
                    let (_, taken) = self.taken.remove(index.index(self.taken.len()));
                    if let Some(held) = self.seats.use_up(&taken) {
                        self.allocator.accept(&held.offers, Vec::new(), None).unwrap();
                    }
                }
            }
            Event::Deafen(number) => drop(self.schedulers.remove(&uid(number))),
            // Rows are taken in right before a decision, never else.
            Event::Agent(number, schedulable) => {
                self.allocator.upsert_agent(AgentRow {
                    name: format!("agent{number}"),
                    capacity: cpus(1 + i64::from(number)),
                    attributes: BTreeMap::new(),
                    schedulable,
                });
                self.decide(0);
            }
            Event::AgentGone(number) => {
                self.allocator.remove_agent(&format!("agent{number}"));
                self.decide(0);
            }
            Event::Decide(time) => self.decide(time),
        }
    }

    fn take(&mut self, uid: &str, some: &[prop::sample::Index]) {
        let named = self.named(some);
        // One whose reader has gone may still speak for a while.
        let scheduler = self.schedulers.get(uid);
        let knows = scheduler.is_none_or(|s| named.iter().all(|offer| s.offers.contains(offer)));
        match self.seats.take(&mut self.allocator, uid, &named, None) {
            Ok(taken) => {
                assert!(knows, "{named:?}");
                self.taken.push((uid.to_owned(), taken));
            }
            Err(TakeError::Invalid(offer)) => assert!(named.contains(&offer)),
            Err(_) => {}
        }
        if let Some(scheduler) = self.schedulers.get_mut(uid) {
            scheduler.offers.retain(|offer| !named.contains(offer));
        }
    }

    fn decide(&mut self, time: i64) {
        self.now += time;
        self.seats.sweep(&mut self.allocator);
        let Decisions { offers, rescinded, .. } = self.allocator.decide(self.now, 0);
        self.seats.deliver(&mut self.allocator, self.now, offers, &rescinded);
        let (_, out) = self.book.list().unwrap();
        for offer in out {
            let name = offer.metadata.name.clone().unwrap();
            if !self.known.contains(&name) {
                self.known.push(name);
            }
        }
    }

    /// Lets everybody read, and compares.
    fn check(&mut self) {
        let mut told = BTreeSet::new();
        for scheduler in self.schedulers.values_mut() {
            while let Ok(notice) = scheduler.notices.try_recv() {
                match notice {
                    Notice::Offered(offers) => {
                        scheduler.offers.extend(offers.into_iter().map(|offer| offer.id));
                    }
                    Notice::Rescinded(offers) => {
                        scheduler.offers.retain(|offer| !offers.contains(offer));
                    }
                }
            }
            if !scheduler.notices.is_closed() {
                for offer in &scheduler.offers {
                    assert!(told.insert(offer.clone()), "{offer} is out twice");
                }
            }
        }
        let (_, out) = self.book.list().unwrap();
        let deaf = |framework: &str| !self.schedulers.contains_key(framework);
        let book: BTreeSet<String> = out
            .iter()
            .filter(|offer| !deaf(&offer.spec.framework))
            .map(|offer| offer.metadata.name.clone().unwrap())
            .collect();
        assert_eq!(book, told);
        // What is out and held is all of an agent at most.
        let mut used: BTreeMap<String, i64> = BTreeMap::new();
        for offer in &out {
            let cpu = offer.spec.resources["cpu"].millis().unwrap();
            *used.entry(offer.spec.agent_name.clone()).or_default() += cpu;
        }
        for (agent, used) in used {
            let number: i64 = agent["agent".len()..].parse().unwrap();
            assert!(used <= (1 + number) * 1000, "{agent}: {used}m");
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let seat = || 0..3_u8;
    let some = || prop::collection::vec(any::<prop::sample::Index>(), 1..4);
    let of = || prop::collection::vec(0..3_u8, 0..3);
    prop_oneof![
        3 => (seat(), of()).prop_map(|(seat, roles)| Event::Enter(seat, roles)),
        1 => (seat(), of()).prop_map(|(seat, roles)| Event::SetRoles(seat, roles)),
        1 => seat().prop_map(Event::Leave),
        1 => seat().prop_map(Event::Suppress),
        1 => seat().prop_map(Event::Revive),
        3 => (seat(), some(), 0..50_i64).prop_map(|(s, o, t)| Event::Decline(s, o, t)),
        4 => (seat(), some()).prop_map(|(seat, some)| Event::Take(seat, some)),
        1 => any::<prop::sample::Index>().prop_map(Event::Drop),
        1 => any::<prop::sample::Index>().prop_map(Event::UseUp),
        1 => seat().prop_map(Event::Deafen),
        4 => (0..4_u8, prop::bool::weighted(0.8)).prop_map(|(a, s)| Event::Agent(a, s)),
        1 => (0..4_u8).prop_map(Event::AgentGone),
        8 => (0..100_000_i64).prop_map(Event::Decide),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_book_is_what_the_seats_were_told_and_have_not_given_back(
        events in prop::collection::vec(event(), 1..80),
    ) {
        let mut world = World::new();
        for event in events {
            world.run(event);
            world.check();
        }
        // When all have left, all is free: a newcomer is offered every agent whole.
        let World { mut allocator, seats, book, now, .. } = world;
        seats.close(&mut allocator);
        prop_assert!(book.list().is_none());
        let key = meseta_planning::allocator::SeatKey { framework: "new".to_owned(), role: "new".to_owned() };
        for number in 0..4_u8 {
            let (name, capacity) = (format!("agent{number}"), cpus(1 + i64::from(number)));
            let attributes = BTreeMap::new();
            allocator.upsert_agent(AgentRow { name, capacity, attributes, schedulable: true });
        }
        allocator.upsert_seat(key, false);
        let offers = allocator.decide(now, 0).offers;
        let offered: BTreeMap<String, ResourceList> =
            offers.into_iter().map(|offer| (offer.agent, offer.resources)).collect();
        let all = (0..4).map(|number| (format!("agent{number}"), cpus(1 + number))).collect();
        prop_assert_eq!(offered, all);
    }
}

/// One agent and one seat that was offered it.
fn world_with_an_offer() -> World {
    let mut world = World::new();
    for event in [Event::Agent(0, true), Event::Enter(0, vec![0]), Event::Decide(0)] {
        world.run(event);
        world.check();
    }
    assert_eq!(world.known, ["offer-3-1"]);
    world
}

#[test]
fn a_scheduler_that_does_not_read_loses_its_seat_and_others_do_not_notice() {
    let mut world = world_with_an_offer();
    world.run(Event::Enter(1, vec![1]));
    // Its notices pile up: offers that expire and are made anew.
    for _ in 0..2 * MAX_NOTICES {
        world.decide(1_000_000);
        let quick = world.schedulers.get_mut("f1").unwrap();
        while quick.notices.try_recv().is_ok() {}
    }
    let slow = &world.schedulers["f0"].notices;
    assert!(slow.is_closed() && slow.len() <= MAX_NOTICES, "{}", slow.len());
    assert!(!world.schedulers["f1"].notices.is_closed());
    let (_, out) = world.book.list().unwrap();
    assert!(out.iter().all(|offer| offer.spec.framework == "f1"));
}

#[test]
fn offers_that_do_not_go_together_go_back_if_they_are_valid() {
    let mut world = world_with_an_offer();
    let take = |world: &mut World, uid: &str, offers: &[&str]| {
        let offers: Vec<String> = offers.iter().map(|offer| (*offer).to_owned()).collect();
        let taken = world.seats.take(&mut world.allocator, uid, &offers, None);
        taken.map(|taken| taken.resources)
    };
    let invalid = |offer: &str| Err(TakeError::Invalid(offer.to_owned()));
    assert_eq!(take(&mut world, "f0", &[]), Err(TakeError::None));
    // Somebody else's, of an earlier term, and in other words.
    for (uid, offer) in
        [("f1", "offer-3-1"), ("f0", "offer-2-1"), ("f0", "offer-3-01"), ("f0", "offer-3-+1")]
    {
        assert_eq!(take(&mut world, uid, &[offer]), invalid(offer));
    }
    assert_eq!(world.book.list().unwrap().1.len(), 1, "it is still out");
    let twice = take(&mut world, "f0", &["offer-3-1", "offer-3-1"]);
    assert_eq!(twice, Err(TakeError::Duplicate("offer-3-1".to_owned())));
    assert_eq!(world.book.list().unwrap().1.len(), 0);
    world.run(Event::Agent(1, true));
    world.decide(0);
    let (_, out) = world.book.list().unwrap();
    let names: Vec<&str> = out.iter().map(|o| o.metadata.name.as_deref().unwrap()).collect();
    let &[first, second] = names.as_slice() else { panic!("{names:?}") };
    let both = take(&mut world, "f0", &[first, second]);
    assert_eq!(both, Err(TakeError::Agents(second.to_owned())));
    world.decide(0);
    let (_, out) = world.book.list().unwrap();
    let again = out[0].metadata.name.clone().unwrap();
    assert!(take(&mut world, "f0", &[&again]).is_ok());
    assert_eq!(take(&mut world, "f0", &[&again]), invalid(&again), "an offer is taken once");
}
