//! What a task costs from its record to its end, with 1,000 simulated agents, on both stores; what
//! one costs that an external scheduler launches ([`launches`]); and how soon a scheduler is told of a
//! free resource ([`notices`]).
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
//! cargo bench -p meseta-sim --bench throughput [-- tasks|notices|launches]
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints figures")]

mod driver;
mod etcd;
mod launches;
mod notices;
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
/// The tables, by the argument that asks for them.
const TABLES: [&str; 3] = ["tasks", "notices", "launches"];
/// The stores.
const STORES: [&str; 2] = ["embedded", "etcd"];
/// Schedulers that wait for a free resource.
const SEATS: [usize; 3] = [1, 10, 100];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "serve", kind, place] => runtime.block_on(server::serve(kind, place)),
        _ => runtime.block_on(measure(&arguments)),
    }
}

/// Prints the tables whose names are among the arguments, or all.
async fn measure(arguments: &[String]) -> Result<()> {
    meseta_serve::install_crypto_provider();
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    let any = TABLES.iter().any(|name| named(name));
    let wanted = |name: &str| !any || named(name);
    if wanted("tasks") {
        println!("{TASKS} tasks through the whole way, {AGENTS} agents over TLS; memory in MiB");
        println!("{}", Figures::header());
        for kind in STORES {
            match measure_on(kind).await {
                Ok(figures) => println!("{}", figures.row(kind)),
                Err(err) => println!("{kind:10} not run: {err:#}"),
            }
        }
    }
    if wanted("notices") {
        println!("free resource → notice of an offer, ms, in process");
        println!("{}", notices::header());
        for kind in STORES {
            for seats in SEATS {
                match notices_on(kind, seats).await {
                    Ok(row) => println!("{row}"),
                    Err(err) => println!("{kind:10} not run: {err:#}"),
                }
            }
        }
    }
    if wanted("launches") {
        println!("tasks launched on offers, {AGENTS} agents over TLS; CPU of the control plane");
        println!("{}", launches::Figures::header());
        for kind in STORES {
            match launches_on(kind).await {
                Ok(figures) => println!("{}", figures.row(kind)),
                Err(err) => println!("{kind:10} not run: {err:#}"),
            }
        }
    }
    Ok(())
}

async fn notices_on(kind: &str, seats: usize) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let (_etcd, place) = place(kind, directory.path())?;
    notices::row(kind, &place, seats).await
}

async fn launches_on(kind: &str) -> Result<launches::Figures> {
    let directory = tempfile::tempdir()?;
    let (etcd, mut server) = start(kind, directory.path()).await?;
    launches::measure(&mut server, etcd.as_ref()).await
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
    let (etcd, place) = place(kind, directory)?;
    let server = Server::start(kind, &place).await.context("control plane")?;
    Ok((etcd, server))
}

/// An empty store in `directory`, and where it is.
fn place(kind: &str, directory: &Path) -> Result<(Option<Etcd>, String)> {
    let etcd = match kind {
        "etcd" => Some(Etcd::start(directory).context("etcd")?),
        _ => None,
    };
    let place = etcd.as_ref().map_or_else(|| directory.display().to_string(), Etcd::endpoint);
    Ok((etcd, place))
}
