//! The events of the tasks of a namespace, as `kubectl get --watch` prints them.
//!
//! kubectl ends when the control plane does; then it is started again, and lists anew. What happened
//! in between shows as the state it led to; a record that went meanwhile shows not at all.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Deserializer, Value};

use crate::client::Client;

/// Pause before kubectl is started again.
const PAUSE: Duration = Duration::from_millis(100);

/// One event of one task.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it was printed.
    pub at: Instant,
    /// The record with this event.
    pub task: Value,
    /// Whether it is the record's last.
    pub deleted: bool,
}

impl Seen {
    /// Name of the task.
    #[must_use]
    pub fn name(&self) -> &str {
        self.task["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// How far the task is on its way, in one word.
    #[must_use]
    pub fn step(&self) -> &'static str {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let held = self.task["metadata"]["finalizers"][0].is_string();
        let placed = self.task["spec"]["agentName"].is_string();
        let deleting = self.task["metadata"]["deletionTimestamp"].is_string();
        match text(&self.task["status"]["state"]).as_str() {
            _ if self.deleted => "deleted",
            "" | "Pending" if placed => "placed",
            "" | "Pending" => "pending",
            "Staging" => "staging",
            "Starting" => "starting",
            "Running" if deleting => "running, to be deleted",
            "Running" => "running",
            "Killing" => "killing",
            "Unreachable" => "unreachable",
            _ if held => "ended, not cleaned up",
            _ => "ended",
        }
    }
}

#[derive(Default)]
struct State {
    history: Vec<Seen>,
    latest: BTreeMap<String, usize>,
    kubectl: Option<Child>,
    stopped: bool,
}

/// Watches until it is dropped.
pub struct Observer {
    state: Arc<Mutex<State>>,
    watch: Option<JoinHandle<()>>,
}

impl Observer {
    /// Begins to watch the tasks of the clients' namespace with the first of them; the next takes
    /// over where a watch ends.
    ///
    /// # Errors
    /// kubectl cannot be started.
    pub fn start(clients: &[Client]) -> Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let (clients, shared) = (clients.to_vec(), state.clone());
        spawn(&clients[0], &state)?;
        let watch = thread::spawn(move || {
            for client in clients.iter().cycle().skip(1) {
                if !follow(&shared) {
                    return;
                }
                thread::sleep(PAUSE);
                if spawn(client, &shared).is_err() {
                    return;
                }
            }
        });
        Ok(Self { state, watch: Some(watch) })
    }

    /// All events so far, in the order in which they were printed.
    #[must_use]
    pub fn history(&self) -> Vec<Seen> {
        lock(&self.state).history.clone()
    }

    /// The last event of each task, deleted ones included, by name.
    #[must_use]
    pub fn latest(&self) -> BTreeMap<String, Seen> {
        let state = lock(&self.state);
        let latest = state.latest.iter();
        latest.map(|(name, index)| (name.clone(), state.history[*index].clone())).collect()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let kubectl = {
            let mut state = lock(&self.state);
            state.stopped = true;
            state.kubectl.take()
        };
        if let Some(mut kubectl) = kubectl {
            drop(kubectl.kill());
            drop(kubectl.wait());
        }
        if let Some(watch) = self.watch.take() {
            drop(watch.join());
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn(client: &Client, state: &Mutex<State>) -> Result<()> {
    let mut command = client.kubectl_command(&[
        "get",
        "tasks",
        "--watch",
        "--output-watch-events",
        "-o",
        "json",
    ])?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut state = lock(state);
    if !state.stopped {
        state.kubectl = Some(command.spawn().context("cannot start kubectl")?);
    }
    Ok(())
}

/// Takes up events until kubectl ends; says whether to go on.
fn follow(state: &Mutex<State>) -> bool {
    let stdout = lock(state).kubectl.as_mut().and_then(|kubectl| kubectl.stdout.take());
    let Some(stdout) = stdout else { return false };
    let events = Deserializer::from_reader(BufReader::new(stdout)).into_iter::<Value>();
    for mut event in events.map_while(Result::ok) {
        if event["type"] == "ERROR" {
            break;
        }
        let deleted = event["type"] == "DELETED";
        let seen = Seen { at: Instant::now(), task: event["object"].take(), deleted };
        let mut state = lock(state);
        let index = state.history.len();
        state.latest.insert(seen.name().to_owned(), index);
        state.history.push(seen);
    }
    let mut state = lock(state);
    if let Some(mut kubectl) = state.kubectl.take() {
        drop(kubectl.kill());
        drop(kubectl.wait());
    }
    !state.stopped
}
