//! One leader in effect: a lease that is held, renewed and handed over.
//!
//! The lease is a `coordination.k8s.io` Lease. Its `leaseTransitions` is the epoch, one more at each
//! acquisition, and every write of it is compare-and-swap through the resource version.
//!
//! ```text
//!  leader    ├─ renewal sent ──────────────── writes stop ─┤margin├─ ends
//!  follower        ├─ change seen ──────────── lease duration ───────────┤ may take it
//! ```
//!
//! The leader counts from before it sent the renewal, a follower from after it saw it, both by a clock
//! that nobody can set and that goes on while the machine sleeps; so the leader's term ends first,
//! however long the renewal was under way. The times written in the lease are for people; its
//! annotations say where the leader is reached.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use meseta_crds::{LEADER_LEASE, SYSTEM_NAMESPACE};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::clock::Boottime;
use crate::handle::{LeaderAddress, Leadership};

/// Longest wait for an answer about the lease.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failed renewal, while the lease lasts.
const RENEWAL_RETRY: Duration = Duration::from_millis(200);

/// Says whether writes of a term may still be sent.
#[derive(Clone, Default)]
pub(crate) struct Fence {
    term: Arc<Mutex<Option<Term>>>,
}

#[derive(Clone, Copy)]
struct Term {
    epoch: i64,
    /// When writes stop: the end of the lease less the margin.
    until: Boottime,
}

impl Fence {
    /// Whether the term of `epoch` holds at this moment.
    pub(crate) fn allows(&self, epoch: i64) -> bool {
        let term = *self.term.lock().unwrap_or_else(PoisonError::into_inner);
        term.is_some_and(|term| term.epoch == epoch && !term.until.left().is_zero())
    }

    /// Lets writes of `epoch` through for so long from now.
    #[cfg(test)]
    pub(crate) fn begin(&self, epoch: i64, lasts: Duration) {
        self.set(Some(Term { epoch, until: Boottime::now().after(lasts) }));
    }

    /// Lets nothing through any more.
    #[cfg(test)]
    pub(crate) fn end(&self) {
        self.set(None);
    }

    fn set(&self, term: Option<Term>) {
        *self.term.lock().unwrap_or_else(PoisonError::into_inner) = term;
    }

    fn left(&self) -> Duration {
        let term = *self.term.lock().unwrap_or_else(PoisonError::into_inner);
        term.map_or(Duration::ZERO, |term| term.until.left())
    }
}

/// Takes part in the election of the leader.
pub(crate) struct Elector {
    leases: Api<Lease>,
    fence: Fence,
    config: Config,
    /// This process and no other, not even an earlier one of the same name.
    holder: String,
    /// The lease as last seen (resource version), and when it was first seen so.
    seen: Option<(Option<String>, Boottime)>,
    /// The lease as this process wrote it last, while it holds it.
    held: Option<Lease>,
    /// Told of who else leads.
    leadership: watch::Sender<Leadership>,
}

impl Elector {
    pub(crate) fn new(
        client: Client,
        fence: Fence,
        config: Config,
        leadership: watch::Sender<Leadership>,
    ) -> Self {
        let holder = format!("{}_{}", config.identity, uuid::Uuid::new_v4().simple());
        let leases = Api::namespaced(client, SYSTEM_NAMESPACE);
        Self { leases, fence, config, holder, seen: None, held: None, leadership }
    }

    /// Waits until this process leads; returns the epoch, or nothing at shutdown.
    pub(crate) async fn acquire(&mut self, shutdown: &CancellationToken) -> Option<i64> {
        loop {
            match self.try_acquire().await {
                Ok(Some(epoch)) => {
                    tracing::info!(epoch, holder = self.holder, "leading");
                    return Some(epoch);
                }
                Ok(None) => {}
                Err(err) => tracing::warn!(error = &err as &dyn std::error::Error, "lease unread"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return None,
                () = tokio::time::sleep(self.config.retry_interval) => {}
            }
        }
    }

    async fn try_acquire(&mut self) -> Result<Option<i64>, LeaseError> {
        let Some(lease) = bounded(self.leases.get_opt(LEADER_LEASE)).await? else {
            let mut lease = Lease::default();
            lease.metadata.name = Some(LEADER_LEASE.to_owned());
            return self.write(lease, 1, true).await.map(Some);
        };
        let version = lease.metadata.resource_version.clone();
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != version) {
            self.seen = Some((version, Boottime::now()));
        }
        let spec = lease.spec.clone().unwrap_or_default();
        let since = self.seen.as_ref().map_or_else(Boottime::now, |(_, since)| *since);
        let duration = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(self.config.lease_duration, Duration::from_secs);
        let holder = spec.holder_identity.unwrap_or_default();
        let own = holder == self.holder
            || (self.config.sole && holder.starts_with(&format!("{}_", self.config.identity)));
        if holder.is_empty() || own || since.elapsed() > duration {
            let epoch = i64::from(spec.lease_transitions.unwrap_or_default()) + 1;
            return self.write(lease, epoch, true).await.map(Some);
        }
        self.follow(LeaderAddress::of(&lease));
        Ok(None)
    }

