//! Which roles get a record by themselves, and which of those records go again.
//!
//! Both follow from the rows as they are now: a role is used while a task or a framework names it as
//! its own. What schedulers only ask offers for is not, since that costs them nothing.
//!
//! **Invariants:** a record that somebody has written anything into is never chosen to go. At most
//! [`MAX_AUTOMATIC`] records stand that came by themselves, and no more is remembered.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::State;

/// Least time between two tries to create one role.
const CREATE_INTERVAL: Duration = Duration::from_secs(2);
/// Least time between two tries to delete one.
const DELETE_INTERVAL: Duration = Duration::from_secs(2);
/// Records that may come by themselves; when there are so many, those not used go at once. The
/// roles beyond are shared among all the same, they are only not shown.
const MAX_AUTOMATIC: usize = 1000;

/// What is remembered of roles that come and go by themselves.
pub(in crate::allocator) struct Automatic {
    /// How long a record stays when nothing uses the role.
    patience: Duration,
    /// By path: when it was created, or tried to be; forgotten when it may be tried again.
    created: BTreeMap<String, Instant>,
    /// By name: the records that may go if nothing uses them.
    unused: BTreeMap<String, Unused>,
}

struct Unused {
    since: Instant,
    /// When it was deleted last, or tried to be.
    deleted: Option<Instant>,
}

/// The version of a record that is to be deleted.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::allocator) struct Doomed {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) version: String,
}

impl Automatic {
    pub(in crate::allocator) fn new(patience: Duration) -> Self {
        Self { patience, created: BTreeMap::new(), unused: BTreeMap::new() }
    }

    /// Paths of at most `room` roles that are used and have no record, to be created now.
    pub(super) fn missing(&mut self, state: &State, now: Instant, room: usize) -> Vec<String> {
        self.created.retain(|_, at| now - *at < CREATE_INTERVAL);
        let mut missing = state.used_roles();
        for row in state.roles.values() {
            missing.remove(row.path.as_str());
        }
        let there = state.roles.values().filter(|row| row.automatic).count();
        // Some of those being created may be there already; then the rest comes a little later.
        let left = MAX_AUTOMATIC.saturating_sub(there + self.created.len());
        let missing = missing.into_iter().filter(|path| !self.created.contains_key(*path));
        let missing: Vec<String> = missing.take(room.min(left)).map(str::to_owned).collect();
        self.created.extend(missing.iter().map(|path| (path.clone(), now)));
        missing
    }

    /// At most `room` records that came by themselves and are not used any more, to be deleted now.
    pub(super) fn doomed(&mut self, state: &State, now: Instant, room: usize) -> Vec<Doomed> {
        let used = state.used_roles();
        let automatic: Vec<_> = state.roles.iter().filter(|(_, row)| row.automatic).collect();
        let crowded = automatic.len() >= MAX_AUTOMATIC;
        let patience = if crowded { Duration::ZERO } else { self.patience };
        let mut former = std::mem::take(&mut self.unused);
        let mut doomed = Vec::new();
        for (name, row) in automatic {
            if used.contains(row.path.as_str()) {
                continue;
            }
            let unused = former.remove(name).unwrap_or(Unused { since: now, deleted: None });
            let unused = self.unused.entry(name.clone()).or_insert(unused);
            let again = unused.deleted.is_none_or(|at| now - at >= DELETE_INTERVAL);
            if doomed.len() < room && again && now - unused.since >= patience {
                unused.deleted = Some(now);
                let (name, uid) = (name.clone(), row.uid.clone());
                doomed.push(Doomed { name, uid, version: row.version.clone() });
            }
        }
        doomed
    }
}

#[cfg(test)]
mod tests;
