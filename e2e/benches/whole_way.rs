//! The whole way of a task with the real programs, through both doors and on both stores: stored (or
//! accepted), placed, run, ended.
//!
//! One control plane and one agent as processes of their own, tasks that run `/bin/true` on the
//! host's file system. First a client over TLS creates records and watches them. Then a scheduler
//! accepts offers over the Mesos HTTP API, in JSON, and acknowledges each update ([`launches`]).
//! `runc run` and `crun run` of the same program run in turn with the tasks, so that the machine's
//! load hits all of them; they only start a container, in a bundle that is there, while a task is
//! also stored, decided and reported, each durably (on etcd, which the harness of e2e starts without
//! syncs, as durably as its page cache). Memory is that of the processes as they stand.
//!
//! `cargo bench -p meseta-e2e --bench whole_way [-- TASKS]`, where TASKS is for one measurement
//! (default 100).
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

mod figures;
mod launches;
mod peers;
mod records;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DynamicObject, PostParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt as _};
use meseta_e2e::{Layout, StoreKind};
use serde_json::json;

use crate::figures::{cpu_seconds, number, percentiles};
use crate::launches::Launches;
use crate::peers::Bundle;

/// Clients that create tasks at the same time in the second measurement.
const CLIENTS: usize = 16;
/// Longest wait for the next event of a task.
const EVENT_TIMEOUT: Duration = Duration::from_secs(60);

