use futures::FutureExt as _;

use super::*;

/// A REVIVE that is followed by so many spaces.
fn padded(spaces: usize) -> Bytes {
    let call = r#"{"type":"REVIVE","framework_id":{"value":"f"}}"#;
    Bytes::from(format!("{call}{}", " ".repeat(spaces)))
}

async fn id(decoding: &Decoding, bytes: Bytes) -> Result<String, DecodeError> {
    let id = |call: Call| call.framework_id.map(|id| id.value).unwrap_or_default();
    decoding.decode(Encoding::Json, bytes, id).await.map(|(id, _)| id)
}

#[tokio::test]
async fn a_small_body_is_decoded_at_once_and_a_large_one_keeps_nobody_waiting() {
    let decoding = Decoding::default();
    let waiting: Vec<_> = (0..LARGE_AT_ONCE + 1)
        .map(|_| {
            let decoding = decoding.clone();
            tokio::spawn(async move { id(&decoding, padded(SMALL_BYTES)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(id(&decoding, padded(0)).now_or_never(), Some(Ok("f".to_owned())));
    assert!(id(&decoding, padded(SMALL_BYTES)).now_or_never().is_none());
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), Ok("f".to_owned()));
    }
}

#[tokio::test]
async fn large_bodies_wait_for_a_thread_and_for_room() {
    let decoding = Decoding::default();
    let threads = u32::try_from(LARGE_AT_ONCE).unwrap();
    let held = Arc::clone(&decoding.threads).acquire_many_owned(threads).await;
    let mut large = std::pin::pin!(id(&decoding, padded(SMALL_BYTES)));
    let wait = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(wait, &mut large).await.is_err());
    drop(held);
    assert_eq!(large.await, Ok("f".to_owned()));

    let decode = || decoding.decode(Encoding::Json, padded(SMALL_BYTES), |call| call);
    let all = decoding.room.available_permits();
    let held = decode().await.unwrap();
    let taken = all - decoding.room.available_permits();
    assert!(taken > SMALL_BYTES * GROWTH / UNIT_BYTES, "{taken}");
    drop(held);
    assert_eq!(decoding.room.available_permits(), all);
}

#[tokio::test]
async fn what_is_no_call_is_an_error_however_large() {
    for length in [0, SMALL_BYTES + 1] {
        let bytes = Bytes::from(vec![b'x'; length]);
        assert!(id(&Decoding::default(), bytes).await.is_err(), "{length}");
    }
}
