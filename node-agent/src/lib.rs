//! The node agent: one per machine, or per part of one. It runs the tasks that have its name.
//!
//! ```text
//!                    records (kube::Client)
//!          ┌──────────────┬─────────┴────────┬───────────────┐
//!   registration      heartbeat          agent ─► plan       │ status, finalizers
//!   (Agent record)     (Lease)             │                 │
//!                                          ▼                 │
//!    control planes ──► listener     task: one owner each ───┘
//!                                          │ images, sandbox, volumes
//!                                          ▼
//!                                     meseta-shim ──► container      (outlive the agent)
//! ```
//!
//! Tasks of Mesos frameworks are tasks like others, whose schedulers are told of them in their
//! records. An executor is a container that comes back to the agent (`meseta-mesos-agent`) for the
//! tasks inside it, which have an owner and no container: `mesos`.
//!
//! It never calls libcontainer itself: each container has a shim, a process of its own that the
//! agent finds again through its directory. What the agent must know after its own death is on the
//! disk before it acts (`checkpoint`, `directory`); what the records must know is derived from
//! there and written until it stands there.
//!
//! **Invariants**
//! - Intent first: a shim is started after its request is on the disk, and a request is used once.
//! - Absence never kills: a missing record, a silent API server, an unreadable file end no container.
//! - Nothing of a task is left when its record is free of the agent's finalizer, except its sandbox,
//!   which goes with the record.
//! - A scheduler is told of each state once and in order; what an executor says is on the disk before
//!   it hears that it was taken.
//! - Whatever a workload or an image can influence on the host goes through `beneath`.

mod agent;
mod beneath;
mod cgroup;
mod checkpoint;
mod directory;
mod fingerprint;
mod gc;
mod heartbeat;
mod images;
mod listener;
mod logs;
mod memory;
mod mesos;
mod node;
mod plan;
mod process;
mod readable;
mod registration;
mod report;
mod run_watch;
mod sandbox;
mod shim_client;
mod task;
mod volumes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kube::Client;
use meseta_crds::ResourceList;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::cgroup::Cgroups;
use crate::directory::Directory;
use crate::fingerprint::{Disk, Fingerprint};
use crate::images::Images;
use crate::listener::Listener;
use crate::logs::Outputs;
use crate::memory::Memory;
use crate::mesos::Mesos;
use crate::node::{LAUNCHES_AT_ONCE, Node, REQUESTS_AT_ONCE, STAGINGS_AT_ONCE, blocking};
use crate::registration::{Facts, Registration};
use crate::run_watch::RunWatch;
use crate::volumes::Volumes;

/// How an agent takes part.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the agent's record: a DNS name.
    pub name: String,
    /// Where tasks, volumes and unpacked layers are; the agent's alone. Its file system must be one
    /// that overlay can write to (not an overlay itself).
    pub data_dir: PathBuf,
    /// The program `meseta-shim`.
    pub shim: PathBuf,
    /// Where control planes are listened for.
    pub listen: SocketAddr,
    /// The same as others see it, `host:port`; the address that is listened at where absent.
    pub advertise: Option<String>,
    /// Where executors written for Mesos are listened for, on this machine; nowhere where absent, and
    /// then no executors run. A port 0 is chosen once and kept.
    pub mesos_listen: Option<SocketAddr>,
    /// What tasks can be given, instead of what was found on the machine.
    pub resources: Option<ResourceList>,
    /// Attributes beside those that are found; these win.
    pub attributes: BTreeMap<String, String>,
    /// Further paths of the host that no task may see or mount: keys, and the records of a control
    /// plane on the same machine. The agent's own directory is hidden anyway.
    pub hidden: Vec<PathBuf>,
    /// Who the agent is to control planes.
    pub tls: Tls,
}

