//! Everything that acts on the records: watches in, plans of `meseta-planning` carried out.
//!
//! Every control plane runs this. All of them watch and keep the allocator's state; the one that
//! holds the leader lease writes:
//!
//! ```text
//!  watches ──► rows ─┬─► allocator ──────► placements, pending explanations, roles ─┐
//!                    ├─► framework ──────► tasks, framework status                  ├─► fence ─► API
//!                    ├─► agent_lifecycle ► unreachable, lost                        │
//!                    └─► retention ──────► finished tasks deleted                  ─┘
//! ```
//!
//! **Invariants:** it reaches the records through a `kube::Client` only, in process or over the
//! network. What it keeps in memory may be lost at any moment. A write is sent only while the lease
//! holds, and carries a resource version, a uid or a name that does not depend on the attempt.

mod agent_lifecycle;
mod allocator;
mod clock;
mod cluster;
mod framework;
mod leader;
mod queue;
mod retention;
mod watch;
mod write;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
pub use meseta_planning::agent_lifecycle::Policy as AgentPolicy;
pub use meseta_planning::retention::Policy as RetentionPolicy;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::allocator::Shell;
use crate::cluster::Cluster;
use crate::leader::{Elector, Fence};
use crate::queue::Queue;
use crate::watch::Resync;
use crate::write::Writer;

/// Least time between two passes over one framework; a busy one costs a pass per interval.
const FRAMEWORK_DISTANCE: Duration = Duration::from_millis(20);

/// How this control plane takes part.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this control plane among the others.
    pub identity: String,
    /// Whether something else makes sure that no second process of this identity exists (a lock on
    /// the store's directory): a lease that an earlier one left behind is then taken at once.
    pub sole: bool,
    /// How long a lease lasts without renewal; whole seconds.
    pub lease_duration: Duration,
    /// Time between two renewals.
    pub renew_interval: Duration,
    /// Time between two looks at a lease that somebody else holds.
    pub retry_interval: Duration,
    /// How long before the end of its lease a leader stops writing.
    pub fence_margin: Duration,
    /// When an agent counts as unreachable, and how fast that is acted on.
    pub agents: AgentPolicy,
    /// What is kept of finished tasks.
    pub retention: RetentionPolicy,
}

impl Config {
    /// The usual times: a lease of 5 s, renewed every 1.5 s, looked at every second.
    pub fn new(identity: impl Into<String>) -> Self {
        Self {
            identity: identity.into(),
            sole: false,
            lease_duration: Duration::from_secs(5),
            renew_interval: Duration::from_millis(1500),
            retry_interval: Duration::from_secs(1),
            fence_margin: Duration::from_secs(1),
            agents: AgentPolicy::default(),
            retention: RetentionPolicy::default(),
        }
    }
}

/// Why the controllers stopped before they were told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured times cannot keep the lease.
    #[error(
        "the lease of {lease:?} must outlast its renewal {renewal:?} and its margin {margin:?}"
    )]
    Times {
        /// Duration of the lease.
        lease: Duration,
        /// Time between renewals.
        renewal: Duration,
        /// Time before the end at which writes stop.
        margin: Duration,
    },
    /// A controller panicked; the lease was released.
    #[error("a controller panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

/// Runs all controllers until `shutdown`, then finishes writes under way and releases the lease.
///
/// An API server that cannot be reached is waited for, before the start as well as later.
///
/// # Errors
/// Unusable times in `config`, or a panic of a controller: the process should end then.
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    if config.lease_duration <= config.renew_interval + config.fence_margin {
        return Err(Error::Times {
            lease: config.lease_duration,
            renewal: config.renew_interval,
            margin: config.fence_margin,
        });
    }
    let fence = Fence::default();
    let cluster = Arc::new(Cluster::new(Queue::new(FRAMEWORK_DISTANCE)));
    let shell = Arc::new(Mutex::new(Shell::new()));
    // Ends what still runs when this future is dropped.
    let background = CancellationToken::new();
    let _stop_background = background.clone().drop_guard();
    let resync = watch::start(&client, &cluster, &background);
    let mut elector = Elector::new(client.clone(), fence.clone(), config.clone());

    loop {
        let epoch = tokio::select! {
            epoch = elector.acquire(&shutdown) => epoch,
            never = allocator::follow(&cluster, &shell) => match never {},
        };
        let Some(epoch) = epoch else { return Ok(()) };
        let writer = Writer::new(client.clone(), fence.clone(), epoch);
        let stop = background.child_token();
        let mut term = JoinSet::new();
        let leading = Leading {
            cluster: cluster.clone(),
            shell: shell.clone(),
            writer,
            resync: resync.clone(),
            config: config.clone(),
            stop: stop.clone(),
        };
        term.spawn(leading.run());
        let ended_early = tokio::select! {
            () = elector.hold(epoch, &shutdown) => None,
            ended = term.join_next() => ended,
        };
        // Until everything of this term has stopped, nothing of the next begins.
        stop.cancel();
        let ended = match ended_early {
            Some(ended) => Some(ended),
            None => term.join_next().await,
        };
        if let Some(Err(err)) = ended {
            elector.release().await;
            return Err(Error::Panicked(err));
        }
        if shutdown.is_cancelled() {
            elector.release().await;
            return Ok(());
        }
    }
}

/// One term of a leader.
struct Leading {
    cluster: Arc<Cluster>,
    shell: Arc<Mutex<Shell>>,
    writer: Writer,
    resync: Resync,
    config: Config,
    stop: CancellationToken,
}

impl Leading {
    async fn run(mut self) {
        if self.stop.run_until_cancelled(self.resync.run()).await.is_none() {
            return;
        }
        tracing::info!(epoch = self.writer.epoch, "rows are as new as the lease");
        let Self { cluster, shell, writer, config, stop, .. } = &self;
        let mut shell = shell.lock().await;
        tokio::join!(
            shell.lead(cluster, writer, stop),
            framework::run(cluster, writer, stop),
            agent_lifecycle::run(cluster, writer, config.agents, stop),
            retention::run(cluster, writer, config.retention, stop),
        );
    }
}
