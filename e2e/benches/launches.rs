//! A scheduler that accepts offers and acknowledges what becomes of its tasks.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use meseta_e2e::http_scheduler::{Event, HttpScheduler, cpu_millis};
use meseta_e2e::scalar;
use serde_json::{Value, json};

use crate::EVENT_TIMEOUT;

/// Events that wait here; the rest waits in the socket.
const MAX_EVENTS: usize = 1024;
/// Thousandths of cores that each task needs.
const CPU_MILLIS: u32 = 100;

/// A scheduler with one framework.
pub(crate) struct Launches {
    // First, so that its reader does not wait for somebody who is gone.
    told: Receiver<Event>,
    scheduler: HttpScheduler,
    /// What it is offered of the only agent, and has not accepted: what a launch leaves and what
    /// an end frees come as offers of their own.
    offers: Vec<Value>,
}

impl Launches {
    /// Subscribes.
    pub(crate) fn new(master: &str) -> Result<Self> {
        let (sender, told) = sync_channel(MAX_EVENTS);
        let framework = json!({"user": "root", "name": "bench"});
        // The error is the end of this bench.
        let sink = move |event| drop(sender.send(event));
        let scheduler = HttpScheduler::subscribe(master, &framework, sink)?;
        Ok(Self { told, scheduler, offers: Vec::new() })
    }

    /// Launches a task and waits for its end; returns how long it took from before the ACCEPT was
    /// sent until TASK_RUNNING was read, with the acknowledgement of TASK_STARTING between.
    pub(crate) fn one(&mut self, id: &str) -> Result<Duration> {
        let offers = self.offers(1)?;
        let task = [task(&offers, id)];
        let begin = Instant::now();
        self.scheduler.accept(&offers, &task, 0.0)?;
        let mut running = None;
        loop {
            match self.next()? {
                Some((of, state, at)) if of == id && state == "TASK_RUNNING" => {
                    running = Some(at.duration_since(begin));
                }
                Some((of, state, _)) if of == id && state == "TASK_FINISHED" => {
                    return running.context("it finished without TASK_RUNNING");
                }
                _ => {}
            }
        }
    }

    /// Launches tasks with one ACCEPT and waits until all have finished.
    pub(crate) fn at_once(&mut self, count: usize) -> Result<()> {
        let offers = self.offers(count)?;
        let tasks: Vec<Value> = (0..count).map(|n| task(&offers, &format!("many-{n}"))).collect();
        self.scheduler.accept(&offers, &tasks, 0.0)?;
        let mut finished = 0;
        while finished < count {
            let told = self.next().with_context(|| format!("{finished} of {count} finished"))?;
            finished += usize::from(told.is_some_and(|(_, state, _)| state == "TASK_FINISHED"));
        }
        Ok(())
    }

    /// Everything that is offered, once it is enough for so many tasks.
    fn offers(&mut self, tasks: usize) -> Result<Vec<Value>> {
        let needed = u64::from(CPU_MILLIS) * u64::try_from(tasks)?;
        while cpu_millis(&self.offers) < needed {
            self.next()?;
        }
        Ok(std::mem::take(&mut self.offers))
    }

    /// Takes in the next event; returns task, state and time of an update, acknowledged.
    fn next(&mut self) -> Result<Option<(String, String, Instant)>> {
        let event = self.event()?;
        match event.kind() {
            "OFFERS" => {
                let offers = event.body["offers"]["offers"].as_array().context("no offers")?;
                self.offers.extend(offers.iter().cloned());
            }
            "RESCIND" => {
                let gone = &event.body["rescind"]["offer_id"];
                self.offers.retain(|offer| offer["id"] != *gone);
            }
            "UPDATE" => {
                let status = &event.body["update"]["status"];
                self.scheduler.acknowledge(status)?;
                let task = status["task_id"]["value"].as_str().context("no task id")?;
                let state = status["state"].as_str().context("no state")?;
                let good = ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"].contains(&state);
                ensure!(good, "{status}");
                return Ok(Some((task.to_owned(), state.to_owned(), event.at)));
            }
            _ => bail!("{}", event.body),
        }
        Ok(None)
    }

    /// The next event that says something.
    fn event(&self) -> Result<Event> {
        let deadline = Instant::now() + EVENT_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.told.recv_timeout(left).context("nothing more was told")?;
            if event.kind() != "HEARTBEAT" {
                return Ok(event);
            }
        }
    }
}

/// The task of `whole_way`, as Mesos says it.
fn task(offers: &[Value], id: &str) -> Value {
    let agent = offers.first().map(|offer| &offer["agent_id"]);
    json!({
        "task_id": {"value": id}, "name": id, "agent_id": agent,
        "command": {"shell": false, "value": "/bin/true", "arguments": ["/bin/true"]},
        "resources": [scalar("cpus", f64::from(CPU_MILLIS) / 1000.0), scalar("mem", 64.0)],
    })
}