/// The agent's certificate, all PEM.
#[derive(Clone)]
pub struct Tls {
    /// The cluster's authority.
    pub ca_pem: String,
    /// The agent's certificate.
    pub certificate_pem: String,
    /// Its key, PKCS#8.
    pub key_pem: String,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Why an agent does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name cannot be that of a record, a directory and a control group.
    #[error("`{0}` is no name for an agent: it must be a DNS name such as `node-1`")]
    Name(String),
    /// Another agent works in the directory, or it cannot be used.
    #[error("the agent's directory cannot be used")]
    Directory(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The agent's address is in use, or its certificate is none.
    #[error("the agent cannot listen for control planes")]
    Listener(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The address for executors is in use, or not this machine's.
    #[error("the agent cannot listen on {address} for executors")]
    ExecutorListener {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The machine lacks something that containers need.
    #[error("this machine cannot run containers")]
    Machine(#[source] std::io::Error),
    /// A part of the agent ended that should not have; containers run on.
    #[error("a part of the agent stopped: {0}")]
    Stopped(String),
}

/// Runs the agent until `shutdown`. Containers outlive it, and the next agent in the same directory
/// goes on where this one was.
///
/// An API server that cannot be reached is waited for, before the start as well as later. Dropping
/// the future is as good as killing the process: steps that block end by themselves, and the next
/// agent waits for them.
///
/// # Errors
/// The agent cannot begin, or a part of it panicked.
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    if !is_agent_name(&config.name) {
        return Err(Error::Name(config.name));
    }
    let (node, fingerprint, for_executors) = prepare(client, &config).await?;
    let server = Listener::bind(config.listen, &config.tls, &node);
    let server = server.await.map_err(|err| Error::Listener(err.into()))?;
    let listening = server.address().map_err(|err| Error::Listener(err.into()))?;
    let address = agent::address(config.advertise.as_deref(), listening);
    tracing::info!(name = node.name, address, capacity = ?fingerprint.capacity, "agent");

    let (facts, facts_told) = watch::channel(Facts {
        disk: Disk::look(node.directory.root()),
        orphans: Vec::new(),
        seen_epoch: node.memory.seen_epoch(),
    });
    let (known, known_store) = watch::channel(false);
    let capacity = task::request::millis(&fingerprint.capacity);

    // All of it ends when this future is dropped.
    let mut parts = JoinSet::new();
    let watching = node.run_watch.clone();
    parts.spawn(async move {
        match watching.run().await {
            Ok(()) => "the watch over runs".to_owned(),
            Err(err) => format!("the watch over runs: {err}"),
        }
    });
    parts.spawn({
        let node = Arc::clone(&node);
        async move {
            heartbeat::run(&node).await;
            "the heartbeat".to_owned()
        }
    });
    parts.spawn({
        let node = Arc::clone(&node);
        async move {
            let (addresses, facts) = (vec![address], facts_told);
            let registration = Registration { node: &node, fingerprint, addresses, facts, known };
            registration.run().await;
            "the registration".to_owned()
        }
    });
    let agent = Agent::find(Arc::clone(&node), capacity, facts);
    let agent = agent.map_err(|err| Error::Directory(err.into()))?;
    parts.spawn(async move {
        agent.run(known_store).await;
        "the tasks".to_owned()
    });
    if let (Some(listener), Some(executors)) = (for_executors, node.mesos.executors().cloned()) {
        parts.spawn(async move {
            meseta_mesos_agent::serve(listener, executors, CancellationToken::new()).await;
            "the executor API".to_owned()
        });
    }
    // Not before everything was found: a request for output would see an end that is none.
    parts.spawn(async move {
        server.run(CancellationToken::new()).await;
        "the listener".to_owned()
    });
    tokio::select! {
        () = shutdown.cancelled() => {
            parts.shutdown().await;
            node.remove_cgroups_if_idle();
            Ok(())
        }
        Some(ended) = parts.join_next() => Err(Error::Stopped(match ended {
            Ok(part) => part,
            Err(err) => err.to_string(),
        })),
    }
}

async fn prepare(
    client: Client,
    config: &Config,
) -> Result<(Arc<Node>, Fingerprint, Option<TcpListener>), Error> {
    let path = config.data_dir.clone();
    let directory = blocking(move || Directory::open(&path)).await;
    let directory = Arc::new(directory.map_err(|err| Error::Directory(err.into()))?);
    let memory = Memory::open(directory.memory()).map_err(|err| Error::Directory(err.into()))?;
    let mut hidden = vec![directory.root().to_owned()];
    hidden.extend(agent::real_paths(&config.hidden));
    let cgroups = Cgroups::detect().map_err(Error::Machine)?;
    let boot_id = process::boot_id().map_err(Error::Machine)?;
    let fingerprint = Fingerprint::take(config, &cgroups, &boot_id);
    let ip = agent::ip(config.advertise.as_deref(), config.listen);
    let listen = config.mesos_listen;
    let mesos = Mesos::open(&config.name, listen, ip, &fingerprint, &directory, &cgroups).await;
    let (mesos, for_executors) = mesos.map_err(|source| match listen {
        Some(address) => Error::ExecutorListener { address, source },
        None => Error::Directory(source.into()),
    })?;
    let node = Node {
        name: config.name.clone(),
        client,
        memory,
        images: Images::new(Arc::clone(&directory)),
        volumes: Volumes::new(Arc::clone(&directory)),
        shim: config.shim.clone(),
        hidden,
        boot_id,
        cgroups,
        mesos,
        run_watch: RunWatch::new().map_err(Error::Machine)?,
        outputs: Outputs::default(),
        idle: AtomicBool::new(true),
        requests: Semaphore::new(REQUESTS_AT_ONCE),
        stagings: Semaphore::new(STAGINGS_AT_ONCE),
        launches: Semaphore::new(LAUNCHES_AT_ONCE),
        directory,
    };
    Ok((Arc::new(node), fingerprint, for_executors))
}

/// Whether `name` is a DNS name, and so a file name that leads nowhere else.
fn is_agent_name(name: &str) -> bool {
    /// As Kubernetes' names.
    const MAX_LENGTH: usize = 253;
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= MAX_LENGTH && name.split('.').all(label)
}
