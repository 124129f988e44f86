use super::*;

async fn code(limits: &Limits) -> Option<u16> {
    limits.enter(Verb::Get).await.err().map(|failure| failure.code())
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_room_waits_for_it_and_is_refused_after_a_while() {
    let limits = Limits::default();
    let mut inside = Vec::new();
    for _ in 0..MAX_REQUESTS {
        inside.push(limits.enter(Verb::Create).await.unwrap());
    }
    assert_eq!(code(&limits).await, Some(429));
    let (waited, ()) = tokio::join!(code(&limits), async { drop(inside.pop()) });
    assert_eq!(waited, None);
    assert!(limits.enter(Verb::Watch).await.is_ok(), "a watch takes no room of requests");
}

#[tokio::test]
async fn too_many_do_not_even_wait() {
    let limits = Limits::default();
    limits.waiting.store(MAX_WAITING, Ordering::Relaxed);
    let _inside = Arc::clone(&limits.requests).acquire_many_owned(1024).await.unwrap();
    assert_eq!(code(&limits).await, Some(429));
    assert_eq!(limits.waiting.load(Ordering::Relaxed), MAX_WAITING, "it has left the queue");
}

#[test]
fn streams_are_bounded_on_their_own() {
    let limits = Limits::default();
    let streams: Vec<_> = (0..MAX_STREAMS).map(|_| limits.stream().unwrap()).collect();
    assert_eq!(limits.stream().err().map(|failure| failure.code()), Some(429));
    drop(streams);
    assert!(limits.stream().is_ok());
}
