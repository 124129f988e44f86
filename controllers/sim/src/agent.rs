//! One simulated agent.
//!
//! One loop owns everything: it takes in what the watch shows, asks `steps` how far each task is and
//! what its record does not say yet, and has at most one write under way for each task.
//!
//! ```text
//!  watch ──► tasks ──► advance ──► owed ──► write ──► answer ─┐
//!              ▲          │ starts                            │
//!              │          └──► time passes ───────────────────┤
//!              └──────────────────────────────────────────────┘
//! ```

mod report;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use meseta_crds::Task;

use self::steps::{Progress, Seen};
use crate::fleet::Config;
use crate::ledger::Ledger;

/// Writes of one agent under way at the same time; a real agent starts fewer containers at once.
const MAX_WRITES: usize = 16;
/// Pause before something that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// An agent that is registered.
pub(crate) struct Agent {
    client: Client,
    name: String,
    config: Config,
    ledger: Ledger,
    /// The highest epoch of a placement so far.
    epoch: i64,
    /// By uid.
    tasks: BTreeMap<String, Slot>,
    /// Tasks of which something has changed.
    due: BTreeSet<String>,
    /// Writes under way.
    writes: usize,
}

/// A task and what is happening to it.
struct Slot {
    seen: Seen,
    progress: Progress,
    /// Whether a write of it is under way.
    busy: bool,
}

/// Something that was waited for.
enum Done {
    /// A write, or a read after one that failed; nothing if the record is gone.
    Answered(String, Option<Box<Task>>),
    /// Neither is known; try again.
    Failed(String),
    /// A task has run for its time.
    Elapsed(String),
}

/// Lets the agent work for ever.
pub(crate) async fn run(mut agent: Agent) {
    let tasks: Api<Task> = Api::all(agent.client.clone());
    let selector = format!("spec.agentName={}", agent.name);
    let mut events = watcher(tasks, watcher::Config::default().fields(&selector)).boxed();
    let mut pending: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
    let (first, period) = agent.config.heartbeats(&agent.name);
    let mut beats = tokio::time::interval_at(tokio::time::Instant::now() + first, period);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut listed: Option<Vec<String>> = None;
    loop {
        agent.begin(&mut pending);
        tokio::select! {
            _ = beats.tick() => report::heartbeat(&agent.client, &agent.name).await,
            Some(done) = pending.next() => agent.take(done),
            event = events.try_next() => match event {
                Ok(Some(Event::Init)) => listed = Some(Vec::new()),
                Ok(Some(Event::InitApply(task))) => {
                    if let Some(listed) = &mut listed {
                        listed.extend(task.metadata.uid.clone());
                    }
                    agent.see(&task);
                }
                Ok(Some(Event::InitDone)) => {
                    if let Some(listed) = listed.take() {
                        agent.forget_all_but(&listed);
                    }
                }
                Ok(Some(Event::Apply(task))) => agent.see(&task),
                Ok(Some(Event::Delete(task))) => {
                    agent.forget(task.metadata.uid.as_deref().unwrap_or_default());
                }
                Ok(None) => return,
                Err(err) => {
                    let name = &agent.name;
                    tracing::debug!(error = &err as &dyn std::error::Error, name, "watch failed");
                    tokio::time::sleep(RETRY).await;
                }
            },
        }
    }
}

impl Agent {
    /// Takes in a record, from the watch or from an answer, unless a newer one is known.
    fn see(&mut self, task: &Task) {
        if task.spec.agent_name.as_deref() != Some(&self.name) {
            return;
        }
        let seen = Seen::of(task);
        let uid = seen.uid.clone();
        match self.tasks.get_mut(&uid) {
            Some(slot) if slot.seen.version >= seen.version => return,
            Some(slot) => slot.seen = seen,
            None => {
                let slot = Slot { seen, progress: Progress::New, busy: false };
                self.tasks.insert(uid.clone(), slot);
            }
        }
        self.due.insert(uid);
    }

    /// Advances the tasks that nothing is written of, and begins the writes that are owed.
    fn begin(&mut self, pending: &mut FuturesUnordered<BoxFuture<'static, Done>>) {
        let mut room = MAX_WRITES - self.writes;
        let due: Vec<String> = std::mem::take(&mut self.due).into_iter().collect();
        for uid in due {
            if room == 0 {
                self.due.insert(uid);
                continue;
            }
            if let Some(time) = self.advance(&uid) {
                let uid = uid.clone();
                pending.push(Box::pin(async move {
                    tokio::time::sleep(time).await;
                    Done::Elapsed(uid)
                }));
            }
            let Some(slot) = self.tasks.get_mut(&uid) else { continue };
            let Some(owed) = slot.seen.owed(slot.progress) else { continue };
            slot.busy = true;
            room -= 1;
            self.writes += 1;
            pending.push(Box::pin(report::write(self.client.clone(), slot.seen.clone(), owed)));
        }
    }

    /// Brings a task as far as it is; returns how long it will run if it has just been started.
    fn advance(&mut self, uid: &str) -> Option<Duration> {
        let slot = self.tasks.get(uid).filter(|slot| !slot.busy)?;
        let holding = self.tasks.values().filter(|slot| slot.progress.holds());
        let running: Vec<&Seen> = holding.map(|slot| &slot.seen).collect();
        let former = slot.progress;
        let now = slot.seen.advance(former, self.epoch, &running, &self.config.capacity);
        if now == former {
            return None;
        }
        let slot = self.tasks.get_mut(uid)?;
        slot.progress = now;
        let Seen { namespace, name, needs, epoch, .. } = &slot.seen;
        if former.holds() && !now.holds() {
            self.ledger.end(&self.name, needs);
        }
        match now {
            Progress::Ended(end) => self.ledger.count(|counts| end.count(counts)),
            Progress::Running => {
                self.epoch = self.epoch.max(*epoch);
                self.ledger.start(&self.name, uid, needs, &self.config.capacity);
                return Some(self.config.run_time_of(namespace, name));
            }
            Progress::New | Progress::Over => {}
        }
        None
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Answered(uid, task) => {
                self.written(&uid);
                match task {
                    Some(task) if task.metadata.uid.as_ref() == Some(&uid) => self.see(&task),
                    _ => self.forget(&uid),
                }
            }
            Done::Failed(uid) => self.written(&uid),
            Done::Elapsed(uid) => {
                if let Some(slot) = self.tasks.get_mut(&uid)
                    && slot.progress == Progress::Running
                {
                    slot.progress = Progress::Over;
                    self.due.insert(uid);
                }
            }
        }
    }

    fn written(&mut self, uid: &str) {
        self.writes -= 1;
        if let Some(slot) = self.tasks.get_mut(uid) {
            slot.busy = false;
            self.due.insert(uid.to_owned());
        }
    }

    /// The record is gone. A real agent would let the container run on; here it just ends.
    fn forget(&mut self, uid: &str) {
        let Some(slot) = self.tasks.remove(uid) else { return };
        if slot.progress.holds() {
            self.ledger.end(&self.name, &slot.seen.needs);
        }
    }

    fn forget_all_but(&mut self, listed: &[String]) {
        let gone: Vec<String> =
            self.tasks.keys().filter(|uid| !listed.contains(uid)).cloned().collect();
        gone.iter().for_each(|uid| self.forget(uid));
    }
}