    /// Says where the leader is, if that is news.
    fn follow(&self, address: LeaderAddress) {
        self.leadership.send_if_modified(|leadership| {
            let known = matches!(leadership, Leadership::Following(known) if *known == address);
            if !known {
                *leadership = Leadership::Following(address);
            }
            !known
        });
    }

    /// Writes the lease as its holder; the term counts from before the request.
    async fn write(
        &mut self,
        mut lease: Lease,
        epoch: i64,
        acquired: bool,
    ) -> Result<i64, LeaseError> {
        let now = MicroTime(jiff::Timestamp::now());
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        spec.holder_identity = Some(self.holder.clone());
        spec.lease_duration_seconds = Some(whole_seconds(self.config.lease_duration));
        spec.lease_transitions = Some(i32::try_from(epoch).unwrap_or(i32::MAX));
        if acquired {
            spec.acquire_time = Some(now.clone());
        }
        spec.renew_time = Some(now);
        let annotations = lease.metadata.annotations.get_or_insert_default();
        for (name, value) in self.config.address.annotations() {
            match value {
                Some(value) => annotations.insert(name.to_owned(), value.clone()),
                None => annotations.remove(name),
            };
        }
        let sent = Boottime::now();
        let parameters = PostParams::default();
        let written = if lease.metadata.resource_version.is_some() {
            bounded(self.leases.replace(LEADER_LEASE, &parameters, &lease)).await?
        } else {
            bounded(self.leases.create(&parameters, &lease)).await?
        };
        let lasts = self.config.lease_duration.saturating_sub(self.config.fence_margin);
        self.fence.set(Some(Term { epoch, until: sent.after(lasts) }));
        self.held = Some(written);
        Ok(epoch)
    }

    /// Renews the lease until it is lost or `stop` is cancelled.
    pub(crate) async fn hold(&mut self, epoch: i64, stop: &CancellationToken) {
        let mut pause = self.config.renew_interval;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause.min(self.fence.left())) => {}
            }
            if self.fence.left().is_zero() {
                tracing::warn!(epoch, "lease not renewed in time");
                return self.lose();
            }
            let Some(lease) = self.held.clone() else { return self.lose() };
            pause = match self.write(lease, epoch, false).await {
                Ok(_) => self.config.renew_interval,
                Err(LeaseError::Kube(kube::Error::Api(status))) if status.code == 409 => {
                    match self.still_held(epoch).await {
                        Some(lease) => self.held = Some(lease),
                        None => return self.lose(),
                    }
                    RENEWAL_RETRY
                }
                Err(err) => {
                    tracing::warn!(error = &err as &dyn std::error::Error, epoch, "not renewed");
                    RENEWAL_RETRY
                }
            };
        }
    }

    /// The lease as it is, if it is this process's in this term: somebody else may have labelled
    /// it, or an earlier renewal went through unheard.
    async fn still_held(&self, epoch: i64) -> Option<Lease> {
        let lease = bounded(self.leases.get_opt(LEADER_LEASE)).await.ok().flatten()?;
        let spec = lease.spec.as_ref()?;
        let own = spec.holder_identity.as_deref() == Some(&self.holder)
            && spec.lease_transitions.map(i64::from) == Some(epoch);
        own.then_some(lease)
    }

    fn lose(&mut self) {
        tracing::warn!(holder = self.holder, "leads no more");
        self.fence.set(None);
        self.held = None;
    }

    /// Gives the lease away, so that the next leader need not wait for its end. Call it when no
    /// write of the term is under way any more.
    pub(crate) async fn release(&mut self) {
        let in_term = !self.fence.left().is_zero();
        self.fence.set(None);
        let Some(mut lease) = self.held.take().filter(|_| in_term) else { return };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        let parameters = PostParams::default();
        match bounded(self.leases.replace(LEADER_LEASE, &parameters, &lease)).await {
            Ok(_) => tracing::info!(holder = self.holder, "lease released"),
            Err(err) => {
                tracing::warn!(error = &err as &dyn std::error::Error, "lease not released");
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("no answer in time")]
    TimedOut,
    #[error("the server did not accept the request")]
    Kube(#[source] kube::Error),
}

async fn bounded<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, LeaseError> {
    let answer = tokio::time::timeout(TIMEOUT, request).await;
    answer.map_err(|_| LeaseError::TimedOut)?.map_err(LeaseError::Kube)
}

/// The duration as the lease has it; never less than it is.
fn whole_seconds(duration: Duration) -> i32 {
    let up = u64::from(duration.subsec_nanos() > 0);
    i32::try_from(duration.as_secs() + up).unwrap_or(i32::MAX)
}
