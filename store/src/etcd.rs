//! A cluster: records in etcd, the writes of many callers grouped into one of its transactions.
//!
//! ```text
//!  write ──queue──► group ──one txn──► etcd                  get, list ──────────────► etcd
//!                                       │
//!  watches ◄── recent events ◄── feed ◄─┘ one watch for all; older events by a watch of their own
//! ```
//!
//! **Versions.** etcd counts commits, so a version is its revision with the position of the write
//! in its group: see `positions`. As of now the store is at the end of etcd's revision.
//!
//! **Watches.** One watch of etcd feeds all watches of this store from memory; who wants older
//! events gets them from etcd. It is followed again from where it was whenever it is lost, from
//! another member if need be. Watches are silent while it is lost, also about progress.
//!
//! **Faults.** Reads are asked again, of other members too. A write is only where certainly nobody
//! received it; otherwise the answer is [`Error::Unavailable`] and the write may have happened.
//! With etcd's quota used up puts are refused with [`Error::NoSpace`]; deletions and reads go on.
//! When etcd was replaced by another store, or went back to an older state of it, everything is
//! refused, since what is remembered here is no longer true; into another store nothing is written
//! even before that is noticed.
//!
//! **Who writes behind our back** can only harm himself: a value that is not ours is
//! [`Error::Corrupt`] for its key; a commit with more changes than there are positions cannot be
//! watched and is answered like a compaction.

mod cluster;
mod events;
mod feed;
mod group;
mod history;
mod layout;
mod positions;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp, TxnOpResponse};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use self::cluster::{Cluster, Fault, Member};
use self::feed::Feed;
use self::group::{Waiting, Writer};
use self::layout::Layout;
use crate::recent::Recent;
use crate::room::{self, Room};
use crate::watch::Signal;
use crate::{Change, Error, Expect, LeaseId, Page, Record, Store, Version, Watch};

/// How long a watch of etcd may take to begin, or to say anything when it is asked.
const OPEN_TIMEOUT: Duration = Duration::from_secs(8);
/// How often etcd is asked for progress while it owes an answer; as often as Kubernetes does.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);

/// Where etcd is.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Each `http://host:port` or `https://host:port`; at least one.
    pub endpoints: Vec<String>,
    /// What all names of this store begin with, such as `/meseta`. Stores with different prefixes,
    /// none of which begins another, can share a cluster.
    pub prefix: String,
    /// For `https` endpoints.
    pub tls: Option<Tls>,
}

/// How etcd and its clients know each other.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate of the authority that signed the members' certificates, PEM.
    pub ca_pem: String,
    /// What this client shows, where etcd wants to see something.
    pub client: Option<ClientCertificate>,
}

/// A client's certificate with its key, both PEM.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// A store in an etcd cluster.
#[derive(Debug)]
pub struct EtcdStore {
    shared: Arc<Shared>,
    queue: mpsc::UnboundedSender<Waiting>,
    room: Room,
    signal: watch::Receiver<Signal>,
    wanted: Arc<Notify>,
    generation: String,
    tasks: [AbortHandle; 2],
}

/// What the store, its feed and its watches look at.
#[derive(Debug)]
struct Shared {
    cluster: Arc<Cluster>,
    layout: Layout,
    recent: Recent,
    /// Watches of what is older are refused, even where it is still in memory.
    compacted: AtomicU64,
    /// etcd is no longer the store it was.
    replaced: AtomicBool,
}

/// See [`Shared::replaced`].
#[derive(Debug, thiserror::Error)]
#[error("etcd holds another store than when it was opened, or an older state of it")]
struct Replaced;

fn unavailable(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unavailable(Box::new(cause))
}

