//! Schedulers and task sets share a cluster: what each has when all want more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use meseta_crds::ResourceList;
use proptest::prelude::*;

use super::script::{amounts, key};
use crate::allocator::{AgentRow, Allocator, Decisions, Offer, RoleRow, SeatKey, TaskKey, TaskRow};

/// How long a scheduler in these tests refuses, in milliseconds.
const FILTER: i64 = 5000;

/// Somebody who never has enough.
#[derive(Debug)]
struct Claimant {
    role: String,
    weight: i64,
    /// Cpus of its tasks, in the order in which they come, again and again; as many GiB of memory;
    /// or of what else one is in this cluster.
    sizes: Vec<i64>,
    started: usize,
    held: i64,
}

impl Claimant {
    fn next(&self) -> i64 {
        self.sizes[self.started % self.sizes.len()]
    }

    fn largest(&self) -> i64 {
        self.sizes.iter().copied().max().unwrap()
    }
}

struct Cluster {
    allocator: Allocator,
    now: i64,
    agents: usize,
    cpus: i64,
    /// Thousandths of a cpu and MiB of memory that a task of size one needs.
    one: (i64, i64),
    /// The first is a framework of task sets, the others are schedulers.
    claimants: Vec<Claimant>,
    waiting: BTreeMap<TaskKey, i64>,
    running: BTreeMap<TaskKey, (usize, i64)>,
}

impl Cluster {
    fn new(agents: &[i64], claimants: Vec<Claimant>, one: (i64, i64)) -> Self {
        let mut allocator = Allocator::new();
        for (number, cpu) in agents.iter().enumerate() {
            allocator.upsert_agent(AgentRow {
                name: format!("agent-{number}"),
                capacity: resources(one, *cpu),
                attributes: BTreeMap::new(),
                schedulable: true,
            });
        }
        for claimant in &claimants {
            allocator.upsert_role(RoleRow {
                path: claimant.role.clone(),
                weight: claimant.weight,
                limits: amounts(""),
                guarantees: amounts(""),
            });
        }
        for claimant in &claimants[1..] {
            allocator.upsert_seat(seat(claimant), false);
        }
        let mut cluster = Self {
            allocator,
            now: 0,
            agents: agents.len(),
            cpus: agents.iter().sum(),
            one,
            claimants,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
        };
        for _ in 0..cluster.cpus {
            cluster.queue();
        }
        cluster
    }

    /// Task sets, a light scheduler and a heavy one with twice the weight; all tasks need 100m and
    /// 32Mi, and sixteen of them fit on each of two agents.
    fn unequal() -> Self {
        let claimant = |role: &str, weight| {
            let role = role.to_owned();
            Claimant { role, weight, sizes: vec![1], started: 0, held: 0 }
        };
        let claimants = vec![claimant("sets", 1), claimant("light", 1), claimant("heavy", 2)];
        Self::new(&[16, 16], claimants, (100, 32))
    }

    fn resize(&mut self, agent: usize, (cpu, memory): (&str, &str), schedulable: bool) {
        self.allocator.upsert_agent(AgentRow {
            name: format!("agent-{agent}"),
            capacity: amounts(&format!("cpu={cpu} memory={memory}")),
            attributes: BTreeMap::new(),
            schedulable,
        });
    }

    /// Whether the claimants hold so much, each to within one task.
    fn holds(&self, expected: [i64; 3]) -> bool {
        let pairs = self.claimants.iter().zip(expected);
        pairs.into_iter().all(|(claimant, share)| (claimant.held - share).abs() <= 1)
    }

    /// The task sets want one task more.
    fn queue(&mut self) {
        let claimant = &mut self.claimants[0];
        let size = claimant.next();
        let name = format!("set-{:04}", claimant.started);
        claimant.started += 1;
        self.allocator.upsert_task(row(claimant, &name, resources(self.one, size)));
        self.waiting.insert(key(&name), size);
    }

