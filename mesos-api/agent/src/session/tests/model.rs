//! Random histories of one session against an executor that keeps what Mesos asks of it, an agent
//! with a disk, and a connection that loses what is on its way when it ends.
//!
//! Checked at each step: what the executor is sent. Checked after a calm end: nothing is missing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::script::{launch, policy, uid_of};
use crate::backend::{Killed, Progress, Stored};
use crate::session::{Acknowledgement, Out, Session, Step};

/// Tasks of a history: the last two are a group.
const TASKS: [&str; 6] = ["a", "b", "c", "d", "g", "h"];
const GROUP: [&str; 2] = ["g", "h"];

#[derive(Clone, Copy, Debug)]
enum Op {
    Launch(usize),
    Kill(usize),
    Connect,
    Disconnect,
    /// The stream takes that many steps.
    Send(u8),
    /// The executor reads that many events.
    Read(u8),
    /// The executor reports a state.
    Update {
        task: usize,
        terminal: bool,
    },
    /// The executor sends its oldest update, and the agent dies before or after it is stored.
    UpdateAndDie {
        stored: bool,
    },
    /// The agent dies between writing a hand-over down and sending it, if one is due.
    HandOverAndDie,
    Restart,
    Shutdown,
}

fn op() -> impl Strategy<Value = Op> {
    let task = 0..TASKS.len();
    prop_oneof![
        6 => task.clone().prop_map(Op::Launch),
        2 => task.clone().prop_map(Op::Kill),
        4 => Just(Op::Connect),
        2 => Just(Op::Disconnect),
        8 => (1..6_u8).prop_map(Op::Send),
        8 => (1..6_u8).prop_map(Op::Read),
        6 => (task, prop::bool::weighted(0.3))
            .prop_map(|(task, terminal)| Op::Update { task, terminal }),
        1 => any::<bool>().prop_map(|stored| Op::UpdateAndDie { stored }),
        1 => Just(Op::HandOverAndDie),
        2 => Just(Op::Restart),
        1 => prop::bool::weighted(0.2).prop_map(|yes| if yes { Op::Shutdown } else { Op::Restart }),
    ]
}

/// What the agent has on its disk about a task.
#[derive(Debug, Default)]
struct Record {
    handed_over: bool,
    updates: Vec<Vec<u8>>,
    over: bool,
    killed: bool,
}

/// What the executor remembers of a task.
#[derive(Debug, Default)]
struct Held {
    acknowledged: bool,
    over: bool,
    kills: usize,
}

#[derive(Default)]
struct World {
    session: Option<Session>,
    stream: Option<u64>,
    /// Sent, and not read yet.
    wire: VecDeque<Out>,
    disk: BTreeMap<String, Record>,
    shutdown: bool,
    held: BTreeMap<String, Held>,
    unacknowledged: VecDeque<Acknowledgement>,
    terminal: BTreeSet<Vec<u8>>,
    uuids: u8,
    /// Since this stream's SUBSCRIBED, or its SHUTDOWN.
    greeted: bool,
    told_to_shut_down: bool,
}

impl World {
    fn session(&mut self) -> &mut Session {
        self.session.as_mut().unwrap()
    }

    fn restart(&mut self) {
        self.disconnect();
        let mut session = Session::new(Duration::from_secs(60));
        let mut group = Vec::new();
        for (id, record) in self.disk.iter().filter(|(_, record)| !record.over) {
            let progress = match record {
                Record { updates, .. } if !updates.is_empty() => Progress::Answered,
                Record { handed_over: true, .. } => Progress::HandedOver,
                _ => Progress::New,
            };
            let task = launch(&uid_of(id), id, progress);
            if GROUP.contains(&id.as_str()) {
                group.push(task);
            } else {
                session.launch(vec![task], false).unwrap();
            }
        }
        if !group.is_empty() {
            session.launch(group, true).unwrap();
        }
        self.session = Some(session);
        let killed: Vec<_> = self
            .disk
            .iter()
            .filter(|(_, record)| record.killed && !record.over)
            .map(|(id, _)| id.clone())
            .collect();
        for id in killed {
            self.kill(&id);
        }
        if self.shutdown {
            self.shut_down();
        }
    }

