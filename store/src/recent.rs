//! The newest events, kept in memory so that watches do not go to the disk or to etcd for them.
//!
//! ```text
//!            floor                          newest
//!   ───────────┤ e e e e e e e e e e e e e e e │
//!   elsewhere  └──── all events, in order ─────┘
//! ```

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::watch::{BATCH_EVENTS, Batch};
use crate::{Error, Event, Version};

/// Bytes of events kept: a few seconds at full speed, little beside what the layers above cache.
const LIMIT_BYTES: usize = 16 << 20;

/// An event, or the place of one that cannot be read.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// A change.
    Event(Event),
    /// A change whose value is corrupt; it concerns only those who watch its key.
    Corrupt {
        /// Where.
        key: String,
        /// When.
        version: Version,
        /// What is wrong with it.
        why: String,
    },
}

impl Entry {
    /// Where it happened.
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Event(event) => &event.key,
            Self::Corrupt { key, .. } => key,
        }
    }

    /// When it happened.
    pub(crate) fn version(&self) -> Version {
        match self {
            Self::Event(event) => event.version,
            Self::Corrupt { version, .. } => *version,
        }
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let held = match self {
            Self::Event(event) => {
                let previous = event.previous.as_ref();
                event.key.len()
                    + event.value.as_ref().map_or(0, bytes::Bytes::len)
                    + previous.map_or(0, |record| record.key.len() + record.value.len())
            }
            Self::Corrupt { key, why, .. } => key.len() + why.len(),
        };
        held + size_of::<Self>()
    }
}

/// The ring; shared by one writer and many watches.
#[derive(Debug, Default)]
pub(crate) struct Recent(RwLock<Ring>);

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Every event after this one is here.
    floor: Version,
    newest: Version,
}

impl Recent {
    /// An empty ring at version `newest`.
    pub(crate) fn new(newest: Version) -> Self {
        let recent = Self::default();
        recent.reset(newest);
        recent
    }

    /// Forgets everything; what comes next is after `newest`.
    pub(crate) fn reset(&self, newest: Version) {
        *self.write() = Ring { floor: newest, newest, ..Ring::default() };
    }

    /// Adds events, in order, which are all that happened after the newest version so far and up
    /// to `through`.
    pub(crate) fn push(&self, entries: impl IntoIterator<Item = Entry>, through: Version) {
        self.push_within(LIMIT_BYTES, entries, through);
    }

    fn push_within(
        &self,
        limit: usize,
        entries: impl IntoIterator<Item = Entry>,
        through: Version,
    ) {
        let mut ring = self.write();
        for entry in entries {
            debug_assert!(entry.version() > ring.newest, "events come in order");
            ring.newest = entry.version();
            ring.bytes += entry.bytes();
            ring.entries.push_back(entry);
        }
        ring.newest = ring.newest.max(through);
        while ring.bytes > limit
            && let Some(oldest) = ring.entries.pop_front()
        {
            ring.bytes -= oldest.bytes();
            ring.floor = oldest.version();
        }
    }

    /// The newest version it knows of.
    pub(crate) fn newest(&self) -> Version {
        self.read().newest
    }

    /// The events under `prefix` after version `after`, or nothing where it does not go back so
    /// far.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the next event under `prefix` is.
    pub(crate) fn after(&self, prefix: &str, after: Version) -> Option<Result<Batch, Error>> {
        let ring = self.read();
        if after < ring.floor {
            return None;
        }
        let from = ring.entries.partition_point(|entry| entry.version() <= after);
        Some(batch(ring.entries.range(from..), prefix, ring.newest, BATCH_EVENTS))
    }

    /// Every event of commit `revision` in order, or nothing where not all of them can be here.
    pub(crate) fn commit(&self, revision: u64) -> Option<Vec<Entry>> {
        let ring = self.read();
        let begin = Version::new(revision, 0);
        if ring.floor >= begin || ring.newest < Version::end_of(revision) {
            return None;
        }
        let from = ring.entries.partition_point(|entry| entry.version() < begin);
        let rest = ring.entries.range(from..);
        Some(rest.take_while(|entry| entry.version().revision() == revision).cloned().collect())
    }

    /// Before this version it knows nothing.
    pub(crate) fn floor(&self) -> Version {
        self.read().floor
    }

    fn read(&self) -> RwLockReadGuard<'_, Ring> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ring> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first `limit` of `entries` under `prefix`; besides them nothing happened up to `newest`.
pub(crate) fn batch<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
    prefix: &str,
    newest: Version,
    limit: usize,
) -> Result<Batch, Error> {
    let mut events: Vec<Event> = Vec::new();
    let matching = entries.into_iter().filter(|entry| entry.key().starts_with(prefix));
    for entry in matching {
        match (entry, events.last()) {
            (Entry::Event(event), _) => events.push(event.clone()),
            (Entry::Corrupt { key, why, .. }, None) => {
                return Err(Error::Corrupt { key: key.clone(), why: why.clone() });
            }
            // First what is well; the next read begins with the corrupt one.
            (Entry::Corrupt { .. }, Some(last)) => {
                let through = last.version;
                return Ok(Batch { events, through });
            }
        }
        if events.len() == limit {
            break;
        }
    }
    let through = match events.last() {
        Some(last) if events.len() == limit => last.version,
        _ => newest,
    };
    Ok(Batch { events, through })
}

#[cfg(test)]
mod tests;
