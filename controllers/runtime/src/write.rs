//! Writes of a leader: sent only while its lease holds, and bounded in time.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use kube::Client;

use crate::leader::Fence;

/// Longest wait for one answer. Less than a lease, so that a write does not outlive it by much.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Why a write was not, or may not have been, carried out.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The lease has ended, or is about to.
    #[error("this control plane does not lead any more")]
    Fenced,
    /// No answer in time; the write may have been carried out.
    #[error("no answer in time")]
    TimedOut,
    /// The record is not what it was when it was observed.
    #[error("the record has changed")]
    Conflict,
    /// The name is in use.
    #[error("the record exists already")]
    AlreadyExists,
    /// The record is gone.
    #[error("the record does not exist")]
    NotFound,
    /// The server refuses it; only a change of the request can help.
    #[error("the server refuses the request")]
    Rejected(#[source] kube::Error),
    /// The server could not be reached or could not answer; the write may have been carried out.
    #[error("the server does not answer")]
    Unavailable(#[source] kube::Error),
}

impl WriteError {
    /// Whether the same write could go through later without a change of any record.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Fenced | Self::TimedOut | Self::Conflict | Self::Unavailable(_) => true,
            Self::AlreadyExists | Self::NotFound | Self::Rejected(_) => false,
        }
    }
}

impl From<kube::Error> for WriteError {
    fn from(err: kube::Error) -> Self {
        let kube::Error::Api(status) = &err else { return Self::Unavailable(err) };
        match status.code {
            409 if status.reason == "AlreadyExists" => Self::AlreadyExists,
            409 | 412 => Self::Conflict,
            404 => Self::NotFound,
            429 => Self::Unavailable(err),
            400..=499 => Self::Rejected(err),
            _ => Self::Unavailable(err),
        }
    }
}

/// A client whose writes stop with the leader's term.
#[derive(Clone)]
pub struct Writer {
    /// For reads; writes go through [`Self::write`].
    pub client: Client,
    fence: Fence,
    /// The term's epoch.
    pub epoch: i64,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(client: Client, fence: Fence, epoch: i64) -> Self {
        Self { client, fence, epoch }
    }

    /// Sends `request` if the term still holds, and abandons it when the term ends meanwhile.
    ///
    /// The fence is read before the request is polled for the first time, hence after whatever has
    /// stopped this process, and again at each poll. What was sent before and arrives late is
    /// refused by its resource version, or, as a placement, by the agent for its epoch.
    ///
    /// # Errors
    /// See [`WriteError`]. Dropping the future leaves the outcome unknown.
    pub async fn write<T>(
        &self,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, WriteError> {
        let mut request = pin!(request);
        let fenced = poll_fn(|context| {
            if !self.fence.allows(self.epoch) {
                return Poll::Ready(Err(WriteError::Fenced));
            }
            request.as_mut().poll(context).map_err(WriteError::from)
        });
        tokio::time::timeout(TIMEOUT, fenced).await.unwrap_or(Err(WriteError::TimedOut))
    }

    /// A read, bounded in time.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn read<T>(
        &self,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, WriteError> {
        let answer = tokio::time::timeout(TIMEOUT, request).await;
        answer.map_err(|_| WriteError::TimedOut)?.map_err(WriteError::from)
    }
}

#[cfg(test)]
mod tests;
