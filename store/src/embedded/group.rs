//! What one commit does: the rules of the contract over the tables of one transaction.
//!
//! Nothing here is visible to anybody before the transaction is committed, and nothing remains of
//! it when it is not. Each function has two ways to fail: the outer error is the file's and ends
//! the whole group; the inner one is the answer to one caller.

use redb::{ReadableTable as _, Table, WriteTransaction};

use super::leases::Leases;
use super::queue::{Answer, Done};
use super::tables::{
    self, COMPACTED, Change as Row, EVENTS, KEYS, KeyVersion, LAST_LEASE, LEASE_KEYS, LEASES,
    NUMBERS, SWEPT, View,
};
use super::{disk, engine};
use crate::recent::Entry;
use crate::{Change, Error, Event, Expect, LeaseId, POSITIONS, Record, Version, envelope};

/// Rows looked at in one commit to sweep what a compaction freed: about as much work as the writes
/// of a full group, so that sweeping never stalls them for long.
const SWEEP_ROWS: usize = 512;

/// A group under way.
pub(super) struct Group<'t> {
    view: View<Table<'t, u64, Row>, Table<'t, KeyVersion, Option<i64>>>,
    leases: Table<'t, i64, i64>,
    lease_keys: Table<'t, (i64, &'static str), ()>,
    numbers: Table<'t, &'static str, u64>,
    revision: u64,
    newest: Version,
    entries: Vec<Entry>,
    changed: bool,
    /// Whether puts find the disk too full.
    full: bool,
}

/// What a group came to.
pub(super) struct Outcome {
    /// Its changes, in order.
    pub(super) entries: Vec<Entry>,
    /// The newest version after it.
    pub(super) newest: Version,
    /// Whether there is anything to commit.
    pub(super) changed: bool,
}

/// What sweeping came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Swept {
    /// Whether there was anything to do.
    pub(super) any: bool,
    /// Whether there is more.
    pub(super) more: bool,
}

/// Why a put is refused before the disk does it.
#[derive(Debug, thiserror::Error)]
#[error("less than {} MiB are free on its disk", super::RESERVE_BYTES >> 20)]
struct Full;

impl<'t> Group<'t> {
    /// Begins a group in `write`; `full` says that puts are to be refused.
    pub(super) fn begin(write: &'t WriteTransaction, full: bool) -> Result<Self, Error> {
        let view = View {
            events: write.open_table(EVENTS).map_err(engine)?,
            keys: write.open_table(KEYS).map_err(engine)?,
        };
        let numbers = write.open_table(NUMBERS).map_err(engine)?;
        let newest = view.newest(tables::number(&numbers, COMPACTED)?)?;
        Ok(Self {
            view,
            leases: write.open_table(LEASES).map_err(engine)?,
            lease_keys: write.open_table(LEASE_KEYS).map_err(engine)?,
            numbers,
            revision: newest.revision() + 1,
            newest,
            entries: Vec::new(),
            changed: false,
            full,
        })
    }

    /// Closes the tables, so that the transaction can be committed.
    pub(super) fn end(self) -> Outcome {
        Outcome { entries: self.entries, newest: self.newest, changed: self.changed }
    }

    /// Changes `key` if it holds what is expected.
    pub(super) fn write(
        &mut self,
        leases: &Leases,
        key: &str,
        expect: Expect,
        change: &Change,
    ) -> Result<Answer, Error> {
        let current = self.view.last_change(key, self.newest)?;
        let live = current.and_then(|(version, lease)| lease.map(|lease| (version, lease)));
        let fits = match expect {
            Expect::Absent => live.is_none(),
            Expect::Version(version) => live.is_some_and(|(current, _)| current == version),
        };
        if !fits {
            return self.conflict(key);
        }
        match change {
            Change::Put { value, lease } => {
                if self.full {
                    return Ok(Err(Error::NoSpace(Box::new(Full))));
                }
                if let Some(lease) = lease.filter(|lease| !leases.contains(*lease)) {
                    return Ok(Err(Error::LeaseNotFound(lease)));
                }
                Ok(Ok(self.change(key, live, Some((value.clone(), *lease)))?))
            }
            // There is nothing to delete, so nothing that a version could stand for.
            Change::Delete if live.is_none() => self.conflict(key),
            Change::Delete => Ok(Ok(self.change(key, live, None)?)),
        }
    }

    fn conflict(&self, key: &str) -> Result<Answer, Error> {
        match self.view.record_at(key, self.newest) {
            Ok(current) => Ok(Err(Error::Conflict { current })),
            corrupt @ Err(Error::Corrupt { .. }) => Ok(Err(corrupt.expect_err("just matched"))),
            Err(fault) => Err(fault),
        }
    }

    /// Writes the next change of this group; `live` is what it replaces: version and lease.
    fn change(
        &mut self,
        key: &str,
        live: Option<(Version, i64)>,
        put: Option<(bytes::Bytes, Option<LeaseId>)>,
    ) -> Result<Done, Error> {
        let version = self.next_version();
        let previous = self.previous(key, live)?;
        if let Some((_, lease)) = live.filter(|(_, lease)| *lease != 0) {
            self.lease_keys.remove((lease, key)).map_err(engine)?;
        }
        let lease = put.as_ref().map(|(_, lease)| lease.map_or(0, |lease| lease.0));
        if let Some(lease) = lease.filter(|lease| *lease != 0) {
            self.lease_keys.insert((lease, key), ()).map_err(engine)?;
        }
        let sealed = put.as_ref().map(|(value, _)| envelope::seal(version.position(), value));
        self.view.events.insert(version.0, (key, sealed.as_deref())).map_err(engine)?;
        self.view.keys.insert((key, version.0), lease).map_err(engine)?;
        let value = put.map(|(value, _)| value);
        self.entries.push(Entry::Event(Event { key: key.to_owned(), version, value, previous }));
        self.newest = version;
        self.changed = true;
        Ok(Done { version, ..Done::default() })
    }

