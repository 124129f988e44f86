//! What holds after every step of any history, compared with a model that knows nothing but rows and
//! looks at everything.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use meseta_crds::task::{Constraint, ConstraintOperator};
use meseta_crds::{Quantity, ResourceList};
use proptest::prelude::*;

use super::script::{amounts, key};
use crate::allocator::filter::matches;
use crate::allocator::{AgentRow, Allocator, Placement, RoleRow, TaskKey, TaskRow};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Agent(AgentRow),
    AgentGone(String),
    Role(RoleRow),
    RoleGone(String),
    /// The record as it is; where it is placed and whether it is over is up to the history.
    Task(TaskRow),
    TaskGone(TaskKey),
    TaskOver(TaskKey),
    Allocate(usize),
    /// Settles one of the placements under way: written or not.
    Settle(prop::sample::Index, bool),
}

/// The rows, and nothing else.
#[derive(Default)]
struct Model {
    agents: BTreeMap<String, AgentRow>,
    roles: BTreeMap<String, RoleRow>,
    tasks: BTreeMap<TaskKey, TaskRow>,
    /// Decided, and not settled yet: the row as it was.
    under_way: BTreeMap<TaskKey, (TaskRow, String)>,
}

impl Model {
    /// Tasks that hold something: row and agent.
    fn holding(&self) -> impl Iterator<Item = (&TaskRow, &str)> {
        let assumed = self.under_way.values().map(|(row, agent)| (row, agent.as_str()));
        let placed = self.tasks.values().filter(|row| !row.terminal);
        assumed.chain(placed.filter_map(|row| Some((row, row.agent.as_deref()?))))
    }

    fn waiting(&self) -> impl Iterator<Item = &TaskRow> {
        self.tasks.values().filter(|row| {
            row.agent.is_none() && !row.terminal && !self.under_way.contains_key(&row.key)
        })
    }

    fn fits(&self, row: &TaskRow, agent: &AgentRow) -> bool {
        let used = |name: &str| -> i64 {
            let here = self.holding().filter(|(_, at)| *at == agent.name);
            here.map(|(row, _)| amount(&row.resources, name)).sum()
        };
        let has_room = |(name, need): (&String, &Quantity)| {
            let need = need.millis().unwrap();
            need == 0 || used(name) + need <= amount(&agent.capacity, name)
        };
        agent.schedulable
            && row.resources.iter().all(has_room)
            && matches(&row.constraints, &agent.name, &agent.attributes)
            && self.volume_agents(row).iter().all(|at| *at == agent.name)
            && self.within_limits(row)
    }

    /// Where the volumes of a task are.
    fn volume_agents(&self, row: &TaskRow) -> BTreeSet<String> {
        let assumed = self.under_way.values().map(|(row, agent)| (row, agent));
        let placed = self.tasks.values().filter_map(|row| Some((row, row.agent.as_ref()?)));
        let all: Vec<(&TaskRow, &String)> = assumed.chain(placed).collect();
        let agent_of = |volume: &String| {
            let holders = all.iter().filter(|(other, _)| {
                other.framework == row.framework && other.shared_volumes.contains(volume)
            });
            holders.map(|(_, agent)| (*agent).clone()).min()
        };
        row.shared_volumes.iter().filter_map(agent_of).collect()
    }

    fn within_limits(&self, row: &TaskRow) -> bool {
        let within = |role: &RoleRow| {
            role.limits.keys().all(|name| {
                let need = amount(&row.resources, name);
                let beneath = self.holding().filter(|(other, _)| is_beneath(&other.role, role));
                let held: i64 = beneath.map(|(other, _)| amount(&other.resources, name)).sum();
                need == 0 || held + need <= amount(&role.limits, name)
            })
        };
        self.roles.values().filter(|role| is_beneath(&row.role, role)).all(within)
    }

    /// An allocator that has seen only what is true now.
    fn rebuilt(&self) -> Allocator {
        let mut allocator = Allocator::new();
        for row in self.tasks.values().rev() {
            let mut row = row.clone();
            if let Some((assumed, agent)) = self.under_way.get(&row.key) {
                row = TaskRow { agent: Some(agent.clone()), ..assumed.clone() };
            }
            allocator.upsert_task(row);
        }
        for (key, (row, agent)) in &self.under_way {
            if !self.tasks.contains_key(key) {
                allocator.upsert_task(TaskRow { agent: Some(agent.clone()), ..row.clone() });
            }
        }
        self.agents.values().rev().for_each(|row| allocator.upsert_agent(row.clone()));
        self.roles.values().rev().for_each(|row| allocator.upsert_role(row.clone()));
        allocator
    }

