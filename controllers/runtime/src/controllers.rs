//! All controllers of one control plane, from its start to its end, term after term.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::allocator::{self, Shell};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::handle::{Handle, InOffice, Leadership, Term};
use crate::leader::{Elector, Fence};
use crate::market::{Command, Market};
use crate::offer_book::OfferBook;
use crate::queue::Queue;
use crate::watch::Resync;
use crate::write::Writer;
use crate::{agent_lifecycle, framework, retention, watch as watches};

/// Least time between two passes over one framework; a busy one costs a pass per interval.
const FRAMEWORK_DISTANCE: Duration = Duration::from_millis(20);

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

/// The controllers of one control plane, before they run.
#[derive(Debug)]
pub struct Controllers {
    config: Config,
    leadership: watch::Sender<Leadership>,
    offers: OfferBook,
}

impl Controllers {
    /// The controllers, and a look into them from before they start until after they have ended.
    #[must_use]
    pub fn new(config: Config) -> (Self, Handle) {
        let (leadership, receiver) = watch::channel(Leadership::Unknown);
        let offers = OfferBook::default();
        let handle = Handle::new(receiver, offers.clone());
        (Self { config, leadership, offers }, handle)
    }

    /// Runs all controllers until `shutdown`, then finishes writes under way and releases the lease.
    ///
    /// An API server that cannot be reached is waited for, before the start as well as later. A
    /// future that is dropped writes nothing more and leaves the lease as it is.
    ///
    /// # Errors
    /// Unusable times in the configuration, or a panic of a controller: the process should end then.
    pub async fn run(self, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
        let Self { config, leadership, offers } = self;
        config.check()?;
        let fence = Fence::default();
        let cluster = Arc::new(Cluster::new(Queue::new(FRAMEWORK_DISTANCE)));
        let shell = Arc::new(Mutex::new(Shell::new(config.unused_roles)));
        // Ends what still runs when this future is dropped.
        let background = CancellationToken::new();
        let _stop_background = background.clone().drop_guard();
        let resync = watches::start(&client, &cluster, &background);
        let mut elector =
            Elector::new(client.clone(), fence.clone(), config.clone(), leadership.clone());

        loop {
            let epoch = tokio::select! {
                epoch = elector.acquire(&shutdown) => epoch,
                never = allocator::follow(&cluster, &shell) => match never {},
            };
            let Some(epoch) = epoch else { return Ok(()) };
            leadership.send_replace(Leadership::Unknown);
            let stop = background.child_token();
            let in_office = InOffice::new(&leadership, stop.clone());
            let (market, commands) = Market::new();
            let writer = Writer::new(client.clone(), fence.clone(), epoch);
            let ended = stop.child_token();
            let leading = Leading {
                cluster: cluster.clone(),
                shell: shell.clone(),
                resync: resync.clone(),
                config: config.clone(),
                term: Term { epoch, writer, market, ended },
                leadership: leadership.clone(),
                commands,
                offers: offers.clone(),
                stop: stop.clone(),
            };
            let mut term = JoinSet::new();
            term.spawn(leading.run());
            let ended_early = tokio::select! {
                () = elector.hold(epoch, &shutdown) => None,
                ended = term.join_next() => ended,
            };
            // Until everything of this term has stopped, nothing of the next begins.
            drop(in_office);
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
}

/// One term of a leader.
struct Leading {
    cluster: Arc<Cluster>,
    shell: Arc<Mutex<Shell>>,
    resync: Resync,
    config: Config,
    term: Term,
    leadership: watch::Sender<Leadership>,
    commands: mpsc::Receiver<Command>,
    offers: OfferBook,
    stop: CancellationToken,
}

impl Leading {
    async fn run(self) {
        let Self { cluster, shell, mut resync, config, term, leadership, commands, .. } = self;
        let (offers, stop) = (self.offers, &self.stop);
        if stop.run_until_cancelled(resync.run()).await.is_none() {
            return;
        }
        let writer = term.writer.clone();
        tracing::info!(epoch = writer.epoch, "rows are as new as the lease");
        let mut shell = shell.lock().await;
        let pen = offers.open(writer.epoch);
        // A term that has ended meanwhile is not announced any more.
        leadership.send_if_modified(|leadership| {
            let lasts = !stop.is_cancelled();
            if lasts {
                *leadership = Leadership::Leading(term);
            }
            lasts
        });
        let (writer, cluster) = (&writer, &*cluster);
        tokio::join!(
            shell.lead(cluster, writer, commands, pen, stop),
            framework::run(cluster, writer, stop),
            agent_lifecycle::run(cluster, writer, config.agents, stop),
            retention::run(cluster, writer, config.retention, stop),
        );
    }
}
