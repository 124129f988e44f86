//! What is offered, to whom, and when it is taken back.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use meseta_crds::TaskState;
use meseta_runtime::{LaunchError, Notice, OfferChange, TakeError};

use super::*;

#[tokio::test]
async fn a_seat_is_offered_every_agent_and_the_book_shows_it() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    agents::register(&admin, "two", 2).await;
    let (control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let (version, none) = handle.offers().list().unwrap();
    assert!(none.is_empty());
    let mut watch = Box::pin(handle.offers().watch(version).unwrap());

    let mut scheduler = Scheduler::enter(&admin, &term.market, "spark", &["eng"]).await;
    let offers = scheduler.offers(2).await;
    assert_eq!(lines(&offers), ["one 4", "two 2"]);
    assert!(offers.iter().all(|offer| offer.role == "eng"));
    let shown = book(&handle);
    assert_eq!(shown[&offers[0].id], "spark one 4");
    assert_eq!(shown[&offers[1].id], "spark two 2");
    let (_, records) = handle.offers().list().unwrap();
    let record = &records[0];
    let expires = record.spec.expires_at.clone().unwrap().0;
    assert!(expires > record.creation_timestamp().unwrap().0);
    assert_eq!(record.namespace().as_deref(), Some("default"));

    scheduler.decline(&offers, LONG).await;
    assert!(book(&handle).is_empty());
    let mut seen = Vec::new();
    for _ in 0..4 {
        let event = watch.next().await.unwrap();
        seen.push((event.change, event.offer.name_any()));
    }
    for offer in &offers {
        let of = |change| seen.iter().filter(|seen| **seen == (change, offer.id.clone())).count();
        assert_eq!((of(OfferChange::Added), of(OfferChange::Deleted)), (1, 1), "{seen:?}");
    }
    control_plane.shut_down().await;
    assert!(watch.next().await.is_none(), "watches end with the term");
}

#[tokio::test]
async fn what_one_declines_is_offered_to_the_other_and_comes_back_when_revived() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (_control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let mut first = Scheduler::enter(&admin, &term.market, "first", &["a"]).await;
    let offers = first.offers(1).await;
    // Somebody else's offer cannot be declined, and nothing is offered twice.
    let mut second = Scheduler::enter(&admin, &term.market, "second", &["b"]).await;
    second.decline(&offers, LONG).await;
    assert_eq!(book(&handle).len(), 1);
    first.decline(&offers, LONG).await;
    let offers = second.offers(1).await;
    second.decline(&offers, LONG).await;

    // Of the two agents, one is refused by both: what they share is the other.
    agents::register(&admin, "two", 2).await;
    assert_eq!(lines(&first.offers(1).await), ["two 1"]);
    assert_eq!(lines(&second.offers(1).await), ["two 1"]);
    // Who revives gets what it has refused.
    first.market.revive(first.uid(), Vec::new()).await.unwrap();
    assert_eq!(lines(&first.offers(1).await), ["one 4"]);
}

#[tokio::test]
async fn a_suppressed_seat_keeps_its_offers_and_gets_no_more() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (_control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let mut quiet = Scheduler::enter(&admin, &term.market, "quiet", &["a"]).await;
    let offers = quiet.offers(1).await;
    quiet.market.suppress(quiet.uid(), Vec::new()).await.unwrap();
    assert_eq!(book(&handle).len(), 1);
    quiet.decline(&offers, Duration::ZERO).await;
    let mut other = Scheduler::enter(&admin, &term.market, "other", &["b"]).await;
    agents::register(&admin, "two", 2).await;
    let offers = other.offers(2).await;
    other.market.leave(other.uid()).await.unwrap();
    assert!(other.next().await.is_none(), "notices end with the seat");
    assert_eq!(lines(&offers), ["one 4", "two 2"]);
    quiet.market.revive(quiet.uid(), vec!["a".to_owned()]).await.unwrap();
    assert_eq!(lines(&quiet.offers(2).await), ["one 4", "two 2"]);
}

#[tokio::test]
async fn offers_of_an_agent_that_takes_no_more_tasks_are_rescinded() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (_control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let mut scheduler = Scheduler::enter(&admin, &term.market, "spark", &["eng"]).await;
    let offers = scheduler.offers(1).await;
    set_unschedulable(&admin, "one", true).await;
    assert_eq!(scheduler.next().await, Some(Notice::Rescinded(vec![offers[0].id.clone()])));
    assert!(book(&handle).is_empty());
    let taken = scheduler.market.take(scheduler.uid(), vec![offers[0].id.clone()]).await.unwrap();
    assert_eq!(taken.unwrap_err(), TakeError::Invalid(offers[0].id.clone()));
    // Ready again: offered at once, under another id.
    set_unschedulable(&admin, "one", false).await;
    let again = scheduler.offers(1).await;
    assert_ne!(again[0].id, offers[0].id);
}

