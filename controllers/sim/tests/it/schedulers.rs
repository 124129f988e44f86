//! External schedulers beside frameworks, while leaders are frozen and killed.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, Client};
use meseta_crds::{Task, TaskState};
use meseta_runtime::Handle;
use meseta_sim::{Auditor, Config, ControlPlane, Done, Fleet, Scheduler, Wishes};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;

use crate::cluster::{Cluster, DEADLINE, NAMES, Network, capacity, create_framework, leader};

/// Times that the leader is hit.
const ROUNDS: usize = 12;
/// Tasks of each scheduler.
const TASKS: usize = 700;
/// Tasks of each framework; one comes in each third round.
const REPLICAS: i64 = 30;

/// Two control planes and the way to what they offer.
struct Planes {
    planes: Vec<ControlPlane>,
    handles: watch::Sender<Vec<Handle>>,
}

impl Planes {
    fn start(cluster: &Cluster, network: &Network) -> Self {
        let planes = NAMES.map(|name| cluster.control_plane(name, network.clone()));
        let planes = Vec::from(planes);
        let handles = watch::Sender::new(planes.iter().map(ControlPlane::handle).collect());
        Self { planes, handles }
    }

    async fn kill(&mut self, position: usize, cluster: &Cluster, network: &Network) {
        let killed = self.planes.remove(position);
        tokio::task::spawn_blocking(move || drop(killed)).await.unwrap();
        self.planes.insert(position, cluster.control_plane(NAMES[position], network.clone()));
        self.handles.send_replace(self.planes.iter().map(ControlPlane::handle).collect());
    }
}

/// What was done to leaders, and what the schedulers did.
#[derive(Debug, Default)]
struct Outcome {
    frozen: usize,
    killed: usize,
    done: Vec<Done>,
}

async fn run(cluster: &Cluster, network: &Network, seed: u64) -> Outcome {
    let admin = cluster.admin();
    let mut random = StdRng::seed_from_u64(seed);
    let mut planes = Planes::start(cluster, network);
    let mut schedulers = Vec::new();
    for (name, role) in [("spark", "eng"), ("flink", "ops")] {
        let wishes = Wishes {
            name: name.to_owned(),
            role: role.to_owned(),
            tasks: TASKS,
            needs: capacity(1),
        };
        let handles = planes.handles.subscribe();
        schedulers.push(Scheduler::start(admin.clone(), handles, wishes).await.unwrap());
    }
    let mut outcome = Outcome::default();
    for round in 0..ROUNDS {
        if round % 3 == 0 {
            create_framework(&admin, &format!("job-{round}"), REPLICAS).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(50..700))).await;
        let Some(leader) = leader(&admin).await else { continue };
        if random.random_bool(0.5) {
            // Longer than a lease most of the time.
            let time = Duration::from_millis(random.random_range(500..2500));
            planes.planes[leader].freeze();
            tokio::time::sleep(time).await;
            planes.planes[leader].thaw();
            outcome.frozen += 1;
        } else {
            planes.kill(leader, cluster, network).await;
            outcome.killed += 1;
        }
    }
    for scheduler in &mut schedulers {
        let finished = scheduler.wait_for(|done| done.finished == TASKS);
        if tokio::time::timeout(DEADLINE, finished).await.is_err() {
            panic!("{:?}: {:?}", scheduler.done(), states(&admin).await);
        }
        outcome.done.push(scheduler.done());
    }
    drop(schedulers);
    tokio::task::spawn_blocking(move || drop(planes)).await.unwrap();
    outcome
}

/// Number of tasks in each state.
async fn states(client: &Client) -> BTreeMap<TaskState, usize> {
    let tasks: Api<Task> = Api::namespaced(client.clone(), "default");
    let mut states = BTreeMap::new();
    for task in tasks.list(&ListParams::default()).await.unwrap() {
        *states.entry(task.status.unwrap_or_default().state).or_default() += 1;
    }
    states
}

/// How often each Mesos task has finished, by framework and id: once, or something ran twice.
async fn finished_once(client: &Client) -> bool {
    let tasks: Api<Task> = Api::namespaced(client.clone(), "default");
    let mut finished: BTreeMap<(String, String), usize> = BTreeMap::new();
    for task in tasks.list(&ListParams::default()).await.unwrap() {
        let state = task.status.unwrap_or_default().state;
        if let Some(mesos) = task.spec.mesos.filter(|_| state == TaskState::Finished) {
            *finished.entry((mesos.framework_id, mesos.task_id.unwrap())).or_default() += 1;
        }
    }
    finished.len() == 2 * TASKS && finished.values().all(|times| *times == 1)
}

fn fleet_config() -> Config {
    let run_time = (Duration::from_millis(5), Duration::from_millis(400));
    Config { capacity: capacity(3), run_time, ..Config::new(10) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_leaders_what_schedulers_launch_runs_once_and_has_room() {
    let cluster = Cluster::start().await;
    let config = fleet_config();
    let auditor = Auditor::start(cluster.admin(), config.capacity.clone());
    let fleet = Fleet::start(config, |name| cluster.agent(name)).await.unwrap();
    let outcome = run(&cluster, &Network::default(), 5).await;
    let (totals, counts) = (auditor.totals(), fleet.ledger().counts());
    println!("seed 5: {outcome:?} {totals:?} {counts:?}");
    assert!(outcome.frozen >= 3 && outcome.killed >= 3, "{outcome:?} proves nothing");
    assert_eq!(auditor.faults(), [""; 0]);
    assert_eq!(fleet.ledger().faults(), [""; 0]);
    // Nothing had to be refused: every leader knew what the one before it had launched.
    assert_eq!((counts.refused_stale, counts.refused_room, totals.late), (0, 0, 0));
    assert!(finished_once(&cluster.admin()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn launches_that_arrive_after_the_end_of_a_term_do_no_harm() {
    let cluster = Cluster::start().await;
    let config = fleet_config();
    let fleet = Fleet::start(config, |name| cluster.agent(name)).await.unwrap();
    let network =
        Network { late_percent: 10, delay: Duration::from_secs(4), seed: 6, ..Network::default() };
    let outcome = run(&cluster, &network, 7).await;
    let counts = fleet.ledger().counts();
    let stale = network.stale.load(Ordering::Relaxed);
    println!("seed 7: {stale} stale writes; {outcome:?} {counts:?}");
    assert_eq!(fleet.ledger().faults(), [""; 0]);
    assert!(stale > 0, "nothing came late, which proves nothing");
    assert!(finished_once(&cluster.admin()).await);
}
