//! Two external schedulers and a framework of task sets share two agents.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::PostParams;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use meseta_crds::{FrameworkRole, Task};
use meseta_sim::{Auditor, Config, Fleet, Scheduler, Wishes};
use serde_json::json;
use tokio::sync::watch;

use crate::cluster::{Cluster, DEADLINE, Network, capacity, create_framework};

/// Cpus of each of the two agents; a task needs one.
const CPUS: i64 = 12;
/// Looks at who has how much; some three tasks end between two of them.
const LOOKS: u32 = 40;

/// The role of each task that holds something, by name.
#[derive(Clone, Default)]
struct Holding(Arc<Mutex<BTreeMap<String, String>>>);

impl Holding {
    async fn follow(self, client: Client) {
        let tasks: Api<Task> = Api::all(client);
        let mut events = watcher(tasks, watcher::Config::default()).boxed();
        while let Ok(Some(event)) = events.try_next().await {
            let (Event::Apply(task) | Event::InitApply(task)) = event else { continue };
            let over = task.status.is_some_and(|status| status.state.is_terminal());
            let name = task.metadata.name.unwrap();
            match task.spec.agent_name {
                Some(_) if !over => self.0.lock().unwrap().insert(name, task.spec.role),
                _ => self.0.lock().unwrap().remove(&name),
            };
        }
    }

    fn count(&self, sums: &mut BTreeMap<String, u32>) {
        for role in self.0.lock().unwrap().values() {
            *sums.entry(role.clone()).or_default() += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_has_its_share_to_within_a_task_while_all_want_more() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let roles: Api<FrameworkRole> = Api::all(admin.clone());
    for (path, weight) in [("eng", 2), ("ops", 1), ("default", 1)] {
        let role: FrameworkRole = serde_json::from_value(json!({
            "apiVersion": "meseta.dev/v1alpha1",
            "kind": "FrameworkRole",
            "metadata": {"name": path},
            "spec": {"path": path, "weight": weight},
        }))
        .unwrap();
        roles.create(&PostParams::default(), &role).await.unwrap();
    }
    let run_time = (Duration::from_millis(400), Duration::from_millis(1200));
    let config = Config { capacity: capacity(CPUS), run_time, ..Config::new(2) };
    let auditor = Auditor::start(admin.clone(), config.capacity.clone());
    let fleet = Fleet::start(config, |name| cluster.agent(name)).await.unwrap();
    let holding = Holding::default();
    let following = tokio::spawn(holding.clone().follow(admin.clone()));
    let control_plane = cluster.control_plane("a", Network::default());
    let handles = watch::Sender::new(vec![control_plane.handle()]);
    let mut schedulers = Vec::new();
    for (name, role) in [("spark", "eng"), ("flink", "ops")] {
        let (name, role) = (name.to_owned(), role.to_owned());
        let wishes = Wishes { name, role, tasks: 10_000, needs: capacity(1) };
        let handles = handles.subscribe();
        schedulers.push(Scheduler::start(admin.clone(), handles, wishes).await.unwrap());
    }
    create_framework(&admin, "job", 400).await;
    // Until everybody has had something, and what the first took of it has ended.
    for scheduler in &mut schedulers {
        let begun = scheduler.wait_for(|done| done.finished > 30);
        tokio::time::timeout(DEADLINE, begun).await.expect("it runs tasks");
    }
    let mut sums: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..LOOKS {
        tokio::time::sleep(Duration::from_millis(100)).await;
        holding.count(&mut sums);
    }
    let total: u32 = sums.values().sum();
    println!("{sums:?} in {LOOKS} looks");
    // Of what is used: between two tasks on one cpu a moment passes.
    let all = f64::from(u32::try_from(2 * CPUS).unwrap());
    for (role, share) in [("eng", 12.0), ("ops", 6.0), ("default", 6.0)] {
        let has = f64::from(sums[role]) / f64::from(total) * all;
        assert!((has - share).abs() <= 1.0, "{role} has {has:.2} cpus: {sums:?}");
    }
    assert!(f64::from(total) > 0.75 * all * f64::from(LOOKS), "much lies idle: {sums:?}");
    following.abort();
    assert_eq!(auditor.faults(), [""; 0]);
    assert_eq!(fleet.ledger().faults(), [""; 0]);
}