    fn launch(&mut self, id: &str) {
        let ids = if GROUP.contains(&id) { &GROUP[..] } else { &[id][..] };
        // The agent tells of what is not over, as often as it likes.
        let fresh = ids.iter().all(|id| !self.disk.contains_key(*id));
        if fresh && self.shutdown {
            return;
        }
        for id in ids {
            self.disk.entry((*id).to_owned()).or_default();
        }
        let tasks = ids
            .iter()
            .filter(|id| !self.disk[**id].over)
            .map(|id| launch(&uid_of(id), id, Progress::New))
            .collect();
        // Shutting down for want of tasks refuses those that come.
        if self.session().launch(tasks, ids.len() > 1).is_err() && fresh {
            for id in ids {
                self.disk.remove(*id);
            }
        }
    }

    fn kill(&mut self, id: &str) {
        let Some(record) = self.disk.get_mut(id) else { return };
        record.killed = true;
        if let Killed::BeforeHandover(uids) = self.session().kill(&uid_of(id), Some(policy("3")), 0)
        {
            self.over(&uids);
        }
    }

    fn shut_down(&mut self) {
        self.shutdown = true;
        let uids = self.session().shutdown(Duration::from_secs(10));
        self.over(&uids);
    }

    fn over(&mut self, uids: &[String]) {
        for uid in uids {
            let id = uid.strip_prefix("uid-").unwrap();
            assert!(!self.held.contains_key(id), "{id} was handed over");
            self.disk.get_mut(id).unwrap().over = true;
        }
    }

    fn connect(&mut self) {
        self.disconnect_executor();
        let number = self.session().subscribe();
        self.stream = Some(number);
        let listed = self.held.iter().filter(|(_, held)| !held.acknowledged);
        let mut listed: BTreeSet<_> = listed.map(|(id, _)| id.clone()).collect();
        let brought: Vec<_> = self.unacknowledged.iter().cloned().collect();
        for update in brought {
            listed.insert(update.task_id.clone());
            self.take(&update, true);
        }
        self.session().recovered(number, &listed);
        self.report_lost();
    }

    fn report_lost(&mut self) {
        for uid in self.session().standing().lost {
            let id = uid.strip_prefix("uid-").unwrap();
            assert!(!self.held.contains_key(id), "{id} is not lost");
            let record = self.disk.get_mut(id).unwrap();
            assert!(record.updates.is_empty() && record.handed_over);
            record.over = true;
            self.session().ended(&uid);
        }
    }

    fn disconnect(&mut self) {
        if let Some(number) = self.stream
            && let Some(session) = &mut self.session
        {
            session.disconnected(number);
        }
        self.disconnect_executor();
    }

    fn disconnect_executor(&mut self) {
        self.stream = None;
        self.wire.clear();
        self.greeted = false;
        self.told_to_shut_down = false;
    }

    /// One step of the stream; whether there may be more. With `die` the agent dies before a launch
    /// that was written down goes out.
    fn send(&mut self, die: bool) -> bool {
        let Some(number) = self.stream else { return false };
        let out = match self.session().next(number) {
            Step::Wait => return false,
            Step::End => {
                self.stream = None;
                return false;
            }
            Step::HandOver(uids) => {
                for uid in &uids {
                    self.disk.get_mut(uid.strip_prefix("uid-").unwrap()).unwrap().handed_over =
                        true;
                }
                if die {
                    self.restart();
                    return false;
                }
                self.session().handed_over(number).unwrap()
            }
            Step::Send(out) => out,
        };
        self.wire.push_back(out);
        true
    }

    /// The executor reads one event; whether there was one.
    fn read(&mut self) -> bool {
        let Some(out) = self.wire.pop_front() else { return false };
        assert!(
            !self.told_to_shut_down || matches!(out, Out::Acknowledged(_)),
            "{out:?} after SHUTDOWN"
        );
        match &out {
            Out::Subscribed => assert!(!self.greeted, "SUBSCRIBED twice"),
            Out::Shutdown => self.told_to_shut_down = true,
            _ => assert!(self.greeted, "{out:?} before SUBSCRIBED"),
        }
        self.greeted = true;
        match out {
            Out::Subscribed | Out::Shutdown | Out::Message(_) => {}
            Out::Launch(task) => self.arrived(&task.task_id.value),
            Out::LaunchGroup(tasks) => {
                for task in tasks {
                    self.arrived(&task.task_id.value);
                }
            }
            Out::Kill { task_id, .. } => self.held.get_mut(&task_id).unwrap().kills += 1,
            Out::Acknowledged(update) => {
                let record = &self.disk[&update.task_id];
                assert!(record.updates.contains(&update.uuid), "acknowledged and not stored");
                self.held.get_mut(&update.task_id).unwrap().acknowledged = true;
                self.unacknowledged.retain(|each| *each != update);
            }
        }
        true
    }

