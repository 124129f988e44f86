//! What the store in memory holds, and every rule of the contract as a plain function over it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::watch::{BATCH_EVENTS, Batch};
use crate::{Change, Error, Event, Expect, LeaseId, POSITIONS, Page, Record, Version};

/// The whole store.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Of each key everything written to it that is not compacted; a deletion is `None`.
    keys: BTreeMap<String, BTreeMap<Version, Option<Bytes>>>,
    /// Every change after `compacted`.
    events: BTreeMap<Version, Event>,
    newest: Version,
    /// The oldest version that can be read.
    compacted: Version,
    leases: BTreeMap<LeaseId, Lease>,
    lease_of: BTreeMap<String, LeaseId>,
    last_lease: i64,
}

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    end: Instant,
    keys: BTreeSet<String>,
}

impl State {
    pub(super) fn newest(&self) -> Version {
        self.newest
    }

    pub(super) fn get(&self, key: &str) -> Option<Record> {
        record_at(key, self.keys.get(key)?, self.newest)
    }

    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Version>,
    ) -> Result<Page, Error> {
        let version = at.unwrap_or(self.newest);
        self.check_compacted(version)?;
        self.check_future(version)?;
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut records = self
            .keys
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter_map(|(key, history)| record_at(key, history, version));
        let page: Vec<Record> = records.by_ref().take(limit).collect();
        Ok(Page { records: page, version, more: records.next().is_some() })
    }

    pub(super) fn write(
        &mut self,
        key: &str,
        expect: Expect,
        change: Change,
    ) -> Result<Version, Error> {
        let current = self.get(key);
        let fits = match expect {
            Expect::Absent => current.is_none(),
            Expect::Version(version) => current.as_ref().is_some_and(|c| c.version == version),
        };
        if !fits {
            return Err(Error::Conflict { current });
        }
        match change {
            Change::Put { value, lease } => {
                if let Some(lease) = lease {
                    self.lease(lease)?;
                }
                let version = self.commit(vec![(key.to_owned(), Some(value))]);
                if let Some(lease) = lease {
                    self.lease(lease)?.keys.insert(key.to_owned());
                    self.lease_of.insert(key.to_owned(), lease);
                }
                Ok(version)
            }
            // There is nothing to delete, so nothing that a version could stand for.
            Change::Delete if current.is_none() => Err(Error::Conflict { current }),
            Change::Delete => Ok(self.commit(vec![(key.to_owned(), None)])),
        }
    }

    /// Makes changes of different keys under one new revision; returns the last version.
    fn commit(&mut self, changes: Vec<(String, Option<Bytes>)>) -> Version {
        let revision = self.newest.revision() + 1;
        for ((key, value), position) in changes.into_iter().zip(0..POSITIONS) {
            let version = Version::new(revision, position);
            let previous = self.get(&key);
            self.newest = version;
            self.release(&key);
            self.keys.entry(key.clone()).or_default().insert(version, value.clone());
            self.events.insert(version, Event { key, version, value, previous });
        }
        self.newest
    }

    /// The changes under `prefix` after version `after`, at most a batch of them.
    pub(super) fn events(&self, prefix: &str, after: Version) -> Result<Batch, Error> {
        self.check_compacted(after)?;
        let events: Vec<Event> = self
            .events
            .range((Bound::Excluded(after), Bound::Unbounded))
            .map(|(_, event)| event)
            .filter(|event| event.key.starts_with(prefix))
            .take(BATCH_EVENTS)
            .cloned()
            .collect();
        let through = match events.last() {
            Some(last) if events.len() == BATCH_EVENTS => last.version,
            _ => self.newest,
        };
        Ok(Batch { events, through })
    }

    pub(super) fn compact(&mut self, version: Version) -> Result<(), Error> {
        self.check_future(version)?;
        if version <= self.compacted {
            return Ok(());
        }
        self.compacted = version;
        self.events.retain(|at, _| *at > version);
        self.keys.retain(|_, history| {
            let readable = history.range(..=version).next_back().map(|(at, _)| *at);
            history.retain(|at, value| *at > version || (Some(*at) == readable && value.is_some()));
            !history.is_empty()
        });
        Ok(())
    }

    pub(super) fn check_compacted(&self, asked: Version) -> Result<(), Error> {
        if asked < self.compacted {
            return Err(Error::Compacted { asked, oldest: self.compacted });
        }
        Ok(())
    }

    fn check_future(&self, asked: Version) -> Result<(), Error> {
        if asked > self.newest {
            return Err(Error::Future { asked, newest: self.newest });
        }
        Ok(())
    }

    pub(super) fn grant_lease(&mut self, ttl_seconds: i64, now: Instant) -> (LeaseId, Instant) {
        self.last_lease += 1;
        let ttl = Duration::from_secs(u64::try_from(ttl_seconds).unwrap_or(0).max(1));
        let (id, end) = (LeaseId(self.last_lease), now + ttl);
        self.leases.insert(id, Lease { ttl, end, keys: BTreeSet::new() });
        (id, end)
    }

    pub(super) fn renew_lease(&mut self, lease: LeaseId, now: Instant) -> Result<(), Error> {
        let lease = self.lease(lease)?;
        lease.end = now + lease.ttl;
        Ok(())
    }

    /// When the lease ends, unless it has.
    pub(super) fn lease_end(&self, lease: LeaseId) -> Option<Instant> {
        self.leases.get(&lease).map(|lease| lease.end)
    }

    /// Ends a lease and deletes its keys.
    pub(super) fn end_lease(&mut self, lease: LeaseId) -> Result<(), Error> {
        let ended = self.leases.remove(&lease).ok_or(Error::LeaseNotFound(lease))?;
        let mut keys = ended.keys.into_iter().map(|key| (key, None)).peekable();
        while keys.peek().is_some() {
            let group = keys.by_ref().take(usize::try_from(POSITIONS).unwrap_or(1)).collect();
            self.commit(group);
        }
        Ok(())
    }

    fn lease(&mut self, lease: LeaseId) -> Result<&mut Lease, Error> {
        self.leases.get_mut(&lease).ok_or(Error::LeaseNotFound(lease))
    }

    /// Takes `key` from the lease it was put under, if any.
    fn release(&mut self, key: &str) {
        if let Some(lease) = self.lease_of.remove(key)
            && let Some(lease) = self.leases.get_mut(&lease)
        {
            lease.keys.remove(key);
        }
    }
}

/// What a key held at `version`.
fn record_at(
    key: &str,
    history: &BTreeMap<Version, Option<Bytes>>,
    version: Version,
) -> Option<Record> {
    let (version, value) = history.range(..=version).next_back()?;
    let value = value.clone()?;
    Some(Record { key: key.to_owned(), value, version: *version })
}