    /// Checks each placement when it is made, and takes it in.
    fn place(&mut self, placements: &[Placement]) {
        for placement in placements {
            let row = self.waiting().find(|row| row.key == placement.task).cloned();
            let row = row.expect("only what waits is placed");
            assert_eq!(row.uid, placement.uid);
            let agent = &self.agents[&placement.agent];
            assert!(self.fits(&row, agent), "{placement:?} has no room");
            self.under_way.insert(row.key.clone(), (row, placement.agent.clone()));
        }
    }
}

fn amount(list: &ResourceList, name: &str) -> i64 {
    list.get(name).map_or(0, |quantity| quantity.millis().unwrap())
}

fn is_beneath(path: &str, role: &RoleRow) -> bool {
    path.strip_prefix(&*role.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The allocator beside the model.
#[derive(Default)]
struct Pair {
    allocator: Allocator,
    model: Model,
    uids: usize,
}

impl Pair {
    fn apply(&mut self, event: Event) {
        let Self { allocator, model, .. } = self;
        match event {
            Event::Agent(row) => {
                allocator.upsert_agent(row.clone());
                model.agents.insert(row.name.clone(), row);
            }
            Event::AgentGone(name) => {
                allocator.remove_agent(&name);
                model.agents.remove(&name);
            }
            Event::Role(row) => {
                allocator.upsert_role(row.clone());
                model.roles.insert(row.path.clone(), row);
            }
            Event::RoleGone(path) => {
                allocator.remove_role(&path);
                model.roles.remove(&path);
            }
            Event::Task(row) => self.upsert_task(row),
            Event::TaskGone(key) => {
                allocator.remove_task(&key);
                model.tasks.remove(&key);
            }
            Event::TaskOver(key) => {
                let Some(row) = model.tasks.get_mut(&key) else { return };
                if row.agent.is_some() {
                    row.terminal = true;
                    allocator.upsert_task(row.clone());
                }
            }
            Event::Allocate(room) => self.allocate(room),
            Event::Settle(which, written) => {
                let keys: Vec<TaskKey> = model.under_way.keys().cloned().collect();
                if !keys.is_empty() {
                    self.settle(&keys[which.index(keys.len())], written);
                }
            }
        }
    }

    /// A record keeps its uid, and what it has once it is placed, as long as it exists.
    fn upsert_task(&mut self, row: TaskRow) {
        let row = match self.model.tasks.get(&row.key) {
            Some(known) if known.agent.is_some() => known.clone(),
            Some(known) => TaskRow { uid: known.uid.clone(), ..row },
            None => {
                self.uids += 1;
                TaskRow { uid: format!("uid-{}", self.uids), ..row }
            }
        };
        self.allocator.upsert_task(row.clone());
        self.model.tasks.insert(row.key.clone(), row);
    }

    fn allocate(&mut self, room: usize) {
        let mut rebuilt = self.model.rebuilt();
        let shares = self.allocator.role_shares();
        assert_eq!(shares.into_iter().filter(said).collect::<Vec<_>>(), {
            // Rows that came meanwhile for tasks under way are not waiting yet.
            rebuilt.role_shares().into_iter().filter(said).collect::<Vec<_>>()
        });
        let placements = self.allocator.decide(0, room).placements;
        assert_eq!(placements, rebuilt.decide(0, room).placements, "as if seen for the first time");
        assert!(placements.len() <= room);
        self.model.place(&placements);
        for row in self.model.waiting() {
            let explained = self.allocator.explain(&row.key).map(|e| e.to_string());
            assert!(explained.is_some(), "{:?}", row.key);
            assert_eq!(explained, rebuilt.explain(&row.key).map(|e| e.to_string()));
            let placeable = self.model.agents.values().any(|agent| self.model.fits(row, agent));
            assert!(!placeable || placements.len() == room, "{:?} would fit", row.key);
        }
        if placements.len() < room {
            assert_eq!(self.allocator.decide(0, room).placements, [], "twice changes nothing");
        }
    }

    fn settle(&mut self, key: &TaskKey, written: bool) {
        let (assumed, agent) = self.model.under_way.remove(key).unwrap();
        // A write that was decided on another version of the record is refused.
        let unchanged = self.model.tasks.get(key) == Some(&assumed);
        if written && unchanged {
            self.allocator.confirm(key);
            let row = TaskRow { agent: Some(agent), ..assumed };
            self.allocator.upsert_task(row.clone());
            self.model.tasks.insert(key.clone(), row);
        } else {
            self.allocator.forget(key);
        }
    }

    /// Takes everything away; nothing may be left behind.
    fn empty(mut self) {
        let under_way: Vec<TaskKey> = self.model.under_way.keys().cloned().collect();
        under_way.iter().for_each(|key| self.settle(key, false));
        self.model.tasks.keys().for_each(|key| self.allocator.remove_task(key));
        self.model.agents.keys().for_each(|name| self.allocator.remove_agent(name));
        self.model.roles.keys().for_each(|path| self.allocator.remove_role(path));
        self.allocator.decide(0, 1);
        let Allocator { resources, agents, shapes, tree, volumes, tasks, grown, .. } =
            &self.allocator;
        assert!(tasks.is_empty() && volumes.is_empty() && grown.is_empty());
        assert!(resources.is_empty() && shapes.is_empty(), "{resources:?} {shapes:?}");
        assert!(agents.is_empty() && tree.is_empty(), "{agents:?} {tree:?}");
    }
}

/// Whether a share says anything: roles may be remembered without.
fn said(share: &crate::allocator::RoleShare) -> bool {
    !share.allocated.is_empty() || share.pending_tasks > 0
}

fn resources() -> impl Strategy<Value = ResourceList> {
    (0..4i64, 0..3i64, prop::bool::weighted(0.1)).prop_map(|(cpu, memory, gpu)| {
        let gpu = if gpu { " gpu=1" } else { "" };
        amounts(&format!("cpu={cpu} memory={memory}Gi{gpu}"))
    })
}

fn role_path() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "a/b", "a/b/c", "d"]).prop_map(str::to_owned)
}

