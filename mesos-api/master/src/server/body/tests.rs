use http_body_util::Full;

use super::*;

#[tokio::test]
async fn an_ordinary_call_is_read_though_others_take_all_the_room() {
    let bodies = Bodies::new(BodyLimits { together_bytes: 0, ..LIMITS });
    let read = |length| bodies.read(Full::new(Bytes::from(vec![b' '; length])));
    assert_eq!(read(FREE_BYTES).await.unwrap().1.units(), 0);
    assert_eq!(read(FREE_BYTES + 1).await.unwrap_err(), BodyError::NoRoom);
}
