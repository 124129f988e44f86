//! One executor: its session behind a lock, who waits for its changes, and its deadlines.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::backend::{ExecutorFacts, Standing};
use crate::session::Session;

/// Updates of one executor that are being stored or wait for it.
const MAX_UPDATES_AT_ONCE: usize = 64;

/// While it is held no other update of the executor is stored.
pub(crate) type Turn = tokio::sync::OwnedMutexGuard<()>;

pub(crate) struct Slot {
    facts: ExecutorFacts,
    session: Mutex<Session>,
    standing: watch::Sender<Standing>,
    changed: watch::Sender<()>,
    origin: Instant,
    /// Whose turn it is to have an update stored: in the order they came.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// How many SUBSCRIBEs have waited for their turn: the number of the newest one.
    subscribing: watch::Sender<u64>,
    room: Arc<Semaphore>,
}

impl Slot {
    pub(crate) fn new(facts: ExecutorFacts, origin: Instant) -> Self {
        let session = Session::new(origin.elapsed().saturating_add(facts.subscribe_within));
        Self {
            facts,
            session: Mutex::new(session),
            standing: watch::Sender::default(),
            changed: watch::Sender::default(),
            origin,
            turn: Arc::default(),
            subscribing: watch::Sender::default(),
            room: Arc::new(Semaphore::new(MAX_UPDATES_AT_ONCE)),
        }
    }

    pub(crate) fn facts(&self) -> &ExecutorFacts {
        &self.facts
    }

    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Does something to the session, and tells who waits for it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Session) -> T) -> T {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = change(&mut session);
        let standing = session.standing();
        // Under the lock, so that the last one told is the last one that was.
        self.standing.send_if_modified(|old| {
            let modified = *old != standing;
            *old = standing;
            modified
        });
        drop(session);
        self.changed.send_replace(());
        outcome
    }

    /// Looks at the session, or takes what is next from it: nobody waits for that.
    pub(crate) fn quietly<T>(&self, look: impl FnOnce(&mut Session) -> T) -> T {
        look(&mut self.session.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Told after each change.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until this is the next to have updates stored.
    pub(crate) async fn turn(&self) -> Turn {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// The turn, if nobody has it or waits for it.
    pub(crate) fn turn_now(&self) -> Option<Turn> {
        Arc::clone(&self.turn).try_lock_owned().ok()
    }

    /// Waits like [`turn`](Self::turn), for a SUBSCRIBE. One at a time does: a newer one takes the
    /// place of the older one, which gets `None`.
    pub(crate) async fn turn_to_subscribe(&self) -> Option<Turn> {
        let mut newest = self.subscribing.subscribe();
        let mut mine = 0;
        self.subscribing.send_modify(|number| {
            *number += 1;
            mine = *number;
        });
        tokio::select! {
            turn = self.turn() => Some(turn),
            _ = newest.wait_for(|number| *number > mine) => None,
        }
    }

    pub(crate) fn room(&self) -> &Arc<Semaphore> {
        &self.room
    }

    /// Has the session's present deadline looked at when it comes.
    pub(crate) fn arm(self: &Arc<Self>) {
        let Some(deadline) = self.quietly(|session| session.deadline()) else { return };
        let (slot, origin) = (Arc::downgrade(self), self.origin);
        tokio::spawn(async move {
            // One that is further away than tokio can count is never over.
            match origin.checked_add(deadline) {
                Some(at) => tokio::time::sleep_until(at).await,
                None => return,
            }
            if let Some(slot) = slot.upgrade() {
                slot.change(|session| session.tick(slot.now()));
            }
        });
    }
}
