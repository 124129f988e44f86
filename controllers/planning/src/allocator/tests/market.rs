//! What holds for offers after every step of any history, compared with a model that knows nothing
//! but what was said and looks at everything.

mod events;
mod model;

use std::collections::{BTreeMap, BTreeSet};

use meseta_crds::ResourceList;
use proptest::prelude::*;
use proptest::sample::Index;

use self::events::{Event, Use, event, task};
use self::model::{Model, amount, is_beneath};
use crate::allocator::{AgentRow, Allocator, Offer, OfferId, TaskKey, TaskRow};

#[derive(Default)]
struct Pair {
    allocator: Allocator,
    model: Model,
    made: usize,
}

/// Attributes, and names of resources.
fn kind(row: &AgentRow) -> (&BTreeMap<String, String>, BTreeSet<&String>) {
    let names = row.capacity.keys().filter(|name| amount(&row.capacity, name) > 0);
    (&row.attributes, names.collect())
}

impl Pair {
    fn apply(&mut self, event: Event) {
        let Self { allocator, model, .. } = self;
        let pick = |which: Index| {
            let ids: Vec<OfferId> = model.offers.keys().copied().collect();
            (!ids.is_empty()).then(|| ids[which.index(ids.len())])
        };
        match event {
            Event::Agent(row) => {
                allocator.upsert_agent(row.clone());
                let former = model.agents.insert(row.name.clone(), row.clone());
                if former.is_some_and(|former| kind(&former) != kind(&row)) {
                    model.filters.retain(|filter| filter.agent != row.name);
                }
            }
            Event::AgentGone(name) => {
                allocator.remove_agent(&name);
                model.agents.remove(&name);
                model.filters.retain(|filter| filter.agent != name);
            }
            Event::Role(row) => {
                allocator.upsert_role(row.clone());
                model.roles.insert(row.path.clone(), row);
            }
            Event::RoleGone(path) => {
                allocator.remove_role(&path);
                model.roles.remove(&path);
            }
            Event::Seat(seat, suppressed) => {
                allocator.upsert_seat(seat.clone(), suppressed);
                let known = model.seats.entry(seat.clone()).or_insert((suppressed, 0, i64::MIN));
                if known.0 != suppressed {
                    known.0 = suppressed;
                    model.filters.retain(|filter| filter.seat != seat);
                }
            }
            Event::SeatGone(seat) => {
                allocator.remove_seat(&seat);
                model.seats.remove(&seat);
                model.filters.retain(|filter| filter.seat != seat);
                model.offers.retain(|_, offer| offer.seat != seat);
            }
            Event::Revive(seat) => {
                allocator.revive(&seat);
                if let Some(known) = model.seats.get_mut(&seat) {
                    known.0 = false;
                    model.filters.retain(|filter| filter.seat != seat);
                }
            }
            Event::Task(row) => {
                if !model.tasks.contains_key(&row.key) {
                    allocator.upsert_task(row.clone());
                    model.tasks.insert(row.key.clone(), (row, false));
                }
            }
            Event::Hold(which) => {
                if let Some(id) = pick(which) {
                    allocator.hold(id);
                    if allocator.offers.get(id).is_some() {
                        model.held.insert(id);
                    }
                }
            }
            Event::Decline(which, filter) => {
                let Some(id) = pick(which) else { return };
                let offer = model.offers[&id].clone();
                // It was taken back, and nobody was told yet.
                let live = allocator.offers.get(id).is_some();
                allocator.decline(id, Some(model.now + filter));
                if live {
                    model.offers.remove(&id);
                    model.seats.get_mut(&offer.seat).unwrap().1 = 0;
                    model.refuse(&offer, offer.resources.clone(), model.now + filter);
                }
            }
            Event::Accept(which, used, filter) => {
                if let Some(id) = pick(which) {
                    self.accept(id, used, filter);
                }
            }
            Event::Settle(which, written) => self.settle(which, written),
            Event::Over(which) => {
                let placed = model
                    .tasks
                    .values()
                    .filter(|(row, under_way)| row.agent.is_some() && !under_way);
                let keys: Vec<TaskKey> = placed.map(|(row, _)| row.key.clone()).collect();
                if !keys.is_empty() {
                    let key = &keys[which.index(keys.len())];
                    allocator.remove_task(key);
                    model.tasks.remove(key);
                }
            }
            Event::Wait(time) => model.now += time,
            Event::Decide(room) => self.decide(room),
        }
    }

