//! When each lease ends. Kept in memory; which leases there are, and their keys, is in the tables.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::LeaseId;

/// The leases that live.
#[derive(Debug, Default)]
pub(super) struct Leases {
    leases: BTreeMap<LeaseId, Lease>,
    by_end: BTreeSet<(Instant, LeaseId)>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    ttl: Duration,
    end: Instant,
}

impl Leases {
    /// Leases whose full time begins `now`.
    pub(super) fn begin(
        leases: impl IntoIterator<Item = (LeaseId, Duration)>,
        now: Instant,
    ) -> Self {
        let mut begun = Self::default();
        for (lease, ttl) in leases {
            begun.grant(lease, ttl, now);
        }
        begun
    }

    /// Adds a lease.
    pub(super) fn grant(&mut self, lease: LeaseId, ttl: Duration, now: Instant) {
        let end = now + ttl;
        self.leases.insert(lease, Lease { ttl, end });
        self.by_end.insert((end, lease));
    }

    /// Begins the time of a lease again; says whether there is such a lease.
    pub(super) fn renew(&mut self, lease: LeaseId, now: Instant) -> bool {
        let Some(old) = self.take(lease) else { return false };
        self.grant(lease, old.ttl, now);
        true
    }

    /// Whether the lease lives.
    pub(super) fn contains(&self, lease: LeaseId) -> bool {
        self.leases.contains_key(&lease)
    }

    /// Takes a lease out; says whether it was there.
    pub(super) fn remove(&mut self, lease: LeaseId) -> bool {
        self.take(lease).is_some()
    }

    /// When the next lease ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.by_end.first().map(|(end, _)| *end)
    }

    /// Takes out a lease whose time is over.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<LeaseId> {
        let (end, lease) = *self.by_end.first()?;
        if end > now {
            return None;
        }
        self.take(lease);
        Some(lease)
    }

    fn take(&mut self, lease: LeaseId) -> Option<Lease> {
        let taken = self.leases.remove(&lease)?;
        self.by_end.remove(&(taken.end, lease));
        Some(taken)
    }
}

#[cfg(test)]
mod tests;
