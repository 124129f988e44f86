//! The control plane dies, or an answer is lost, at every single write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request};
use kube::api::PostParams;
use kube::client::Body;
use kube::{Api, Client};
use meseta_crds::Framework;
use tower::BoxError;

use crate::agents::{self, Fate};
use crate::records::Records;
use crate::{ControlPlane, config, framework_is, map_reduce, task_lines};

/// What happens to one write.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is not carried out.
    Refused,
    /// It is carried out, and nobody is told.
    AnswerLost,
    /// It is carried out, and the process dies before it is told.
    Killed,
}

/// A client in front of `records` whose `wanted`th write meets `fault`; counts the writes.
fn faulty(
    records: &Records,
    wanted: usize,
    fault: Fault,
    writes: Arc<AtomicUsize>,
    killed: Arc<tokio::sync::Notify>,
) -> Client {
    let client = records.client();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, writes, killed) = (client.clone(), writes.clone(), killed.clone());
        async move {
            // The lease has tests of its own; its renewals would make the count a matter of time.
            let is_write =
                request.method() != Method::GET && !request.uri().path().contains("/leases");
            let number = if is_write { writes.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
            if number != wanted || !is_write {
                return client.send(request).await.map_err(BoxError::from);
            }
            match fault {
                Fault::Refused => Err("refused by the test".into()),
                Fault::AnswerLost => {
                    client.send(request).await?;
                    Err("lost by the test".into())
                }
                Fault::Killed => {
                    client.send(request).await?;
                    killed.notify_one();
                    std::future::pending().await
                }
            }
        }
    });
    Client::new(service, "default")
}

/// Runs a framework to its end with one fault; returns how many writes it took.
async fn run(wanted: usize, fault: Fault) -> usize {
    let records = Records::new();
    let client = records.client();
    agents::register(&client, "one", 2).await;
    let _agent = agents::start(client.clone(), "one", Fate::Finish);
    let writes = Arc::new(AtomicUsize::new(0));
    let killed = Arc::new(tokio::sync::Notify::new());
    let through = faulty(&records, wanted, fault, writes.clone(), killed.clone());
    let sole = crate::Config { sole: true, ..config("a") };
    let mut control_plane = ControlPlane::start(through.clone(), sole.clone());
    let frameworks: Api<Framework> = Api::namespaced(client.clone(), "default");
    frameworks.create(&PostParams::default(), &map_reduce()).await.unwrap();
    let status = {
        let mut end = std::pin::pin!(framework_is(&client, "Succeeded"));
        tokio::select! {
            framework = &mut end => framework,
            () = killed.notified() => {
                drop(control_plane);
                control_plane = ControlPlane::start(through, sole);
                end.await
            }
        }
    }
    .status
    .unwrap();
    assert_eq!(status.summary.as_deref(), Some("3/3"), "{fault:?} at write {wanted}");
    assert_eq!(
        task_lines(&client).await,
        ["job-map-0 Finished one", "job-map-1 Finished one", "job-reduce-0 Finished one"],
        "{fault:?} at write {wanted}"
    );
    let events = records.task_events();
    let made = events.iter().filter(|(kind, _)| *kind == "ADDED").count();
    assert_eq!(made, 3, "{fault:?} at write {wanted}");
    control_plane.shut_down().await;
    writes.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_any_write_changes_nothing_in_the_end() {
    let most = run(usize::MAX, Fault::Refused).await;
    assert!(most >= 8, "three tasks made, three placed, and statuses: {most}");
    let mut met = 0;
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Killed] {
        for wanted in 1..=most {
            let writes = run(wanted, fault).await;
            met += usize::from(writes >= wanted);
        }
    }
    println!("{met} faults met at up to {most} writes");
    assert!(met >= 3 * 8, "the faults have to be met to prove anything: {met}");
}
