//! The recent events of a kind, from which watches resume.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use meseta_store::Version;
use tokio::time::Instant;

use super::Event;

/// The longest history that is kept: that of the store, which is compacted after as long.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// The largest history of one kind that is kept.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Events in the order of their versions.
#[derive(Debug)]
pub(super) struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Every event after this version is here.
    since: Version,
}

impl Ring {
    pub(super) fn new(since: Version) -> Self {
        Self { events: VecDeque::new(), bytes: 0, since }
    }

    /// Every event after this version is here.
    pub(super) fn since(&self) -> Version {
        self.since
    }

    /// Adds the newest event and forgets what is over the bounds.
    pub(super) fn push(&mut self, event: Arc<Event>) {
        let now = event.seen;
        self.bytes += event.bytes();
        self.events.push_back(event);
        self.trim(now, MAX_BYTES);
    }

    fn trim(&mut self, now: Instant, most_bytes: usize) {
        while let Some(oldest) = self.events.front() {
            if self.bytes <= most_bytes && now.duration_since(oldest.seen) <= MAX_AGE {
                break;
            }
            self.bytes -= oldest.bytes();
            self.since = oldest.version;
            self.events.pop_front();
        }
    }

    /// The version of the newest event.
    pub(super) fn newest(&self) -> Option<Version> {
        self.events.back().map(|event| event.version)
    }

    /// The events after `version`; the caller has compared it with [`Ring::since`].
    pub(super) fn after(&self, version: Version) -> impl Iterator<Item = &Arc<Event>> {
        let begin = self.events.partition_point(|event| event.version <= version);
        self.events.range(begin..)
    }
}
