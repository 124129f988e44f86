//! An agent as far as executors see it: a listener, and a directory in which it remembers.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use meseta_mesos_agent::{Backend, ExecutorFacts, Executors, Launch, Progress, Standing, Stored};
use meseta_mesos_wire::{json, v1};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a test waits for at most; nothing is measured by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const FRAMEWORK: &str = "framework-0001";
pub(crate) const EXECUTOR: &str = "executor-1";
/// Uid of the executor's record.
pub(crate) const UID: &str = "uid-executor-1";

/// One file per task: `handed`, and `updates`, an update a line.
pub(crate) struct Disk {
    root: PathBuf,
    pub(crate) broken: AtomicBool,
    /// While it is held no update is stored.
    pub(crate) gate: Mutex<()>,
    /// Updates that were to be stored.
    asked: watch::Sender<usize>,
    pub(crate) messages: std::sync::Mutex<Vec<(String, Vec<u8>)>>,
}

impl Disk {
    /// Waits until an update is to be stored.
    pub(crate) async fn asked(&self) {
        let mut asked = self.asked.subscribe();
        let asked = tokio::time::timeout(PATIENCE, asked.wait_for(|asked| *asked > 0)).await;
        drop(asked.expect("no update comes").unwrap());
    }

    pub(crate) fn updates(&self, task: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.root.join(task).join("updates")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn states(&self, task: &str) -> Vec<String> {
        self.updates(task).iter().map(|each| each["state"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn progress(&self, task: &str) -> Progress {
        if !self.updates(task).is_empty() {
            Progress::Answered
        } else if self.root.join(task).join("handed").exists() {
            Progress::HandedOver
        } else {
            Progress::New
        }
    }

    fn store_now(&self, task: &str, status: &v1::TaskStatus) -> io::Result<Stored> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::Error::other("no room"));
        }
        let before = self.updates(task);
        let status = json::to_value(status);
        if before.iter().any(|each| each["uuid"] == status["uuid"]) {
            return Ok(Stored::Known);
        }
        if before.iter().any(|each| each["state"] == "TASK_FINISHED") {
            return Ok(Stored::AfterEnd);
        }
        fs::create_dir_all(self.root.join(task))?;
        let path = self.root.join(task).join("updates");
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{status}")?;
        file.sync_all()?;
        Ok(Stored::New)
    }
}

impl Backend for Disk {
    fn hand_over(&self, tasks: Vec<String>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            if self.broken.load(Ordering::Relaxed) {
                return Err(io::Error::other("no room"));
            }
            for task in tasks {
                fs::create_dir_all(self.root.join(&task))?;
                File::create(self.root.join(&task).join("handed"))?;
            }
            Ok(())
        })
    }

    fn store(&self, task: String, status: v1::TaskStatus) -> BoxFuture<'_, io::Result<Stored>> {
        Box::pin(async move {
            self.asked.send_modify(|asked| *asked += 1);
            let _gate = self.gate.lock().await;
            self.store_now(&task, &status)
        })
    }

    fn message(&self, executor: &str, data: Bytes) {
        self.messages.lock().unwrap().push((executor.to_owned(), data.to_vec()));
    }
}

pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    pub(crate) executors: Executors,
    pub(crate) disk: Arc<Disk>,
    directory: Arc<TempDir>,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Agent {
    /// Listens, and knows no executor yet.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_on(listener, Arc::new(TempDir::new().unwrap()))
    }

    fn start_on(listener: TcpListener, directory: Arc<TempDir>) -> Self {
        let disk = Arc::new(Disk {
            root: Path::to_owned(directory.path()),
            broken: AtomicBool::new(false),
            gate: Mutex::default(),
            asked: watch::Sender::default(),
            messages: std::sync::Mutex::default(),
        });
        let info = json!({"hostname": "h", "id": {"value": "agent-1"}, "port": 5051});
        let executors =
            Executors::new(json::from_value(&info).unwrap(), None, Arc::clone(&disk) as _);
        let shutdown = CancellationToken::new();
        let address = listener.local_addr().unwrap();
        let server =
            tokio::spawn(meseta_mesos_agent::serve(listener, executors.clone(), shutdown.clone()));
        Self { address, executors, disk, directory, shutdown, server }
    }

    /// With the one executor, and ready to serve it.
    pub(crate) async fn with_executor() -> (Self, watch::Receiver<Standing>) {
        let agent = Self::start().await;
        let standing = agent.expect();
        agent.executors.recovered();
        (agent, standing)
    }

    /// Dies, with all that it had in memory, and is started again at the same address. What it knows
    /// of the executor and `tasks` is from the disk.
    pub(crate) async fn restart(mut self, tasks: &[&str]) -> (Self, watch::Receiver<Standing>) {
        self.server.abort();
        drop((&mut self.server).await);
        let listener = rebind(self.address).await;
        let agent = Self::start_on(listener, Arc::clone(&self.directory));
        let standing = agent.expect();
        for task in tasks {
            agent.launch_as(task, agent.disk.progress(&uid_of(task)));
        }
        agent.executors.recovered();
        (agent, standing)
    }

    /// Ends as it does for a signal.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, &mut self.server).await.unwrap().unwrap();
    }

    pub(crate) fn expect(&self) -> watch::Receiver<Standing> {
        self.executors.expect(facts(PATIENCE)).unwrap()
    }

    pub(crate) fn launch(&self, id: &str) {
        self.launch_as(id, Progress::New);
    }

    pub(crate) fn launch_as(&self, id: &str, progress: Progress) {
        self.executors.launch(UID, launch(id, progress)).unwrap();
    }
}

/// The port is free again a little after its last connection is gone.
async fn rebind(address: SocketAddr) -> TcpListener {
    let bind = async {
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, bind).await.expect("the port does not become free")
}

pub(crate) fn uid_of(task: &str) -> String {
    format!("uid-{task}")
}

pub(crate) fn facts(subscribe_within: Duration) -> ExecutorFacts {
    let executor = json!({
        "executor_id": {"value": EXECUTOR},
        "name": "an executor",
        "command": {"value": "run"},
    });
    let framework = json!({"user": "", "name": "a framework", "checkpoint": true});
    ExecutorFacts {
        uid: UID.to_owned(),
        framework_id: FRAMEWORK.to_owned(),
        executor_id: EXECUTOR.to_owned(),
        executor_info: json::from_value(&executor).unwrap(),
        framework_info: json::from_value(&framework).unwrap(),
        subscribe_within,
    }
}

pub(crate) fn launch(id: &str, progress: Progress) -> Launch {
    let task = json!({
        "name": "a task",
        "task_id": {"value": id},
        "agent_id": {"value": "agent-1"},
        "executor": {"executor_id": {"value": EXECUTOR}},
        "data": "aGk=",
    });
    Launch { uid: uid_of(id), task: json::from_value(&task).unwrap(), progress }
}

/// Waits until the watch shows what is wanted.
pub(crate) async fn until(
    standing: &mut watch::Receiver<Standing>,
    wanted: impl FnMut(&Standing) -> bool,
) -> Standing {
    let now = standing.clone();
    match tokio::time::timeout(PATIENCE, standing.wait_for(wanted)).await {
        Ok(seen) => seen.unwrap().clone(),
        Err(_) => panic!("still {:?}", *now.borrow()),
    }
}

pub(crate) fn lost(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| uid_of(id)).collect()
}