    /// The record that a change replaces; a corrupt one can be replaced like any other.
    fn previous(&self, key: &str, live: Option<(Version, i64)>) -> Result<Option<Record>, Error> {
        let Some((version, _)) = live else { return Ok(None) };
        match self.view.record_at(key, version) {
            Err(Error::Corrupt { .. }) => Ok(None),
            read => read,
        }
    }

    fn next_version(&self) -> Version {
        if self.newest.revision() == self.revision {
            Version(self.newest.0 + 1)
        } else {
            Version::new(self.revision, 0)
        }
    }

    fn positions_left(&self) -> u64 {
        if self.newest.revision() == self.revision {
            POSITIONS - 1 - self.newest.position()
        } else {
            POSITIONS
        }
    }

    /// Forbids to read what is older than `version`; [`Self::sweep`] does the rest.
    pub(super) fn compact(&mut self, version: Version) -> Result<Answer, Error> {
        if version > self.newest {
            return Ok(Err(Error::Future { asked: version, newest: self.newest }));
        }
        if version.0 > tables::number(&self.numbers, COMPACTED)? {
            self.numbers.insert(COMPACTED, version.0).map_err(engine)?;
            self.changed = true;
        }
        Ok(Ok(Done::default()))
    }

    /// Removes some of the rows that the last compaction freed.
    ///
    /// Of each change up to `compacted` the one before it of the same key is of no use any more,
    /// and neither is a deletion.
    pub(super) fn sweep(&mut self) -> Result<Swept, Error> {
        let compacted = tables::number(&self.numbers, COMPACTED)?;
        let swept = tables::number(&self.numbers, SWEPT)?;
        if swept >= compacted {
            return Ok(Swept::default());
        }
        let mut changes = Vec::new();
        for row in self.view.events.range(swept + 1..=compacted).map_err(engine)?.take(SWEEP_ROWS) {
            let (version, row) = row.map_err(engine)?;
            let (key, value) = row.value();
            changes.push((version.value(), key.to_owned(), value.is_none()));
        }
        let more = changes.len() == SWEEP_ROWS;
        for (version, key, deletion) in &changes {
            let before = self.view.last_change(key, Version(version - 1))?;
            let gone = deletion.then_some(Version(*version));
            for useless in [before.map(|(before, _)| before), gone].into_iter().flatten() {
                self.view.events.remove(useless.0).map_err(engine)?;
                self.view.keys.remove((key.as_str(), useless.0)).map_err(engine)?;
            }
        }
        let reached = changes.last().filter(|_| more).map_or(compacted, |(version, ..)| *version);
        self.numbers.insert(SWEPT, reached).map_err(engine)?;
        self.changed = true;
        Ok(Swept { any: true, more: reached < compacted })
    }

    /// Stores a new lease.
    pub(super) fn grant(&mut self, ttl_seconds: i64) -> Result<Answer, Error> {
        if self.full {
            return Ok(Err(Error::NoSpace(Box::new(Full))));
        }
        let number = tables::number(&self.numbers, LAST_LEASE)? + 1;
        let lease = i64::try_from(number).expect("leases are granted one by one");
        self.numbers.insert(LAST_LEASE, number).map_err(engine)?;
        self.leases.insert(lease, ttl_seconds).map_err(engine)?;
        self.changed = true;
        Ok(Ok(Done { lease: LeaseId(lease), ..Done::default() }))
    }

    /// Deletes the keys of a lease and, after the last of them, the lease; says whether it came to
    /// that. What finds no position in this group is left to the next.
    pub(super) fn end_lease(&mut self, lease: LeaseId) -> Result<bool, Error> {
        let room = usize::try_from(self.positions_left()).unwrap_or(0);
        let mut keys = Vec::new();
        let from_here = self.lease_keys.range((lease.0, "")..).map_err(engine)?;
        for row in from_here.take(room + 1) {
            let (row, _) = row.map_err(engine)?;
            let (owner, key) = row.value();
            if owner != lease.0 {
                break;
            }
            keys.push(key.to_owned());
        }
        for key in keys.iter().take(room) {
            let live = self.view.last_change(key, self.newest)?;
            let live = live.and_then(|(version, lease)| lease.map(|lease| (version, lease)));
            self.change(key, live, None)?;
        }
        if keys.len() > room {
            return Ok(false);
        }
        self.leases.remove(lease.0).map_err(engine)?;
        self.changed = true;
        Ok(true)
    }
}

/// Whether the disk has too little room for puts; where it does not say, it is tried.
pub(super) fn is_full(disk: &dyn disk::Disk) -> bool {
    match disk.free_bytes() {
        Ok(free) => free < super::RESERVE_BYTES,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot see the disk's room");
            false
        }
    }
}
