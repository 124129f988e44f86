//! Finds a shim to kill, at the age at which it is to be killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use meseta_e2e::Agent;

/// How long there may be no shim to kill.
const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks; a shim's first steps take some tens of milliseconds each.
const PAUSE: Duration = Duration::from_millis(4);

/// A shim that lives.
pub(super) struct Victim {
    pub(super) pid: u32,
    /// Uid of the task whose container it runs.
    pub(super) task: String,
}

/// Knows the shims of an agent, and since when.
pub(super) struct Hunter<'a> {
    agent: &'a Agent,
    /// By uid of the task; a task has one shim here, since none is started again.
    seen: BTreeMap<String, Instant>,
    taken: Vec<String>,
}

impl<'a> Hunter<'a> {
    pub(super) fn new(agent: &'a Agent) -> Self {
        Self { agent, seen: BTreeMap::new(), taken: Vec::new() }
    }

    /// Waits for a shim that begins, and lets it come to that age.
    pub(super) fn newborn(&mut self, age: Duration) -> Victim {
        let known: Vec<String> = self.look().into_iter().map(|victim| victim.task).collect();
        let victim = self.first(|_, victim| !known.contains(&victim.task));
        thread::sleep(age);
        victim
    }

    /// Waits for a shim that is at least that old.
    pub(super) fn grown(&mut self, age: Duration) -> Victim {
        self.first(|since, _| since.elapsed() >= age)
    }

    /// The first shim that is wanted and was not taken before.
    fn first(&mut self, wanted: impl Fn(Instant, &Victim) -> bool) -> Victim {
        let begin = Instant::now();
        loop {
            let mut alive = self.look();
            alive.retain(|victim| !self.taken.contains(&victim.task));
            let found = alive.into_iter().find(|victim| wanted(self.seen[&victim.task], victim));
            if let Some(victim) = found {
                self.taken.push(victim.task.clone());
                return victim;
            }
            assert!(begin.elapsed() < DEADLINE, "no shim to kill within {DEADLINE:?}");
            thread::sleep(PAUSE);
        }
    }

    fn look(&mut self) -> Vec<Victim> {
        let alive = self.agent.shims().into_iter();
        let alive = alive.filter_map(|pid| Some(Victim { pid, task: task_of(pid)? }));
        let alive: Vec<Victim> = alive.collect();
        for victim in &alive {
            self.seen.entry(victim.task.clone()).or_insert_with(Instant::now);
        }
        alive
    }
}

/// The uid of the task that a shim runs: its only argument is a directory that tells.
fn task_of(shim: u32) -> Option<String> {
    let command = std::fs::read_to_string(format!("/proc/{shim}/cmdline")).ok()?;
    let path = command.split('\0').nth(1)?;
    let uid = Path::new(path).parent()?.file_name()?;
    Some(uid.to_str()?.to_owned())
}
