//! The offers of the controllers, as the API server serves them.

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use meseta_api_server::{Leader, LiveCollection, LiveEvent, LiveObject, Within};
use meseta_crds::Offer;
use meseta_runtime::{Handle, Leadership, OfferBook, OfferChange, OfferEvent};
use tokio::sync::watch;

/// See the module.
#[derive(Debug)]
pub(super) struct Offers {
    book: OfferBook,
    leadership: watch::Receiver<Leadership>,
}

impl Offers {
    pub(super) fn new(handle: &Handle) -> Self {
        Self { book: handle.offers(), leadership: handle.leadership() }
    }
}

impl LiveCollection for Offers {
    fn leader(&self) -> Leader {
        leader(&self.leadership.borrow())
    }

    fn leader_changed(&self, seen: Leader) -> BoxFuture<'static, ()> {
        let mut leadership = self.leadership.clone();
        Box::pin(async move {
            // Controllers that have ended lead no longer, and follow nobody.
            drop(leadership.wait_for(|now| leader(now) != seen).await);
        })
    }

    fn list(&self, within: Within<'_>) -> Option<(u64, Vec<LiveObject>)> {
        let (version, offers) = self.book.list()?;
        let wanted = |offer: &Offer| {
            let Within { namespace, name } = within;
            let metadata = &offer.metadata;
            (namespace.is_none() || namespace == metadata.namespace.as_deref())
                && (name.is_none() || name == metadata.name.as_deref())
        };
        let offers = offers.iter().filter(|offer| wanted(offer));
        let objects = offers.map(|offer| {
            let made = offer.metadata.resource_version.as_deref();
            object(made.and_then(|made| made.parse().ok()).unwrap_or(version), offer)
        });
        Some((version, objects.collect()))
    }

    fn watch(&self, since: u64) -> Option<BoxStream<'static, LiveEvent>> {
        let events = self.book.watch(since)?.map(|event| {
            let OfferEvent { version, change, offer } = event;
            match change {
                OfferChange::Added => LiveEvent::Added(object(version, &offer)),
                OfferChange::Deleted => LiveEvent::Deleted(object(version, &offer)),
            }
        });
        Some(events.boxed())
    }
}

fn object(version: u64, offer: &Offer) -> LiveObject {
    let value = serde_json::to_value(offer).expect("an offer has only names for keys");
    LiveObject { version, value }
}

/// Who has the offers; a leader that does not say where it is reached might as well be none.
fn leader(leadership: &Leadership) -> Leader {
    match leadership {
        Leadership::Leading(_) => Leader::Here,
        Leadership::Following(address) => address.api.clone().map_or(Leader::Unknown, Leader::At),
        Leadership::Unknown => Leader::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use meseta_crds::OfferSpec;
    use meseta_runtime::LeaderAddress;

    use super::*;

    #[test]
    fn a_follower_asks_a_leader_that_says_where_it_is() {
        let url = "https://10.0.0.1:7443".to_owned();
        let following = |api| Leadership::Following(LeaderAddress { api, mesos: None });
        assert_eq!(leader(&following(Some(url.clone()))), Leader::At(url));
        assert_eq!(leader(&following(None)), Leader::Unknown);
        assert_eq!(leader(&Leadership::Unknown), Leader::Unknown);
    }

    #[tokio::test]
    async fn a_change_of_the_leader_is_seen_once_it_is_one() {
        let (sender, leadership) = watch::channel(Leadership::Unknown);
        let offers = Offers { book: OfferBook::default(), leadership };
        assert_eq!(offers.list(Within::default()), None);
        assert!(offers.watch(0).is_none());
        let mut changed = offers.leader_changed(Leader::Unknown);
        // Nobody that can be asked is still nobody.
        sender.send_replace(Leadership::Following(LeaderAddress::default()));
        assert!(futures::poll!(&mut changed).is_pending());
        let api = Some("https://10.0.0.1:7443".to_owned());
        sender.send_replace(Leadership::Following(LeaderAddress { api, mesos: None }));
        changed.await;
    }

    #[test]
    fn an_offer_is_shown_as_it_is_in_the_book() {
        let offer =
            Offer::new("offer-1-1", OfferSpec { role: "eng".into(), ..OfferSpec::default() });
        let object = object(7, &offer);
        assert_eq!(object.version, 7);
        assert_eq!(object.value["metadata"]["name"], "offer-1-1");
        assert_eq!(object.value["spec"]["role"], "eng");
    }
}
