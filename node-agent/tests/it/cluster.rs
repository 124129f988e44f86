//! An API server over records in memory, and tasks that are placed by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Method, Request};
use kube::api::{DeleteParams, PostParams};
use kube::client::Body;
use kube::{Api, Client};
use meseta_api_server::{ApiServer, Options};
use meseta_crds::{AGENT_FINALIZER, Agent, Task, TaskState};
use meseta_serve::Identity;
use meseta_store::memory::MemoryStore;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::BoxError;

use crate::eventually;

/// The records of a cluster; gone when dropped.
pub(crate) struct Cluster {
    api: ApiServer,
    /// As an administrator.
    pub(crate) client: Client,
    /// Whether agents reach the API server.
    reachable: Arc<AtomicBool>,
    _stop: DropGuard,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let store = Arc::new(MemoryStore::new());
        let stop = CancellationToken::new();
        let api = ApiServer::start(store, Options::default(), stop.clone()).await.unwrap();
        let admin =
            Identity { user: "admin".to_owned(), groups: vec![meseta_pki::ADMIN_GROUP.to_owned()] };
        let client = api.client(admin);
        let reachable = Arc::new(AtomicBool::new(true));
        Self { api, client, reachable, _stop: stop.drop_guard() }
    }

    /// Cuts or restores the way from the agents to here.
    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.reachable.store(reachable, Ordering::SeqCst);
    }

    /// What an agent uses: its own identity, and a way that can be cut.
    pub(crate) fn client_of(&self, agent: &str) -> Client {
        let identity = Identity {
            user: meseta_pki::agent_user(agent),
            groups: vec![meseta_pki::AGENTS_GROUP.to_owned()],
        };
        let client = self.api.client(identity);
        let reachable = Arc::clone(&self.reachable);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, reachable) = (client.clone(), Arc::clone(&reachable));
            async move {
                if !reachable.load(Ordering::SeqCst) {
                    return Err(BoxError::from("cut by the test"));
                }
                let is_write = *request.method() != Method::GET;
                let response = client.send(request).await?;
                // An answer can get lost as well as a question.
                if is_write && !reachable.load(Ordering::SeqCst) {
                    return Err(BoxError::from("cut by the test"));
                }
                Ok(response)
            }
        });
        Client::new(service, "default")
    }

    pub(crate) fn tasks(&self) -> Api<Task> {
        Api::namespaced(self.client.clone(), "default")
    }

    /// Places a task with this spec on an agent, as the leader of epoch 1.
    pub(crate) async fn place(&self, agent: &str, name: &str, spec: Value) -> Task {
        self.place_at(agent, name, spec, Some(1)).await
    }

    /// The same at any epoch, or by hand.
    pub(crate) async fn place_at(
        &self,
        agent: &str,
        name: &str,
        spec: Value,
        epoch: Option<i64>,
    ) -> Task {
        let mut spec = spec;
        spec["agentName"] = json!(agent);
        let mut metadata = json!({"name": name, "namespace": "default"});
        if let Some(epoch) = epoch {
            spec["placement"] = json!({"epoch": epoch});
            metadata["finalizers"] = json!([AGENT_FINALIZER]);
        }
        let task = serde_json::from_value(json!({
            "apiVersion": "meseta.dev/v1alpha1", "kind": "Task", "metadata": metadata, "spec": spec,
        }));
        self.tasks().create(&PostParams::default(), &task.unwrap()).await.unwrap()
    }

    /// Asks for the deletion of a task.
    pub(crate) async fn delete(&self, name: &str) {
        self.tasks().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until the record of a task is as it should be.
    pub(crate) async fn until(&self, name: &str, is: impl Fn(&Task) -> bool) -> Task {
        let (tasks, is) = (&self.tasks(), &is);
        eventually(|| async move {
            let task = tasks.get(name).await.map_err(|err| err.to_string())?;
            if is(&task) { Ok(task) } else { Err(format!("{:?}", task.status)) }
        })
        .await
    }

    /// Waits for a state.
    pub(crate) async fn until_state(&self, name: &str, state: TaskState) -> Task {
        let task = self
            .until(name, |task| {
                let now = state_of(task);
                now == state || now.is_terminal()
            })
            .await;
        assert_eq!(state_of(&task), state, "{:?}", task.status);
        task
    }

    /// Waits for the end of a task, and until its record is free of the agent.
    pub(crate) async fn until_released(&self, name: &str) -> Task {
        self.until(name, |task| {
            let finalizers = task.metadata.finalizers.as_deref().unwrap_or_default();
            state_of(task).is_terminal() && finalizers.is_empty()
        })
        .await
    }

    /// Waits until a record is gone.
    pub(crate) async fn until_gone(&self, name: &str) {
        let tasks = &self.tasks();
        eventually(|| async move {
            match tasks.get_opt(name).await.map_err(|err| err.to_string())? {
                None => Ok(()),
                Some(task) => Err(format!("{:?} {:?}", task.metadata.finalizers, task.status)),
            }
        })
        .await;
    }

    /// Waits until the agent's record is as it should be.
    pub(crate) async fn until_agent(&self, name: &str, is: impl Fn(&Agent) -> bool) -> Agent {
        let agents: Api<Agent> = Api::all(self.client.clone());
        let (agents, is) = (&agents, &is);
        eventually(|| async move {
            let agent = agents.get(name).await.map_err(|err| err.to_string())?;
            if is(&agent) { Ok(agent) } else { Err(format!("{:?}", agent.status)) }
        })
        .await
    }
}

pub(crate) fn state_of(task: &Task) -> TaskState {
    task.status.as_ref().map(|status| status.state).unwrap_or_default()
}

pub(crate) fn reason_of(task: &Task) -> &str {
    task.status.as_ref().and_then(|status| status.reason.as_deref()).unwrap_or_default()
}

pub(crate) fn message_of(task: &Task) -> &str {
    task.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default()
}

/// Exit code of the container, if the record has one.
pub(crate) fn code_of(task: &Task) -> Option<i64> {
    task.status.as_ref()?.containers.first()?.exit_code
}

/// Pid of the container's first process, if the record has one.
pub(crate) fn pid_of(task: &Task) -> Option<i64> {
    task.status.as_ref()?.containers.first()?.pid
}

pub(crate) fn uid_of(task: &Task) -> String {
    task.metadata.uid.clone().unwrap()
}

/// A task that runs a shell script on the host's file system.
pub(crate) fn script(text: &str) -> Value {
    json!({
        "containers": [{"command": ["/bin/sh", "-c", text]}],
        "resources": {"cpu": "10m", "memory": "64Mi"},
        "terminationGracePeriodSeconds": 5,
    })
}
