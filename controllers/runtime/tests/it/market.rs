//! Offers to external schedulers, over a real API server with records in memory.

mod faults;
mod launches;
mod offers;
mod roles;
mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use meseta_api_server::{ApiServer, Options};
use meseta_crds::task::{MesosTask, TaskOwner};
use meseta_crds::{Agent, Framework, ResourceList, Task, TaskState};
use meseta_pki::{ADMIN_GROUP, CONTROL_PLANE_GROUP};
use meseta_runtime::{
    Config, Controllers, Handle, Leadership, LiveOffer, Market, Notice, Seat, Taken, Term,
};
use meseta_serve::Identity;
use meseta_store::memory::MemoryStore;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{ControlPlane, DEADLINE, agents, config};

/// Long enough to tell that nothing comes, for a test that goes on when it does not.
const LONG: Duration = Duration::from_secs(3600);

/// Records, and the way to them.
struct Server {
    api: ApiServer,
    _stop: DropGuard,
}

impl Server {
    async fn start() -> Self {
        let stop = CancellationToken::new();
        let store = Arc::new(MemoryStore::new());
        let api = ApiServer::start(store, Options::default(), stop.clone()).await.unwrap();
        Self { api, _stop: stop.drop_guard() }
    }

    fn client(&self, user: &str, group: &str) -> Client {
        self.api.client(Identity { user: user.to_owned(), groups: vec![group.to_owned()] })
    }

    fn admin(&self) -> Client {
        self.client("admin", ADMIN_GROUP)
    }

    fn control_plane(&self, identity: &str) -> (ControlPlane, Handle) {
        self.control_plane_with(config(identity), self.client(identity, CONTROL_PLANE_GROUP))
    }

    fn control_plane_with(&self, config: Config, client: Client) -> (ControlPlane, Handle) {
        let (controllers, handle) = Controllers::new(config);
        let stop = CancellationToken::new();
        let task = tokio::spawn(controllers.run(client, stop.clone()));
        (ControlPlane { stop, task }, handle)
    }
}

/// Waits until the process leads.
async fn leading(handle: &Handle) -> Term {
    let mut leadership = handle.leadership();
    let leads = leadership.wait_for(|now| matches!(now, Leadership::Leading(_)));
    let leads = tokio::time::timeout(DEADLINE, leads).await.expect("it leads").unwrap();
    let Leadership::Leading(term) = &*leads else { unreachable!("it was waited for") };
    term.clone()
}

/// A scheduler that is subscribed.
struct Scheduler {
    market: Market,
    framework: Framework,
    notices: mpsc::Receiver<Notice>,
}

impl Scheduler {
    async fn enter(admin: &Client, market: &Market, name: &str, roles: &[&str]) -> Self {
        let framework = serde_json::from_value(json!({
            "apiVersion": "meseta.dev/v1alpha1",
            "kind": "Framework",
            "metadata": {"name": name, "finalizers": [meseta_crds::SCHEDULER_FINALIZER]},
            "spec": {"role": roles[0], "scheduler": {
                "frameworkId": name, "roles": roles, "frameworkInfo": {"name": name},
            }},
        }));
        let frameworks: Api<Framework> = Api::namespaced(admin.clone(), "default");
        let framework =
            frameworks.create(&PostParams::default(), &framework.unwrap()).await.unwrap();
        Self::enter_again(market, framework).await
    }

    async fn enter_again(market: &Market, framework: Framework) -> Self {
        let seat = Seat {
            namespace: "default".to_owned(),
            framework: framework.name_any(),
            uid: framework.metadata.uid.clone().unwrap(),
            roles: framework.spec.scheduler.as_ref().unwrap().roles.clone(),
            suppressed: BTreeSet::new(),
        };
        let notices = market.enter(seat).await.unwrap();
        Self { market: market.clone(), framework, notices }
    }

    fn uid(&self) -> &str {
        self.framework.metadata.uid.as_deref().unwrap()
    }

    async fn next(&mut self) -> Option<Notice> {
        tokio::time::timeout(DEADLINE, self.notices.recv()).await.expect("it is told something")
    }

    /// Waits for so many offers, in the order of their agents.
    async fn offers(&mut self, count: usize) -> Vec<LiveOffer> {
        let mut offers = Vec::new();
        while offers.len() < count {
            match self.next().await {
                Some(Notice::Offered(more)) => offers.extend(more),
                other => panic!("{other:?} instead of offers"),
            }
        }
        assert_eq!(offers.len(), count, "{offers:?}");
        offers.sort_by(|one, other| one.agent.cmp(&other.agent));
        offers
    }

    async fn take(&self, offers: &[&LiveOffer]) -> Taken {
        let ids = offers.iter().map(|offer| offer.id.clone()).collect();
        self.market.take(self.uid(), ids).await.unwrap().unwrap()
    }

    async fn decline(&self, offers: &[LiveOffer], filter: Duration) {
        let ids = offers.iter().map(|offer| offer.id.clone()).collect();
        self.market.decline(self.uid(), ids, filter).await.unwrap();
    }

    /// A task as the gateway makes it, of so many cpus.
    fn task(&self, name: &str, cpus: u32) -> Task {
        let mut task: Task = serde_json::from_value(json!({
            "apiVersion": "meseta.dev/v1alpha1",
            "kind": "Task",
            "metadata": {"name": name, "labels": {"meseta.dev/scheduler": "mesos"}},
            "spec": {"containers": [{"command": ["true"]}], "resources": {"cpu": cpus.to_string()}},
        }))
        .unwrap();
        let owner = self.framework.name_any();
        let framework_uid = self.uid().to_owned();
        task.spec.owner = Some(TaskOwner { framework: owner, framework_uid, ..Default::default() });
        task.spec.mesos = Some(MesosTask {
            framework_id: self.framework.name_any(),
            task_id: Some(name.to_owned()),
            task_info: Some(json!({"name": name})),
            ..MesosTask::default()
        });
        task
    }
}

/// Agent and cpus of each, as `one 4`.
fn lines(offers: &[LiveOffer]) -> Vec<String> {
    offers.iter().map(|offer| format!("{} {}", offer.agent, cpus(&offer.resources))).collect()
}

fn cpus(resources: &ResourceList) -> String {
    resources.get("cpu").map_or_else(|| "0".to_owned(), |amount| amount.to_string())
}

/// The book, as `framework agent cpus` by name of the offer.
fn book(handle: &Handle) -> BTreeMap<String, String> {
    let (_, offers) = handle.offers().list().expect("it leads");
    let line = |offer: &meseta_crds::Offer| {
        let spec = &offer.spec;
        format!("{} {} {}", spec.framework, spec.agent_name, cpus(&spec.resources))
    };
    offers.iter().map(|offer| (offer.name_any(), line(offer))).collect()
}

/// Ends a task as its agent would.
async fn end(client: &Client, name: &str, state: TaskState) {
    let tasks: Api<Task> = Api::namespaced(client.clone(), "default");
    let patch = json!({"status": {"state": state}});
    tasks.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

async fn set_unschedulable(client: &Client, name: &str, value: bool) {
    let agents: Api<Agent> = Api::all(client.clone());
    let patch = json!({"spec": {"unschedulable": value}});
    agents.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}
