//! One machine, one directory: redb behind one writer.
//!
//! ```text
//!  callers ──queue──► writer thread: take what waits ─► one redb transaction ─► sync ─► answer all
//!                                                                                 │
//!  get, list ◄── snapshot of the tables (`tables`)                                ├─► recent events
//!  watches   ◄── recent events in memory, else the tables ◄──── signal ───────────┘
//! ```
//!
//! **Group commit.** One thread writes. It takes the writes that wait, at most `MAX_GROUP_WRITES`
//! and `MAX_GROUP_BYTES`, carries them out in one transaction, syncs, and only then answers them:
//! while one group is synced, the next one gathers.
//!
//! **History.** Every change stays in the tables until a compaction, so old versions can be listed
//! and watched, also after a restart. Sweeping what a compaction freed is spread over the commits
//! that follow.
//!
//! **Faults.** redb leaves a file that is right after a kill at any instant. Puts are refused with
//! [`Error::NoSpace`] while the disk has less than `RESERVE_BYTES`; deletions and sweeping may
//! use the reserve, and what was swept then is given back to the disk. After a failed commit the file is opened anew, what it holds is the truth, and
//! nobody of that group is told of success.
//!
//! **Leases** are in the tables with their keys; the time they have left is not, and is counted
//! anew after a restart.

mod disk;
mod group;
mod leases;
mod queue;
mod tables;
mod writer;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use redb::Database;
use tokio::sync::watch;

use self::disk::{Directory, Disk};
use self::queue::{Command, Queue};
use self::tables::Snapshot;
use self::writer::Writer;
use crate::recent::Recent;
use crate::watch::{Batch, History, PROGRESS_INTERVAL, Signal};
use crate::{Change, Error, Expect, LeaseId, Page, Record, Store, Version, Watch};

/// Writes in one commit at most: half of the positions, so that the other half is there for the
/// keys of leases that end. Larger groups would not be cheaper per write.
const MAX_GROUP_WRITES: usize = 512;
/// Bytes of values in one commit, except that there is always room for one: as much as a disk takes
/// without the first of the group waiting long for the last.
const MAX_GROUP_BYTES: usize = 4 << 20;
/// Free bytes on the disk below which puts are refused: room for many groups of deletions and for
/// sweeping, which are what makes room again.
const RESERVE_BYTES: u64 = 16 << 20;

/// A store in a directory.
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    queue: Queue,
    signal: Arc<watch::Sender<Signal>>,
    generation: String,
    writer: Option<JoinHandle<()>>,
}

/// What the store, its writer and its watches look at.
#[derive(Debug)]
struct Shared {
    file: Arc<OpenFile>,
    recent: Recent,
}

/// `None` while the file cannot be opened after a fault, and after the store has ended. Readers
/// hold the lock while they read, so that the file is not closed under them.
type OpenFile = RwLock<Option<Database>>;

impl EmbeddedStore {
    /// Opens the store in `directory`, which is created where it is missing, for its owner only.
    ///
    /// Nobody else can open it until this store is dropped. Dropping waits for the writes that are
    /// under way.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the directory is in use or cannot be read, or was written by a
    /// newer version; [`Error::NoSpace`].
    pub fn open(directory: &Path) -> Result<Self, Error> {
        Self::start(Directory::lock(directory)?)
    }

    fn start(disk: impl Disk) -> Result<Self, Error> {
        let database = disk.open()?;
        let opened = tables::prepare(&database)?;
        let signal = Arc::new(watch::Sender::new(Signal { newest: opened.newest, asked: 0 }));
        let shared = Arc::new(Shared {
            file: Arc::new(RwLock::new(Some(database))),
            recent: Recent::new(opened.newest),
        });
        let (queue, commands) = Queue::new();
        let writer = Writer::new(
            Arc::clone(&shared),
            Box::new(disk),
            Arc::clone(&signal),
            commands,
            opened.leases,
        );
        let writer = thread::Builder::new()
            .name("meseta-store".to_owned())
            .spawn(|| writer.run())
            .map_err(unavailable)?;
        let generation = opened.generation;
        Ok(Self { shared, queue, signal, generation, writer: Some(writer) })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the store panicked");
        }
    }
}

impl Shared {
    /// Runs `read` over a snapshot, where blocking is allowed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Snapshot) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let file = Arc::clone(&self.file);
        let reading = tokio::task::spawn_blocking(move || {
            let file = file.read().unwrap_or_else(PoisonError::into_inner);
            let database = file.as_ref().ok_or_else(|| unavailable(Closed))?;
            read(&Snapshot::of(database)?)
        });
        reading.await.map_err(unavailable)?
    }
}

/// The file of the store is not open.
#[derive(Debug, thiserror::Error)]
#[error("the store is closed, or its file cannot be opened after a fault")]
struct Closed;

fn unavailable(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unavailable(Box::new(cause))
}

/// Something redb says, as an error of the store.
fn engine(cause: impl Into<redb::Error>) -> Error {
    match cause.into() {
        redb::Error::Io(cause) => disk::fault(cause),
        cause => unavailable(cause),
    }
}

impl History for Shared {
    fn read<'a>(&'a self, prefix: &'a str, after: Version) -> BoxFuture<'a, Result<Batch, Error>> {
        async move {
            match self.recent.after(prefix, after) {
                Some(batch) => batch,
                None => {
                    let prefix = prefix.to_owned();
                    self.read(move |snapshot| snapshot.events(&prefix, after)).await
                }
            }
        }
        .boxed()
    }
}

impl Store for EmbeddedStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Record>, Error>> {
        let key = key.to_owned();
        async move { self.shared.read(move |snapshot| snapshot.get(&key)).await }.boxed()
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        at: Option<Version>,
    ) -> BoxFuture<'a, Result<Page, Error>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        async move {
            let list =
                move |snapshot: &Snapshot| snapshot.list(&prefix, after.as_deref(), limit, at);
            self.shared.read(list).await
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
            let key = key.to_owned();
            Ok(self.queue.ask(Command::Write { key, expect, change }).await?.version)
        }
        .boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Version) -> BoxFuture<'a, Result<Watch, Error>> {
        async move {
            self.shared.read(move |snapshot| snapshot.check_compacted(after)).await?;
            let signal = self.signal.subscribe();
            let history = Arc::clone(&self.shared);
            Ok(crate::watch::watch(history, signal, prefix, after, Some(PROGRESS_INTERVAL)))
        }
        .boxed()
    }

    fn version(&self) -> BoxFuture<'_, Result<Version, Error>> {
        async move { Ok(self.shared.recent.newest()) }.boxed()
    }

    fn request_progress(&self) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.signal.send_modify(|signal| signal.asked += 1);
            Ok(())
        }
        .boxed()
    }

    fn compact(&self, version: Version) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.queue.ask(Command::Compact { version }).await.map(drop) }.boxed()
    }

    fn grant_lease(&self, ttl_seconds: i64) -> BoxFuture<'_, Result<LeaseId, Error>> {
        async move { Ok(self.queue.ask(Command::Grant { ttl_seconds }).await?.lease) }.boxed()
    }

    fn renew_lease(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.queue.ask(Command::Renew { lease }).await.map(drop) }.boxed()
    }

    fn revoke_lease(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.queue.ask(Command::Revoke { lease }).await.map(drop) }.boxed()
    }

    fn generation(&self) -> &str {
        &self.generation
    }
}

#[cfg(test)]
mod tests;