fn agent_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["one", "two", "three"]).prop_map(str::to_owned)
}

fn task_key() -> impl Strategy<Value = TaskKey> {
    (0..10).prop_map(|number| key(&format!("t{number}")))
}

fn agent() -> impl Strategy<Value = AgentRow> {
    let zone = prop::option::of(prop::sample::select(vec!["eu", "us"]));
    (agent_name(), resources(), 0..4i64, zone, prop::bool::weighted(0.8)).prop_map(
        |(name, mut capacity, more, zone, schedulable)| {
            let cpu = amount(&capacity, "cpu") + more * 2000;
            capacity.insert("cpu".to_owned(), Quantity::from_millis(cpu));
            let attributes = zone.map(|zone| ("zone".to_owned(), zone.to_owned()));
            AgentRow { name, capacity, attributes: attributes.into_iter().collect(), schedulable }
        },
    )
}

fn role() -> impl Strategy<Value = RoleRow> {
    let limits = prop::option::of((0..8i64).prop_map(|cpu| amounts(&format!("cpu={cpu}"))));
    (role_path(), 1..4i64, limits).prop_map(|(path, weight, limits)| RoleRow {
        path,
        weight,
        limits: limits.unwrap_or_default(),
        guarantees: ResourceList::new(),
    })
}

