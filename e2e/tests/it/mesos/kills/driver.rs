//! A scheduler at work, and what must be true of everything it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use meseta_e2e::{
    Cluster, Options, Scheduler, Witness, command_task, executor_program, pymesos, scalar,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::mesos::await_empty;

/// Tasks of one launch.
const WAVE: usize = 4;
/// Tasks that have not ended, at most.
const MOST_LIVE: usize = 12;
/// How long after the last kill everything may take to end: a scheduler waits for some seconds until
/// it connects again, and an update that was not acknowledged is told again after ten.
const END_DEADLINE: Duration = Duration::from_secs(150);
/// Pause between two calls that say the same.
const REPEAT: Duration = Duration::from_secs(2);
const TERMINAL: [&str; 5] =
    ["TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_ERROR"];

/// What the tasks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Commands,
    Executor,
    CommandsAndExecutor,
}

/// What a task does when nobody disturbs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Finishes,
    Fails,
    /// Until its scheduler kills it.
    Runs,
}

struct Planned {
    kind: Kind,
    in_executor: bool,
    kill_asked: Option<Instant>,
    asked_about: Option<Instant>,
    /// A master that knows nothing of it has said so.
    unknown: bool,
}

/// The scheduler and its tasks.
pub(super) struct Driver {
    scheduler: Scheduler,
    witness: Witness,
    work: Work,
    planned: BTreeMap<String, Planned>,
    launching: bool,
    /// Events that were acted on.
    handled: usize,
    acknowledged: BTreeSet<String>,
}

impl Driver {
    pub(super) fn start(cluster: &Cluster, work: Work) -> Self {
        let options = Options::new("hunted").explicit();
        let scheduler = Scheduler::start(&cluster.control_planes()[0].mesos, &options).unwrap();
        Self {
            scheduler,
            witness: Witness::new().unwrap(),
            work,
            planned: BTreeMap::new(),
            launching: true,
            handled: 0,
            acknowledged: BTreeSet::new(),
        }
    }

