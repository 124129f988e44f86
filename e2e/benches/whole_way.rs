//! The whole way of a task with the real programs: stored, placed, run, ended; on both stores.
//!
//! One control plane and one agent as processes of their own, tasks that run `/bin/true` on the
//! host's file system, a client over TLS that watches them. `runc run` and `crun run` of the same
//! program run in turn with the tasks, so that the machine's load hits all of them; they only start
//! a container, in a bundle that is there, while a task is also stored, decided and reported, each
//! durably. Memory is that of the processes as they stand.
//!
//! `cargo bench -p meseta-e2e [-- TASKS]`, where TASKS is for one measurement (default 100).
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{ApiResource, DynamicObject, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt as _};
use meseta_e2e::{Layout, StoreKind};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Clients that create tasks at the same time in the second measurement.
const CLIENTS: usize = 16;
/// Longest wait for the next event of a task.
const EVENT_TIMEOUT: Duration = Duration::from_secs(60);
/// In which unit Linux tells processes' times to programs, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

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
    let kubeconfig = cluster.control_planes()[0].data_dir.join("kubeconfig");
    let api = tasks(&kubeconfig).await?;
    let processes = [
        ("control plane", cluster.control_planes()[0].pid()?),
        ("agent", cluster.agents()[0].pid()?),
    ];
    println!("\n{store:?} store, {count} tasks of /bin/true");
    for (name, pid) in processes {
        println!(
            "  memory of the idle {name}: {} MB, of which private {} MB",
            rss(pid)?,
            private(pid)?
        );
    }

    let bundle = Bundle::make()?;
    let mut stored_to_running = Vec::new();
    let mut peers: BTreeMap<&str, Result<Vec<Duration>>> =
        [("runc run", Ok(Vec::new())), ("crun run", Ok(Vec::new()))].into();
    for index in 0..count {
        stored_to_running.push(one(&api, &format!("one-{index}")).await?);
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
    row("Task stored → container running", &mut stored_to_running);
    for (peer, times) in peers {
        match times {
            Ok(mut times) => row(&format!("{peer} (start to end)"), &mut times),
            Err(error) => println!("    {peer:34} not run: {error:#}"),
        }
    }

    let before = processes.map(|(_, pid)| cpu_seconds(pid));
    let begin = Instant::now();
    at_once(&api, count).await?;
    let wall = begin.elapsed().as_secs_f64();
    let number = u32::try_from(count)?;
    println!(
        "  {CLIENTS} clients at once: {:.0} tasks/s, created to ended",
        f64::from(number) / wall
    );
    for ((name, pid), before) in processes.iter().zip(before) {
        let spent = (cpu_seconds(*pid)? - before?) / f64::from(number);
        println!("    CPU of the {name}: {:.2} ms a task", spent * 1000.0);
    }
    println!("    runc run, {CLIENTS} at once: {}", bundle.rate("runc run", count));
    println!("    crun run, {CLIENTS} at once: {}", bundle.rate("crun run", count));
    drop(cluster);
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

async fn tasks(kubeconfig: &Path) -> Result<Api<DynamicObject>> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    let kind = ApiResource {
        group: "meseta.dev".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "meseta.dev/v1alpha1".to_owned(),
        kind: "Task".to_owned(),
        plural: "tasks".to_owned(),
    };
    Ok(Api::namespaced_with(Client::try_from(config)?, "default", &kind))
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

/// A root file system with a `/bin/true` and what it needs, for the peers.
struct Bundle {
    directory: TempDir,
}

impl Bundle {
    fn make() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let root = directory.path().join("rootfs");
        for folder in ["bin", "lib", "lib64", "usr", "proc", "dev", "sys"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let spec = Command::new("runc").arg("spec").current_dir(directory.path()).status();
        ensure!(spec.is_ok_and(|status| status.success()), "runc is not installed");
        let path = directory.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
        config["process"]["args"] = json!(["/bin/true"]);
        config["process"]["terminal"] = json!(false);
        // The limits of the task, on the host's network, as the task.
        config["process"]["rlimits"] = json!([]);
        config["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
        config["linux"]["resources"]["pids"] = json!({"limit": 1024});
        let namespaces = config["linux"]["namespaces"].as_array_mut().context("no namespaces")?;
        namespaces.retain(|namespace| namespace["type"] != "network");
        let mounts = config["mounts"].as_array_mut().context("no mounts")?;
        // Its own sysfs needs its own network.
        mounts.retain(|mount| mount["type"] != "sysfs" && mount["type"] != "cgroup");
        for folder in ["/bin", "/lib", "/lib64", "/usr"].map(PathBuf::from) {
            if folder.exists() {
                mounts.push(json!({"destination": folder, "source": folder, "type": "bind",
                    "options": ["rbind", "ro"]}));
            }
        }
        fs::write(path, serde_json::to_vec(&config)?)?;
        Ok(Self { directory })
    }

    /// One container from start to end.
    fn run(&self, peer: &str) -> Result<Duration> {
        let (program, verb) = peer.split_once(' ').context("a peer is a program and its verb")?;
        let id = format!("bench-{:x}", rand_id());
        let begin = Instant::now();
        let output = in_pure_cgroups(program, verb)
            .arg("--bundle")
            .arg(self.directory.path())
            .arg(&id)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{program} is not installed"))?;
        let time = begin.elapsed();
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", said.lines().last().unwrap_or("it failed"));
        Ok(time)
    }

    /// Containers per second with several at once, or why there is none.
    fn rate(&self, peer: &str, count: usize) -> String {
        let begin = Instant::now();
        let results: Result<Vec<()>> = std::thread::scope(|scope| {
            let each = count.div_ceil(CLIENTS);
            let threads: Vec<_> = (0..CLIENTS)
                .map(|_| scope.spawn(move || (0..each).try_for_each(|_| self.run(peer).map(drop))))
                .collect();
            threads.into_iter().map(|t| t.join().expect("it does not panic")).collect()
        });
        match results {
            Ok(done) => {
                let count = done.len() * count.div_ceil(CLIENTS);
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                format!("{:.0} containers/s", f64::from(count) / begin.elapsed().as_secs_f64())
            }
            Err(error) => format!("not run: {error:#}"),
        }
    }
}

/// crun refuses machines with both versions of control groups; it is shown the first only.
fn in_pure_cgroups(program: &str, verb: &str) -> Command {
    if program != "crun" || !Path::new("/sys/fs/cgroup/unified").exists() {
        let mut command = Command::new(program);
        command.arg(verb);
        return command;
    }
    let script = r#"umount -l /sys/fs/cgroup/unified; exec "$0" "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, program, verb]);
    command
}

/// A number no other call gives.
fn rand_id() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    (u64::from(std::process::id()) << 32) | NEXT.fetch_add(1, Ordering::Relaxed)
}

fn row(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: usize| {
        let index = (times.len() * part / 100).min(times.len().saturating_sub(1));
        times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    };
    println!("    {name:34} {:7.1} {:7.1}", at(50), at(99));
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

/// User and system time of a process and of its children that were waited for.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(") ").context("stat has no name")?;
    let ticks = fields.split(' ').skip(11).take(4).filter_map(|field| field.parse::<u32>().ok());
    Ok(f64::from(ticks.sum::<u32>()) / TICKS_PER_SECOND)
}
