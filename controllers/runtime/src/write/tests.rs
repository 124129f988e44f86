//! A leader that wakes after its lease sends nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::Client;
use kube::client::Body;

use super::{WriteError, Writer};
use crate::leader::Fence;

fn writer(fence: &Fence, epoch: i64) -> Writer {
    let service = tower::service_fn(|_: http::Request<Body>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(Body::empty()))
    });
    Writer::new(Client::new(service, "default"), fence.clone(), epoch)
}

#[tokio::test]
async fn nothing_is_sent_after_the_end_of_the_term() {
    let fence = Fence::default();
    let writer = writer(&fence, 3);
    let sent = AtomicBool::new(false);
    let request = || async {
        sent.store(true, Ordering::SeqCst);
        Ok(())
    };
    // The process sleeps (SIGSTOP, a suspended machine) between the decision and the write.
    fence.begin(3, Duration::from_millis(5));
    let late = request();
    std::thread::sleep(Duration::from_millis(10));
    assert!(matches!(writer.write(late).await, Err(WriteError::Fenced)));
    assert!(!sent.load(Ordering::SeqCst));

    fence.begin(3, Duration::from_secs(60));
    assert!(writer.write(request()).await.is_ok());
    assert!(sent.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_write_of_an_earlier_term_is_not_sent_in_the_next() {
    let fence = Fence::default();
    let earlier = writer(&fence, 3);
    fence.begin(4, Duration::from_secs(60));
    let done = earlier.write(async { Ok(()) }).await;
    assert!(matches!(done, Err(WriteError::Fenced)));
}

#[tokio::test]
async fn a_write_under_way_is_abandoned_when_the_term_ends() {
    let fence = Fence::default();
    let writer = writer(&fence, 3);
    fence.begin(3, Duration::from_secs(60));
    let polled_again = async {
        fence.end();
        tokio::task::yield_now().await;
        Ok(())
    };
    assert!(matches!(writer.write(polled_again).await, Err(WriteError::Fenced)));
}
