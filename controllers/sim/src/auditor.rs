//! Looks at every task of the cluster and says what must not be.
//!
//! It sees each version of each record, as any client may: a task has one agent, and keeps it; a
//! terminal state stays; tasks that are placed and not over need no more than their agent has. Each
//! version is one durable write, so it counts these too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use meseta_crds::{ResourceList, Task, TaskState};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Faults that are kept.
const MAX_FAULTS: usize = 20;
/// Pause after a failure of the watch.
const RETRY: Duration = Duration::from_millis(200);

/// A watch over all tasks; ends when it is dropped.
#[derive(Debug)]
pub struct Auditor {
    totals: watch::Receiver<Totals>,
    faults: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

/// Numbers of tasks that have ever been in a state, and of writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records.
    pub created: usize,
    /// With an agent.
    pub placed: usize,
    /// Running.
    pub running: usize,
    /// Finished, with success.
    pub finished: usize,
    /// In another terminal state.
    pub failed: usize,
    /// Gone.
    pub deleted: usize,
    /// Versions seen: each was written and synced.
    pub writes: usize,
    /// Placements that were seen after one of a later epoch.
    pub late: usize,
}

impl Auditor {
    /// Watches on the current runtime. `capacity` is what each agent has.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(client: Client, capacity: ResourceList) -> Self {
        let (sender, totals) = watch::channel(Totals::default());
        let faults = Arc::new(Mutex::new(Vec::new()));
        let audit = Audit {
            capacity,
            totals: sender,
            faults: faults.clone(),
            tasks: BTreeMap::new(),
            used: BTreeMap::new(),
            epoch: 0,
        };
        Self { totals, faults, task: tokio::spawn(audit.run(client)) }
    }

    /// What was seen so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        *self.totals.borrow()
    }

    /// Waits until the totals are as wanted.
    pub async fn wait_for(&mut self, wanted: impl FnMut(&Totals) -> bool) -> Totals {
        self.totals.wait_for(wanted).await.map(|totals| *totals).unwrap_or_default()
    }

    /// Everything that must not be and was, as sentences.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        lock(&self.faults).clone()
    }
}

impl Drop for Auditor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(faults: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Audit {
    capacity: ResourceList,
    totals: watch::Sender<Totals>,
    faults: Arc<Mutex<Vec<String>>>,
    /// By uid.
    tasks: BTreeMap<String, Known>,
    /// By agent and resource, in thousandths.
    used: BTreeMap<(String, String), i64>,
    epoch: i64,
}

/// What was seen of a task last.
#[derive(Clone, Default)]
struct Known {
    agent: Option<String>,
    state: TaskState,
    needs: ResourceList,
}

impl Known {
    /// The agent that it holds its needs on.
    fn holds(&self) -> Option<&str> {
        self.agent.as_deref().filter(|_| !self.state.is_terminal())
    }
}

impl Audit {
    async fn run(mut self, client: Client) {
        let tasks: Api<Task> = Api::all(client);
        let mut events = watcher(tasks, watcher::Config::default()).boxed();
        loop {
            match events.try_next().await {
                Ok(Some(Event::Apply(task) | Event::InitApply(task))) => self.see(&task, false),
                Ok(Some(Event::Delete(task))) => self.see(&task, true),
                Ok(Some(Event::Init | Event::InitDone)) => {}
                Ok(None) => return,
                Err(err) => {
                    tracing::warn!(error = &err as &dyn std::error::Error, "watch failed");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn see(&mut self, task: &Task, gone: bool) {
        let uid = task.metadata.uid.clone().unwrap_or_default();
        let first = !self.tasks.contains_key(&uid);
        let former = self.tasks.remove(&uid).unwrap_or_default();
        let now = Known {
            agent: task.spec.agent_name.clone(),
            state: task.status.as_ref().map(|status| status.state).unwrap_or_default(),
            needs: task.spec.resources.clone(),
        };
        let name = task.metadata.name.as_deref().unwrap_or_default();
        if former.agent.is_some() && former.agent != now.agent {
            self.fault(format!("{name}: agent {:?} became {:?}", former.agent, now.agent));
        }
        if former.state.is_terminal() && former.state != now.state {
            self.fault(format!("{name}: {:?} became {:?}", former.state, now.state));
        }
        let epoch = task.spec.placement.as_ref().map(|p| p.epoch).unwrap_or_default();
        let placed = former.agent.is_none() && now.agent.is_some();
        let late = placed && epoch < self.epoch;
        self.epoch = self.epoch.max(epoch);
        self.charge(&former, -1);
        if !gone {
            self.charge(&now, 1);
        }
        self.count(&former, &now, first, gone, late);
        if !gone {
            self.tasks.insert(uid, now);
        }
    }

    fn count(&self, former: &Known, now: &Known, first: bool, gone: bool, late: bool) {
        let became = |state| former.state != state && now.state == state;
        let ended = !former.state.is_terminal() && now.state.is_terminal();
        self.totals.send_modify(|totals| {
            totals.writes += 1;
            totals.created += usize::from(first);
            totals.placed += usize::from(former.agent.is_none() && now.agent.is_some());
            totals.running += usize::from(became(TaskState::Running));
            totals.finished += usize::from(became(TaskState::Finished));
            totals.failed += usize::from(ended && now.state != TaskState::Finished);
            totals.deleted += usize::from(gone);
            totals.late += usize::from(late);
        });
    }

    fn charge(&mut self, task: &Known, sign: i64) {
        let Some(agent) = task.holds() else { return };
        for (resource, need) in &task.needs {
            let used = self.used.entry((agent.to_owned(), resource.clone())).or_default();
            *used += sign * need.millis().unwrap_or(i64::MAX / 2);
            let limit = self.capacity.get(resource).and_then(|q| q.millis().ok());
            if sign > 0 && *used > limit.unwrap_or_default() {
                let fault = format!("agent {agent}: {used}m {resource} are placed on it");
                self.fault(fault);
            }
        }
    }

    fn fault(&self, fault: String) {
        let mut faults = lock(&self.faults);
        if faults.len() < MAX_FAULTS {
            faults.push(fault);
        }
    }
}
