//! Creates tasks, waits for what becomes of them, and reads the figures.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DeleteParams, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use meseta_crds::Task;
use meseta_sim::{Auditor, Config, Fleet, Totals};
use serde_json::json;

use crate::etcd::Etcd;
use crate::server::Server;
use crate::{AGENTS, RUNNING, TASKS};

/// Requests of the driver under way at the same time.
const CONCURRENT: usize = 128;
/// Longest wait for the end of a phase.
const DEADLINE: Duration = Duration::from_secs(600);
/// Memory is read when nothing has happened for so long.
pub(crate) const SETTLED: Duration = Duration::from_secs(2);

/// What is printed of one store.
#[derive(Default)]
pub(crate) struct Figures {
    wall: Duration,
    control_plane: Duration,
    etcd: Option<Duration>,
    writes: usize,
    pub(crate) empty_kib: u64,
    with_agents_kib: u64,
    with_tasks_kib: u64,
}

impl Figures {
    pub(crate) fn header() -> String {
        format!(
            "{:10} {:>8} {:>16} {:>12} {:>12} {:>8} {:>12} {:>13} {:>12}",
            "store",
            "tasks/s",
            "CPU ms per task",
            "etcd CPU ms",
            "writes/task",
            "empty",
            "1,000 agents",
            "10,000 tasks",
            "KiB per task"
        )
    }

    pub(crate) fn row(&self, store: &str) -> String {
        let per_task = |duration: Duration| duration.as_secs_f64() * 1000.0 / as_f64(TASKS);
        let etcd = self.etcd.map_or_else(|| "-".to_owned(), |cpu| format!("{:.3}", per_task(cpu)));
        let mib = |kib: u64| format!("{}", kib / 1024);
        let grown = self.with_tasks_kib.saturating_sub(self.with_agents_kib);
        format!(
            "{store:10} {:>8.0} {:>16.3} {etcd:>12} {:>12.2} {:>8} {:>12} {:>13} {:>12.1}",
            as_f64(TASKS) / self.wall.as_secs_f64(),
            per_task(self.control_plane),
            as_f64(self.writes) / as_f64(TASKS),
            mib(self.empty_kib),
            mib(self.with_agents_kib),
            mib(self.with_tasks_kib),
            as_f64(usize::try_from(grown).unwrap_or_default()) / as_f64(RUNNING),
        )
    }
}

pub(crate) fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Lets tasks go the whole way.
pub(crate) async fn whole_way(
    server: &Server,
    etcd: Option<&Etcd>,
    figures: &mut Figures,
) -> Result<()> {
    let config = Config::new(AGENTS);
    let admin = server.admin().await?;
    let mut auditor = Auditor::start(admin.clone(), config.capacity.clone());
    let fleet = start_fleet(server, config).await?;
    tokio::time::sleep(SETTLED).await;

    let control_plane = server.process.cpu_time()?;
    let etcd_before = etcd.map(Etcd::cpu_time).transpose()?;
    let begin = Instant::now();
    let deleting = tokio::spawn(delete_finished(admin.clone()));
    create(&admin, TASKS).await?;
    let totals = until(&mut auditor, |totals| totals.deleted == TASKS).await?;
    figures.wall = begin.elapsed();
    figures.control_plane = server.process.cpu_time()?.saturating_sub(control_plane);
    figures.etcd = match (etcd, etcd_before) {
        (Some(etcd), Some(before)) => Some(etcd.cpu_time()?.saturating_sub(before)),
        _ => None,
    };
    figures.writes = totals.writes;
    deleting.abort();
    ensure!(auditor.faults().is_empty(), "{:?}", auditor.faults());
    ensure!(fleet.ledger().faults().is_empty(), "{:?}", fleet.ledger().faults());
    ensure!(totals.finished == TASKS, "{totals:?}");
    Ok(())
}

/// Lets many tasks run, and looks at the memory they take.
pub(crate) async fn memory(server: &Server, figures: &mut Figures) -> Result<()> {
    let long = Duration::from_secs(24 * 60 * 60);
    let config = Config { run_time: (long, long), ..Config::new(AGENTS) };
    let admin = server.admin().await?;
    let mut auditor = Auditor::start(admin.clone(), config.capacity.clone());
    let _fleet = start_fleet(server, config).await?;
    tokio::time::sleep(SETTLED).await;
    figures.with_agents_kib = server.process.resident_kib()?;
    create(&admin, RUNNING).await?;
    until(&mut auditor, |totals| totals.running == RUNNING).await?;
    tokio::time::sleep(SETTLED).await;
    figures.with_tasks_kib = server.process.resident_kib()?;
    ensure!(auditor.faults().is_empty(), "{:?}", auditor.faults());
    Ok(())
}

pub(crate) async fn start_fleet(server: &Server, config: Config) -> Result<Fleet> {
    let mut clients = BTreeMap::new();
    for number in 0..config.agents {
        let name = config.name(number);
        clients.insert(name.clone(), server.agent(&name).await?);
    }
    let fleet = Fleet::start(config, |name| clients[name].clone()).await;
    fleet.context("an agent has not registered")
}

async fn create(admin: &Client, count: usize) -> Result<()> {
    let tasks: Api<Task> = Api::namespaced(admin.clone(), "default");
    let creating = futures::stream::iter(0..count).map(|number| {
        let tasks = &tasks;
        async move {
            let spec = serde_json::from_value(json!({
                "containers": [{"command": ["/bin/true"]}],
                "resources": {"cpu": "100m", "memory": "128Mi"},
            }))?;
            let task = Task::new(&format!("task-{number:05}"), spec);
            tasks.create(&PostParams::default(), &task).await?;
            anyhow::Ok(())
        }
    });
    creating.buffer_unordered(CONCURRENT).try_collect().await
}

/// Deletes each task that has finished and that its agent has released.
async fn delete_finished(admin: Client) -> Result<()> {
    let tasks: Api<Task> = Api::namespaced(admin, "default");
    let over = watcher(tasks.clone(), watcher::Config::default()).try_filter_map(|event| async {
        let (Event::Apply(task) | Event::InitApply(task)) = event else { return Ok(None) };
        let released = task.metadata.finalizers.as_ref().is_none_or(Vec::is_empty);
        let over = task.status.is_some_and(|status| status.state.is_terminal());
        Ok(task.metadata.name.filter(|_| over && released))
    });
    let deleting = over.map_err(anyhow::Error::from).map_ok(|name| {
        let tasks = &tasks;
        async move {
            tasks.delete(&name, &DeleteParams::default()).await?;
            anyhow::Ok(())
        }
    });
    deleting.try_buffer_unordered(CONCURRENT).try_collect().await
}

async fn until(auditor: &mut Auditor, wanted: impl FnMut(&Totals) -> bool) -> Result<Totals> {
    let waiting = tokio::time::timeout(DEADLINE, auditor.wait_for(wanted));
    let reached = waiting.await.ok();
    reached.with_context(|| format!("not within {DEADLINE:?}: {:?}", auditor.totals()))
}