impl EtcdStore {
    /// Opens the store below a prefix, and makes it where there is none yet. What is there already
    /// is kept; two who make it at once make the same.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no member answers, or the options are no good;
    /// [`Error::NoSpace`].
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let cluster = Arc::new(Cluster::connect(&options).await?);
        let layout = Layout::below(&options.prefix);
        let (generation, revision) = generation(&cluster, &layout).await?;
        let newest = Version::end_of(revision);
        let shared = Arc::new(Shared {
            cluster: Arc::clone(&cluster),
            layout: layout.clone(),
            recent: Recent::new(newest),
            compacted: AtomicU64::new(0),
            replaced: AtomicBool::new(false),
        });
        let (sender, signal) = watch::channel(Signal { newest, asked: 0 });
        let wanted = Arc::new(Notify::new());
        let feed = Feed {
            shared: Arc::clone(&shared),
            signal: sender,
            wanted: Arc::clone(&wanted),
            generation: generation.clone(),
        };
        let writer = Writer { cluster, layout, generation: generation.clone() };
        let (queue, waiting) = mpsc::unbounded_channel();
        let tasks = [
            tokio::spawn(feed.run()).abort_handle(),
            tokio::spawn(group::run(writer, waiting)).abort_handle(),
        ];
        Ok(Self { shared, queue, room: Room::new(), signal, wanted, generation, tasks })
    }
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The id of the store and etcd's revision; the id is made where there is none.
async fn generation(cluster: &Cluster, layout: &Layout) -> Result<(String, u64), Error> {
    let name = &layout.generation;
    let offered = &crate::new_generation();
    let call = |mut member: Member| {
        let absent = Compare::mod_revision(name.as_str(), CompareOp::Equal, 0);
        let put = TxnOp::put(name.as_str(), offered.as_str(), None);
        let get = TxnOp::get(name.as_str(), None);
        let txn = Txn::new().when([absent]).and_then([put]).or_else([get]);
        async move { member.kv.txn(txn).await }.boxed()
    };
    // Not `write`: asked twice, it gives the same.
    let answer = cluster.read(call).await.map_err(Fault::into_error)?;
    let revision = answer.header().map_or(0, |header| layout::revision(header.revision()));
    match answer.op_responses().pop() {
        Some(TxnOpResponse::Get(found)) => {
            let found = found.kvs().first().map(|found| found.value_str().map(str::to_owned));
            match found {
                Some(Ok(generation)) => Ok((generation, revision)),
                _ => Err(Error::Corrupt { key: name.clone(), why: "it is not UTF-8".to_owned() }),
            }
        }
        _ => Ok((offered.clone(), revision)),
    }
}

impl Shared {
    fn check(&self) -> Result<(), Error> {
        if self.replaced.load(Ordering::Relaxed) { Err(unavailable(Replaced)) } else { Ok(()) }
    }

    /// The newest version, asked of all members.
    async fn newest(&self) -> Result<Version, Error> {
        let name = &self.layout.generation;
        let call = |mut member: Member| {
            let (name, options) = (name.clone(), GetOptions::new().with_count_only());
            async move { member.kv.get(name, Some(options)).await }.boxed()
        };
        let answer = self.cluster.read(call).await.map_err(Fault::into_error)?;
        let revision = answer.header().map_or(0, |header| layout::revision(header.revision()));
        Ok(Version::end_of(revision))
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        let name = &self.layout.record(key);
        let call = |mut member: Member| {
            let name = name.clone();
            async move { member.kv.get(name, None).await }.boxed()
        };
        let mut found = self.cluster.read(call).await.map_err(Fault::into_error)?;
        found.take_kvs().pop().map(|found| self.layout.open(found)).transpose()
    }

    /// Compacts what is before the commit of `version`, or up to its end where that is meant.
    async fn compact(&self, version: Version) -> Result<(), Error> {
        let newest = self.newest().await?;
        if version > newest {
            return Err(Error::Future { asked: version, newest });
        }
        let revision = version.revision();
        let whole = version == Version::end_of(revision);
        let target = if whole { revision } else { revision.saturating_sub(1) };
        if target == 0 {
            return Ok(());
        }
        self.compacted.fetch_max(Version::end_of(target).0, Ordering::Relaxed);
        let call = |mut member: Member| {
            async move { member.kv.compact(layout::sent(target), None).await }.boxed()
        };
        match self.cluster.read(call).await {
            // Somebody else has done so already.
            Ok(_) | Err(Fault::Compacted) => Ok(()),
            Err(fault) => Err(fault.into_error()),
        }
    }

