//! CPU per delivered watch event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt as _;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use kube::api::{Api, Patch, PatchParams, PostParams};
use meseta_crds::Task;
use meseta_serve::Identity;
use serde_json::json;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::Fault;
use crate::measure::{Begun, Measured, count};
use crate::sides::Side;

/// Watchers that are sent every change.
const WATCHERS: [usize; 2] = [100, 1000];
/// Changes that each of them is sent: so many that the kernel's unit of CPU time, 10 ms, hardly counts.
const CHANGES: u64 = 500;
const WATCH: &str =
    "/apis/meseta.dev/v1alpha1/namespaces/default/tasks?watch=1&timeoutSeconds=3600";

/// How watchers are connected.
#[derive(Clone, Copy)]
enum Kind {
    InProcess,
    Tls,
}

/// Measures and prints.
pub(crate) async fn run() -> Result<(), Fault> {
    let side = Side::embedded().await?;
    let tasks: Api<Task> = Api::default_namespaced(side.in_process());
    let task = json!({
        "apiVersion": "meseta.dev/v1alpha1", "kind": "Task", "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "main", "command": ["/bin/echo", "x".repeat(600)]}]},
    });
    tasks.create(&PostParams::default(), &serde_json::from_value(task)?).await?;
    // The first changes also warm what later ones find warm.
    measure(&side, &tasks, &Watchers::default()).await?;
    let alone = measure(&side, &tasks, &Watchers::default()).await?;
    println!(
        "{:12} {:>8} {:>12} {:>16} {:>16}",
        "watchers", "number", "events/s", "CPU us/event", "CPU us/change"
    );
    let per_change = alone.own_cpu / count(CHANGES) * 1e6;
    println!("{:12} {:>8} {:>12} {:>16} {per_change:>16.1}", "none", 0, "", "");
    for (name, kind) in [("in process", Kind::InProcess), ("TLS", Kind::Tls)] {
        for number in WATCHERS {
            let watchers = Watchers::start(&side, kind, number).await?;
            let measured = measure(&side, &tasks, &watchers).await?;
            let events = count(watchers.number() * CHANGES);
            println!(
                "{name:12} {number:>8} {:>12.0} {:>16.2} {:>16.1}",
                events / measured.wall.as_secs_f64(),
                (measured.own_cpu - alone.own_cpu) / events * 1e6,
                measured.own_cpu / count(CHANGES) * 1e6,
            );
        }
    }
    Ok(())
}

/// Watchers that count the events they are sent.
#[derive(Default)]
struct Watchers {
    seen: Arc<AtomicU64>,
    running: Vec<JoinHandle<()>>,
}

impl Watchers {
    async fn start(side: &Side, kind: Kind, number: usize) -> Result<Self, Fault> {
        let mut watchers = Self::default();
        let caller = side.caller()?;
        for _ in 0..number {
            let seen = Arc::clone(&watchers.seen);
            let running = match kind {
                Kind::InProcess => {
                    let mut request = Request::get(WATCH).body(Full::<Bytes>::default())?;
                    let groups = vec![meseta_pki::ADMIN_GROUP.to_owned()];
                    request.extensions_mut().insert(Identity { user: "bench".to_owned(), groups });
                    let response = side.api.clone().oneshot(request).await?;
                    tokio::spawn(count_lines(response.into_body(), seen))
                }
                Kind::Tls => {
                    let response = caller.get(&side.address, "127.0.0.1", WATCH).await?;
                    tokio::spawn(count_lines(response.into_body(), seen))
                }
            };
            watchers.running.push(running);
        }
        // Each begins with the one task there is.
        watchers.await_events(1).await;
        watchers.seen.store(0, Ordering::Relaxed);
        Ok(watchers)
    }

    fn number(&self) -> u64 {
        self.running.len() as u64
    }

    /// Waits until each has seen so many events.
    async fn await_events(&self, each: u64) {
        while self.seen.load(Ordering::Relaxed) < each * self.number() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        for running in &self.running {
            running.abort();
        }
    }
}

/// Counts lines; nothing is decoded.
async fn count_lines<B>(body: B, seen: Arc<AtomicU64>)
where
    B: http_body::Body<Data = Bytes> + Send + 'static + Unpin,
    B::Error: std::fmt::Debug + Send,
{
    let mut chunks = body.into_data_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        let lines = chunk.iter().filter(|byte| **byte == b'\n').count();
        seen.fetch_add(lines as u64, Ordering::Relaxed);
    }
}

/// Makes the changes one after the other, each sent to every watcher before the next.
async fn measure(side: &Side, tasks: &Api<Task>, watchers: &Watchers) -> Result<Measured, Fault> {
    let mut measured = Measured::default();
    let begun = Begun::new(side.etcd.as_ref().map(crate::sides::Etcd::process))?;
    for change in 0..CHANGES {
        let number = watchers.number().wrapping_mul(1 << 32) + change;
        let patch = json!({"metadata": {"labels": {"change": number.to_string()}}});
        tasks.patch("a", &PatchParams::default(), &Patch::Merge(&patch)).await?;
        watchers.await_events(change + 1).await;
    }
    begun.end(&mut measured)?;
    Ok(measured)
}