/// What is measured, by name and pid.
type Processes = [(&'static str, u32); 2];

fn main() -> Result<()> {
    let tasks = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(100);
    // The error is a provider that was there before: also a default.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Runtime::new()?;
    for store in [StoreKind::Embedded, StoreKind::Etcd] {
        runtime.block_on(measure(store, tasks))?;
    }
    Ok(())
}

async fn measure(store: StoreKind, count: usize) -> Result<()> {
    let cluster = Layout::new(store).agent(&["--resources", "cpu=1000,memory=1000Gi"]).start()?;
    let plane = &cluster.control_planes()[0];
    let api = records::tasks(&records::connect(&plane.data_dir.join("kubeconfig")).await?);
    let processes = [("control plane", plane.pid()?), ("agent", cluster.agents()[0].pid()?)];
    println!("\n{store:?} store, {count} tasks of /bin/true");
    for (name, pid) in processes {
        println!(
            "  memory of the idle {name}: {} MB, of which private {} MB",
            rss(pid)?,
            private(pid)?
        );
    }

    let bundle = Bundle::make()?;
    let record = async |index| one(&api, &format!("one-{index}")).await;
    in_turn(&bundle, count, "Task stored → container running", record).await?;
    let what = format!("{CLIENTS} clients at once, created to ended");
    costs(&processes, count, &what, at_once(&api, count)).await?;
    println!("    runc run, {CLIENTS} at once: {}", bundle.rate("runc run", count));
    println!("    crun run, {CLIENTS} at once: {}", bundle.rate("crun run", count));

    let mut scheduler = Launches::new(&plane.mesos)?;
    let launch = async |index| scheduler.one(&format!("launch-{index}"));
    in_turn(&bundle, count, "ACCEPT → TASK_RUNNING is read", launch).await?;
    let what = "one ACCEPT of all, to the last TASK_FINISHED";
    costs(&processes, count, what, async { scheduler.at_once(count) }).await?;
    drop(scheduler);
    drop(cluster);
    Ok(())
}

/// Prints how long one task takes, and in turn with it one container of each peer.
async fn in_turn(
    bundle: &Bundle,
    count: usize,
    what: &str,
    mut one: impl AsyncFnMut(usize) -> Result<Duration>,
) -> Result<()> {
    let mut ours = Vec::new();
    let mut peers: BTreeMap<&str, Result<Vec<Duration>>> =
        [("runc run", Ok(Vec::new())), ("crun run", Ok(Vec::new()))].into();
    for index in 0..count {
        ours.push(one(index).await?);
        for (peer, times) in &mut peers {
            if let Ok(taken) = times {
                match bundle.run(peer) {
                    Ok(time) => taken.push(time),
                    Err(error) => *times = Err(error),
                }
            }
        }
    }
    println!("  one after the other, ms:                p50     p99");
    row(what, &mut ours);
    for (peer, times) in peers {
        match times {
            Ok(mut times) => row(&format!("{peer} (start to end)"), &mut times),
            Err(error) => println!("    {peer:34} not run: {error:#}"),
        }
    }
    Ok(())
}

/// Prints the rate of many tasks, and what each costs the processes.
async fn costs(
    processes: &Processes,
    count: usize,
    what: &str,
    many: impl Future<Output = Result<()>>,
) -> Result<()> {
    let before = processes.map(|(_, pid)| cpu_seconds(pid));
    let begin = Instant::now();
    many.await?;
    let wall = begin.elapsed().as_secs_f64();
    println!("  {what}: {:.0} tasks/s", number(count) / wall);
    for ((name, pid), before) in processes.iter().zip(before) {
        let spent = (cpu_seconds(*pid)? - before?) / number(count);
        println!("    CPU of the {name}: {:.2} ms a task", spent * 1000.0);
    }
    Ok(())
}

/// Creates a task, and waits until the watch shows that its container was started.
async fn one(api: &Api<DynamicObject>, name: &str) -> Result<Duration> {
    let parameters = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = api.watch(&parameters, "0").await?.boxed();
    api.create(&PostParams::default(), &task(name)?).await?;
    let begin = Instant::now();
    loop {
        let next = tokio::time::timeout(EVENT_TIMEOUT, events.try_next()).await;
        let event = next.with_context(|| format!("nothing more was told of {name}"))??;
        if let Some(WatchEvent::Modified(record)) = event
            && record.data["status"]["containers"][0]["startedAt"].is_string()
        {
            return Ok(begin.elapsed());
        }
    }
}

/// Creates `count` tasks from several clients, and waits until all have ended.
async fn at_once(api: &Api<DynamicObject>, count: usize) -> Result<()> {
    let mut events = api.watch(&WatchParams::default(), "0").await?.boxed();
    let creates = futures::stream::iter(0..count).map(Ok).try_for_each_concurrent(
        CLIENTS,
        |index| async move {
            api.create(&PostParams::default(), &task(&format!("many-{index}"))?).await?;
            anyhow::Ok(())
        },
    );
    let ends = async {
        let mut ended = std::collections::BTreeSet::new();
        while ended.len() < count {
            let next = tokio::time::timeout(EVENT_TIMEOUT, events.try_next()).await;
            let event = next.with_context(|| format!("{} of {count} ended", ended.len()))??;
            let Some(WatchEvent::Added(record) | WatchEvent::Modified(record)) = event else {
                continue;
            };
            let state = &record.data["status"]["state"];
            if record.name_any().starts_with("many-") && !state.is_null() {
                ensure!(
                    state != "Failed",
                    "{} failed: {}",
                    record.name_any(),
                    record.data["status"]
                );
                if state == "Finished" {
                    ended.insert(record.name_any());
                }
            }
        }
        Ok(())
    };
    tokio::try_join!(creates, ends)?;
    Ok(())
}

fn task(name: &str) -> Result<DynamicObject> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "meseta.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name},
        "spec": {
            "resources": {"cpu": "100m", "memory": "64Mi"},
            "containers": [{"command": ["/bin/true"]}],
        },
    }))?)
}

fn row(name: &str, times: &mut [Duration]) {
    let [p50, p99] = percentiles(times);
    println!("    {name:34} {p50:7.1} {p99:7.1}");
}

fn rss(pid: u32) -> Result<u64> {
    memory(pid, &["Rss:"])
}

fn private(pid: u32) -> Result<u64> {
    memory(pid, &["Private_Clean:", "Private_Dirty:"])
}

/// The sum of some lines of `smaps_rollup`, in MB.
fn memory(pid: u32, lines: &[&str]) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kilobytes = text.lines().filter(|line| lines.iter().any(|name| line.starts_with(name)));
    let kilobytes =
        kilobytes.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kilobytes.sum::<u64>() / 1024)
}
