//! What a list and a watch show of the book.

use futures::{FutureExt as _, Stream, StreamExt as _};
use meseta_crds::{Offer, OfferSpec};

use super::{MAX_LOG, OfferBook, OfferChange, OfferEvent};

fn offer(id: u64) -> (u64, Offer) {
    (id, Offer::new(&format!("offer-1-{id}"), OfferSpec::default()))
}

fn names(book: &OfferBook) -> Vec<String> {
    let (_, offers) = book.list().unwrap();
    offers.iter().map(|offer| offer.metadata.name.clone().unwrap()).collect()
}

/// What the stream has ready, as `+name` and `-name`; and whether it has ended.
fn ready(stream: &mut (impl Stream<Item = OfferEvent> + Unpin)) -> (Vec<String>, bool) {
    let mut seen = Vec::new();
    loop {
        match stream.next().now_or_never() {
            None => return (seen, false),
            Some(None) => return (seen, true),
            Some(Some(event)) => {
                let sign = if event.change == OfferChange::Added { '+' } else { '-' };
                let version = event.version.to_string();
                assert_eq!(event.offer.metadata.resource_version, Some(version));
                seen.push(format!("{sign}{}", event.offer.metadata.name.as_deref().unwrap()));
            }
        }
    }
}

#[test]
fn a_watch_goes_on_where_the_list_was() {
    let book = OfferBook::default();
    let pen = book.open(1);
    pen.add([offer(1), offer(2)]);
    let (version, _) = book.list().unwrap();
    pen.remove([1, 7]);
    pen.add([offer(3)]);
    let mut stream = Box::pin(book.watch(version).unwrap());
    assert_eq!(ready(&mut stream), (vec!["-offer-1-1".to_owned(), "+offer-1-3".to_owned()], false));
    pen.remove([2]);
    assert_eq!(ready(&mut stream), (vec!["-offer-1-2".to_owned()], false));
    assert_eq!(names(&book), ["offer-1-3"]);
}

#[test]
fn nothing_is_shown_where_this_process_does_not_lead_and_streams_end_with_the_term() {
    let book = OfferBook::default();
    assert!(book.list().is_none() && book.watch(0).is_none());
    let pen = book.open(1);
    let (version, _) = book.list().unwrap();
    let mut stream = Box::pin(book.watch(version).unwrap());
    assert_eq!(ready(&mut stream), (vec![], false));
    drop(pen);
    assert_eq!(ready(&mut stream), (vec![], true));
    assert!(book.list().is_none());
}

#[test]
fn a_version_of_an_earlier_or_a_later_term_is_not_gone_on_from() {
    let book = OfferBook::default();
    let pen = book.open(1);
    pen.add([offer(1)]);
    let (earlier, _) = book.list().unwrap();
    let mut stream = Box::pin(book.watch(earlier).unwrap());
    drop(pen);
    let _pen = book.open(2);
    // Also where the stream has slept through the end of its term.
    assert_eq!(ready(&mut stream), (vec![], true));
    for since in [0, earlier, 3 << 40] {
        let mut stream = Box::pin(book.watch(since).unwrap());
        assert_eq!(ready(&mut stream), (vec![], true), "{since}");
    }
}

#[test]
fn a_watch_that_is_too_far_behind_ends_and_memory_is_bounded() {
    let book = OfferBook::default();
    let pen = book.open(1);
    let (version, _) = book.list().unwrap();
    let mut slow = Box::pin(book.watch(version).unwrap());
    for id in 0..=u64::try_from(MAX_LOG).unwrap() / 2 {
        pen.add([offer(id)]);
        pen.remove([id]);
    }
    assert_eq!(ready(&mut slow), (vec![], true));
    assert_eq!(book.pages().as_ref().unwrap().log.len(), MAX_LOG);
}
