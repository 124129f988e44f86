//! The tables in the file, and how they are read.
//!
//! ```text
//!  events      version          → key, envelope of the value or nothing (a deletion)
//!  keys        (key, version)   → lease (0: none), or nothing (a deletion)
//!  leases      lease            → time to live in seconds
//!  lease_keys  (lease, key)     → ()
//!  numbers     name             → format, compacted, swept, last_lease
//!  names       name             → generation
//! ```
//!
//! A value is written once, at the end of `events`; `keys` is the small index that finds it. What a
//! key held at a version is its last row in `keys` that is not newer. A compaction sets `compacted`
//! at once; the rows it freed are swept later, up to `swept`.
//!
//! **Invariant:** `events` and `keys` have the same changes; a key has at most one row that is not
//! newer than `swept`, and that is a put.

use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadableDatabase as _, ReadableTable, TableDefinition};

use super::engine;
use crate::watch::{BATCH_EVENTS, Batch};
use crate::{Error, Event, LeaseId, Page, Record, Version, envelope};

/// A row of `events`.
pub(super) type Change = (&'static str, Option<&'static [u8]>);
/// The key of `keys`.
pub(super) type KeyVersion = (&'static str, u64);

pub(super) const EVENTS: TableDefinition<'static, u64, Change> = TableDefinition::new("events");
pub(super) const KEYS: TableDefinition<'static, KeyVersion, Option<i64>> =
    TableDefinition::new("keys");
pub(super) const LEASES: TableDefinition<'static, i64, i64> = TableDefinition::new("leases");
pub(super) const LEASE_KEYS: TableDefinition<'static, (i64, &'static str), ()> =
    TableDefinition::new("lease_keys");
pub(super) const NUMBERS: TableDefinition<'static, &'static str, u64> =
    TableDefinition::new("numbers");
const NAMES: TableDefinition<'static, &'static str, &'static str> = TableDefinition::new("names");

/// The layout of these tables.
const FORMAT: u64 = 1;
const FORMAT_NAME: &str = "format";
/// The oldest version that can be read.
pub(super) const COMPACTED: &str = "compacted";
/// Up to here nothing is left of what was overwritten or deleted.
pub(super) const SWEPT: &str = "swept";
/// The newest lease's id.
pub(super) const LAST_LEASE: &str = "last_lease";
const GENERATION: &str = "generation";

/// What the file holds when it is opened.
pub(super) struct Opened {
    pub(super) newest: Version,
    pub(super) leases: Vec<(LeaseId, Duration)>,
    pub(super) generation: String,
}

/// The file has another layout.
#[derive(Debug, thiserror::Error)]
#[error("the store was written in format {0}, this program knows format {FORMAT}")]
struct UnknownFormat(u64);

/// Makes the tables where there are none yet, and reads what the writer begins with. Of a store that
/// is there nothing is written, since its disk may be full.
pub(super) fn prepare(database: &Database) -> Result<Opened, Error> {
    let is_new = {
        let read = database.begin_read().map_err(engine)?;
        read.list_tables().map_err(engine)?.next().is_none()
    };
    if is_new {
        initialize(database)?;
    }
    let read = database.begin_read().map_err(engine)?;
    let format = number(&read.open_table(NUMBERS).map_err(engine)?, FORMAT_NAME)?;
    if format != FORMAT {
        return Err(super::unavailable(UnknownFormat(format)));
    }
    let names = read.open_table(NAMES).map_err(engine)?;
    let generation = names.get(GENERATION).map_err(engine)?.map(|name| name.value().to_owned());
    let mut leases = Vec::new();
    for row in read.open_table(LEASES).map_err(engine)?.iter().map_err(engine)? {
        let (lease, ttl) = row.map_err(engine)?;
        leases.push((LeaseId(lease.value()), ttl_of(ttl.value())));
    }
    Ok(Opened {
        newest: Snapshot::of(database)?.newest,
        leases,
        generation: generation.ok_or_else(|| corrupt(GENERATION, "it is missing".to_owned()))?,
    })
}