    /// Ends one of the tasks, after all filters.
    fn end_one(&mut self, which: usize) {
        self.now += FILTER;
        let running: Vec<TaskKey> = self.running.keys().cloned().collect();
        let key = &running[which % running.len()];
        let (claimant, size) = self.running.remove(key).unwrap();
        self.claimants[claimant].held -= size;
        self.allocator.remove_task(key);
    }

    /// Lets everybody decide until nothing is left to be decided.
    fn settle(&mut self) {
        for _ in 0..20 * self.cpus {
            let running = self.running.len();
            let offers = self.decide();
            if offers.is_empty() && self.running.len() == running {
                return;
            }
            offers.iter().for_each(|offer| self.answer(offer));
        }
        panic!("it does not come to an end");
    }

    /// The scheduler leaves for good; its tasks end one by one, and something is decided after each.
    /// Next ends the one that is so far ahead in the order of their start, which is on the other
    /// agent mostly. The others answer an offer when so many more tasks have ended.
    fn leave(&mut self, leaving: usize, stride: usize, delay: usize) {
        let claimant = &mut self.claimants[leaving];
        claimant.held = 0;
        self.allocator.remove_seat(&seat(claimant));
        self.now += FILTER;
        let ending = self.running.iter().filter(|(_, (claimant, _))| *claimant == leaving);
        let ending: Vec<TaskKey> = ending.map(|(key, _)| key.clone()).collect();
        self.running.retain(|_, (claimant, _)| *claimant != leaving);
        let mut unanswered: VecDeque<Vec<Offer>> = VecDeque::new();
        for step in 0..ending.len() {
            self.allocator.remove_task(&ending[step * stride % ending.len()]);
            unanswered.push_back(self.decide());
            if unanswered.len() > delay {
                unanswered.pop_front().iter().flatten().for_each(|offer| self.answer(offer));
            }
        }
        unanswered.iter().flatten().for_each(|offer| self.answer(offer));
        self.settle();
    }

    /// Starts what is placed; returns what is offered.
    fn decide(&mut self) -> Vec<Offer> {
        let Decisions { placements, offers, .. } = self.allocator.decide(self.now, usize::MAX);
        for placement in placements {
            self.allocator.confirm(&placement.task);
            let size = self.waiting.remove(&placement.task).unwrap();
            self.claimants[0].held += size;
            self.running.insert(placement.task, (0, size));
            self.queue();
        }
        offers
    }

    /// Takes as many tasks as fit, in their order.
    fn answer(&mut self, offer: &Offer) {
        let index = self.claimants.iter().position(|c| c.role == offer.seat.role).unwrap();
        let claimant = &mut self.claimants[index];
        let cpus = |name: &str| offer.resources.get(name).map_or(0, |q| q.millis().unwrap());
        let mut room = (cpus("cpu") / self.one.0).min(cpus("memory") / (self.one.1 * (1000 << 20)));
        let mut tasks = Vec::new();
        while claimant.next() <= room {
            let size = claimant.next();
            let name = format!("{}-{:04}", claimant.role, claimant.started);
            claimant.started += 1;
            claimant.held += size;
            room -= size;
            self.running.insert(key(&name), (index, size));
            tasks.push(row(claimant, &name, resources(self.one, size)));
        }
        let until = Some(self.now + FILTER);
        if tasks.is_empty() {
            self.allocator.decline(offer.id, until);
        } else {
            let names: Vec<TaskKey> = tasks.iter().map(|row| row.key.clone()).collect();
            self.allocator.accept(&[offer.id], tasks, until).unwrap();
            names.iter().for_each(|name| self.allocator.confirm(name));
        }
    }

