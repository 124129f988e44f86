//! What a task costs from its record to its end, with 1,000 simulated agents, on both stores.
//!
//! ```text
//!  this process: agents, driver ── TLS ──► child: API server, controllers, store ──► etcd, if asked
//!                                          what is measured                          measured apart
//! ```
//!
//! Each task is created, placed, reported as running and as finished, released, and deleted by the
//! driver as soon as it has finished. CPU time is that of the measured processes alone, from `/proc`;
//! the agents and the driver share the machine with them, so tasks per second are not what a control
//! plane could do with the machine to itself. Memory is resident memory of the child.
//!
//! ```text
//! cargo bench -p meseta-sim --bench throughput
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints figures")]

mod driver;
mod etcd;
mod process;
mod server;

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::driver::Figures;
use crate::etcd::Etcd;
use crate::server::Server;

/// Simulated agents.
const AGENTS: u32 = 1000;
/// Tasks that go the whole way.
const TASKS: usize = 5000;
/// Tasks that run at the same time when memory is looked at.
const RUNNING: usize = 10_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "serve", kind, place] => runtime.block_on(server::serve(kind, place)),
        _ => runtime.block_on(measure()),
    }
}

async fn measure() -> Result<()> {
    meseta_serve::install_crypto_provider();
    let mut rows = Vec::new();
    for kind in ["embedded", "etcd"] {
        let row = match measure_on(kind).await {
            Ok(figures) => figures.row(kind),
            Err(err) => format!("{kind:10} not run: {err:#}"),
        };
        eprintln!("{row}");
        rows.push(row);
    }
    println!("{TASKS} tasks through the whole way, {AGENTS} agents over TLS; memory in MiB");
    println!("{}", Figures::header());
    rows.iter().for_each(|row| println!("{row}"));
    Ok(())
}

async fn measure_on(kind: &str) -> Result<Figures> {
    let mut figures = Figures::default();
    {
        let directory = tempfile::tempdir()?;
        let (etcd, server) = start(kind, directory.path()).await?;
        figures.empty_kib = server.process.resident_kib()?;
        driver::whole_way(&server, etcd.as_ref(), &mut figures).await?;
    }
    let directory = tempfile::tempdir()?;
    let (_etcd, server) = start(kind, directory.path()).await?;
    driver::memory(&server, &mut figures).await?;
    Ok(figures)
}

/// A control plane with an empty store in `directory`.
async fn start(kind: &str, directory: &Path) -> Result<(Option<Etcd>, Server)> {
    let etcd = match kind {
        "etcd" => Some(Etcd::start(directory).context("etcd")?),
        _ => None,
    };
    let place = etcd.as_ref().map_or_else(|| directory.display().to_string(), Etcd::endpoint);
    let server = Server::start(kind, &place).await.context("control plane")?;
    Ok((etcd, server))
}
