//! How soon a scheduler is told of a resource that has become free.
//!
//! Everything in this process, without the wire. All agents are full, all seats want more. A task's
//! end is reported as its agent would; the time is from that report to the notice of the seat whose
//! turn it is, the durable write included, which is also given for itself. Then the room is used
//! again, by whoever is offered some of it, and when all is quiet the next task ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use meseta_api_server::{ApiServer, Options};
use meseta_crds::task::{MesosTask, TaskOwner};
use meseta_crds::{Framework, Quantity, Task};
use meseta_pki::{ADMIN_GROUP, CONTROL_PLANE_GROUP};
use meseta_runtime::{Controllers, Leadership, LiveOffer, Market, Notice, Seat};
use meseta_serve::Identity;
use meseta_sim::{Config, Fleet};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::server::open;

/// Agents, each full.
const AGENTS: u32 = 100;
/// Tasks that end, one after the other.
const SAMPLES: usize = 300;
/// When nobody was told of anything for so long, nothing is left to be offered.
const QUIET: Duration = Duration::from_millis(20);
/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long what is not used is refused.
const FILTER: Duration = Duration::from_secs(3600);

/// Prints the row of one store for so many seats.
pub(crate) async fn row(kind: &str, place: &str, seats: usize) -> Result<String> {
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let store = open(kind, place).await?;
    let api = ApiServer::start(store, Options::default(), stop.clone()).await?;
    let client = |user: &str, group: &str| {
        api.client(Identity { user: user.to_owned(), groups: vec![group.to_owned()] })
    };
    let admin = client("admin", ADMIN_GROUP);
    let fleet = Fleet::start(Config::new(AGENTS), |_| admin.clone()).await?;
    // Their records are enough; nothing of theirs is to be under way.
    drop(fleet);
    let config = meseta_runtime::Config { sole: true, ..meseta_runtime::Config::new("bench") };
    let (controllers, handle) = Controllers::new(config);
    let controllers =
        tokio::spawn(controllers.run(client("bench", CONTROL_PLANE_GROUP), stop.clone()));
    let mut leadership = handle.leadership();
    let leads = leadership.wait_for(|now| matches!(now, Leadership::Leading(_))).await?;
    let Leadership::Leading(term) = leads.clone() else { bail!("it was waited for") };
    drop(leads);
    let mut bench = Bench::new(admin, term.market, seats).await?;
    let mut whole = Vec::with_capacity(SAMPLES);
    let mut written = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let (notice, write) = bench.sample().await?;
        whole.push(notice);
        written.push(write);
    }
    stop.cancel();
    controllers.await??;
    let columns = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        format!("{:>8.2} {:>8.2}", ms(times[SAMPLES / 2]), ms(times[SAMPLES * 99 / 100]))
    };
    Ok(format!("{kind:10} {seats:>6} {} {}", columns(&mut whole), columns(&mut written)))
}

pub(crate) fn header() -> String {
    format!(
        "{:10} {:>6} {:>8} {:>8} {:>8} {:>8}",
        "store", "seats", "p50", "p99", "write p50", "p99"
    )
}

/// Seats, and what runs where.
struct Bench {
    tasks: Api<Task>,
    market: Market,
    /// Name and uid of the framework of each seat.
    seats: Vec<(String, String)>,
    told: mpsc::Receiver<(usize, Notice, Instant)>,
    /// The tasks on each agent, with their cpus in thousandths.
    running: BTreeMap<String, BTreeSet<(i64, String)>>,
    /// Agents whose tasks end next.
    turns: std::collections::VecDeque<String>,
    last: usize,
}

