use std::sync::Arc;

use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

use super::*;

fn pair() -> (Sender, EventStream) {
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    open(Bytes::from_static(b"1\nh"), Hangup::default(), permit)
}

async fn next(stream: &mut EventStream) -> Option<Bytes> {
    Some(stream.frame().await?.unwrap().into_data().unwrap())
}

#[tokio::test]
async fn records_come_in_order_each_as_a_frame_of_its_own() {
    let (sender, mut stream) = pair();
    sender.send(Bytes::from_static(b"1\na")).unwrap();
    sender.send(Bytes::from_static(b"1\nb")).unwrap();
    drop(sender);
    assert_eq!(next(&mut stream).await.unwrap(), "1\na");
    assert_eq!(next(&mut stream).await.unwrap(), "1\nb");
    assert_eq!(next(&mut stream).await, None, "it ends once empty");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_without_anybody_sending_them() {
    let (sender, mut stream) = pair();
    let begun = Instant::now();
    for number in 1..=3 {
        assert_eq!(next(&mut stream).await.unwrap(), "1\nh");
        assert_eq!(begun.elapsed().as_secs(), number * HEARTBEAT_INTERVAL.as_secs());
    }
    drop(sender);
}

#[tokio::test]
async fn a_scheduler_that_never_reads_loses_its_stream_and_its_queue() {
    let (sender, stream) = pair();
    let record = Bytes::from(vec![b'x'; MAX_BYTES / 4]);
    for _ in 0..4 {
        sender.send(record.clone()).unwrap();
    }
    assert_eq!(sender.send(Bytes::from_static(b"one more")), Err(Closed));
    assert_eq!(sender.send(Bytes::from_static(b"and another")), Err(Closed));
    assert!(stream.shared.lock().records.is_empty(), "its memory is free at once");
}

#[tokio::test]
async fn small_records_are_counted_too() {
    let (sender, _stream) = pair();
    let sent = (0..=MAX_RECORDS).take_while(|_| sender.send(Bytes::from_static(b"x")).is_ok());
    assert_eq!(sent.count(), MAX_RECORDS);
}

#[tokio::test(start_paused = true)]
async fn what_can_wait_waits_for_a_slow_reader_but_not_for_ever() {
    let (sender, mut stream) = pair();
    while sender.has_room() {
        sender.send(Bytes::from_static(b"x")).unwrap();
    }
    tokio::time::advance(PATIENCE).await;
    next(&mut stream).await.unwrap();
    assert!(sender.has_room());
    sender.send(Bytes::from_static(b"x")).unwrap();
    assert!(!sender.has_room());
    tokio::time::advance(PATIENCE).await;
    assert!(!sender.has_room(), "its patience is not over");
    sender.send(Bytes::from_static(b"x")).unwrap();
    tokio::time::advance(PATIENCE).await;
    assert!(!sender.has_room());
    assert_eq!(sender.send(Bytes::from_static(b"x")), Err(Closed));
}

#[tokio::test]
async fn one_record_may_be_larger_than_the_queue() {
    let (sender, mut stream) = pair();
    sender.send(Bytes::from(vec![b'x'; MAX_BYTES + 1])).unwrap();
    assert_eq!(next(&mut stream).await.unwrap().len(), MAX_BYTES + 1);
}

#[tokio::test]
async fn the_gateway_learns_that_the_scheduler_is_gone() {
    let (sender, stream) = pair();
    let gone = sender.gone();
    drop(stream);
    gone.await;
    assert_eq!(sender.send(Bytes::from_static(b"x")), Err(Closed));
}