    fn accept(&mut self, id: OfferId, used: Use, filter: i64) {
        let Self { allocator, model, made } = self;
        let offer = model.offers[&id].clone();
        let part = |list: &ResourceList, rest: bool| -> ResourceList {
            let parts = list.iter().map(|(name, quantity)| {
                let all = quantity.millis().unwrap();
                let part = match used {
                    Use::Half => all / 2,
                    Use::All => all,
                    Use::TooMuch => all + 1,
                    Use::Nothing => 0,
                };
                let part = if rest { all - part } else { part };
                (name.clone(), meseta_crds::Quantity::from_millis(part))
            });
            parts.filter(|(_, part)| part.millis().unwrap() != 0).collect()
        };
        *made += 1;
        let row = TaskRow {
            resources: part(&offer.resources, false),
            ..task(&format!("launched-{made}"), &offer.seat)
        };
        let live = allocator.offers.get(id).is_some();
        let tasks = if matches!(used, Use::Nothing) { Vec::new() } else { vec![row] };
        let result = allocator.accept(&[id], tasks.clone(), Some(model.now + filter));
        assert_eq!(result.is_ok(), live && !matches!(used, Use::TooMuch), "{result:?}");
        if result.is_err() {
            return;
        }
        model.offers.remove(&id);
        model.seats.get_mut(&offer.seat).unwrap().1 = 0;
        model.refuse(&offer, part(&offer.resources, true), model.now + filter);
        for row in tasks {
            let row = TaskRow { agent: Some(offer.agent.clone()), ..row };
            model.tasks.insert(row.key.clone(), (row, true));
        }
    }

    fn settle(&mut self, which: Index, written: bool) {
        let Self { allocator, model, .. } = self;
        let under_way = model.tasks.values().filter(|(_, under_way)| *under_way);
        let keys: Vec<TaskKey> = under_way.map(|(row, _)| row.key.clone()).collect();
        if keys.is_empty() {
            return;
        }
        let key = &keys[which.index(keys.len())];
        let launched = key.name.starts_with("launched");
        let (row, under_way) = model.tasks.get_mut(key).unwrap();
        *under_way = false;
        if written {
            let row = TaskRow { uid: format!("real-{}", key.name), ..row.clone() };
            if !launched {
                allocator.confirm(key);
            }
            allocator.upsert_task(row);
        } else {
            row.agent = None;
            allocator.forget(key);
            if launched {
                model.tasks.remove(key);
            }
        }
    }

