//! Bytes by key under one growing revision: the only durable truth of Meseta.
//!
//! One contract, three implementations: [`memory`] (the model the others are tested against),
//! [`embedded`] (one machine, one directory) and [`etcd`] (a cluster). Only the API server opens a
//! store.
//!
//! # Promises
//!
//! - **Acknowledged means durable.** [`Store::write`] answers after the bytes are synced. Writes of
//!   many callers share one sync.
//! - **One write, one [`Version`].** A version is `revision × 1024 + position`: writes that were
//!   grouped into one commit share its revision and differ in their position. Versions grow in the
//!   order of commits and never repeat.
//! - **Compare and write.** Each write names what it expects of its key; where something else is
//!   found nothing changes and the caller gets what is there.
//! - **A watch loses nothing and repeats nothing.** A watch from version `v` gives every event after
//!   `v`, in order, wherever it was cut: also between two events of one commit. After a compaction
//!   beyond `v` it says [`Error::Compacted`] instead.
//! - **Old revisions stay readable** until they are compacted: [`Store::list`] at a version shows
//!   exactly what was there.
//! - **A generation id** is written when a store is first opened. A client that sees another one
//!   looks at another store (or at a restored one) and must not conclude that what it misses was
//!   deleted.

mod cause;
pub mod embedded;
mod envelope;
pub mod etcd;
pub mod memory;
mod recent;
mod room;
mod watch;

use std::fmt;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

/// Writes that can share one revision; the factor between revision and [`Version`].
pub const POSITIONS: u64 = 1024;
/// The largest value of one record, as in etcd's default request limit (1.5 MiB) less its overhead.
pub const MAX_VALUE_BYTES: usize = 1_400_000;
/// The longest key.
pub const MAX_KEY_BYTES: usize = 2048;

/// A point in the history of the whole store: `revision × 1024 + position in the commit`.
///
/// It is what clients see as `metadata.resourceVersion`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version of the write at `position` of commit `revision`.
    #[must_use]
    pub fn new(revision: u64, position: u64) -> Self {
        debug_assert!(position < POSITIONS);
        Self(revision * POSITIONS + position)
    }

    /// The last version that commit `revision` can hold.
    #[must_use]
    pub fn end_of(revision: u64) -> Self {
        Self::new(revision, POSITIONS - 1)
    }

    /// The commit.
    #[must_use]
    pub fn revision(self) -> u64 {
        self.0 / POSITIONS
    }

    /// The position in the commit.
    #[must_use]
    pub fn position(self) -> u64 {
        self.0 % POSITIONS
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One key with its value and the version that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// UTF-8, at most [`MAX_KEY_BYTES`], such as `/registry/meseta.dev/tasks/default/a`.
    pub key: String,
    /// What was written, at most [`MAX_VALUE_BYTES`].
    pub value: Bytes,
    /// The write that put it there.
    pub version: Version,
}

/// What a write expects to find at its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// The record that this version wrote. Of the version etcd compares the commit only, which is
    /// enough: a key is written once in a commit.
    Version(Version),
}

/// What a write does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Stores a value. With a lease, the key is deleted when the lease ends.
    Put {
        /// The bytes.
        value: Bytes,
        /// The lease whose end deletes the key.
        lease: Option<LeaseId>,
    },
    /// Removes the key.
    Delete,
}

/// A promise to be renewed: keys put under it vanish when it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub i64);

/// One page of records under a prefix, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// The version the whole page shows; give it to [`Store::list`] for the next page and to
    /// [`Store::watch`] for what comes after.
    pub version: Version,
    /// Whether records follow after the last one.
    pub more: bool,
}

/// One change as a watch gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key that changed.
    pub key: String,
    /// The version of the change; larger than that of the event before it.
    pub version: Version,
    /// The value put, or `None` for a deletion.
    pub value: Option<Bytes>,
    /// The record before the change.
    pub previous: Option<Record>,
}

/// What a watch yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// A change.
    Event(Event),
    /// Every event up to and including this version has been given.
    Progress(Version),
}

