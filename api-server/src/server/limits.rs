//! How much is done at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::request::verb::Verb;
use crate::status::Failure;

/// Reads and writes at a time; each holds its answer in memory. More wait.
const MAX_REQUESTS: usize = 1024;
/// Requests that wait for room; more are refused at once.
const MAX_WAITING: usize = 8192;
/// How long they wait.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Watches and log streams at a time: one for each of 50,000 agents, and those of people and
/// controllers.
const MAX_STREAMS: usize = 100_000;
/// How long a client may take to send a body.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request may take, as in kube-apiserver; streams go on after their answer has begun.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// After how many seconds a refused client should come again.
const RETRY_SECONDS: u32 = 1;

/// See the module.
#[derive(Debug)]
pub(crate) struct Limits {
    requests: Arc<Semaphore>,
    waiting: AtomicUsize,
    streams: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
            waiting: AtomicUsize::new(0),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        }
    }
}

impl Limits {
    /// Room for a request, held while it is answered; a watch needs none, but see
    /// [`Limits::stream`].
    ///
    /// # Errors
    /// 429.
    pub(crate) async fn enter(&self, verb: Verb) -> Result<Option<OwnedSemaphorePermit>, Failure> {
        if verb == Verb::Watch {
            return Ok(None);
        }
        if let Ok(permit) = Arc::clone(&self.requests).try_acquire_owned() {
            return Ok(Some(permit));
        }
        let _waiting = Waiting::begin(&self.waiting)?;
        let permit = tokio::time::timeout(MAX_WAIT, Arc::clone(&self.requests).acquire_owned());
        match permit.await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            Ok(Err(_)) | Err(_) => Err(Failure::too_many_requests(RETRY_SECONDS)),
        }
    }

    /// Room for a stream, held until it ends.
    ///
    /// # Errors
    /// 429.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.streams)
            .try_acquire_owned()
            .map_err(|_| Failure::too_many_requests(RETRY_SECONDS))
    }
}

/// One of those who wait, also when it gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Result<Self, Failure> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let one = Self(waiting);
        if before >= MAX_WAITING {
            return Err(Failure::too_many_requests(RETRY_SECONDS));
        }
        Ok(one)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
