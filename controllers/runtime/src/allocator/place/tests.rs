//! What is concluded where the answer to a placement is missing.

use std::convert::Infallible;
use std::time::Duration;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Order, Settled, place};
use crate::cluster::Key;
use crate::leader::Fence;
use crate::write::Writer;

/// A server that has a task without an agent, and takes no writes.
fn client() -> Client {
    let service = tower::service_fn(|request: Request<Body>| async move {
        assert_eq!(request.method(), Method::GET, "nothing is written");
        let task = json!({
            "apiVersion": "meseta.dev/v1alpha1",
            "kind": "Task",
            "metadata": {"name": "t", "namespace": "default", "uid": "u", "resourceVersion": "7"},
            "spec": {"containers": [{"command": ["true"]}]},
        });
        Ok::<_, Infallible>(Response::new(Body::from(task.to_string().into_bytes())))
    });
    Client::new(service, "default")
}

fn order() -> Order {
    Order {
        key: Key { namespace: "default".to_owned(), name: "t".to_owned() },
        uid: "u".to_owned(),
        version: "7".to_owned(),
        finalizers: Vec::new(),
        agent: "one".to_owned(),
    }
}

#[tokio::test]
async fn what_is_held_back_in_a_term_that_goes_on_is_looked_at_again() {
    let fence = Fence::default();
    fence.begin(1, Duration::ZERO);
    let writer = Writer::new(client(), fence, 1);
    let settled = place(&writer, order(), &CancellationToken::new()).await;
    let Settled::Observed { task: Some(task), .. } = settled else {
        panic!("its room would be held until the next term");
    };
    assert_eq!(task.spec.agent_name, None);
}

#[tokio::test]
async fn what_is_held_back_at_the_end_of_a_term_is_left_to_the_next() {
    let writer = Writer::new(client(), Fence::default(), 1);
    let stop = CancellationToken::new();
    stop.cancel();
    let settled = place(&writer, order(), &stop).await;
    assert!(matches!(settled, Settled::Unknown { .. }));
}
