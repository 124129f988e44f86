//! An agent that can be killed and started again, and a look at what it left on the machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use http_body_util::BodyExt as _;
use meseta_crds::{Quantity, ResourceList};
use meseta_node_agent::{Config, Tls};
use meseta_pki::CertificateAuthority;
use meseta_shim_api::{Checkpoint, Exit};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::eventually;

/// One machine, or rather its agent's name and directory.
pub(crate) struct Machine {
    pub(crate) name: String,
    _data: tempfile::TempDir,
    ca: CertificateAuthority,
    agent: Option<JoinHandle<Result<(), meseta_node_agent::Error>>>,
    stop: CancellationToken,
    pub(crate) config: Config,
}

impl Machine {
    /// A machine without an agent yet.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("it-{}-{number}", std::process::id());
        let data = tempfile::tempdir().unwrap();
        let ca = CertificateAuthority::generate().unwrap();
        let issued = ca.issue_agent(&name).unwrap();
        let resources = [("cpu", "1"), ("memory", "1Gi"), ("disk", "10Gi")];
        let resources: ResourceList =
            resources.map(|(name, amount)| (name.to_owned(), Quantity::new(amount))).into();
        let config = Config {
            name: name.clone(),
            data_dir: data.path().join("agent"),
            shim: shim(),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            mesos_listen: Some("127.0.0.1:0".parse().unwrap()),
            resources: Some(resources),
            attributes: BTreeMap::from([("rack".to_owned(), "r1".to_owned())]),
            hidden: Vec::new(),
            tls: Tls {
                ca_pem: ca.certificate_pem().to_owned(),
                certificate_pem: issued.certificate_pem,
                key_pem: issued.key_pem,
            },
        };
        let stop = CancellationToken::new();
        Self { name, _data: data, ca, agent: None, stop, config }
    }

    /// A machine whose agent runs and has registered.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        let mut machine = Self::new();
        machine.start_agent(cluster);
        cluster
            .until_agent(&machine.name, |agent| {
                agent.status.as_ref().is_some_and(|status| !status.addresses.is_empty())
            })
            .await;
        machine
    }

    /// Starts the agent.
    pub(crate) fn start_agent(&mut self, cluster: &Cluster) {
        self.start_agent_with(cluster.client_of(&self.name));
    }

    pub(crate) fn start_agent_with(&mut self, client: kube::Client) {
        assert!(self.agent.is_none(), "it runs");
        // `RUST_LOG=meseta_node_agent=debug` shows what agents do.
        drop(
            tracing_subscriber::fmt()
                .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
                .with_test_writer()
                .try_init(),
        );
        self.stop = CancellationToken::new();
        let run = meseta_node_agent::run(client, self.config.clone(), self.stop.clone());
        self.agent = Some(tokio::spawn(run));
    }

    /// Ends the agent in the middle of whatever it does, as SIGKILL would.
    pub(crate) async fn kill_agent(&mut self) {
        let agent = self.agent.take().expect("it runs");
        agent.abort();
        match agent.await {
            Err(err) if err.is_cancelled() => {}
            ended => panic!("the agent had ended by itself: {ended:?}"),
        }
    }

    /// Ends the agent in good order.
    pub(crate) async fn stop_agent(&mut self) {
        self.stop.cancel();
        self.agent.take().expect("it runs").await.unwrap().unwrap();
    }

    /// The agent's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.config.data_dir
    }

    pub(crate) fn task_directory(&self, uid: &str) -> PathBuf {
        self.directory().join("tasks").join(uid)
    }

    /// The shim's checkpoint of a run.
    pub(crate) fn checkpoint(&self, uid: &str, run: u32) -> Option<Checkpoint> {
        let run = self.task_directory(uid).join(format!("run-{run}"));
        meseta_shim_api::read(&run.join(meseta_shim_api::CHECKPOINT_FILE)).unwrap()
    }

    /// The end of a run, if it is on the disk.
    pub(crate) fn exit(&self, uid: &str, run: u32) -> Option<Exit> {
        let run = self.task_directory(uid).join(format!("run-{run}"));
        meseta_shim_api::read(&run.join(meseta_shim_api::EXIT_FILE)).unwrap()
    }

    /// What a task wrote.
    pub(crate) fn output(&self, uid: &str) -> String {
        fs::read_to_string(self.task_directory(uid).join("sandbox/stdout")).unwrap_or_default()
    }

    /// Waits until a task has written this, and nothing else.
    pub(crate) async fn until_output(&self, uid: &str, expected: &str) {
        eventually(|| {
            let output = self.output(uid);
            async move { if output == expected { Ok(()) } else { Err(output) } }
        })
        .await;
    }

    /// `GET` from the agent, as a control plane or as a member of another group.
    pub(crate) async fn get(
        &self,
        cluster: &Cluster,
        group: &str,
        path: &str,
    ) -> (http::StatusCode, String) {
        let response = self.call(cluster, group, http::Method::GET, path, "").await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Asks the agent for anything, as a member of a group.
    pub(crate) async fn call(
        &self,
        cluster: &Cluster,
        group: &str,
        method: http::Method,
        path: &str,
        body: &'static str,
    ) -> http::Response<hyper::body::Incoming> {
        let issued = self.ca.issue_client("caller", &[group.to_owned()]).unwrap();
        let authority = self.ca.certificate_pem();
        let client =
            meseta_serve::Client::new(authority, &issued.certificate_pem, &issued.key_pem).unwrap();
        let (client, server) = (&client, &meseta_pki::agent_server_name(&self.name));
        let method = &method;
        // An agent that was just started listens elsewhere, and says so in a moment.
        eventually(|| async move {
            let agent = cluster.until_agent(&self.name, |_| true).await;
            let address = agent.status.unwrap_or_default().addresses.first().cloned();
            let address = address.ok_or_else(|| "no address".to_owned())?;
            let answer = match *method {
                http::Method::POST => client.post(&address, server, path, body.into()).await,
                _ => client.get(&address, server, path).await,
            };
            answer.map_err(|err| err.to_string())
        })
        .await
    }

    /// The output of a task as a control plane gets it.
    pub(crate) async fn log(&self, cluster: &Cluster, uid: &str, query: &str) -> String {
        let path = format!("/v1/tasks/{uid}/log?{query}");
        let (status, text) = self.get(cluster, meseta_pki::CONTROL_PLANE_GROUP, &path).await;
        assert_eq!(status, http::StatusCode::OK, "{text}");
        text
    }

    /// Waits until nothing of any container is left on the machine; `sandboxes` tasks may have kept
    /// theirs.
    pub(crate) async fn until_nothing_left(&self, sandboxes: usize) {
        let found = || async move {
            let left = self.left();
            let kept = self.kept();
            if left.is_empty() && kept == sandboxes {
                Ok(())
            } else {
                Err(format!("{left:?}, {kept} sandboxes instead of {sandboxes}"))
            }
        };
        eventually(found).await;
    }

    /// Tasks that have a directory.
    fn kept(&self) -> usize {
        names(&self.directory().join("tasks")).len()
    }

    /// Cgroups, processes, mounts and run directories of this machine's containers.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for group in self.cgroups() {
            for name in names(&group) {
                let child = group.join(&name);
                if child.is_dir() && name != "shims" {
                    left.push(child.display().to_string());
                }
            }
            let shims = fs::read_to_string(group.join("shims/cgroup.procs")).unwrap_or_default();
            left.extend(shims.lines().map(|pid| format!("shim {pid}")));
        }
        let directory = self.directory().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(&directory)).map(str::to_owned));
        for uid in names(&self.directory().join("tasks")) {
            let task = self.task_directory(&uid);
            for run in names(&task).into_iter().filter(|name| name.starts_with("run-")) {
                let told = ["run.json", "shim.json", "exit.json", "shim.log"];
                let parts = names(&task.join(&run)).into_iter();
                let more = parts.filter(|part| !told.contains(&part.as_str()));
                left.extend(more.map(|part| task.join(&run).join(part).display().to_string()));
            }
        }
        left.extend(names(&self.directory().join("tmp")).into_iter().map(|n| format!("tmp/{n}")));
        left
    }

    /// The agent's group on each hierarchy that has it.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        let own = format!("meseta/{}", self.name);
        let controllers = names(root).into_iter().map(|name| root.join(name));
        let all = std::iter::once(root.to_owned()).chain(controllers);
        all.map(|place| place.join(&own)).filter(|place| place.is_dir()).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.abort();
        }
        // Whatever a failed test has left: by the name that only this machine has.
        for group in self.cgroups() {
            for child in names(&group).into_iter().map(|name| group.join(name)) {
                let procs = fs::read_to_string(child.join("cgroup.procs")).unwrap_or_default();
                for pid in procs.lines().filter_map(|pid| pid.parse().ok()) {
                    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    }
                }
                let begin = std::time::Instant::now();
                while child.is_dir() && fs::remove_dir(&child).is_err() {
                    if begin.elapsed() > std::time::Duration::from_secs(5) {
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            }
            let _ = fs::remove_dir(&group);
        }
    }
}

/// The program that this test was built beside.
fn shim() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // <target>/<profile>/deps/it-<hash>
    let shim = test.parent().and_then(Path::parent).unwrap().join("meseta-shim");
    assert!(
        shim.is_file(),
        "{} does not exist: build it with `cargo build -p meseta-shim`",
        shim.display()
    );
    shim
}

pub(crate) fn names(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Whether a process exists and is not merely unreaped.
pub(crate) fn is_alive(pid: i64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")))
}

/// Kills one process.
pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
