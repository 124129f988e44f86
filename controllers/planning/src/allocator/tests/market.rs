//! What holds for offers after every step of any history, compared with a model that knows nothing
//! but what was said and looks at everything.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use meseta_crds::ResourceList;
use proptest::prelude::*;
use proptest::sample::Index;

use super::script::{amounts, key};
use crate::allocator::{AgentRow, Allocator, Offer, OfferId, RoleRow, SeatKey, TaskKey, TaskRow};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Agent(AgentRow),
    AgentGone(String),
    Role(RoleRow),
    RoleGone(String),
    Seat(SeatKey, bool),
    SeatGone(SeatKey),
    Revive(SeatKey),
    Task(TaskRow),
    Hold(Index),
    /// With a filter of so many milliseconds.
    Decline(Index, i64),
    /// Uses all of the offer, half of it, or a little, or too much of it.
    Accept(Index, Use, i64),
    /// Settles a task that is assumed: written or not.
    Settle(Index, bool),
    /// Ends a task that is placed.
    Over(Index),
    Wait(i64),
    Decide(usize),
}

#[derive(Clone, Copy, Debug)]
enum Use {
    Half,
    All,
    TooMuch,
    Nothing,
}

#[derive(Clone, Debug)]
struct Filter {
    seat: SeatKey,
    agent: String,
    refused: ResourceList,
    until: i64,
}

#[derive(Default)]
struct Model {
    now: i64,
    agents: BTreeMap<String, AgentRow>,
    roles: BTreeMap<String, RoleRow>,
    /// Whether it is suppressed; lapses in a row, and when the last was.
    seats: BTreeMap<SeatKey, (bool, u32, i64)>,
    offers: BTreeMap<OfferId, Offer>,
    held: BTreeSet<OfferId>,
    filters: Vec<Filter>,
    /// With an agent: they hold something. Whether a decision about them is under way.
    tasks: BTreeMap<TaskKey, (TaskRow, bool)>,
}

fn amount(list: &ResourceList, name: &str) -> i64 {
    list.get(name).map_or(0, |quantity| quantity.millis().unwrap())
}

fn covers(all: &ResourceList, part: &ResourceList) -> bool {
    part.keys().all(|name| amount(part, name) <= amount(all, name))
}

fn is_beneath(path: &str, role: &str) -> bool {
    path.strip_prefix(role).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Model {
    /// All that is held: role, agent, resources.
    fn holding(&self) -> impl Iterator<Item = (&str, &str, &ResourceList)> {
        let tasks = self.tasks.values().filter_map(|(row, _)| {
            Some((row.role.as_str(), row.agent.as_deref()?, &row.resources))
        });
        let offers = self
            .offers
            .values()
            .map(|offer| (offer.seat.role.as_str(), offer.agent.as_str(), &offer.resources));
        tasks.chain(offers)
    }

    fn free(&self, agent: &AgentRow, name: &str) -> i64 {
        let here = self.holding().filter(|(_, at, _)| *at == agent.name);
        amount(&agent.capacity, name) - here.map(|(.., list)| amount(list, name)).sum::<i64>()
    }

    fn is_sound(&self, agent: &AgentRow) -> bool {
        let names: BTreeSet<&String> = self
            .holding()
            .filter(|(_, at, _)| *at == agent.name)
            .flat_map(|(.., list)| list.keys())
            .collect();
        agent.schedulable && names.into_iter().all(|name| self.free(agent, name) >= 0)
    }

    /// How much the limits of a role and those above leave.
    fn allowed(&self, role: &str, name: &str) -> i64 {
        let limits = self
            .roles
            .values()
            .filter(|row| is_beneath(role, &row.path) && row.limits.contains_key(name));
        let left = limits.map(|row| {
            let beneath = self.holding().filter(|(role, ..)| is_beneath(role, &row.path));
            let held: i64 = beneath.map(|(.., list)| amount(list, name)).sum();
            amount(&row.limits, name) - held
        });
        left.min().unwrap_or(i64::MAX)
    }

    fn is_refused(&self, seat: &SeatKey, agent: &str, list: &ResourceList) -> bool {
        self.filters.iter().any(|filter| {
            filter.seat == *seat
                && filter.agent == agent
                && filter.until > self.now
                && covers(&filter.refused, list)
        })
    }

    fn refuse(&mut self, offer: &Offer, refused: ResourceList, until: i64) {
        let suppressed = self.seats.get(&offer.seat).is_none_or(|seat| seat.0);
        let known = self.agents.contains_key(&offer.agent);
        if known && !suppressed && !refused.is_empty() {
            let (seat, agent) = (offer.seat.clone(), offer.agent.clone());
            self.filters.push(Filter { seat, agent, refused, until });
        }
    }

    /// What could be offered to a seat and is not.
    fn idle(&self) -> Option<(SeatKey, String)> {
        for (seat, _) in self.seats.iter().filter(|(_, seat)| !seat.0) {
            for agent in self.agents.values().filter(|agent| self.is_sound(agent)) {
                let names: BTreeSet<&String> = agent.capacity.keys().collect();
                let free = names.iter().map(|name| {
                    let allowed = self.allowed(&seat.role, name).max(0);
                    ((*name).clone(), self.free(agent, name).min(allowed))
                });
                let free: BTreeMap<String, i64> = free.filter(|(_, free)| *free > 0).collect();
                let list: ResourceList = free
                    .iter()
                    .map(|(name, free)| (name.clone(), meseta_crds::Quantity::from_millis(*free)))
                    .collect();
                // A role that may have no cpus is offered nothing, not even of agents without any.
                let useful = |name: &str, least: i64| {
                    self.allowed(&seat.role, name) >= least
                        && (amount(&agent.capacity, name) == 0
                            || free.get(name).is_some_and(|free| *free >= least))
                };
                let useful = useful("cpu", 10) && useful("memory", 32_000 << 20);
                let useful = useful && !list.is_empty();
                if useful && !self.is_refused(seat, &agent.name, &list) {
                    return Some((seat.clone(), agent.name.clone()));
                }
            }
        }
        None
    }

    fn fits(&self, row: &TaskRow, agent: &AgentRow) -> bool {
        agent.schedulable
            && row.resources.keys().all(|name| {
                let need = amount(&row.resources, name);
                need <= self.free(agent, name) && need <= self.allowed(&row.role, name)
            })
    }
}

#[derive(Default)]
struct Pair {
    allocator: Allocator,
    model: Model,
    made: usize,
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
                if former.is_some_and(|former| former.attributes != row.attributes) {
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
        for id in decisions.rescinded {
            assert!(!model.held.contains(&id), "{id} was about to be used");
            let offer = model.offers.remove(&id).expect("only what is live is taken back");
            let over = offer.expires <= model.now;
            assert!(over || guarantees || unsound.contains(&id), "no reason for {id}");
            if over && !unsound.contains(&id) {
                let seat = model.seats.get_mut(&offer.seat).unwrap();
                if offer.expires - 60_000 >= seat.2 {
                    (seat.1, seat.2) = (seat.1 + 1, model.now);
                }
                let wait = (5_000 << (seat.1.max(1) - 1).min(10)).min(300_000);
                model.refuse(&offer, offer.resources.clone(), model.now + wait);
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
            assert!(!model.is_refused(&offer.seat, &offer.agent, &offer.resources), "{offer:?}");
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

fn task(name: &str, seat: &SeatKey) -> TaskRow {
    TaskRow {
        key: key(name),
        uid: String::new(),
        framework: Some(seat.framework.clone()),
        role: seat.role.clone(),
        priority: 0,
        created: Timestamp::UNIX_EPOCH,
        resources: ResourceList::new(),
        constraints: Vec::new(),
        shared_volumes: Vec::new(),
        agent: None,
        terminal: false,
    }
}

fn role_path() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "a/b", "c"]).prop_map(str::to_owned)
}

fn agent_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["one", "two", "three"]).prop_map(str::to_owned)
}