    fn decide(&mut self, room: usize) {
        let Self { allocator, model, .. } = self;
        let guarantees = model.roles.values().any(|row| !row.guarantees.is_empty());
        let unsound: BTreeSet<OfferId> =
            model.offers.keys().copied().filter(|id| allocator.offers.get(*id).is_none()).collect();
        let decisions = allocator.decide(model.now, room);
        // What is taken back may be refused after something was offered.
        let filters = model.filters.clone();
        for id in decisions.rescinded {
            assert!(!model.held.contains(&id), "{id} was about to be used");
            let offer = model.offers.remove(&id).expect("only what is live is taken back");
            // Not answered in time: at all, or while others wait.
            let late = offer.expires - 55_000 <= model.now;
            assert!(late || guarantees || unsound.contains(&id), "no reason for {id}");
            if late && !unsound.contains(&id) {
                let seat = model.seats.get_mut(&offer.seat).unwrap();
                if offer.expires - 60_000 >= seat.2 {
                    (seat.1, seat.2) = (seat.1 + 1, model.now);
                }
                let wait = (5_000 << (seat.1.max(1) - 1).min(10)).min(300_000);
                let all = model.agents[&offer.agent].capacity.clone();
                model.refuse(&offer, all, model.now + wait);
            }
        }
        for (id, offer) in &model.offers {
            assert!(offer.expires > model.now || model.held.contains(id), "{id} is over");
        }
        let mut touched = Vec::new();
        for placement in &decisions.placements {
            let (row, under_way) = model.tasks.get_mut(&placement.task).unwrap();
            assert!(row.agent.is_none());
            (row.agent, *under_way) = (Some(placement.agent.clone()), true);
            let list = row.resources.clone();
            touched.push((row.role.clone(), placement.agent.clone(), list));
        }
        for offer in &decisions.offers {
            assert_eq!(model.seats.get(&offer.seat).map(|seat| seat.0), Some(false));
            let Offer { seat, agent, resources, .. } = offer;
            let refused = filters.iter().any(|f| model.covers(f, seat, agent, resources));
            assert!(!refused, "{offer:?}");
            assert!(offer.expires > model.now && !offer.resources.is_empty());
            assert!(model.offers.insert(offer.id, offer.clone()).is_none());
            let list = offer.resources.clone();
            touched.push((offer.seat.role.clone(), offer.agent.clone(), list));
        }
        // Nothing overlaps, nothing exceeds what there is or what is allowed.
        for (role, agent, list) in touched {
            let agent = &model.agents[&agent];
            for name in list.keys().filter(|name| amount(&list, name) > 0) {
                assert!(model.free(agent, name) >= 0, "{agent:?} {name}");
                assert!(model.allowed(&role, name) >= 0, "{role} {name}");
            }
        }
        assert!(allocator.next_deadline().is_none_or(|deadline| deadline > model.now));
        if decisions.placements.len() < room {
            assert_eq!(allocator.decide(model.now, room), Default::default(), "twice is nothing");
            assert_eq!(model.idle(), None, "nothing is idle that somebody wants");
            for (row, _) in model.tasks.values().filter(|(row, _)| row.agent.is_none()) {
                let fits = model.agents.values().any(|agent| model.fits(row, agent));
                assert!(!fits, "{row:?} would fit");
            }
        }
        let live: Vec<OfferId> = model.offers.keys().copied().collect();
        let known: Vec<OfferId> =
            live.iter().copied().filter(|id| allocator.offers.get(*id).is_some()).collect();
        assert_eq!(live, known);
        for share in allocator.role_shares() {
            let beneath = model.holding().filter(|(role, ..)| is_beneath(role, &share.path));
            let held: Vec<&ResourceList> = beneath.map(|(.., list)| list).collect();
            for name in ["cpu", "memory", "gpu"] {
                let sum: i64 = held.iter().map(|list| amount(list, name)).sum();
                assert_eq!(amount(&share.allocated, name), sum, "{}", share.path);
            }
        }
    }

    /// Takes everything away; nothing may be left behind.
    fn empty(mut self) {
        let Self { allocator, model, .. } = &mut self;
        for (row, under_way) in model.tasks.values() {
            if *under_way {
                allocator.forget(&row.key);
            }
            allocator.remove_task(&row.key);
        }
        model.agents.keys().for_each(|name| allocator.remove_agent(name));
        model.roles.keys().for_each(|path| allocator.remove_role(path));
        model.seats.keys().for_each(|seat| allocator.remove_seat(seat));
        allocator.decide(model.now, 1);
        let Allocator {
            resources,
            agents,
            shapes,
            tree,
            volumes,
            tasks,
            grown,
            seats,
            offers,
            refusals,
            made,
            refused: _,
            rescinded,
            stirred: _,
            now: _,
        } = &self.allocator;
        assert!(tasks.is_empty() && volumes.is_empty() && grown.is_empty() && made.is_empty());
        assert!(seats.is_empty() && offers.is_empty() && rescinded.is_empty());
        assert!(refusals.is_empty(), "{refusals:?}");
        assert!(shapes.is_empty() && agents.is_empty() && tree.is_empty(), "{tree:?}");
        assert!(resources.is_empty(), "{resources:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// No two live offers overlap; capacity and limits hold; a declined offer does not come back
    /// before its filter ends; only what has to be is taken back; nothing lies idle that somebody
    /// wants; deciding twice changes nothing; and nothing is remembered for ever.
    #[test]
    fn any_history_of_offers_is_in_order(events in prop::collection::vec(event(), 1..80)) {
        let mut pair = Pair::default();
        for event in events {
            pair.apply(event);
        }
        pair.apply(Event::Decide(usize::MAX));
        pair.empty();
    }
}