#[tokio::test]
async fn a_role_that_is_left_loses_its_offers_and_the_scheduler_is_told() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (_control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let mut scheduler = Scheduler::enter(&admin, &term.market, "spark", &["eng"]).await;
    let offers = scheduler.offers(1).await;
    let roles = vec!["ops".to_owned(), "art".to_owned()];
    let suppressed = BTreeSet::from(["art".to_owned()]);
    scheduler.market.set_roles(scheduler.uid(), roles, suppressed).await.unwrap();
    assert_eq!(scheduler.next().await, Some(Notice::Rescinded(vec![offers[0].id.clone()])));
    let offers = scheduler.offers(1).await;
    assert_eq!(offers[0].role, "ops");
}

#[tokio::test]
async fn a_newer_seat_of_the_same_framework_ends_the_older_silently() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (_control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let mut older = Scheduler::enter(&admin, &term.market, "spark", &["eng"]).await;
    let offers = older.offers(1).await;
    let taken = older.take(&[&offers[0]]).await;
    let mut newer = Scheduler::enter_again(&term.market, older.framework.clone()).await;
    assert_eq!(older.next().await, None);
    assert_eq!(lines(&newer.offers(1).await), ["one 4"]);
    // What the older had taken went back as well, once.
    drop(taken);
    agents::register(&admin, "two", 2).await;
    assert_eq!(lines(&newer.offers(1).await), ["two 2"]);
}

#[tokio::test]
async fn what_is_taken_and_dropped_goes_back() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (_control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let mut scheduler = Scheduler::enter(&admin, &term.market, "spark", &["eng"]).await;
    let offers = scheduler.offers(1).await;
    let taken = scheduler.take(&[&offers[0]]).await;
    assert_eq!((taken.agent.as_str(), cpus(&taken.resources)), ("one", "4".to_owned()));
    assert!(book(&handle).is_empty());
    let again = scheduler.market.take(scheduler.uid(), vec![offers[0].id.clone()]).await.unwrap();
    assert!(again.is_err(), "an offer is taken once");
    drop(taken);
    assert_eq!(lines(&scheduler.offers(1).await), ["one 4"]);
}

#[tokio::test]
async fn what_is_accepted_wrongly_or_not_used_is_not_offered_again_at_once() {
    /// A little less than the shortest filter: clocks are read in whole milliseconds.
    const PAUSE: Duration = Duration::from_millis(240);
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (_control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let mut scheduler = Scheduler::enter(&admin, &term.market, "spark", &["eng"]).await;
    let mut offers = scheduler.offers(1).await;

    let begin = tokio::time::Instant::now();
    let with_a_stale_one = vec![offers[0].id.clone(), "stale".to_owned()];
    let taken = scheduler.market.take(scheduler.uid(), with_a_stale_one).await.unwrap();
    assert_eq!(taken.unwrap_err(), TakeError::Invalid("stale".to_owned()));
    offers = scheduler.offers(1).await;
    assert!(begin.elapsed() >= PAUSE, "after an offer that is not there");

    let begin = tokio::time::Instant::now();
    drop(scheduler.take(&[&offers[0]]).await);
    offers = scheduler.offers(1).await;
    assert!(begin.elapsed() >= PAUSE, "after a change of mind");

    let begin = tokio::time::Instant::now();
    let taken = scheduler.take(&[&offers[0]]).await;
    let tasks = vec![scheduler.task("t", 5)];
    let launched = scheduler.market.launch(taken, tasks, Duration::ZERO).await.unwrap();
    assert!(matches!(launched[0], Err(LaunchError::TooMuch)), "{:?}", launched[0]);
    scheduler.offers(1).await;
    assert!(begin.elapsed() >= PAUSE, "after more than was offered");
}

#[tokio::test]
async fn a_reader_that_is_gone_holds_nothing() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (_control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let mut gone = Scheduler::enter(&admin, &term.market, "gone", &["a"]).await;
    gone.offers(1).await;
    drop(gone);
    let mut other = Scheduler::enter(&admin, &term.market, "other", &["b"]).await;
    assert_eq!(lines(&other.offers(1).await), ["one 4"]);
}

#[tokio::test]
async fn a_task_that_ends_frees_its_room_whether_or_not_that_was_acknowledged() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (_control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let mut scheduler = Scheduler::enter(&admin, &term.market, "spark", &["eng"]).await;
    let offers = scheduler.offers(1).await;
    let taken = scheduler.take(&[&offers[0]]).await;
    let launched = scheduler.market.launch(taken, vec![scheduler.task("t", 3)], LONG).await;
    launched.unwrap()[0].as_ref().unwrap();
    // The rest was refused for long: what comes is more than that, when the task is over.
    end(&admin, "t", TaskState::Finished).await;
    assert_eq!(lines(&scheduler.offers(1).await), ["one 4"]);
}
