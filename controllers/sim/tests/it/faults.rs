//! Two control planes, whose leader is frozen or killed again and again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, Client};
use meseta_crds::{Framework, Task};
use meseta_sim::{Auditor, Config, ControlPlane, Fleet};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::cluster::{Cluster, DEADLINE, NAMES, Network, capacity, create_framework, leader};

/// Times that the leader is hit.
const ROUNDS: usize = 12;
/// Tasks that come anew in each round.
const REPLICAS: i64 = 50;

/// What was done to leaders.
#[derive(Debug, Default)]
struct Hits {
    frozen: usize,
    killed: usize,
}

/// Lets frameworks run while leaders are hit; returns when all have succeeded.
async fn run(cluster: &Cluster, auditor: &Auditor, network: &Network, seed: u64) -> Hits {
    let admin = cluster.admin();
    let mut random = StdRng::seed_from_u64(seed);
    let mut planes: Vec<ControlPlane> =
        NAMES.iter().map(|name| cluster.control_plane(name, network.clone())).collect();
    let mut hits = Hits::default();
    for round in 0..ROUNDS {
        create_framework(&admin, &format!("job-{round}"), REPLICAS).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(50..700))).await;
        let Some(leader) = leader(&admin).await else { continue };
        if random.random_bool(0.5) {
            // Longer than a lease most of the time.
            let time = Duration::from_millis(random.random_range(500..2500));
            planes[leader].freeze();
            tokio::time::sleep(time).await;
            planes[leader].thaw();
            hits.frozen += 1;
        } else {
            let killed = planes.remove(leader);
            tokio::task::spawn_blocking(move || drop(killed)).await.unwrap();
            planes.insert(leader, cluster.control_plane(NAMES[leader], network.clone()));
            hits.killed += 1;
        }
    }
    let client = admin.clone();
    let frameworks: Api<Framework> = Api::namespaced(admin, "default");
    for round in 0..ROUNDS {
        let succeeded = |framework: Option<&Framework>| {
            let status = framework.and_then(|framework| framework.status.as_ref());
            status.is_some_and(|status| status.state.as_deref() == Some("Succeeded"))
        };
        let name = format!("job-{round}");
        let seen = kube::runtime::wait::await_condition(frameworks.clone(), &name, succeeded);
        if tokio::time::timeout(DEADLINE, seen).await.is_err() {
            panic!("{name} of {:?}: {}", auditor.totals(), stuck(&client).await);
        }
    }
    tokio::task::spawn_blocking(move || drop(planes)).await.unwrap();
    hits
}

/// What is still not over, and why.
async fn stuck(client: &Client) -> String {
    let tasks: Api<Task> = Api::namespaced(client.clone(), "default");
    let mut lines = format!("led by {:?}", leader(client).await);
    for task in tasks.list(&ListParams::default()).await.unwrap() {
        let status = task.status.unwrap_or_default();
        if !status.state.is_terminal() {
            let name = task.metadata.name.unwrap_or_default();
            let agent = task.spec.agent_name;
            lines += &format!("\n{name} {:?} {agent:?} {:?}", status.state, status.message);
        }
    }
    lines
}

fn fleet_config() -> Config {
    let run_time = (Duration::from_millis(5), Duration::from_millis(400));
    Config { capacity: capacity(3), run_time, ..Config::new(10) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_leaders_each_task_has_one_agent_with_room_for_it() {
    let cluster = Cluster::start().await;
    let config = fleet_config();
    let auditor = Auditor::start(cluster.admin(), config.capacity.clone());
    let fleet = Fleet::start(config, |name| cluster.agent(name)).await.unwrap();
    let hits = run(&cluster, &auditor, &Network::default(), 1).await;
    let (totals, counts) = (auditor.totals(), fleet.ledger().counts());
    println!("seed 1: {hits:?} {totals:?} {counts:?}");
    assert!(hits.frozen >= 3 && hits.killed >= 3, "{hits:?} prove nothing");
    assert_eq!(auditor.faults(), [""; 0]);
    assert_eq!(fleet.ledger().faults(), [""; 0]);
    // Nothing had to be refused: every leader knew what the one before it had placed.
    assert_eq!((counts.refused_stale, counts.refused_room, totals.late), (0, 0, 0));
    let all = ROUNDS * usize::try_from(REPLICAS).unwrap();
    assert_eq!((totals.created, totals.finished), (all, all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn placements_that_arrive_after_the_end_of_a_term_do_no_harm() {
    let cluster = Cluster::start().await;
    let config = fleet_config();
    let auditor = Auditor::start(cluster.admin(), config.capacity.clone());
    let fleet = Fleet::start(config, |name| cluster.agent(name)).await.unwrap();
    let network =
        Network { late_percent: 10, delay: Duration::from_secs(4), seed: 2, ..Network::default() };
    let hits = run(&cluster, &auditor, &network, 3).await;
    let (totals, counts) = (auditor.totals(), fleet.ledger().counts());
    let stale = network.stale.load(Ordering::Relaxed);
    println!("seed 3: {stale} stale placements; {hits:?} {totals:?} {counts:?}");
    // Most are refused for the record's version. The agents are the last guard: what they refused
    // was made anew.
    assert_eq!(fleet.ledger().faults(), [""; 0]);
    assert!(stale > 0, "nothing came late, which proves nothing");
    let all = ROUNDS * usize::try_from(REPLICAS).unwrap();
    assert_eq!(totals.finished, all, "{totals:?}");
    assert_eq!(counts.started, u64::try_from(all).unwrap());
}
