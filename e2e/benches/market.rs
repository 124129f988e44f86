//! Schedulers, the tasks they have on the agents, and the end of these.

use std::collections::{BTreeMap, VecDeque};
use std::slice;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DynamicObject, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt as _};
use meseta_e2e::http_scheduler::{Event, HttpScheduler, cpu_millis};
use meseta_e2e::scalar;
use serde_json::{Value, json};

use crate::{Turn, records};

/// Events that wait here; the rest waits in the sockets.
const MAX_EVENTS: usize = 1024;
/// Longest wait for the next event.
const EVENT_TIMEOUT: Duration = Duration::from_secs(60);
/// For how long what was not used is refused: longer than any run.
const REFUSE_SECONDS: f64 = 3600.0;
/// What stays on a task when its agent lets go of it.
const SCHEDULER_FINALIZER: &str = "meseta.dev/scheduler";

/// All schedulers.
pub(crate) struct Market {
    // First, so that the readers do not wait for somebody who is gone.
    told: Receiver<(usize, Event)>,
    schedulers: Vec<HttpScheduler>,
    tasks: Api<DynamicObject>,
    watch: BoxStream<'static, kube::Result<WatchEvent<DynamicObject>>>,
    /// The oldest first.
    running: VecDeque<Running>,
    /// Tasks so far.
    count: u128,
}

/// A task that fills its agent.
struct Running {
    record: String,
    task: String,
    agent: String,
}

impl Market {
    /// Subscribes so many schedulers.
    pub(crate) async fn new(client: &Client, master: &str, schedulers: usize) -> Result<Self> {
        let tasks = records::tasks(client);
        let watch = tasks.watch(&WatchParams::default(), "0").await?.boxed();
        let (sender, told) = sync_channel(MAX_EVENTS);
        let subscribe = |number| {
            let sender = sender.clone();
            let framework = json!({"user": "root", "name": format!("bench-{number:03}")});
            // The error is the end of this bench.
            let sink = move |event| drop(sender.send((number, event)));
            HttpScheduler::subscribe(master, &framework, sink)
        };
        let schedulers = (0..schedulers).map(subscribe).collect::<Result<_>>()?;
        Ok(Self { told, schedulers, tasks, watch, running: VecDeque::new(), count: 0 })
    }

    /// Accepts offers until so many thousandths of cores are used.
    pub(crate) async fn fill(&mut self, capacity: u64) -> Result<()> {
        let mut filled = 0;
        while filled < capacity {
            let next = self.next().with_context(|| format!("{filled} of {capacity} are used"));
            let (seat, event) = next?;
            if event.kind() == "OFFERS" {
                filled += cpu_millis(offers_of(&event)?);
                self.accept(seat, &event).await?;
            }
        }
        Ok(())
    }

    /// Waits until so many thousandths of cores are offered to the only scheduler; gives the offers
    /// of each agent.
    pub(crate) fn offers(&mut self, capacity: u64) -> Result<Vec<Vec<Value>>> {
        let mut offers: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        while cpu_millis(offers.values().flatten()) < capacity {
            let (_, event) = self.next()?;
            if event.kind() == "OFFERS" {
                for offer in offers_of(&event)? {
                    offers.entry(agent_of(offer)?.to_owned()).or_default().push(offer.clone());
                }
            }
        }
        Ok(offers.into_values().collect())
    }

    /// Accepts what each agent offers with so many small tasks, and waits until all are stored.
    pub(crate) async fn launch(&mut self, offers: &[Vec<Value>], each: usize) -> Result<()> {
        let small = json!([scalar("cpus", 0.01), scalar("mem", 32.0)]);
        let scheduler = self.schedulers.first_mut().context("no scheduler")?;
        for (offers, number) in offers.iter().zip(0..) {
            let offer = offers.first().context("an agent without an offer")?;
            let task = |index| task(offer, &format!("task-{number}-{index}"), &small);
            let tasks: Vec<Value> = (0..each).map(task).collect();
            scheduler.accept(offers, &tasks, REFUSE_SECONDS)?;
        }
        for _ in 0..offers.len() * each {
            self.stored().await?;
        }
        Ok(())
    }

