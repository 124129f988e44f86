//! A cluster of separate processes: etcd, control planes, agents.

mod agent;
mod control_plane;
mod start;

pub use agent::Agent;
pub use control_plane::ControlPlane;

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::client::Client;
use crate::leftovers::sweep;
use crate::network::Network;
use crate::process::run;
use crate::wait::await_condition;

/// A debug build on a busy machine needs some seconds to its first answer.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long a role may take to end gracefully.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// Where the records of a cluster are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In a directory of the only control plane.
    Embedded,
    /// In an etcd server of its own.
    Etcd,
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Layout {
    store: StoreKind,
    control_planes: usize,
    agents: Vec<Vec<String>>,
    hosts: bool,
}

impl Layout {
    /// One control plane and no agent.
    #[must_use]
    pub fn new(store: StoreKind) -> Self {
        Self { store, control_planes: 1, agents: Vec::new(), hosts: false }
    }

    /// So many control planes; more than one need etcd.
    #[must_use]
    pub fn control_planes(mut self, count: usize) -> Self {
        self.control_planes = count;
        self
    }

    /// One more agent, large enough for all tasks of a test unless `args` say otherwise.
    #[must_use]
    pub fn agent(mut self, args: &[&str]) -> Self {
        self.agents.push(args.iter().map(|arg| (*arg).to_owned()).collect());
        self
    }

    /// Each process on a host of its own.
    #[must_use]
    pub fn on_hosts(mut self) -> Self {
        self.hosts = true;
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// Some part does not start; the message has its output.
    pub fn start(self) -> Result<Cluster> {
        ensure!(
            self.control_planes == 1 || self.store == StoreKind::Etcd,
            "the embedded store is for one control plane"
        );
        start::start(&self)
    }
}

/// Processes that form a cluster; dropping it ends them and all that they started.
#[derive(Debug)]
pub struct Cluster {
    control_planes: Vec<ControlPlane>,
    agents: Vec<Agent>,
    etcd: Option<start::Etcd>,
    // Last: the processes above live in them.
    _network: Option<Network>,
    directory: TempDir,
}

impl Cluster {
    /// A client with the administrator's kubeconfig, from where the first control plane is.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_of(0)
    }

    /// A client of a certain control plane.
    #[must_use]
    pub fn client_of(&self, control_plane: usize) -> Client {
        let plane = &self.control_planes[control_plane];
        Client::new(&plane.data_dir.join("kubeconfig")).on(plane.host.as_ref())
    }

    /// A client with the kubeconfig of an agent.
    #[must_use]
    pub fn client_as_agent(&self, agent: usize) -> Client {
        let agent = &self.agents[agent];
        Client::new(&agent.kubeconfig).on(agent.host.as_ref())
    }

    /// The directory that goes with the cluster.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The agents, in the order of the layout.
    #[must_use]
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// The control planes.
    #[must_use]
    pub fn control_planes(&self) -> &[ControlPlane] {
        &self.control_planes
    }

    /// One agent.
    pub fn agent(&mut self, index: usize) -> &mut Agent {
        &mut self.agents[index]
    }

    /// One control plane.
    pub fn control_plane(&mut self, index: usize) -> &mut ControlPlane {
        &mut self.control_planes[index]
    }

    /// Replaces all records by none, as if somebody had lost the disk of the store. The control
    /// planes must not run.
    ///
    /// # Errors
    /// The store cannot be removed, or an etcd server not started.
    pub fn empty_store(&mut self) -> Result<()> {
        self.change_store(|directory| {
            std::fs::remove_dir_all(directory).context("no store to remove")
        })
    }

    /// Copies the store to `backup`. The control planes must not run.
    ///
    /// # Errors
    /// It cannot be copied, or an etcd server not started.
    pub fn back_up_store(&mut self, backup: &Path) -> Result<()> {
        self.change_store(|directory| copy(directory, backup))
    }

    /// Replaces the store by what it was when it was copied. The control planes must not run.
    ///
    /// # Errors
    /// It cannot be copied, or an etcd server not started.
    pub fn restore_store(&mut self, backup: &Path) -> Result<()> {
        self.change_store(|directory| {
            std::fs::remove_dir_all(directory)?;
            copy(backup, directory)
        })
    }

    /// Does something to the directory of the store while nobody uses it.
    fn change_store(&mut self, change: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        match &mut self.etcd {
            Some(etcd) => etcd.restart_after(change),
            None => change(&self.control_planes[0].data_dir.join("store")),
        }
    }

    /// Waits until an agent says that it is ready.
    ///
    /// # Errors
    /// It does not in time.
    pub fn await_agent(&self, index: usize) -> Result<()> {
        let name = &self.agents[index].name;
        let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        let client = self.client();
        await_condition(&format!("ready agent {name}"), START_DEADLINE, || {
            match client.kubectl(&["get", "agent", name, "-o", path]) {
                Ok(status) if status == "True" => Ok(()),
                Ok(status) => Err(format!("Ready={status}")),
                Err(error) => Err(format!("{error:#}")),
            }
        })
    }

    /// Prints the end of what every process wrote.
    #[expect(clippy::print_stderr, reason = "libtest shows it with the failure")]
    pub fn print_output(&self) {
        let logs = self.etcd.iter().map(|etcd| &etcd.log);
        let logs = logs.chain(self.control_planes.iter().map(|plane| &plane.log));
        for log in logs.chain(self.agents.iter().map(|agent| &agent.log)) {
            eprintln!("==== {}\n{}", log.display(), crate::process::end_of(log));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            self.print_output();
        }
        for agent in &mut self.agents {
            agent.process = None;
            sweep(&agent.name, &agent.data_dir);
        }
        self.control_planes.clear();
        self.etcd = None;
    }
}

/// Copies a directory with all that is in it to a path that does not exist.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("cp");
    command.args(["-a", "--"]).args([from, to]);
    run(&mut command, None, START_DEADLINE)?.success().map(drop)
}
