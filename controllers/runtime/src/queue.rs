//! Keys that wait for a pass: each at most once in the queue and in one pass at a time.
//!
//! A key that is added while its pass runs is run again afterwards. Passes over one key keep a
//! distance, so that a record that changes all the time costs a bounded share; failed passes are
//! tried again after a growing delay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Delay after the first failure of a key; doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// Longest delay between tries.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// How a pass over a key ended.
pub(crate) enum Outcome {
    /// Nothing to do until the key is added again.
    Done,
    /// Another pass is due after so long.
    Again(Duration),
    /// Try again after the key's growing delay.
    Failed,
}

/// The queue; shared by reference.
pub(crate) struct Queue<K> {
    inner: Mutex<Inner<K>>,
    wake: Notify,
    /// Least time between the end of a pass over a key and the next.
    distance: Duration,
}

struct Inner<K> {
    due: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
    running: BTreeSet<K>,
    not_before: BTreeMap<K, Instant>,
    failures: BTreeMap<K, u32>,
}

impl<K: Ord + Clone> Queue<K> {
    /// An empty queue whose keys keep `distance` between two passes.
    pub(crate) fn new(distance: Duration) -> Self {
        let inner = Inner {
            due: BTreeMap::new(),
            by_time: BTreeSet::new(),
            running: BTreeSet::new(),
            not_before: BTreeMap::new(),
            failures: BTreeMap::new(),
        };
        Self { inner: Mutex::new(inner), wake: Notify::new(), distance }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a pass over `key`.
    pub(crate) fn add(&self, key: K) {
        self.lock().add(key, Instant::now());
        self.wake.notify_one();
    }

    /// Forgets what is remembered of a key whose record is gone; a pass that is due is still made.
    pub(crate) fn forget(&self, key: &K) {
        let mut inner = self.lock();
        inner.not_before.remove(key);
        inner.failures.remove(key);
    }

    /// Waits for the next key that is due; the caller ends the pass with [`Self::done`].
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&self) -> K {
        loop {
            let due = {
                let mut inner = self.lock();
                match inner.take(Instant::now()) {
                    Ok((key, more)) => {
                        if more {
                            self.wake.notify_one();
                        }
                        return key;
                    }
                    Err(due) => due,
                }
            };
            match due {
                Some(due) => {
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }

    /// Ends the pass over `key`.
    pub(crate) fn done(&self, key: K, outcome: &Outcome) {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.running.remove(&key);
        inner.not_before.insert(key.clone(), now + self.distance);
        let again = inner.due.get(&key).copied();
        let wanted = match outcome {
            Outcome::Done => {
                inner.failures.remove(&key);
                again
            }
            Outcome::Again(delay) => {
                inner.failures.remove(&key);
                Some(again.map_or(now + *delay, |again| again.min(now + *delay)))
            }
            Outcome::Failed => {
                let failures = inner.failures.entry(key.clone()).or_default();
                let delay = FIRST_RETRY.saturating_mul(1 << (*failures).min(16));
                *failures += 1;
                Some(now + delay.min(LONGEST_RETRY))
            }
        };
        inner.due.remove(&key);
        if let Some(wanted) = wanted {
            inner.add(key, wanted);
            self.wake.notify_one();
        }
    }
}

impl<K: Ord + Clone> Inner<K> {
    fn add(&mut self, key: K, wanted: Instant) {
        let earliest = self.not_before.get(&key).copied().unwrap_or(wanted);
        let due = wanted.max(earliest);
        match self.due.get(&key) {
            Some(earlier) if *earlier <= due => return,
            Some(later) => {
                self.by_time.remove(&(*later, key.clone()));
            }
            None => {}
        }
        if !self.running.contains(&key) {
            self.by_time.insert((due, key.clone()));
        }
        self.due.insert(key, due);
    }

    /// The first key that is due and whether another is; or when the first will be.
    fn take(&mut self, now: Instant) -> Result<(K, bool), Option<Instant>> {
        match self.by_time.first() {
            Some((due, _)) if *due <= now => {}
            first => return Err(first.map(|(due, _)| *due)),
        }
        let (_, key) = self.by_time.pop_first().expect("its first entry was just seen");
        self.due.remove(&key);
        self.running.insert(key.clone());
        let more = !self.by_time.is_empty();
        Ok((key, more))
    }
}

#[cfg(test)]
mod tests;