fn seat_key() -> impl Strategy<Value = SeatKey> {
    (0..2, role_path()).prop_map(|(number, role)| SeatKey { framework: format!("f{number}"), role })
}

fn agent() -> impl Strategy<Value = AgentRow> {
    (agent_name(), 0..9i64, 0..5i64, 0..2i64, 0..2i32, prop::bool::weighted(0.85)).prop_map(
        |(name, cpu, memory, gpu, zone, schedulable)| AgentRow {
            name,
            capacity: amounts(&format!("cpu={cpu} memory={memory}Gi gpu={gpu}")),
            attributes: BTreeMap::from([("zone".to_owned(), zone.to_string())]),
            schedulable,
        },
    )
}

fn role() -> impl Strategy<Value = RoleRow> {
    let limits = prop::option::weighted(0.3, 0..9i64);
    let guarantees = prop::option::weighted(0.2, 1..9i64);
    (role_path(), 1..4i64, limits, guarantees).prop_map(|(path, weight, limits, guarantees)| {
        let cpus =
            |cpu: Option<i64>| cpu.map(|cpu| amounts(&format!("cpu={cpu}"))).unwrap_or_default();
        RoleRow { path, weight, limits: cpus(limits), guarantees: cpus(guarantees) }
    })
}

fn waiting() -> impl Strategy<Value = TaskRow> {
    (0..6, seat_key(), 0..4i64, 0..3i64).prop_map(|(number, seat, cpu, memory)| TaskRow {
        resources: amounts(&format!("cpu={cpu} memory={memory}Gi")),
        ..task(&format!("t{number}"), &seat)
    })
}

fn event() -> impl Strategy<Value = Event> {
    let filter = || prop::sample::select(vec![0, 1, 1000, 5000]);
    let used =
        prop::sample::select(vec![Use::Half, Use::Half, Use::All, Use::TooMuch, Use::Nothing]);
    prop_oneof![
        3 => agent().prop_map(Event::Agent),
        1 => agent_name().prop_map(Event::AgentGone),
        2 => role().prop_map(Event::Role),
        1 => role_path().prop_map(Event::RoleGone),
        4 => (seat_key(), prop::bool::weighted(0.2)).prop_map(|(key, s)| Event::Seat(key, s)),
        1 => seat_key().prop_map(Event::SeatGone),
        1 => seat_key().prop_map(Event::Revive),
        3 => waiting().prop_map(Event::Task),
        1 => any::<Index>().prop_map(Event::Hold),
        8 => (any::<Index>(), filter()).prop_map(|(which, time)| Event::Decline(which, time)),
        6 => (any::<Index>(), used, filter())
            .prop_map(|(which, used, time)| Event::Accept(which, used, time)),
        4 => (any::<Index>(), prop::bool::weighted(0.8))
            .prop_map(|(which, written)| Event::Settle(which, written)),
        3 => any::<Index>().prop_map(Event::Over),
        3 => prop::sample::select(vec![1, 1000, 5000, 60_000]).prop_map(Event::Wait),
        1 => (0..2usize).prop_map(Event::Decide),
        9 => Just(Event::Decide(usize::MAX)),
    ]
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