    pub(super) fn work_for(&mut self, time: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < time {
            self.act();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Acts on what has come since the last time. A call that fails, because nobody is there, is
    /// made again when its cause comes again.
    fn act(&mut self) {
        let events = self.scheduler.events();
        for event in &events[self.handled..] {
            if event.name() == "offers" {
                for offer in event.body["offers"].as_array().into_iter().flatten() {
                    self.answer(offer);
                }
            }
            let status = &event.body["status"];
            if let Some(uuid) = status["uuid"].as_str() {
                let call = self.scheduler.call("acknowledgeStatusUpdate", &json!([status]));
                if call.is_ok() {
                    self.acknowledged.insert(uuid.to_owned());
                }
            }
            if let Some((task, "TASK_LOST")) = event.update()
                && status["reason"] == "REASON_RECONCILIATION"
                && let Some(planned) = self.planned.get_mut(task)
            {
                planned.unknown = true;
            }
        }
        self.handled = events.len();
        self.kill_those_that_run();
    }

    fn answer(&mut self, offer: &Value) {
        let filter = json!({"refuse_seconds": 0.5});
        let room = room(offer).min(MOST_LIVE.saturating_sub(self.live().len())).min(WAVE);
        if !self.launching || room == 0 {
            let _ = self.scheduler.call("declineOffer", &json!([offer["id"], filter]));
            return;
        }
        let wave: Vec<Value> = (0..room).map(|_| self.plan(offer)).collect();
        // Whether this arrives or not: what is asked about later tells.
        let _ = self.scheduler.call("launchTasks", &json!([offer["id"], wave, filter]));
    }

    fn plan(&mut self, offer: &Value) -> Value {
        let number = self.planned.len();
        let kind = [Kind::Finishes, Kind::Runs, Kind::Fails][number % 3];
        let in_executor = match self.work {
            Work::Commands => false,
            Work::Executor => true,
            Work::CommandsAndExecutor => number.is_multiple_of(2),
        };
        let id = format!("t{number}");
        let planned =
            Planned { kind, in_executor, kill_asked: None, asked_about: None, unknown: false };
        self.planned.insert(id.clone(), planned);
        let fifo = self.witness.fifo();
        if in_executor {
            let data = if kind == Kind::Finishes { "ZmluaXNo" } else { "cnVu" };
            return json!({
                "task_id": {"value": id}, "name": id, "agent_id": offer["agent_id"],
                "executor": self.executor(), "data": data,
                "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)],
            });
        }
        let rest = match kind {
            Kind::Finishes => "sleep 0.3",
            Kind::Fails => "sleep 0.2; exit 3",
            Kind::Runs => "sleep 1000000",
        };
        command_task(offer, &id, &format!("echo launch {id} > {}; {rest}", fifo.display()))
    }

    fn executor(&self) -> Value {
        json!({
            "executor_id": {"value": "e"},
            "framework_id": {"value": self.scheduler.framework_id},
            "command": {
                "value": format!("exec python3 {}", executor_program().display()),
                "environment": {"variables": [
                    {"name": "PYTHONPATH", "value": pymesos().unwrap()},
                    {"name": "WITNESS", "value": self.witness.fifo()},
                ]},
            },
            "resources": [scalar("cpus", 0.1), scalar("mem", 64.0)],
        })
    }

    /// Those of an executor that fail by themselves are killed as well: it fails nothing.
    fn kill_those_that_run(&mut self) {
        let told = self.told();
        for (id, planned) in &mut self.planned {
            let states = told.get(id).map(Vec::as_slice).unwrap_or_default();
            let runs =
                planned.kind == Kind::Runs || (planned.in_executor && planned.kind == Kind::Fails);
            let running = states.last().is_some_and(|told| told.state == "TASK_RUNNING");
            let due = planned.kill_asked.is_none_or(|at| at.elapsed() > REPEAT);
            if runs && running && due {
                planned.kill_asked = Some(Instant::now());
                let _ = self.scheduler.call("killTask", &json!([{"value": id}]));
            }
        }
    }

    /// What was told of each task, answers to questions left out, in order.
    fn told(&self) -> BTreeMap<String, Vec<Told>> {
        let mut told: BTreeMap<String, Vec<Told>> = BTreeMap::new();
        for event in self.scheduler.events() {
            let status = &event.body["status"];
            let Some((task, state)) = event.update() else { continue };
            if status["reason"] != "REASON_RECONCILIATION" {
                told.entry(task.to_owned()).or_default().push(Told {
                    state: state.to_owned(),
                    uuid: status["uuid"].as_str().map(str::to_owned),
                    whole: status.clone(),
                });
            }
        }
        told
    }

    /// Tasks of which no end is known.
    fn live(&self) -> Vec<String> {
        let told = self.told();
        let ended =
            |id: &String| told.get(id).is_some_and(|told| told.iter().any(Told::is_terminal));
        let live = self.planned.iter().filter(|(id, planned)| !planned.unknown && !ended(id));
        live.map(|(id, _)| id.clone()).collect()
    }

    /// How many tasks are in which step.
    pub(super) fn steps(&self) -> BTreeMap<&'static str, usize> {
        let told = self.told();
        let mut steps = BTreeMap::new();
        for (id, planned) in &self.planned {
            let last = told.get(id).and_then(|told| told.last());
            let acknowledged = last.and_then(|last| last.uuid.as_ref());
            let acknowledged = acknowledged.is_some_and(|uuid| self.acknowledged.contains(uuid));
            let step = match last {
                _ if planned.unknown => continue,
                None => "launched, nothing told",
                Some(last) if last.is_terminal() && acknowledged => continue,
                Some(last) if last.is_terminal() => "told their end, not acknowledged",
                Some(_) if planned.kill_asked.is_some() => "asked to end",
                Some(last) if last.state == "TASK_RUNNING" => "told running",
                Some(_) => "told starting",
            };
            *steps.entry(step).or_insert(0) += 1;
        }
        steps
    }

    /// Waits until the end of every task is known; asks about those of which nothing is told.
    pub(super) fn finish(&mut self, cluster: &Cluster) {
        self.launching = false;
        let begin = Instant::now();
        while !self.live().is_empty() {
            assert!(
                begin.elapsed() < END_DEADLINE,
                "no end is known of {:?}; told: {:#?}\nrecords: {}",
                self.live(),
                self.live().iter().map(|id| self.scheduler.states(id)).collect::<Vec<_>>(),
                cluster.client().kubectl(&["get", "tasks", "-o", "wide"]).unwrap_or_default(),
            );
            self.act();
            for id in self.live() {
                let planned = self.planned.get_mut(&id).unwrap();
                if planned.asked_about.is_none_or(|at| at.elapsed() > REPEAT) {
                    planned.asked_about = Some(Instant::now());
                    let question = json!([[{"task_id": {"value": id}}]]);
                    let _ = self.scheduler.call("reconcileTasks", &question);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.act();
    }

    /// No update lost, none after a terminal state, nothing started twice.
    pub(super) fn judge(&self) {
        let told = self.told();
        let mut ran = 0;
        for (id, planned) in &self.planned {
            let starts = self.witness.heard(&format!("launch {id}"));
            assert!(starts <= 1, "{id} was started {starts} times");
            let updates = told.get(id).map(Vec::as_slice).unwrap_or_default();
            if planned.unknown {
                assert!(updates.is_empty() && starts == 0, "{id} is unknown, and: {updates:#?}");
                continue;
            }
            let mut distinct: Vec<&Told> = Vec::new();
            for update in updates {
                assert!(update.uuid.is_some(), "{id} was told by no agent: {:#}", update.whole);
                let ended = distinct.last().is_some_and(|last| last.is_terminal());
                match distinct.iter().position(|known| known.uuid == update.uuid) {
                    // Told again, by a leader that knows of no acknowledgement.
                    Some(known) => {
                        assert!(!ended || known == distinct.len() - 1, "{id}: {updates:#?}");
                    }
                    None => distinct.push(update),
                }
            }
            let (last, before) = distinct.split_last().unwrap();
            assert!(last.is_terminal(), "{id}: {updates:#?}");
            assert!(!before.iter().any(|told| told.is_terminal()), "{id}: {updates:#?}");
            let states: Vec<&str> = before.iter().map(|told| told.state.as_str()).collect();
            if planned.in_executor {
                assert!(states.is_empty() || states == ["TASK_RUNNING"], "{id}: {updates:#?}");
            } else if starts == 1 {
                assert_eq!(states, ["TASK_STARTING", "TASK_RUNNING"], "{id}: {updates:#?}");
                let end = match planned.kind {
                    Kind::Finishes => "TASK_FINISHED",
                    Kind::Fails => "TASK_FAILED",
                    Kind::Runs => "TASK_KILLED",
                };
                assert_eq!(last.state, end, "{id}: {updates:#?}");
            } else {
                panic!("{id} did not start: {updates:#?}");
            }
            ran += starts;
        }
        assert!(ran > self.planned.len() / 4, "only {ran} of {} ran", self.planned.len());
    }

    /// Ends the framework; nothing is left of it.
    pub(super) fn end(self, cluster: &Cluster) {
        self.scheduler.stop().unwrap();
        await_empty(&cluster.client());
        cluster.agents()[0].await_nothing_left().unwrap();
    }

    /// SIGKILL of the executors' programs, which are told from others by their witness.
    pub(super) fn kill_executors(&self) {
        let own = format!("WITNESS={}", self.witness.fifo().display());
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            let is_own = environment.split(|byte| *byte == 0).any(|v| v == own.as_bytes());
            if is_own && let Some(pid) = Pid::from_raw(pid) {
                // Fails only where it has ended meanwhile.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// How many tasks fit on an offer, beside an executor that is not there yet.
fn room(offer: &Value) -> usize {
    let resources = offer["resources"].as_array().into_iter().flatten();
    let value = |name: &str| {
        let mut found = resources.clone().filter(|resource| resource["name"] == name);
        found.next().and_then(|found| found["scalar"]["value"].as_f64()).unwrap_or_default()
    };
    let (cpus, mem) = (value("cpus"), value("mem"));
    (0..WAVE)
        .take_while(|count| {
            let tasks = f64::from(u32::try_from(count + 1).unwrap_or(u32::MAX));
            cpus >= 0.1 + 0.1 * tasks && mem >= 64.0 + 32.0 * tasks
        })
        .count()
}

/// One status update.
#[derive(Debug)]
struct Told {
    state: String,
    uuid: Option<String>,
    whole: Value,
}

impl Told {
    fn is_terminal(&self) -> bool {
        TERMINAL.contains(&self.state.as_str())
    }
}
