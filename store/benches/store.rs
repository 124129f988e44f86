//! Durable creates of 1 KB records per second, and what they cost.
//!
//! The embedded store and the store in etcd beside bare puts of the same records to an etcd of the
//! same kind, all in one run on one disk, at 1, 16 and 256 concurrent clients. Each measurement is
//! made twice, the second time in reverse order, so that a neighbour's burst does not fall on one
//! side only. Wall time on a shared machine is noise; the CPU columns are what to compare: of this
//! process (clients and store together) and of the etcd server, per record.
//!
//! `cargo bench -p meseta-store [-- SECONDS]`, where SECONDS is for one measurement (default 1).
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcd_client::{Client, KvClient};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use meseta_store::embedded::EmbeddedStore;
use meseta_store::etcd::{EtcdStore, Options};
use meseta_store::{Change, Expect, Store};
use tempfile::TempDir;

type Fault = Box<dyn Error + Send + Sync>;
/// Stores a record under a new key.
type Create = Arc<dyn Fn(String, Bytes) -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

/// Concurrent clients of each measurement.
const CLIENTS: [usize; 3] = [1, 16, 256];
/// The size of a record, about that of a small task.
const RECORD_BYTES: usize = 1024;
/// How long an etcd may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// In which unit Linux tells processes' times to programs, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Something that takes records.
struct Side {
    name: &'static str,
    target: Result<Target, Fault>,
    measured: [Measured; CLIENTS.len()],
}

struct Target {
    create: Create,
    server: Option<Server>,
    _directory: Option<TempDir>,
}

/// What the measurements of one line came to.
#[derive(Default)]
struct Measured {
    records: u64,
    wall: Duration,
    own_cpu: f64,
    server_cpu: f64,
    latencies: Vec<Duration>,
}

/// An etcd of its own.
struct Server {
    process: Child,
    endpoint: String,
    _directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

fn main() -> Result<(), Fault> {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("one sync of 4 KiB: {:.0} us", sync_time()?.as_secs_f64() * 1e6);
    runtime.block_on(async {
        let mut sides = [
            Side::new("embedded store", embedded().await),
            Side::new("store in etcd", store_in_etcd().await),
            Side::new("bare etcd puts", bare_etcd().await),
        ];
        for (index, clients) in CLIENTS.into_iter().enumerate() {
            for reverse in [false, true] {
                let mut order: Vec<&mut Side> = sides.iter_mut().collect();
                if reverse {
                    order.reverse();
                }
                for side in order {
                    side.measure(index, clients, Duration::from_secs(seconds)).await;
                }
            }
        }
        print_table(&sides);
    });
    Ok(())
}

fn print_table(sides: &[Side]) {
    println!(
        "{:15} {:>7} {:>10} {:>9} {:>9} {:>14} {:>14}",
        "", "clients", "creates/s", "p50 ms", "p99 ms", "own CPU us", "etcd CPU us"
    );
    for (index, clients) in CLIENTS.into_iter().enumerate() {
        for Side { name, target, measured } in sides {
            match target {
                Ok(_) => println!("{name:15} {clients:>7} {}", measured[index].columns()),
                Err(fault) => println!("{name:15} {clients:>7} not run: {fault}"),
            }
        }
    }
}

impl Side {
    fn new(name: &'static str, target: Result<Target, Fault>) -> Self {
        Self { name, target, measured: Default::default() }
    }

    /// Lets `clients` create records for `time`.
    async fn measure(&mut self, index: usize, clients: usize, time: Duration) {
        let Ok(target) = &self.target else { return };
        match target.run(clients, time, &mut self.measured[index]).await {
            Ok(()) => {}
            Err(fault) => self.target = Err(fault),
        }
    }
}

impl Target {
    async fn run(
        &self,
        clients: usize,
        time: Duration,
        measured: &mut Measured,
    ) -> Result<(), Fault> {
        let server = self.server.as_ref().map(|server| server.process.id());
        let server_cpu = || server.map_or(Ok(0.0), |server| cpu_seconds(&server.to_string()));
        let before = (cpu_seconds("self")?, server_cpu()?);
        let begin = Instant::now();
        let running: Vec<_> = (0..clients)
            .map(|_| {
                let create = Arc::clone(&self.create);
                tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    while begin.elapsed() < time {
                        let (key, value) = record();
                        let sent = Instant::now();
                        create(key, value).await?;
                        latencies.push(sent.elapsed());
                    }
                    Ok::<_, Fault>(latencies)
                })
            })
            .collect();
        for client in running {
            let latencies = client.await??;
            measured.records += latencies.len() as u64;
            measured.latencies.extend(latencies);
        }
        measured.wall += begin.elapsed();
        measured.own_cpu += cpu_seconds("self")? - before.0;
        measured.server_cpu += server_cpu()? - before.1;
        Ok(())
    }
}