    async fn grant(&self, ttl_seconds: i64) -> Result<LeaseId, Error> {
        // Asked twice, one of the two ends unused.
        let call = |mut member: Member| {
            async move { member.lease.grant(ttl_seconds.max(1), None).await }.boxed()
        };
        let granted = self.cluster.read(call).await.map_err(Fault::into_error)?;
        Ok(LeaseId(granted.id()))
    }

    async fn renew(&self, lease: LeaseId) -> Result<(), Error> {
        let call = |mut member: Member| {
            async move { member.lease.keep_alive(lease.0).await.map(drop) }.boxed()
        };
        self.cluster.read(call).await.map_err(|fault| of_lease(fault, lease))
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        let call = |mut member: Member| {
            async move { member.lease.revoke(lease.0).await.map(drop) }.boxed()
        };
        self.cluster.write(call).await.map_err(|fault| of_lease(fault, lease))
    }
}

fn of_lease(fault: Fault, lease: LeaseId) -> Error {
    match fault {
        Fault::NoLease => Error::LeaseNotFound(lease),
        fault => fault.into_error(),
    }
}

/// The writer ended before it answered.
#[derive(Debug, thiserror::Error)]
#[error("the store is closed")]
struct Closed;

impl Store for EtcdStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Record>, Error>> {
        async move {
            self.shared.check()?;
            self.shared.get(key).await
        }
        .boxed()
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        at: Option<Version>,
    ) -> BoxFuture<'a, Result<Page, Error>> {
        async move {
            self.shared.check()?;
            self.shared.list(prefix, after, limit, at).await
        }
        .boxed()
    }

    fn write<'a>(
        &'a self,
        key: &'a str,
        expect: Expect,
        change: Change,
    ) -> BoxFuture<'a, Result<Version, Error>> {
        async move {
            crate::check_limits(key, &change)?;
            self.shared.check()?;
            let room = self.room.take(room::value_bytes(&change)).await;
            let (reply, answer) = oneshot::channel();
            let waiting = Waiting { key: key.to_owned(), expect, change, reply, _room: room };
            self.queue.send(waiting).map_err(|_ended| unavailable(Closed))?;
            answer.await.map_err(|_ended| unavailable(Closed))?
        }
        .boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Version) -> BoxFuture<'a, Result<Watch, Error>> {
        async move {
            self.shared.check()?;
            let oldest = Version(self.shared.compacted.load(Ordering::Relaxed));
            if after < oldest {
                return Err(Error::Compacted { asked: after, oldest });
            }
            let history = Arc::clone(&self.shared);
            Ok(crate::watch::watch(history, self.signal.clone(), prefix, after, None))
        }
        .boxed()
    }

    fn version(&self) -> BoxFuture<'_, Result<Version, Error>> {
        async move {
            self.shared.check()?;
            self.shared.newest().await
        }
        .boxed()
    }

    fn request_progress(&self) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.shared.check()?;
            self.wanted.notify_one();
            Ok(())
        }
        .boxed()
    }

    fn compact(&self, version: Version) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.shared.check()?;
            self.shared.compact(version).await
        }
        .boxed()
    }

    fn grant_lease(&self, ttl_seconds: i64) -> BoxFuture<'_, Result<LeaseId, Error>> {
        async move {
            self.shared.check()?;
            self.shared.grant(ttl_seconds).await
        }
        .boxed()
    }

    fn renew_lease(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.shared.check()?;
            self.shared.renew(lease).await
        }
        .boxed()
    }

    fn revoke_lease(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.shared.check()?;
            self.shared.revoke(lease).await
        }
        .boxed()
    }

    fn generation(&self) -> &str {
        &self.generation
    }
}
