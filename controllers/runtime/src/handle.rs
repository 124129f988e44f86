//! What the other parts of a control plane see of its controllers: who leads, and, as long as it is
//! this process, the means to take part.
//!
//! ```text
//!  Unknown ──► Following(address) ──► Unknown ──► Leading(term) ──► Unknown ──► …
//!              another holds the lease            rows are as new as the lease
//! ```
//!
//! **Invariant:** at most one [`Term`] is in effect in this process; when it ends, its `ended` is
//! cancelled before anything of the next begins.

use meseta_crds::leader_address;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::market::Market;
use crate::offer_book::OfferBook;
use crate::write::Writer;

/// A look into running controllers; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    leadership: watch::Receiver<Leadership>,
    offers: OfferBook,
}

impl Handle {
    pub(crate) fn new(leadership: watch::Receiver<Leadership>, offers: OfferBook) -> Self {
        Self { leadership, offers }
    }

    /// Who leads, and every change of that. It ends when the controllers have ended.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// The offers that are out, while this process leads.
    #[must_use]
    pub fn offers(&self) -> OfferBook {
        self.offers.clone()
    }
}

/// Who leads, as far as this process knows.
#[derive(Clone, Debug)]
pub enum Leadership {
    /// Nobody that is known of: at the start, and between two terms.
    Unknown,
    /// Another process, which is reached there.
    Following(LeaderAddress),
    /// This process.
    Leading(Term),
}

/// Where a leader is reached for what only it can answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderAddress {
    /// URL of its API server, such as `https://10.0.0.1:7443`.
    pub api: Option<String>,
    /// `host:port` of its Mesos scheduler API.
    pub mesos: Option<String>,
}

impl LeaderAddress {
    /// Annotations of the leader's Lease and what they say.
    pub(crate) fn annotations(&self) -> [(&'static str, Option<&String>); 2] {
        let Self { api, mesos } = self;
        [(leader_address::API, api.as_ref()), (leader_address::MESOS, mesos.as_ref())]
    }

    pub(crate) fn of(lease: &impl kube::ResourceExt) -> Self {
        let annotation = |name| lease.annotations().get(name).cloned();
        Self { api: annotation(leader_address::API), mesos: annotation(leader_address::MESOS) }
    }
}

/// One term of this process as the leader.
#[derive(Clone, Debug)]
pub struct Term {
    /// `spec.leaseTransitions` of the leader's Lease; grows with each term, whoever leads.
    pub epoch: i64,
    /// Writes as long as the term lasts.
    pub writer: Writer,
    /// Where external schedulers get their offers.
    pub market: Market,
    /// Cancelled when the term ends, however it does. Cancelling it ends nothing.
    pub ended: CancellationToken,
}

/// The announcement of a term; ends it when it is dropped.
pub(crate) struct InOffice<'a> {
    leadership: &'a watch::Sender<Leadership>,
    stop: CancellationToken,
}

impl<'a> InOffice<'a> {
    pub(crate) fn new(leadership: &'a watch::Sender<Leadership>, stop: CancellationToken) -> Self {
        Self { leadership, stop }
    }
}

impl Drop for InOffice<'_> {
    fn drop(&mut self) {
        self.stop.cancel();
        self.leadership.send_replace(Leadership::Unknown);
    }
}
