use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::Full;

use super::*;
use crate::backend::{Backend, Stored};

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

async fn status_for(peer: Option<&str>) -> u16 {
    let executors = Executors::new(v1::AgentInfo::default(), None, Arc::new(Nobody));
    let shutdown = CancellationToken::new();
    let own = Some("10.0.0.7".parse().unwrap());
    let endpoint = Endpoint { executors, own, room: Room::default(), shutdown };
    let mut request = Request::get("/health").body(Full::<Bytes>::default()).unwrap();
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer.parse::<SocketAddr>().unwrap());
    }
    endpoint.answer(request).await.status().as_u16()
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
}
