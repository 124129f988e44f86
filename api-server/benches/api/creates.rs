//! Durable creates per second.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::api::{Api, PostParams};
use meseta_crds::Task;
use serde_json::json;

use crate::Fault;
use crate::measure::{Begun, Measured};
use crate::sides::{Etcd, Side};

/// Concurrent clients of each measurement.
const CLIENTS: [usize; 3] = [1, 16, 256];
/// The size of a record.
const RECORD_BYTES: usize = 1024;

/// Creates a task of this name.
type Create = Arc<dyn Fn(String) -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

/// One row of the table.
struct Row {
    name: &'static str,
    way: Result<Way, Fault>,
    measured: [Measured; CLIENTS.len()],
}

/// A way to create records, and what it needs to stay open.
struct Way {
    create: Create,
    etcd: Option<u32>,
    _held: Arc<dyn Any + Send + Sync>,
}

/// Measures and prints; each measurement is made twice, the second time in reverse order, so that a
/// neighbour's burst does not fall on one row only.
pub(crate) async fn run(time: Duration) {
    let mut rows = rows().await;
    for (index, clients) in CLIENTS.into_iter().enumerate() {
        for reverse in [false, true] {
            let mut order: Vec<&mut Row> = rows.iter_mut().collect();
            if reverse {
                order.reverse();
            }
            for row in order {
                row.measure(index, clients, time).await;
            }
        }
    }
    println!(
        "{:20} {:>7} {:>10} {:>9} {:>9} {:>12} {:>12}",
        "", "clients", "creates/s", "p50 ms", "p99 ms", "own CPU us", "etcd CPU us"
    );
    for (index, clients) in CLIENTS.into_iter().enumerate() {
        for Row { name, way, measured } in &rows {
            match way {
                Ok(_) => println!("{name:20} {clients:>7} {}", measured[index].columns()),
                Err(fault) => println!("{name:20} {clients:>7} not run: {fault}"),
            }
        }
    }
}

async fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (names, side) in [
        (["embedded, in process", "embedded, TLS"], Side::embedded().await),
        (["etcd, in process", "etcd, TLS"], Side::etcd().await),
    ] {
        match side {
            Ok(side) => {
                let etcd = side.etcd.as_ref().map(Etcd::process);
                let side = Arc::new(side);
                let clients = [Ok(side.in_process()), side.over_tls().await];
                for (name, client) in names.into_iter().zip(clients) {
                    let way = client.map(|client| Way {
                        create: through_server(client),
                        etcd,
                        _held: Arc::<Side>::clone(&side),
                    });
                    rows.push(Row { name, way, measured: Default::default() });
                }
            }
            Err(fault) => {
                let why = fault.to_string();
                for name in names {
                    let way = Err(why.clone().into());
                    rows.push(Row { name, way, measured: Default::default() });
                }
            }
        }
    }
    rows.push(Row { name: "bare etcd puts", way: bare_etcd().await, measured: Default::default() });
    rows
}

/// Through the server, as a controller or an agent does it.
fn through_server(client: kube::Client) -> Create {
    let tasks: Api<Task> = Api::default_namespaced(client);
    Arc::new(move |name| {
        let tasks = tasks.clone();
        async move {
            tasks.create(&PostParams::default(), &task(&name)).await?;
            Ok(())
        }
        .boxed()
    })
}

async fn bare_etcd() -> Result<Way, Fault> {
    let etcd = Etcd::start().await?;
    let client = etcd_client::Client::connect([&etcd.endpoint], None).await?.kv_client();
    let create: Create = Arc::new(move |name| {
        let mut client = client.clone();
        async move {
            let value = serde_json::to_vec(&task(&name))?;
            client.put(format!("/registry/meseta.dev/tasks/default/{name}"), value, None).await?;
            Ok(())
        }
        .boxed()
    });
    Ok(Way { create, etcd: Some(etcd.process()), _held: Arc::new(etcd) })
}

/// A task whose record has about [`RECORD_BYTES`].
fn task(name: &str) -> Task {
    /// What the server adds, and what is not the argument.
    const REST: usize = 420;
    let text = "x".repeat(RECORD_BYTES - REST);
    serde_json::from_value(json!({
        "apiVersion": "meseta.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "command": ["/bin/echo", text]}]},
    }))
    .expect("it is a task")
}

/// A name that was never used, in no particular order.
fn fresh_name() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    // An odd factor only permutes the numbers.
    let number = NUMBER.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("task-{number:016x}")
}

impl Row {
    /// Lets `clients` create records for `time`.
    async fn measure(&mut self, index: usize, clients: usize, time: Duration) {
        let Ok(way) = &self.way else { return };
        if let Err(fault) = way.run(clients, time, &mut self.measured[index]).await {
            self.way = Err(fault);
        }
    }
}

impl Way {
    async fn run(
        &self,
        clients: usize,
        time: Duration,
        measured: &mut Measured,
    ) -> Result<(), Fault> {
        let begun = Begun::new(self.etcd)?;
        let begin = Instant::now();
        let running: Vec<_> = (0..clients)
            .map(|_| {
                let create = Arc::clone(&self.create);
                tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    while begin.elapsed() < time {
                        let sent = Instant::now();
                        create(fresh_name()).await?;
                        latencies.push(sent.elapsed());
                    }
                    Ok::<_, Fault>(latencies)
                })
            })
            .collect();
        for client in running {
            let latencies = client.await??;
            measured.operations += latencies.len() as u64;
            measured.latencies.extend(latencies);
        }
        begun.end(measured)
    }
}