/// The items of a watch. Ends only with an error; dropping it ends the watch.
pub type Watch = BoxStream<'static, Result<WatchItem, Error>>;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key does not hold what the write expected; nothing changed.
    #[error("the key has changed meanwhile")]
    Conflict {
        /// What is there now.
        current: Option<Record>,
    },
    /// The version asked for is older than the last compaction.
    #[error("version {asked} was compacted; the oldest is {oldest}")]
    Compacted {
        /// The version asked for.
        asked: Version,
        /// The oldest version that can still be read.
        oldest: Version,
    },
    /// The version asked for has not been written yet.
    #[error("version {asked} is not written yet; the newest is {newest}")]
    Future {
        /// The version asked for.
        asked: Version,
        /// The newest version.
        newest: Version,
    },
    /// Key or value is longer than allowed.
    #[error("{what} has {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// `key` or `value`.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The lease has ended or never was.
    #[error("lease {} is unknown or has ended", .0.0)]
    LeaseNotFound(LeaseId),
    /// A watcher did not read fast enough and was cut; it can resume from its last version.
    #[error("the watch fell behind and was ended")]
    Lagged,
    /// The store refuses writes because it has no room (a full disk, etcd's quota).
    #[error("the store has no room")]
    NoSpace(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store cannot be reached, or its answer is unknown: the write may have happened.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored value cannot be read.
    #[error("the value of `{key}` is corrupt: {why}")]
    Corrupt {
        /// The key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The id of a store that is opened for the first time.
fn new_generation() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Refuses keys and values that are longer than allowed.
fn check_limits(key: &str, change: &Change) -> Result<(), Error> {
    let check = |what, bytes, limit| {
        if bytes > limit { Err(Error::TooLarge { what, bytes, limit }) } else { Ok(()) }
    };
    check("key", key.len(), MAX_KEY_BYTES)?;
    match change {
        Change::Put { value, .. } => check("value", value.len(), MAX_VALUE_BYTES),
        Change::Delete => Ok(()),
    }
}

/// Bytes by key under one growing revision; see the crate's promises.
///
/// Methods return boxed futures so that callers can hold an `Arc<dyn Store>` and choose the
/// implementation when the program starts. Dropping a future of [`Store::write`] leaves it open
/// whether the write happens.
pub trait Store: Send + Sync + 'static {
    /// The record at `key` as of now (linearizable).
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Record>, Error>>;

    /// Up to `limit` records whose keys begin with `prefix` and come after `after`, in key order;
    /// at version `at`, or as of now (linearizable).
    ///
    /// # Errors
    /// [`Error::Compacted`] and [`Error::Future`] for `at`; [`Error::Unavailable`],
    /// [`Error::Corrupt`].
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        at: Option<Version>,
    ) -> BoxFuture<'a, Result<Page, Error>>;

    /// Changes `key` if it holds what is expected; durable when it answers. Returns the version of
    /// the write. Deleting what is expected to be absent is a conflict, since nothing would change.
    ///
    /// # Errors
    /// [`Error::Conflict`] with what is there, [`Error::TooLarge`], [`Error::LeaseNotFound`],
    /// [`Error::NoSpace`], [`Error::Unavailable`].
    fn write<'a>(
        &'a self,
        key: &'a str,
        expect: Expect,
        change: Change,
    ) -> BoxFuture<'a, Result<Version, Error>>;

    /// Every change of keys beginning with `prefix` after version `after`, in order, followed by
    /// what is to come. [`WatchItem::Progress`] comes in idle times and after
    /// [`Store::request_progress`].
    ///
    /// # Errors
    /// [`Error::Compacted`] at once, as the first item, or later when a compaction overtakes a
    /// watch that is not read; [`Error::Lagged`], [`Error::Unavailable`], and [`Error::Corrupt`]
    /// for a key under `prefix`.
    fn watch<'a>(&'a self, prefix: &'a str, after: Version) -> BoxFuture<'a, Result<Watch, Error>>;

    /// The newest version (linearizable): every write acknowledged before the call is at or below.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn version(&self) -> BoxFuture<'_, Result<Version, Error>>;

    /// Asks that all open watches yield [`WatchItem::Progress`] soon.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn request_progress(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Forgets what was overwritten or deleted before `version`; a later compaction never goes back.
    /// A store may keep a little more: etcd forgets whole commits only.
    ///
    /// # Errors
    /// [`Error::Future`], [`Error::Unavailable`].
    fn compact(&self, version: Version) -> BoxFuture<'_, Result<(), Error>>;

    /// A new lease that ends `ttl_seconds` after its last renewal; a store may make that longer
    /// (at least one second; etcd: two), never shorter.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::NoSpace`].
    fn grant_lease(&self, ttl_seconds: i64) -> BoxFuture<'_, Result<LeaseId, Error>>;

    /// Renews a lease for its full time.
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`], [`Error::Unavailable`].
    fn renew_lease(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>>;

    /// Ends a lease and deletes its keys.
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`], [`Error::Unavailable`].
    fn revoke_lease(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>>;

    /// The id written when this store was first opened; another id means another store.
    fn generation(&self) -> &str;
}
