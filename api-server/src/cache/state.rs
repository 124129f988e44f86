//! The core of the cache: no waiting, no I/O.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use meseta_store::Version;

use super::Event;
use super::index::{Index, Selection};
use super::ring::Ring;
use super::watchers::{Begun, Delivery, Place, Watchers};
use crate::object::Object;
use crate::registry::Kind;

/// Objects, recent events and watchers of one kind, at one version.
#[derive(Debug)]
pub(super) struct State {
    kind: Arc<Kind>,
    index: Index,
    ring: Ring,
    watchers: Watchers,
    version: Version,
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) objects: Vec<Arc<Object>>,
    /// What the page shows.
    pub(crate) version: Version,
    /// Whether more is selected after the last one.
    pub(crate) more: bool,
    /// How many are selected in all, where it is a page of everything in a scope and the first.
    pub(crate) total: Option<usize>,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what is there now.
    Current,
    /// With what comes next.
    Now,
    /// With the first event after this version.
    After(Version),
}

/// The events after a version are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOld {
    /// The oldest version a watch can start at.
    pub(crate) oldest: Version,
}

impl State {
    pub(super) fn new(kind: &Arc<Kind>, deliveries: Arc<AtomicU64>) -> Self {
        Self {
            kind: Arc::clone(kind),
            index: Index::new(kind),
            ring: Ring::new(Version::default()),
            watchers: Watchers::new(kind, deliveries),
            version: Version::default(),
        }
    }

    /// Begins anew with what the store held at `version`. Whoever watched is cut, since what
    /// happened in between is not known.
    pub(super) fn load(&mut self, objects: &[Arc<Object>], version: Version) {
        self.index = Index::new(&self.kind);
        for object in objects {
            self.index.insert(object);
        }
        self.ring = Ring::new(version);
        self.watchers.clear();
        self.version = version;
    }

    /// Takes in a change: an object, or the deletion of the one with `key`. Returns the bytes it
    /// takes to remember it.
    pub(super) fn apply(&mut self, key: &str, version: Version, object: Option<Object>) -> usize {
        if version <= self.version {
            return 0;
        }
        self.version = version;
        let object = object.map(Arc::new);
        let previous = match &object {
            Some(object) => self.index.insert(object),
            None => self.index.remove(key),
        };
        if object.is_none() && previous.is_none() {
            return 0;
        }
        let event = Arc::new(Event::new(version, object, previous));
        let bytes = event.bytes();
        self.watchers.dispatch(&event);
        self.ring.push(event);
        bytes
    }

    /// Every change up to `version` has been taken in.
    pub(super) fn progress(&mut self, version: Version) {
        self.version = self.version.max(version);
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Whether the objects are those of `version`, although the state may be newer.
    pub(super) fn shows(&self, version: Version) -> bool {
        let changed = self.ring.newest().unwrap_or_else(|| self.ring.since());
        changed <= version && version <= self.version
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<Object>> {
        self.index.get(key).cloned()
    }

    pub(super) fn list(
        &self,
        selection: &Selection,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Found {
        let scope = selection.scope(&self.kind);
        let selected = self.index.scan(&scope, after).filter(|object| selection.matches(object));
        // One more than is wanted tells whether there is more.
        let most = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
        let mut objects: Vec<_> = selected.take(most).cloned().collect();
        let more = limit.is_some_and(|limit| objects.len() > limit);
        if let Some(limit) = limit {
            objects.truncate(limit);
        }
        // With a selector, counting would be a list of its own.
        let counted = more && after.is_none() && selection.is_unselective();
        let total = counted.then(|| self.index.count(&scope));
        Found { objects, version: self.version, more, total }
    }

    pub(super) fn watch(&mut self, selection: Selection, start: Start) -> Result<Begun, TooOld> {
        let (initial, backlog, version) = match start {
            Start::Current => (self.list(&selection, None, None).objects, Vec::new(), self.version),
            Start::Now => (Vec::new(), Vec::new(), self.version),
            Start::After(version) => {
                if version < self.ring.since() {
                    return Err(TooOld { oldest: self.ring.since() });
                }
                let concerns = |event: &Arc<Event>| {
                    let change = event.change(&selection)?;
                    Some(Delivery { event: Arc::clone(event), change })
                };
                (Vec::new(), self.ring.after(version).filter_map(concerns).collect(), version)
            }
        };
        // A start in the future waits for what comes after it.
        let (place, receiver) = self.watchers.insert(selection, version.max(self.version));
        Ok(Begun { initial, backlog: backlog.into(), version, place, receiver })
    }

    pub(super) fn leave(&mut self, place: &Place) {
        self.watchers.remove(place);
    }

    /// Ends all streams.
    pub(super) fn cut_all(&mut self) {
        self.watchers.clear();
    }

    pub(super) fn events_after(&self, version: Version) -> Option<(Vec<Arc<Event>>, Version)> {
        let known = version >= self.ring.since();
        known.then(|| (self.ring.after(version).cloned().collect(), self.version))
    }
}