    /// Everybody has its share to within one task; or, as shares are not always whole tasks, nobody
    /// is ahead of another by more than the task that it got last, in shares divided by
    /// weights, but for what the other could not use: so much on each agent, as its next task does
    /// not fit there, and `tasks` of its own.
    fn check(&self, unusable: bool, tasks: i64) {
        let free = self.cpus - self.claimants.iter().map(|claimant| claimant.held).sum::<i64>();
        let agents = i64::try_from(self.agents).unwrap();
        let weights: i64 = self.claimants.iter().map(|claimant| claimant.weight).sum();
        for one in &self.claimants {
            for other in &self.claimants {
                let left = if unusable { agents * (other.largest() - 1) } else { 0 };
                let ahead = (one.held - one.largest() - left) * other.weight;
                let behind = (other.held + tasks * other.largest()) * one.weight;
                let near = |claimant: &Claimant| {
                    let share = self.cpus * claimant.weight;
                    (claimant.held * weights - share).abs() <= claimant.largest() * weights
                };
                let fair = ahead <= behind || (near(one) && near(other));
                let said = (&one.role, one.held, &other.role, other.held, free, self.cpus);
                assert!(fair, "{said:?}");
            }
        }
        // Nothing idle that somebody wants.
        let smallest = self.claimants.iter().map(Claimant::next).min().unwrap();
        assert!(free < agents * smallest.max(1), "{free} are free, a task needs {smallest}");
    }
}

fn seat(claimant: &Claimant) -> SeatKey {
    SeatKey { framework: claimant.role.clone(), role: claimant.role.clone() }
}

fn resources((cpu, memory): (i64, i64), size: i64) -> ResourceList {
    amounts(&format!("cpu={}m memory={}Mi", cpu * size, memory * size))
}

fn row(claimant: &Claimant, name: &str, resources: ResourceList) -> TaskRow {
    TaskRow {
        key: key(name),
        uid: name.to_owned(),
        framework: Some(claimant.role.clone()),
        role: claimant.role.clone(),
        priority: 0,
        created: Timestamp::UNIX_EPOCH,
        resources,
        constraints: Vec::new(),
        shared_volumes: Vec::new(),
        agent: None,
        terminal: false,
    }
}

