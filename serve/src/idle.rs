//! The connections of a listener on which no request is under way, to be closed where others need
//! their place.
//!
//! **Invariant:** of those on which no call has succeeded yet, the one that waits longest goes first,
//! as long as there are more than a [`FEW`]: whoever opens many does not drive out who uses one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// New connections that keep their place however many are in use, so that they come to their first
/// call.
const FEW: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    connections: Mutex<Connections>,
    /// There is one more.
    added: Notify,
}

/// What cuts each, by its place.
#[derive(Debug, Default)]
struct Connections {
    new: BTreeMap<u64, CancellationToken>,
    used: BTreeMap<u64, CancellationToken>,
    /// Places so far.
    given: u64,
}

impl Connections {
    fn next(&mut self) -> Option<CancellationToken> {
        let from = match self.used.is_empty() || self.new.len() > FEW {
            true => &mut self.new,
            false => &mut self.used,
        };
        from.pop_first().map(|(_, cut)| cut)
    }
}

impl Idle {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a connection that is idle from now on, and says its place. `used` says whether a
    /// call on it has succeeded.
    pub(crate) fn add(&self, used: bool, cut: CancellationToken) -> u64 {
        let mut connections = self.lock();
        let place = connections.given;
        connections.given += 1;
        let among = if used { &mut connections.used } else { &mut connections.new };
        among.insert(place, cut);
        drop(connections);
        self.added.notify_one();
        place
    }

    /// Takes out one that is not idle any more.
    pub(crate) fn remove(&self, place: u64) {
        let mut connections = self.lock();
        connections.new.remove(&place);
        connections.used.remove(&place);
    }

    /// Cuts the next, or waits for one.
    pub(crate) async fn cut_one(&self) {
        loop {
            let next = self.lock().next();
            match next {
                Some(cut) => return cut.cancel(),
                None => self.added.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests;