    fn arrived(&mut self, id: &str) {
        assert!(self.disk[id].handed_over, "{id} was not written down");
        assert!(!self.disk[id].over, "{id} was over");
        let before = self.held.insert(id.to_owned(), Held::default());
        assert!(before.is_none(), "{id} was handed over twice");
    }

    fn update(&mut self, id: &str, terminal: bool) {
        let Some(held) = self.held.get_mut(id).filter(|held| !held.over) else { return };
        held.over = terminal;
        self.uuids += 1;
        let update = Acknowledgement { task_id: id.to_owned(), uuid: vec![self.uuids; 16] };
        if terminal {
            self.terminal.insert(update.uuid.clone());
        }
        self.unacknowledged.push_back(update.clone());
        if self.session().takes_calls() {
            self.take(&update, true);
        }
    }

    /// An update comes to the agent, which may die before it can say that it has stored it.
    fn take(&mut self, update: &Acknowledgement, say: bool) {
        let Acknowledgement { task_id, uuid } = update;
        let terminal = self.terminal.contains(uuid);
        if say && self.session().repeated(update) {
            return;
        }
        let Some(uid) = self.session().task_of(task_id).map(str::to_owned) else {
            // It is over, and was told so before this agent was started.
            assert!(self.disk[task_id].over, "an update of {task_id} is dropped");
            self.unacknowledged.retain(|each| each != update);
            return;
        };
        let record = self.disk.get_mut(task_id).unwrap();
        let stored = if record.updates.contains(uuid) {
            Stored::Known
        } else {
            assert!(!record.over, "an update after the end");
            record.updates.push(uuid.clone());
            record.over = terminal;
            Stored::New
        };
        if say {
            self.session().stored(&uid, update.clone(), terminal, stored);
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Launch(task) => self.launch(TASKS[task]),
            Op::Kill(task) => self.kill(TASKS[task]),
            Op::Connect => self.connect(),
            Op::Disconnect => self.disconnect(),
            Op::Send(steps) => {
                for _ in 0..steps {
                    self.send(false);
                }
            }
            Op::Read(events) => {
                for _ in 0..events {
                    self.read();
                }
            }
            Op::Update { task, terminal } => self.update(TASKS[task], terminal),
            Op::UpdateAndDie { stored } => {
                if let Some(update) = self.unacknowledged.front().cloned() {
                    if stored && self.session().takes_calls() {
                        self.take(&update, false);
                    }
                    self.restart();
                }
            }
            Op::HandOverAndDie => while self.send(true) {},
            Op::Restart => self.restart(),
            Op::Shutdown => self.shut_down(),
        }
    }

    /// Everything that is on its way arrives.
    fn settle(&mut self) {
        self.connect();
        while self.send(false) || self.read() {}
    }
}

/// What holds at the end of every history.
fn check_end(world: &World) {
    for (id, record) in &world.disk {
        let held = world.held.get(id);
        if world.told_to_shut_down || record.over {
            continue;
        }
        let held = held.unwrap_or_else(|| panic!("{id} is neither handed over nor over"));
        assert!(!record.killed || held.kills > 0, "{id} was not told to end");
    }
    if !world.told_to_shut_down {
        assert!(world.unacknowledged.is_empty(), "{:?} not acknowledged", world.unacknowledged);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_hands_over_once_and_acknowledges_what_is_stored(
        ops in prop::collection::vec(op(), 1..60)
    ) {
        let mut world = World::default();
        world.restart();
        for op in ops {
            world.apply(op);
        }
        world.settle();
        check_end(&world);
    }
}
