//! The offers that are out, as records to list and to watch.
//!
//! The leader's allocator is the only one that writes into it. Each change has a version; versions
//! grow over all terms, whoever leads, so that one of an earlier term is never mistaken:
//!
//! ```text
//!  version = epoch × 2^40 + number of the change in this term
//! ```
//!
//! **Invariants:** what a list and the watch from its version show is what the book holds. Only the
//! last [`MAX_LOG`] changes are kept: a watch that is further behind ends, as all do with the term,
//! and its reader lists again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::Stream;
use meseta_crds::Offer;
use tokio::sync::watch;

/// Changes that are kept for slow watches: some ten megabytes, and several rounds over all agents of
/// a large cluster.
const MAX_LOG: usize = 16_384;
/// Changes that a watch takes out at once.
const MAX_BATCH: usize = 256;
/// Bits of a version that count the changes within a term: a million a second for a week.
const TERM_BITS: u32 = 40;

/// Number of an offer, from the allocator.
pub(crate) type OfferId = u64;

/// The book; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct OfferBook(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Nothing while this process does not lead.
    pages: Mutex<Option<Pages>>,
    /// Grows with each change, and with each begin and end of a term.
    turned: watch::Sender<u64>,
}

#[derive(Debug)]
struct Pages {
    version: u64,
    /// The version before the first change in `log`.
    floor: u64,
    offers: BTreeMap<OfferId, Arc<Offer>>,
    log: VecDeque<OfferEvent>,
}

/// A change of the book.
#[derive(Clone, Debug)]
pub struct OfferEvent {
    /// The book's version from then on; also the resource version of `offer`.
    pub version: u64,
    /// What has happened.
    pub change: OfferChange,
    /// The offer.
    pub offer: Arc<Offer>,
}

/// What can happen to an offer: it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferChange {
    /// It was made.
    Added,
    /// It was accepted, declined or taken back.
    Deleted,
}

impl OfferBook {
    /// The version and all offers, the oldest first; `None` where this process does not lead.
    #[must_use]
    pub fn list(&self) -> Option<(u64, Vec<Arc<Offer>>)> {
        let pages = self.pages();
        let pages = pages.as_ref()?;
        Some((pages.version, pages.offers.values().cloned().collect()))
    }

    /// Every change after version `since`, which is from a list or an earlier change; `None` where
    /// this process does not lead.
    ///
    /// The stream ends with the term, and at once where the changes after `since` are not known any
    /// more: the reader has to list again (in HTTP, 410).
    pub fn watch(&self, since: u64) -> Option<impl Stream<Item = OfferEvent> + Send + 'static> {
        let turned = self.0.turned.subscribe();
        self.pages().as_ref()?;
        let reader = Reader { book: self.clone(), turned, since, batch: VecDeque::new() };
        Some(futures::stream::unfold(reader, Reader::next))
    }

    /// Opens the book for a term; it is closed when the pen is dropped.
    pub(crate) fn open(&self, epoch: i64) -> Pen {
        let version = u64::try_from(epoch).unwrap_or_default() << TERM_BITS;
        let log = VecDeque::new();
        let pages = Pages { version, floor: version, offers: BTreeMap::new(), log };
        *self.pages() = Some(pages);
        self.turn();
        Pen { book: self.clone() }
    }

    fn pages(&self) -> MutexGuard<'_, Option<Pages>> {
        self.0.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) {
        self.0.turned.send_modify(|turned| *turned += 1);
    }
}

/// One watch.
struct Reader {
    book: OfferBook,
    turned: watch::Receiver<u64>,
    since: u64,
    batch: VecDeque<OfferEvent>,
}

impl Reader {
    async fn next(mut self) -> Option<(OfferEvent, Self)> {
        loop {
            if let Some(event) = self.batch.pop_front() {
                self.since = event.version;
                return Some((event, self));
            }
            // Marked as seen before the look, so that what comes after it wakes.
            self.turned.borrow_and_update();
            self.batch = self.book.pages().as_ref()?.after(self.since)?;
            if self.batch.is_empty() {
                self.turned.changed().await.ok()?;
            }
        }
    }
}

impl Pages {
    /// The first changes after a version, none if there are none yet; `None` if it is not known.
    fn after(&self, since: u64) -> Option<VecDeque<OfferEvent>> {
        if since < self.floor || since > self.version {
            return None;
        }
        let start = self.log.partition_point(|event| event.version <= since);
        Some(self.log.range(start..).take(MAX_BATCH).cloned().collect())
    }

    fn enter(&mut self, change: OfferChange, offer: Arc<Offer>) {
        if self.log.len() == MAX_LOG
            && let Some(oldest) = self.log.pop_front()
        {
            self.floor = oldest.version;
        }
        self.log.push_back(OfferEvent { version: self.version, change, offer });
    }
}

/// The only one that writes into the book, for one term.
#[derive(Debug)]
pub(crate) struct Pen {
    book: OfferBook,
}

impl Pen {
    /// Takes in new offers.
    pub(crate) fn add(&self, offers: impl IntoIterator<Item = (OfferId, Offer)>) {
        self.write(|pages| {
            for (id, mut offer) in offers {
                pages.version += 1;
                offer.metadata.resource_version = Some(pages.version.to_string());
                let offer = Arc::new(offer);
                pages.offers.insert(id, offer.clone());
                pages.enter(OfferChange::Added, offer);
            }
        });
    }

    /// Strikes offers out; those that are not in the book are left out.
    pub(crate) fn remove(&self, offers: impl IntoIterator<Item = OfferId>) {
        self.write(|pages| {
            for id in offers {
                let Some(offer) = pages.offers.remove(&id) else { continue };
                pages.version += 1;
                let mut offer = Arc::unwrap_or_clone(offer);
                offer.metadata.resource_version = Some(pages.version.to_string());
                pages.enter(OfferChange::Deleted, Arc::new(offer));
            }
        });
    }

    fn write(&self, change: impl FnOnce(&mut Pages)) {
        let changed = self.book.pages().as_mut().is_some_and(|pages| {
            let before = pages.version;
            change(pages);
            pages.version != before
        });
        if changed {
            self.book.turn();
        }
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        *self.book.pages() = None;
        self.book.turn();
    }
}

#[cfg(test)]
mod tests;
