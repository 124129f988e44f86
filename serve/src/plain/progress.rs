//! What a connection is doing, and since when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::Limits;
use crate::idle::Idle;

/// See the module.
pub(super) struct Progress {
    state: Mutex<State>,
    /// The connections of the listener that are idle; this is one of them while nothing runs.
    idle: Arc<Idle>,
    /// Cancelled to cut it when it is idle.
    cut: CancellationToken,
}

struct State {
    /// Requests whose answer has not ended.
    running: usize,
    /// Whether a byte of the next head, or no request at all, has come yet.
    reading_head: bool,
    /// Since when one of the two is so.
    since: Instant,
    /// Whether a call has succeeded.
    used: bool,
    /// Among those that are idle.
    place: Option<u64>,
}

impl Progress {
    pub(super) fn new(idle: Arc<Idle>, cut: CancellationToken) -> Self {
        let place = Some(idle.add(false, cut.clone()));
        let since = Instant::now();
        let state = State { running: 0, reading_head: true, since, used: false, place };
        Self { state: Mutex::new(state), idle, cut }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(self: &Arc<Self>) -> Running {
        let mut state = self.lock();
        state.running += 1;
        state.reading_head = false;
        if let Some(place) = state.place.take() {
            self.idle.remove(place);
        }
        Running(Arc::clone(self))
    }

    pub(super) fn bytes_came(&self) {
        let mut state = self.lock();
        if state.running == 0 && !state.reading_head {
            state.reading_head = true;
            state.since = Instant::now();
        }
    }

    pub(super) fn is_late(&self, limits: &Limits) -> bool {
        let state = self.lock();
        let limit = if state.reading_head { limits.header_read_timeout } else { limits.keep_alive };
        state.running == 0 && state.since.elapsed() >= limit
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(place) = self.lock().place {
            self.idle.remove(place);
        }
    }
}

/// One request, from its head to the end of its answer.
pub(super) struct Running(Arc<Progress>);

impl Running {
    /// It is a call, and succeeds.
    pub(super) fn succeeded(&self) {
        self.0.lock().used = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running = state.running.saturating_sub(1);
        state.since = Instant::now();
        if state.running == 0 {
            state.place = Some(self.0.idle.add(state.used, self.0.cut.clone()));
        }
    }
}