fn claimants(size: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<Claimant>> {
    let one = (1..5i64, prop::collection::vec(size, 1..4));
    prop::collection::vec(one, 3).prop_map(|all| {
        let all = all.into_iter().enumerate();
        all.map(|(number, (weight, sizes))| Claimant {
            role: format!("role-{number}"),
            weight,
            sizes,
            started: 0,
            held: 0,
        })
        .collect()
    })
}

#[test]
fn small_agents_are_shared_by_schedulers_of_which_nothing_is_known() {
    let claimant = |number, weight| {
        let role = format!("role-{number}");
        Claimant { role, weight, sizes: vec![1], started: 0, held: 0 }
    };
    let claimants = vec![claimant(0, 1), claimant(1, 1), claimant(2, 2)];
    let mut cluster = Cluster::new(&[16, 16], claimants, (100, 64));
    cluster.settle();
    let held: Vec<i64> = cluster.claimants.iter().map(|claimant| claimant.held).collect();
    assert_eq!(held, [8, 8, 16]);
}

/// Cpus and memory of agents on which sixteen tasks fit, of which each needs 100m and 32Mi.
const SIXTEEN: [(&str, &str); 4] =
    [("1600m", "1Gi"), ("1600m", "4Gi"), ("16", "512Mi"), ("1600m", "512Mi")];

/// Agents come one after the other, with more memory for each cpu than the tasks need, or less.
#[test]
fn what_is_plentiful_does_not_count() {
    for size in SIXTEEN {
        let mut cluster = Cluster::unequal();
        cluster.resize(0, size, true);
        cluster.resize(1, size, false);
        cluster.settle();
        assert!(cluster.holds([4, 4, 8]), "{size:?}: {:?}", cluster.claimants);
        cluster.resize(1, size, true);
        cluster.settle();
        assert!(cluster.holds([8, 8, 16]), "{size:?}: {:?}", cluster.claimants);
    }
}

/// However long the others think about what they are offered of it: what they have of a plentiful
/// resource meanwhile does not put them behind those who take their tasks at once.
#[test]
fn what_is_left_piece_by_piece_is_shared() {
    let cases = SIXTEEN.iter().flat_map(|size| [1, 3, 5].map(|stride| (*size, stride)));
    for (size, stride) in cases {
        for delay in 0..8 {
            let mut cluster = Cluster::unequal();
            cluster.resize(0, size, true);
            cluster.resize(1, size, false);
            cluster.settle();
            cluster.resize(1, size, true);
            cluster.settle();
            assert!(cluster.holds([8, 8, 16]), "{size:?}: {:?}", cluster.claimants);
            cluster.leave(1, stride, delay);
            let case = (size, stride, delay);
            assert!(cluster.holds([11, 0, 21]), "{case:?}: {:?}", cluster.claimants);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Two schedulers and task sets, each with its weight, share two agents: each has its share to
    /// within one task while all want more, and nothing lies idle that somebody wants.
    #[test]
    fn schedulers_and_task_sets_share_to_within_one_task(
        agents in prop::collection::vec(2..30i64, 2),
        claimants in claimants(Just(1)),
        one in prop::sample::select(vec![(1000, 1024), (100, 64), (100, 32), (250, 512)]),
    ) {
        let mut cluster = Cluster::new(&agents, claimants, one);
        cluster.settle();
        // Where it is not what one is thought to be, the first offers may leave parts of tasks over.
        cluster.check(false, 2 * i64::from(one != (1000, 1024)));
        // Those that run are not touched, so who ends a task may be behind by that one for a while.
        for step in 0..20 {
            cluster.end_one(step * 7);
            cluster.settle();
            cluster.check(false, 2);
        }
    }

    /// The same with tasks of all sizes: roughly, as nobody knows at first how large they are.
    #[test]
    fn large_tasks_get_their_share_too_as_far_as_they_fit(
        agents in prop::collection::vec(8..30i64, 2),
        claimants in claimants(1..5i64),
        one in prop::sample::select(vec![(1000, 1024), (500, 128)]),
    ) {
        let mut cluster = Cluster::new(&agents, claimants, one);
        for _ in 0..5 {
            cluster.settle();
            // What was refused for a task that has found its place elsewhere is wanted again.
            cluster.now += FILTER;
        }
        cluster.check(true, 2);
    }

    /// Everybody who wants something is offered of every agent, up to all of it, in a number of
    /// cycles that is known, whatever the others do.
    #[test]
    fn every_scheduler_that_wants_is_offered_all_of_every_agent(
        seats in prop::collection::vec((1..5i64, 0..3usize), 1..6),
        agents in prop::collection::vec(1..20i64, 1..4),
    ) {
        let mut allocator = Allocator::new();
        for (number, cpu) in agents.iter().enumerate() {
            allocator.upsert_agent(AgentRow {
                name: number.to_string(),
                capacity: amounts(&format!("cpu={cpu} memory={cpu}Gi gpu=1")),
                attributes: BTreeMap::new(),
                schedulable: true,
            });
        }
        for (number, (weight, role)) in seats.iter().enumerate() {
            let path = ["a", "a/b", "c"][*role].to_owned();
            allocator.upsert_seat(SeatKey { framework: number.to_string(), role: path.clone() }, false);
            let (limits, guarantees) = (amounts(""), amounts(""));
            allocator.upsert_role(RoleRow { path, weight: *weight, limits, guarantees });
        }
        let mut missing: BTreeSet<(String, String)> = BTreeSet::new();
        for seat in 0..seats.len() {
            missing.extend((0..agents.len()).map(|agent| (seat.to_string(), agent.to_string())));
        }
        // From almost nothing to all of each agent by doubling, for one seat after the other at worst.
        let bound = seats.len() * agents.len() * 10;
        for _ in 0..bound {
            let offers = allocator.decide(0, 0).offers;
            for offer in &offers {
                let cpu = agents[offer.agent.parse::<usize>().unwrap()] * 1000;
                if offer.resources["cpu"].millis().unwrap() == cpu {
                    missing.remove(&(offer.seat.framework.clone(), offer.agent.clone()));
                }
            }
            offers.iter().for_each(|offer| allocator.decline(offer.id, Some(FILTER)));
        }
        prop_assert!(missing.is_empty(), "{missing:?}");
        prop_assert!(allocator.decide(0, 0).offers.is_empty(), "all is refused");
    }
}