fn task() -> impl Strategy<Value = TaskRow> {
    let operator = prop::sample::select(vec![ConstraintOperator::In, ConstraintOperator::NotIn]);
    let constraint = operator.prop_map(|operator| Constraint {
        attribute: "zone".to_owned(),
        operator,
        values: vec!["eu".to_owned()],
    });
    let volumes = prop::sample::subsequence(vec!["v".to_owned(), "w".to_owned()], 0..=2);
    (
        task_key(),
        (prop::option::of(0..3), volumes),
        role_path(),
        0..2,
        0..3i64,
        resources(),
        prop::option::weighted(0.3, constraint),
    )
        .prop_map(
            |(key, (framework, volumes), role, priority, created, resources, constraint)| TaskRow {
                key,
                uid: String::new(),
                shared_volumes: if framework.is_some() { volumes } else { Vec::new() },
                framework: framework.map(|number| format!("f{number}")),
                role,
                priority,
                created: Timestamp::from_second(created).unwrap(),
                resources,
                constraints: constraint.into_iter().collect(),
                agent: None,
                terminal: false,
            },
        )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => agent().prop_map(Event::Agent),
        1 => agent_name().prop_map(Event::AgentGone),
        1 => role().prop_map(Event::Role),
        1 => role_path().prop_map(Event::RoleGone),
        8 => task().prop_map(Event::Task),
        2 => task_key().prop_map(Event::TaskGone),
        3 => task_key().prop_map(Event::TaskOver),
        2 => (1..4usize).prop_map(Event::Allocate),
        3 => Just(Event::Allocate(usize::MAX)),
        5 => (any::<prop::sample::Index>(), prop::bool::weighted(0.7))
            .prop_map(|(which, written)| Event::Settle(which, written)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Nothing exceeds capacity or limits; what fits is placed in one cycle; deciding twice changes
    /// nothing; what is decided depends on the rows alone and not on how they came about, a
    /// forgotten placement included; and nothing is remembered for ever.
    #[test]
    fn any_history_is_as_good_as_its_rows(events in prop::collection::vec(event(), 1..60)) {
        let mut pair = Pair::default();
        for event in events {
            pair.apply(event);
        }
        pair.apply(Event::Allocate(usize::MAX));
        pair.empty();
    }

    /// As long as everybody has tasks that fit, no role is ahead of another by more than the task
    /// that was placed last, in shares divided by weights; nor is a framework in its role.
    #[test]
    fn shares_are_fair_to_within_one_task(
        roles in prop::collection::vec((1..5i64, 1..4usize, 1..5i64, 1..5i64), 2..5),
        placed in 1..60usize,
    ) {
        let mut allocator = Allocator::new();
        allocator.upsert_agent(AgentRow {
            name: "one".to_owned(),
            capacity: amounts("cpu=1000 memory=2000Gi"),
            attributes: BTreeMap::new(),
            schedulable: true,
        });
        // By role: weight; by framework: dominant share of a task in parts of 2000.
        let mut frameworks: BTreeMap<(usize, usize), i64> = BTreeMap::new();
        for (number, (weight, count, cpu, memory)) in roles.iter().enumerate() {
            let role = format!("r{number}");
            allocator.upsert_role(RoleRow {
                path: role.clone(), weight: *weight, limits: ResourceList::new(), guarantees: ResourceList::new(),
            });
            for framework in 0..*count {
                frameworks.insert((number, framework), (2 * cpu).max(*memory));
                for task in 0..60 {
                    let name = format!("{role}-{framework}-{task}");
                    allocator.upsert_task(TaskRow {
                        key: key(&name),
                        uid: name,
                        framework: Some(format!("{role}-{framework}")),
                        role: role.clone(),
                        priority: 0,
                        created: Timestamp::UNIX_EPOCH,
                        resources: amounts(&format!("cpu={cpu} memory={memory}Gi")),
                        constraints: Vec::new(),
                        shared_volumes: Vec::new(),
                        agent: None,
                        terminal: false,
                    });
                }
            }
        }
        let placements = allocator.decide(0, placed).placements;
        prop_assert_eq!(placements.len(), placed);
        let mut tasks: BTreeMap<(usize, usize), i64> = BTreeMap::new();
        for placement in placements {
            let mut parts = placement.uid[1..].split('-').map(|part| part.parse().unwrap());
            let framework = (parts.next().unwrap(), parts.next().unwrap());
            *tasks.entry(framework).or_default() += 1;
        }
        let held = |framework| tasks.get(framework).copied().unwrap_or_default();
        for (one, share) in &frameworks {
            for (other, _) in frameworks.iter().filter(|(other, _)| other.0 == one.0) {
                prop_assert!(held(one) - held(other) <= 1, "{one:?} {other:?} at {share}");
            }
        }
        let share = |role: usize| -> i64 {
            frameworks.iter().filter(|(f, _)| f.0 == role).map(|(f, share)| held(f) * share).sum()
        };
        for (one, row) in roles.iter().enumerate() {
            for (other, other_row) in roles.iter().enumerate() {
                let task = (2 * row.2).max(row.3);
                // (share - task) / weight <= other share / other weight
                let ahead = (share(one) - task) * other_row.0;
                prop_assert!(ahead <= share(other) * row.0, "{one} {other} {tasks:?}");
            }
        }
    }
}