/// Makes all tables in one durable step.
fn initialize(database: &Database) -> Result<(), Error> {
    let write = database.begin_write().map_err(engine)?;
    {
        let mut numbers = write.open_table(NUMBERS).map_err(engine)?;
        numbers.insert(FORMAT_NAME, FORMAT).map_err(engine)?;
        let mut names = write.open_table(NAMES).map_err(engine)?;
        names.insert(GENERATION, crate::new_generation().as_str()).map_err(engine)?;
        write.open_table(EVENTS).map_err(engine)?;
        write.open_table(KEYS).map_err(engine)?;
        write.open_table(LEASES).map_err(engine)?;
        write.open_table(LEASE_KEYS).map_err(engine)?;
    }
    write.commit().map_err(engine)
}

/// A time to live, at least a second.
pub(super) fn ttl_of(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1))
}

/// A row of `numbers`; what was never written is 0.
pub(super) fn number(
    numbers: &impl ReadableTable<&'static str, u64>,
    name: &str,
) -> Result<u64, Error> {
    Ok(numbers.get(name).map_err(engine)?.map_or(0, |number| number.value()))
}

/// The two tables that hold the records; the same for readers and for the writer.
pub(super) struct View<E, K> {
    pub(super) events: E,
    pub(super) keys: K,
}

impl<E, K> View<E, K>
where
    E: ReadableTable<u64, Change>,
    K: ReadableTable<KeyVersion, Option<i64>>,
{
    /// The newest version, of which `compacted` may be all that is left.
    pub(super) fn newest(&self, compacted: u64) -> Result<Version, Error> {
        let last = self.events.last().map_err(engine)?.map_or(0, |(version, _)| version.value());
        Ok(Version(last.max(compacted)))
    }

    /// The last change of `key` up to `at`: its version and, unless it was a deletion, its lease.
    pub(super) fn last_change(
        &self,
        key: &str,
        at: Version,
    ) -> Result<Option<(Version, Option<i64>)>, Error> {
        let mut changes = self.keys.range((key, 0)..=(key, at.0)).map_err(engine)?;
        let Some(last) = changes.next_back() else { return Ok(None) };
        let (at, lease) = last.map_err(engine)?;
        Ok(Some((Version(at.value().1), lease.value())))
    }

    /// What `key` held at `at`.
    pub(super) fn record_at(&self, key: &str, at: Version) -> Result<Option<Record>, Error> {
        match self.last_change(key, at)? {
            Some((version, Some(_lease))) => self.record(key, version).map(Some),
            Some((_, None)) | None => Ok(None),
        }
    }

    /// The record that the change `version` put at `key`.
    fn record(&self, key: &str, version: Version) -> Result<Record, Error> {
        let row = self.events.get(version.0).map_err(engine)?;
        let value = match row.as_ref().map(|row| row.value().1) {
            Some(Some(envelope)) => unseal(key, version, envelope)?,
            Some(None) | None => return Err(corrupt(key, format!("no value at {version}"))),
        };
        Ok(Record { key: key.to_owned(), value, version })
    }

    /// One page as of `at`.
    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Version,
    ) -> Result<Page, Error> {
        let mut found = self.live(prefix, after, limit.saturating_add(1), at)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let records: Result<_, _> =
            found.iter().map(|(key, version)| self.record(key, *version)).collect();
        Ok(Page { records: records?, version: at, more })
    }

    /// The first `limit` keys that held something at `at`, each with the version that put it.
    fn live(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Version,
    ) -> Result<Vec<(String, Version)>, Error> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded((after, u64::MAX)),
            _ => Bound::Included((prefix, 0)),
        };
        let mut found: Vec<(String, Version)> = Vec::new();
        // The key being looked at, with its last change so far that is not too new.
        let mut last: Option<(String, Version, bool)> = None;
        for row in self.keys.range((from, Bound::Unbounded)).map_err(engine)? {
            let (row, lease) = row.map_err(engine)?;
            let (key, version) = row.value();
            let same = last.as_ref().is_some_and(|(last, ..)| last == key);
            if !same {
                found.extend(last.take().filter(|last| last.2).map(|last| (last.0, last.1)));
                if found.len() >= limit || !key.starts_with(prefix) {
                    return Ok(found);
                }
            }
            if version <= at.0 {
                let live = lease.value().is_some();
                match &mut last {
                    Some(last) => (last.1, last.2) = (Version(version), live),
                    None => last = Some((key.to_owned(), Version(version), live)),
                }
            }
        }
        found.extend(last.filter(|last| last.2).map(|last| (last.0, last.1)));
        Ok(found)
    }

    /// The changes under `prefix` after version `after`, at most a batch of them.
    fn events(&self, prefix: &str, after: Version, newest: Version) -> Result<Batch, Error> {
        let mut events = Vec::new();
        let rows = self.events.range((Bound::Excluded(after.0), Bound::Unbounded));
        for row in rows.map_err(engine)? {
            let (version, row) = row.map_err(engine)?;
            let (key, envelope) = row.value();
            if !key.starts_with(prefix) {
                continue;
            }
            let version = Version(version.value());
            let value = envelope.map(|envelope| unseal(key, version, envelope)).transpose()?;
            let previous = self.record_at(key, Version(version.0 - 1))?;
            events.push(Event { key: key.to_owned(), version, value, previous });
            if events.len() == BATCH_EVENTS {
                return Ok(Batch { events, through: version });
            }
        }
        Ok(Batch { events, through: newest })
    }
}

