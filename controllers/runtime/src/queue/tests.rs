//! The promises of the queue, under a clock that the test moves.

use std::time::Duration;

use futures::FutureExt as _;

use super::{Outcome, Queue};

fn queue() -> Queue<&'static str> {
    Queue::new(Duration::from_millis(10))
}

fn ready(queue: &Queue<&'static str>) -> Option<&'static str> {
    queue.next().now_or_never()
}

#[tokio::test(start_paused = true)]
async fn a_key_waits_once_however_often_it_is_added() {
    let queue = queue();
    queue.add("a");
    queue.add("a");
    assert_eq!(ready(&queue), Some("a"));
    assert_eq!(ready(&queue), None);
}

#[tokio::test(start_paused = true)]
async fn a_key_added_during_its_pass_runs_again_after_the_distance() {
    let queue = queue();
    queue.add("a");
    assert_eq!(ready(&queue), Some("a"));
    queue.add("a");
    assert_eq!(ready(&queue), None);
    queue.done("a", &Outcome::Done);
    assert_eq!(ready(&queue), None);
    tokio::time::advance(Duration::from_millis(11)).await;
    assert_eq!(ready(&queue), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_after_a_growing_delay() {
    let queue = queue();
    queue.add("a");
    for delay in [100, 200, 400] {
        assert_eq!(ready(&queue), Some("a"));
        queue.done("a", &Outcome::Failed);
        tokio::time::advance(Duration::from_millis(delay - 1)).await;
        assert_eq!(ready(&queue), None);
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    assert_eq!(ready(&queue), Some("a"));
    queue.done("a", &Outcome::Done);
    assert_eq!(ready(&queue), None);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_asked_for_later_is_run_earlier_when_added() {
    let queue = queue();
    queue.add("a");
    assert_eq!(ready(&queue), Some("a"));
    queue.done("a", &Outcome::Again(Duration::from_secs(60)));
    tokio::time::advance(Duration::from_millis(11)).await;
    assert_eq!(ready(&queue), None);
    queue.add("a");
    assert_eq!(ready(&queue), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_a_key_becomes_due() {
    let queue = queue();
    queue.add("a");
    assert_eq!(ready(&queue), Some("a"));
    queue.done("a", &Outcome::Again(Duration::from_secs(5)));
    assert_eq!(queue.next().await, "a");
}