    /// Ends the oldest task, waits for the offer of its room, and uses that again.
    pub(crate) async fn turn(&mut self) -> Result<Turn> {
        let ended = self.running.pop_front().context("no agent is full")?;
        let status = json!({"status": self.finished(&ended)});
        let parameters = PatchParams::default();
        let begin = Instant::now();
        self.tasks.patch_status(&ended.record, &parameters, &Patch::Merge(&status)).await?;
        let written = begin.elapsed();
        let (mut offers, mut update) = (None, None);
        while offers.is_none() || update.is_none() {
            let (seat, event) = self.next()?;
            let first = offers.is_none() && event.at > begin;
            match event.kind() {
                "OFFERS" if first && of_agent(&event, &ended.agent)? => {
                    offers = Some((seat, event));
                }
                // Room that an earlier turn left.
                "OFFERS" => self.accept(seat, &event).await?,
                _ => update = Some((seat, event)),
            }
        }
        let ((seat, offers), (owner, update)) = offers.zip(update).context("waited for both")?;
        let told = offers.at.saturating_duration_since(begin);
        // Before the acknowledgement, with which the other finalizer goes.
        let release = json!({"metadata": {"finalizers": [SCHEDULER_FINALIZER]}});
        self.tasks.patch(&ended.record, &parameters, &Patch::Merge(&release)).await?;
        self.schedulers[owner].acknowledge(&update.body["update"]["status"])?;
        self.accept(seat, &offers).await?;
        Ok(Turn { told, written })
    }

    /// Accepts each offer with one task as large as it, and waits until that is stored.
    async fn accept(&mut self, seat: usize, event: &Event) -> Result<()> {
        for offer in offers_of(event)? {
            self.count += 1;
            let id = format!("task-{}", self.count);
            let tasks = [task(offer, &id, &offer["resources"])];
            self.schedulers[seat].accept(slice::from_ref(offer), &tasks, REFUSE_SECONDS)?;
            let record = self.stored().await?;
            let agent = agent_of(offer)?.to_owned();
            self.running.push_back(Running { record, task: id, agent });
        }
        Ok(())
    }

    /// Waits for the next new record of a task; returns its name.
    async fn stored(&mut self) -> Result<String> {
        loop {
            let next = tokio::time::timeout(EVENT_TIMEOUT, self.watch.try_next()).await;
            match next.context("no task is stored")??.context("the watch has ended")? {
                WatchEvent::Added(record) => return Ok(record.name_any()),
                WatchEvent::Error(error) => bail!("the watch has ended: {error:?}"),
                _ => {}
            }
        }
    }

    /// The next OFFERS or UPDATE.
    fn next(&mut self) -> Result<(usize, Event)> {
        let deadline = Instant::now() + EVENT_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (seat, event) = self.told.recv_timeout(left).context("nobody is told")?;
            match event.kind() {
                "OFFERS" | "UPDATE" => return Ok((seat, event)),
                "HEARTBEAT" => {}
                _ => bail!("{}", event.body),
            }
        }
    }

    /// The status of a task that has ended, with the update for its scheduler.
    fn finished(&self, ended: &Running) -> Value {
        let hex = format!("{:032x}", self.count);
        let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
        json!({
            "state": "Finished", "reason": "Completed",
            "mesos": {"updates": [{"uuid": uuid, "status": {
                "task_id": {"value": ended.task},
                "agent_id": {"value": ended.agent},
                "executor_id": {"value": ended.task},
                "state": "TASK_FINISHED", "source": "SOURCE_EXECUTOR",
                "message": "Command exited with status 0",
                "uuid": STANDARD.encode(self.count.to_be_bytes()),
            }}]},
        })
    }
}

fn offers_of(event: &Event) -> Result<&Vec<Value>> {
    event.body["offers"]["offers"].as_array().context("OFFERS without offers")
}

fn agent_of(offer: &Value) -> Result<&str> {
    offer["agent_id"]["value"].as_str().context("an offer without an agent")
}

/// Whether one of the offers is of this agent.
fn of_agent(event: &Event, agent: &str) -> Result<bool> {
    Ok(offers_of(event)?.iter().any(|offer| offer["agent_id"]["value"] == agent))
}

fn task(offer: &Value, id: &str, resources: &Value) -> Value {
    json!({
        "task_id": {"value": id}, "name": id, "agent_id": offer["agent_id"],
        "command": {"shell": false, "value": "/bin/true", "arguments": ["/bin/true"]},
        "resources": resources,
    })
}