/// The value in an envelope that the change `version` put at `key`.
fn unseal(key: &str, version: Version, sealed: &[u8]) -> Result<Bytes, Error> {
    let (position, value) =
        envelope::open(Bytes::copy_from_slice(sealed)).map_err(|why| corrupt(key, why))?;
    if position != version.position() {
        return Err(corrupt(key, format!("position {position} in the row of {version}")));
    }
    Ok(value)
}

fn corrupt(key: &str, why: String) -> Error {
    Error::Corrupt { key: key.to_owned(), why }
}

/// What the store held after one commit.
pub(super) struct Snapshot {
    view: View<ReadOnlyTable<u64, Change>, ReadOnlyTable<KeyVersion, Option<i64>>>,
    compacted: Version,
    newest: Version,
}

impl Snapshot {
    /// What the newest commit left.
    pub(super) fn of(database: &Database) -> Result<Self, Error> {
        let read = database.begin_read().map_err(engine)?;
        let view = View {
            events: read.open_table(EVENTS).map_err(engine)?,
            keys: read.open_table(KEYS).map_err(engine)?,
        };
        let compacted = number(&read.open_table(NUMBERS).map_err(engine)?, COMPACTED)?;
        let newest = view.newest(compacted)?;
        Ok(Self { view, compacted: Version(compacted), newest })
    }

    /// See [`crate::Store::get`].
    pub(super) fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        self.view.record_at(key, self.newest)
    }

    /// See [`crate::Store::list`].
    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Version>,
    ) -> Result<Page, Error> {
        let at = at.unwrap_or(self.newest);
        self.check_compacted(at)?;
        if at > self.newest {
            return Err(Error::Future { asked: at, newest: self.newest });
        }
        self.view.list(prefix, after, limit, at)
    }

    /// The changes under `prefix` after version `after`, at most a batch of them.
    pub(super) fn events(&self, prefix: &str, after: Version) -> Result<Batch, Error> {
        self.check_compacted(after)?;
        self.view.events(prefix, after, self.newest)
    }

    /// Refuses what is older than the last compaction.
    pub(super) fn check_compacted(&self, asked: Version) -> Result<(), Error> {
        if asked < self.compacted {
            return Err(Error::Compacted { asked, oldest: self.compacted });
        }
        Ok(())
    }
}
