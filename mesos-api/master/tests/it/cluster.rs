//! A cluster of a test: an API server, control planes with a gateway each, and agents.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::{Api, Client};
use meseta_api_server::{ApiServer, Options};
use meseta_crds::{Framework, Quantity, Task};
use meseta_mesos_wire::Encoding;
use meseta_pki::{ADMIN_GROUP, CONTROL_PLANE_GROUP, CertificateAuthority};
use meseta_runtime::{Config, Controllers, LeaderAddress};
use meseta_serve::Identity;
use meseta_sim::Fleet;
use meseta_store::memory::MemoryStore;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::scheduler::{Scheduler, info};
use crate::scribe;

/// Longest wait for anything; far more than it takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Records in memory behind a real API server.
pub(crate) struct Cluster {
    api: ApiServer,
    pub(crate) ca: CertificateAuthority,
    agents: meseta_serve::Client,
    _stop: DropGuard,
}

/// One control plane and its gateway; dropping it kills both, as SIGKILL would.
pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let stop = CancellationToken::new();
        let store = Arc::new(MemoryStore::new());
        let api = ApiServer::start(store, Options::default(), stop.clone()).await.unwrap();
        let ca = CertificateAuthority::generate().unwrap();
        let issued = ca.issue_client("gateway", &[]).unwrap();
        let agents = meseta_serve::Client::new(
            ca.certificate_pem(),
            &issued.certificate_pem,
            &issued.key_pem,
        );
        Self { api, ca, agents: agents.unwrap(), _stop: stop.drop_guard() }
    }

    /// A cluster with one control plane and one agent of so many cpus.
    pub(crate) async fn with_agent(cpus: i64) -> (Self, ControlPlane, Fleet) {
        let cluster = Self::start().await;
        let control_plane = cluster.control_plane("a").await;
        let agents = cluster.agents(1, cpus, scribe::Habit::Tell).await;
        (cluster, control_plane, agents)
    }

    fn client(&self, user: &str, group: &str) -> Client {
        let identity = Identity { user: user.to_owned(), groups: vec![group.to_owned()] };
        self.api.client(identity)
    }

    pub(crate) fn admin(&self) -> Client {
        self.client("admin", ADMIN_GROUP)
    }

    pub(crate) fn tasks(&self) -> Api<Task> {
        Api::namespaced(self.admin(), "default")
    }

    pub(crate) fn frameworks(&self) -> Api<Framework> {
        Api::namespaced(self.admin(), "default")
    }

    /// Starts a control plane and waits until its gateway knows who leads.
    pub(crate) async fn control_plane(&self, identity: &str) -> ControlPlane {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = self.client(identity, CONTROL_PLANE_GROUP);
        let config = Config {
            lease_duration: Duration::from_secs(2),
            renew_interval: Duration::from_millis(400),
            retry_interval: Duration::from_millis(100),
            fence_margin: Duration::from_millis(400),
            address: LeaderAddress { api: None, mesos: Some(address.to_string()) },
            ..Config::new(identity)
        };
        let (controllers, handle) = Controllers::new(config);
        let stop = CancellationToken::new();
        let gateway = meseta_mesos_master::run(
            meseta_mesos_master::Config {
                listener,
                advertise: None,
                namespace: "default".to_owned(),
            },
            client.clone(),
            self.agents.clone(),
            handle,
            stop.clone(),
        );
        let controllers = controllers.run(client, stop.clone());
        let tasks = [
            tokio::spawn(async move { gateway.await.unwrap() }),
            tokio::spawn(async move { controllers.await.unwrap() }),
        ];
        let plane = ControlPlane { address, stop, tasks };
        plane.settled().await;
        plane
    }

    /// So many agents of so many cpus and GiB. Their tasks run until somebody ends them.
    pub(crate) async fn agents(&self, number: u32, cpus: i64, habit: scribe::Habit) -> Fleet {
        let long = Duration::from_secs(3600);
        let capacity = [
            ("cpu", Quantity::from_millis(cpus * 1000)),
            ("memory", Quantity::from_bytes(cpus << 30)),
        ];
        let config = meseta_sim::Config {
            capacity: capacity.map(|(name, amount)| (name.to_owned(), amount)).into(),
            run_time: (long, long),
            ..meseta_sim::Config::new(number)
        };
        let fleet = Fleet::start(config, |name| {
            let user = meseta_pki::agent_user(name);
            scribe::client(self.client(&user, meseta_pki::AGENTS_GROUP), habit)
        });
        fleet.await.unwrap()
    }
}

impl ControlPlane {
    /// Waits until calls are answered by this gateway or sent to another.
    async fn settled(&self) {
        let settled = async {
            loop {
                let answer = crate::scheduler::raw(self.address, "GET /api/v1/scheduler").await;
                if answer.status != 503 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, settled).await.expect("the gateway settles");
    }

    /// A scheduler of this name with every capability that is served, in JSON.
    pub(crate) async fn scheduler(&self, name: &str) -> Scheduler {
        Scheduler::subscribe(self.address, Encoding::Json, info(name)).await
    }

    /// Ends it in good order.
    pub(crate) async fn shut_down(mut self) {
        self.stop.cancel();
        for task in &mut self.tasks {
            tokio::time::timeout(DEADLINE, task).await.expect("it ends").unwrap();
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, found).await.unwrap_or_else(|_| panic!("never: {what}"))
}