impl Bench {
    /// Takes the seats and fills the agents.
    async fn new(client: Client, market: Market, count: usize) -> Result<Self> {
        let frameworks: Api<Framework> = Api::namespaced(client.clone(), "default");
        let (sender, told) = mpsc::channel(64);
        let mut seats = Vec::new();
        for number in 0..count {
            let name = format!("scheduler-{number:03}");
            let framework = serde_json::from_value(json!({
                "apiVersion": "meseta.dev/v1alpha1",
                "kind": "Framework",
                "metadata": {"name": name},
                "spec": {"role": "eng", "scheduler": {
                    "frameworkId": name, "roles": ["eng"], "frameworkInfo": {"name": name},
                }},
            }))?;
            let framework = frameworks.create(&PostParams::default(), &framework).await?;
            let uid = framework.metadata.uid.context("a record has a uid")?;
            let seat = Seat {
                namespace: "default".to_owned(),
                framework: name.clone(),
                uid: uid.clone(),
                roles: vec!["eng".to_owned()],
                suppressed: BTreeSet::new(),
            };
            let mut notices = market.enter(seat).await?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Some(notice) = notices.recv().await {
                    if sender.send((number, notice, Instant::now())).await.is_err() {
                        return;
                    }
                }
            });
            seats.push((name, uid));
        }
        let tasks = Api::namespaced(client, "default");
        let config = Config::new(AGENTS);
        let turns = (0..AGENTS).map(|number| config.name(number)).collect();
        let running = BTreeMap::new();
        let mut bench = Self { tasks, market, seats, told, running, turns, last: 0 };
        bench.offered().await?;
        bench.settle().await?;
        Ok(bench)
    }

    /// Waits until somebody is offered something, and uses it; returns when that was.
    async fn offered(&mut self) -> Result<Instant> {
        loop {
            let told = tokio::time::timeout(DEADLINE, self.told.recv()).await;
            let told = told.map_err(|_| anyhow!("nobody is told"))?;
            let (seat, notice, at) = told.context("the term has ended")?;
            if let Notice::Offered(offers) = notice {
                for offer in offers {
                    self.fill(seat, offer).await?;
                }
                return Ok(at);
            }
        }
    }

    /// Uses what is offered until nothing more is.
    async fn settle(&mut self) -> Result<()> {
        while let Ok(told) = tokio::time::timeout(QUIET, self.told.recv()).await {
            let (seat, notice, _) = told.context("the term has ended")?;
            if let Notice::Offered(offers) = notice {
                for offer in offers {
                    self.fill(seat, offer).await?;
                }
            }
        }
        Ok(())
    }

    /// Launches a task as large as the offer.
    async fn fill(&mut self, seat: usize, offer: LiveOffer) -> Result<()> {
        let (framework, uid) = self.seats[seat].clone();
        self.last += 1;
        let name = format!("task-{}", self.last);
        let mut task: Task = serde_json::from_value(json!({
            "apiVersion": "meseta.dev/v1alpha1",
            "kind": "Task",
            "metadata": {"name": name},
            "spec": {"containers": [{"command": ["/bin/true"]}], "resources": offer.resources},
        }))?;
        task.spec.mesos = Some(MesosTask {
            framework_id: framework.clone(),
            task_id: Some(name.clone()),
            ..MesosTask::default()
        });
        let framework_uid = uid.clone();
        task.spec.owner = Some(TaskOwner { framework, framework_uid, ..TaskOwner::default() });
        let taken = self.market.take(&uid, vec![offer.id]).await??;
        for result in self.market.launch(taken, vec![task], FILTER).await? {
            result?;
        }
        let cpus = offer.resources.get("cpu").map_or(Ok(0), Quantity::millis)?;
        self.running.entry(offer.agent).or_default().insert((cpus, name));
        Ok(())
    }

    /// Ends the largest task of an agent; returns how long it took until a seat was told, and until
    /// the end was stored.
    async fn sample(&mut self) -> Result<(Duration, Duration)> {
        let agent = self.turns.pop_front().context("there are agents")?;
        let here = self.running.get_mut(&agent).context("all agents are full")?;
        let (_, name) = here.pop_last().context("a full agent has a task")?;
        self.turns.push_back(agent);
        let patch = json!({"status": {"state": "Finished", "reason": "Completed"}});
        let begin = Instant::now();
        let parameters = PatchParams::default();
        self.tasks.patch_status(&name, &parameters, &Patch::Merge(&patch)).await?;
        let written = begin.elapsed();
        let told = self.offered().await?.duration_since(begin);
        self.settle().await?;
        Ok((told, written))
    }
}