impl Measured {
    fn columns(&self) -> String {
        let mut latencies = self.latencies.clone();
        latencies.sort();
        let at = |part: usize| {
            let latency = latencies.get(latencies.len().saturating_sub(1) * part / 100);
            latency.map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let records = self.records as f64;
        format!(
            "{:>10.0} {:>9.2} {:>9.2} {:>14.1} {:>14.1}",
            records / self.wall.as_secs_f64(),
            at(50),
            at(99),
            self.own_cpu / records * 1e6,
            self.server_cpu / records * 1e6,
        )
    }
}

/// A record that was never stored, with a key in no particular order and bytes that do not repeat.
fn record() -> (String, Bytes) {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    // Odd factors only permute the numbers.
    let scatter = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = scatter(NUMBER.fetch_add(1, Ordering::Relaxed));
    let words = (0..RECORD_BYTES as u64 / 8).map(|word| scatter(number ^ word) ^ (number >> 7));
    let value: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    (format!("/registry/meseta.dev/tasks/default/task-{number:016x}"), value.into())
}

#[expect(clippy::unused_async, reason = "as the other sides")]
async fn embedded() -> Result<Target, Fault> {
    let directory = directory()?;
    let store = EmbeddedStore::open(directory.path())?;
    Ok(Target { create: create_in(store), server: None, _directory: Some(directory) })
}

async fn store_in_etcd() -> Result<Target, Fault> {
    let server = Server::start().await?;
    let options = Options {
        endpoints: vec![server.endpoint.clone()],
        prefix: "/meseta".to_owned(),
        tls: None,
    };
    let store = EtcdStore::connect(options).await?;
    Ok(Target { create: create_in(store), server: Some(server), _directory: None })
}

async fn bare_etcd() -> Result<Target, Fault> {
    let server = Server::start().await?;
    let client = Client::connect([&server.endpoint], None).await?.kv_client();
    let put = move |key: String, value: Bytes| {
        let mut client: KvClient = client.clone();
        async move {
            client.put(key, value, None).await?;
            Ok(())
        }
        .boxed()
    };
    Ok(Target { create: Arc::new(put), server: Some(server), _directory: None })
}

fn create_in(store: impl Store) -> Create {
    let store = Arc::new(store);
    Arc::new(move |key, value| {
        let store = Arc::clone(&store);
        async move {
            store.write(&key, Expect::Absent, Change::Put { value, lease: None }).await?;
            Ok(())
        }
        .boxed()
    })
}

impl Server {
    /// Starts an etcd that syncs, as it does by default, and waits until it answers.
    async fn start() -> Result<Self, Fault> {
        let directory = directory()?;
        let ports = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let [client, peer] = [ports[0].local_addr()?, ports[1].local_addr()?];
        drop(ports);
        let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let process = Command::new(etcd_bin_vendored::etcd_bin_path()?)
            .arg("--data-dir")
            .arg(directory.path())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error"])
            .stdin(Stdio::null())
            .spawn()?;
        let server = Self { process, endpoint: client, _directory: directory };
        let begin = Instant::now();
        loop {
            let mut client = Client::connect([&server.endpoint], None).await?;
            match client.status().await {
                Ok(_) => return Ok(server),
                Err(error) if begin.elapsed() > START_TIMEOUT => return Err(error.into()),
                Err(_starting) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// A new directory on the disk that is built on: what is for temporary files may be memory.
fn directory() -> Result<TempDir, Fault> {
    Ok(TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// What one sync takes on this disk at this time: the limit of a single client.
fn sync_time() -> Result<Duration, Fault> {
    const SYNCS: u32 = 200;
    let directory = directory()?;
    let mut file = File::create(directory.path().join("file"))?;
    let begin = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
    }
    Ok(begin.elapsed() / SYNCS)
}

/// The CPU time of a process so far, user and system.
fn cpu_seconds(process: &str) -> Result<f64, Fault> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Behind the name, which may hold anything: state, then numbers; the 12th and 13th are times.
    let numbers = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let times: Result<Vec<f64>, _> = numbers.skip(11).take(2).map(str::parse).collect();
    Ok(times?.iter().sum::<f64>() / TICKS_PER_SECOND)
}
