//! The API server of a test, and the network between it and everybody else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::client::Body;
use kube::{Api, Client};
use meseta_api_server::{ApiServer, Options};
use meseta_crds::{Framework, LEADER_LEASE, Quantity, ResourceList, SYSTEM_NAMESPACE};
use meseta_pki::{ADMIN_GROUP, CONTROL_PLANE_GROUP};
use meseta_runtime::Config;
use meseta_serve::Identity;
use meseta_sim::ControlPlane;
use meseta_store::memory::MemoryStore;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::BoxError;

/// Longest wait for anything; far more than it takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Records in memory behind a real API server.
pub(crate) struct Cluster {
    api: ApiServer,
    _stop: DropGuard,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let stop = CancellationToken::new();
        let store = Arc::new(MemoryStore::new());
        let api = ApiServer::start(store, Options::default(), stop.clone()).await.unwrap();
        Self { api, _stop: stop.drop_guard() }
    }

    pub(crate) fn client(&self, user: &str, group: &str) -> Client {
        let identity = Identity { user: user.to_owned(), groups: vec![group.to_owned()] };
        self.api.client(identity)
    }

    pub(crate) fn admin(&self) -> Client {
        self.client("admin", ADMIN_GROUP)
    }

    pub(crate) fn agent(&self, name: &str) -> Client {
        self.client(&meseta_pki::agent_user(name), meseta_pki::AGENTS_GROUP)
    }

    /// Controllers on a thread of their own. Their requests are answered on this runtime, as over a
    /// network.
    pub(crate) fn control_plane(&self, identity: &str, network: Network) -> ControlPlane {
        let client = self.client(identity, CONTROL_PLANE_GROUP);
        let runtime = tokio::runtime::Handle::current();
        ControlPlane::start(config(identity), move || network.between(client, runtime))
    }
}

/// Short times, so that a change of leader takes no minute of a test.
fn config(identity: &str) -> Config {
    Config {
        lease_duration: Duration::from_secs(1),
        renew_interval: Duration::from_millis(200),
        retry_interval: Duration::from_millis(100),
        fence_margin: Duration::from_millis(200),
        ..Config::new(identity)
    }
}

/// How placements and launches get to the API server.
#[derive(Clone, Default)]
pub(crate) struct Network {
    /// Of a hundred, so many are late.
    pub(crate) late_percent: u32,
    /// How late at most.
    pub(crate) delay: Duration,
    pub(crate) seed: u64,
    /// Those that arrived when another term had begun.
    pub(crate) stale: Arc<AtomicUsize>,
}

impl Network {
    /// A client whose requests are carried out on `runtime`, even if nobody waits for them any more.
    fn between(self, client: Client, runtime: tokio::runtime::Handle) -> Client {
        let random = Arc::new(Mutex::new(StdRng::seed_from_u64(self.seed)));
        let service = tower::service_fn(move |request: Request<Body>| {
            let path = request.uri().path();
            let patch = request.method() == Method::PATCH && path.contains("/tasks/");
            let launch = request.method() == Method::POST && path.ends_with("/tasks");
            let placement = launch || patch && !path.ends_with("/status");
            let delay = placement.then(|| self.delay(&random)).flatten();
            let (client, stale) = (client.clone(), self.stale.clone());
            let carried = runtime.spawn(async move {
                match delay {
                    Some(delay) => carry_late(client, request, delay, &stale).await,
                    None => client.send(request).await,
                }
            });
            async move { carried.await?.map_err(BoxError::from) }
        });
        Client::new(service, "default")
    }

    fn delay(&self, random: &Mutex<StdRng>) -> Option<Duration> {
        let mut random = random.lock().unwrap();
        let late = random.random_range(0..100) < self.late_percent;
        late.then(|| self.delay.mul_f64(random.random_range(0.0..=1.0)))
    }
}

/// Sends a placement after a while, and counts it if it is of an earlier term by then.
async fn carry_late(
    client: Client,
    request: Request<Body>,
    delay: Duration,
    stale: &AtomicUsize,
) -> kube::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let patch: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    tokio::time::sleep(delay).await;
    let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let term = leases.get(LEADER_LEASE).await?.spec.and_then(|spec| spec.lease_transitions);
    if patch["spec"]["placement"]["epoch"].as_i64() < term.map(i64::from) {
        stale.fetch_add(1, Ordering::Relaxed);
    }
    client.send(Request::from_parts(parts, Body::from(body))).await
}

/// The control planes of a test that has two.
pub(crate) const NAMES: [&str; 2] = ["first", "second"];

/// Position of the control plane that holds the lease, if one does.
pub(crate) async fn leader(client: &Client) -> Option<usize> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let lease = leases.get_opt(LEADER_LEASE).await.unwrap()?;
    let holder = lease.spec?.holder_identity?;
    NAMES.iter().position(|name| holder.starts_with(name))
}

/// A framework of one set of tasks that need a cpu each.
pub(crate) async fn create_framework(client: &Client, name: &str, replicas: i64) {
    let record: Framework = serde_json::from_value(json!({
        "apiVersion": "meseta.dev/v1alpha1",
        "kind": "Framework",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"taskSets": [{
            "name": "work",
            "replicas": replicas,
            "template": {"spec": {
                "containers": [{"command": ["true"]}],
                "resources": {"cpu": "1", "memory": "1Gi"},
            }},
        }]},
    }))
    .unwrap();
    let frameworks: Api<Framework> = Api::namespaced(client.clone(), "default");
    frameworks.create(&PostParams::default(), &record).await.unwrap();
}

/// So many cpus and GiB.
pub(crate) fn capacity(cpus: i64) -> ResourceList {
    let amounts =
        [("cpu", Quantity::from_millis(cpus * 1000)), ("memory", Quantity::from_bytes(cpus << 30))];
    amounts.map(|(name, amount)| (name.to_owned(), amount)).into()
}
