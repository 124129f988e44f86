use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::Full;
use meseta_serve::BodyLimits;
use proptest::prelude::*;

use super::*;
use crate::backend::{Backend, ExecutorFacts, Stored};

/// Nothing of this is reached.
struct Nobody;

impl Backend for Nobody {
    fn hand_over(&self, _: Vec<String>) -> BoxFuture<'_, std::io::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn store(&self, _: String, _: v1::TaskStatus) -> BoxFuture<'_, std::io::Result<Stored>> {
        Box::pin(async { Ok(Stored::AfterEnd) })
    }

    fn message(&self, _: &str, _: Bytes) {}
}

fn endpoint() -> Endpoint {
    let executors = Executors::new(v1::AgentInfo::default(), None, Arc::new(Nobody));
    let shutdown = CancellationToken::new();
    let own = Some("10.0.0.7".parse().unwrap());
    Endpoint { executors, own, bodies: Bodies::new(LIMITS), shutdown }
}

async fn status_for(peer: Option<&str>) -> u16 {
    let mut request = Request::get("/health").body(Full::<Bytes>::default()).unwrap();
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer.parse::<SocketAddr>().unwrap());
    }
    endpoint().answer(request).await.status().as_u16()
}

#[tokio::test]
async fn only_programs_of_this_machine_are_served() {
    for peer in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "10.0.0.7:1"] {
        assert_eq!(status_for(Some(peer)).await, 200, "{peer}");
    }
    for peer in ["10.0.0.1:1", "192.168.1.1:1", "[fe80::1]:1", "[::ffff:10.0.0.1]:1", "0.0.0.0:1"] {
        assert_eq!(status_for(Some(peer)).await, 403, "{peer}");
    }
    assert_eq!(status_for(None).await, 403);
    let mapped = Some("::ffff:10.0.0.7".parse().unwrap());
    assert!(Endpoint { own: mapped, ..endpoint() }.is_here("10.0.0.7".parse().unwrap()));
}

fn subscribe(bytes: usize) -> Request<Full<Bytes>> {
    let call = r#"{"type":"SUBSCRIBE","subscribe":{},"executor_id":{"value":"e"},
                   "framework_id":{"value":"f"}}"#;
    let body = format!("{call}{}", " ".repeat(bytes));
    let json = b"application/json".to_vec();
    request(body.into_bytes(), &[("content-type".to_owned(), json)])
}

#[tokio::test]
async fn of_an_executors_subscribes_the_newest_waits_and_takes_room_for_its_body() {
    const LARGE: usize = 20 * 1024;
    let endpoint = {
        let one_unit = BodyLimits { together_bytes: LIMITS.unit_bytes, ..LIMITS };
        Endpoint { bodies: Bodies::new(one_unit), ..endpoint() }
    };
    let facts = ExecutorFacts {
        uid: "uid".to_owned(),
        framework_id: "f".to_owned(),
        executor_id: "e".to_owned(),
        executor_info: v1::ExecutorInfo::default(),
        framework_info: v1::FrameworkInfo::default(),
        subscribe_within: std::time::Duration::MAX,
    };
    let _standing = endpoint.executors.expect(facts).unwrap();
    endpoint.executors.recovered();
    let Found::Executor(slot) = endpoint.executors.find("f", "e") else { panic!("not found") };
    let turn = slot.turn().await;

    let mut older = std::pin::pin!(endpoint.answer(subscribe(LARGE)));
    assert!(futures::poll!(older.as_mut()).is_pending());
    let refused = endpoint.answer(subscribe(LARGE)).await;
    assert_eq!(refused.status(), 503, "the room is taken");
    let mut newer = std::pin::pin!(endpoint.answer(subscribe(0)));
    assert!(futures::poll!(newer.as_mut()).is_pending());
    assert_eq!(older.await.status(), 503, "a newer one has come");
    let mut newest = std::pin::pin!(endpoint.answer(subscribe(LARGE)));
    assert!(futures::poll!(newest.as_mut()).is_pending(), "the room was given back");
    assert_eq!(newer.await.status(), 503);
    drop(turn);
    let answer = newest.await;
    assert_eq!(answer.status(), 200);
    // Nobody has read of the stream, so nothing of what it brought is stored.
    assert_eq!(endpoint.answer(subscribe(LARGE)).await.status(), 503, "the room is held");
    drop(answer);
    assert_eq!(endpoint.answer(subscribe(LARGE)).await.status(), 200);
}

/// A call that is valid, with pieces of it replaced.
fn spoiled() -> impl Strategy<Value = Vec<u8>> {
    let status = r#"{"status":{"task_id":{"value":"t"},"state":"TASK_RUNNING","uuid":"AA=="}}"#;
    let calls = [
        r#"{"type":"SUBSCRIBE","subscribe":{"unacknowledged_updates":[U]}}"#,
        r#"{"type":"UPDATE","update":U}"#,
        r#"{"type":"MESSAGE","message":{"data":"aGk="}}"#,
    ]
    .map(|call| {
        let ids = r#"{"executor_id":{"value":"e"},"framework_id":{"value":"f"},"#;
        call.replacen('{', ids, 1).replace('U', status)
    });
    let spoilt =
        (0..calls.len(), any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..4));
    spoilt.prop_map(move |(call, at, bytes)| {
        let mut call = calls[call].clone().into_bytes();
        let at = at.index(call.len());
        let end = (at + bytes.len()).min(call.len());
        call.splice(at..end, bytes);
        call
    })
}

fn request(body: Vec<u8>, headers: &[(String, Vec<u8>)]) -> Request<Full<Bytes>> {
    let mut request = Request::post("/api/v1/executor").body(Full::new(Bytes::from(body))).unwrap();
    for (name, value) in headers {
        if let Ok(value) = http::HeaderValue::from_bytes(value) {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, value);
        }
    }
    request.extensions_mut().insert("127.0.0.1:1".parse::<SocketAddr>().unwrap());
    request
}

fn headers() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop::sample::select(vec!["content-type", "accept", "content-encoding"]);
    let value = prop_oneof![
        Just(b"application/json".to_vec()),
        Just(b"application/x-protobuf".to_vec()),
        Just(b"*/*;q=0, text/*".to_vec()),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec((name.prop_map(str::to_owned), value), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_is_answered_with_a_status_of_the_protocol(
        body in prop_oneof![spoiled(), prop::collection::vec(any::<u8>(), 0..200)],
        headers in headers(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let answer = runtime.block_on(async {
            let endpoint = endpoint();
            endpoint.executors.recovered();
            endpoint.answer(request(body, &headers)).await
        });
        let status = answer.status().as_u16();
        prop_assert!([202, 400, 406, 415, 501].contains(&status), "{status}");
    }
}
