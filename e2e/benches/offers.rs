//! How soon a scheduler hears of a free resource, and what launching on offers costs, over the Mesos
//! HTTP API in JSON; on both stores.
//!
//! ```text
//!  this process                                             `meseta control-plane`, its own process
//!   the agent:      status Finished ──PATCH, TLS──► stored ──► allocator ─┐
//!   a scheduler:    OFFERS is read  ◄──────HTTP───── gateway ◄────────────┘
//! ```
//!
//! *Free resource → OFFERS.* The agents are records; each is full with one task, and every scheduler
//! wants more. A turn: the status of the oldest task is written, as its agent would write it. The
//! time is from before that write is sent until the last byte of the OFFERS record was read, by
//! whichever scheduler it is offered to; the durable write is included, and is also given for
//! itself, and so is the time from its answer on (nothing where OFFERS came first). Then the update
//! is acknowledged, the agent lets go of the task, the offer is accepted with another task as large
//! as it, and the next turn begins when that is stored: turns do not overlap. The CPU time is that
//! of the control plane for all of a turn.
//!
//! *ACCEPT → stored.* One scheduler is offered all agents and accepts each offer with many tasks, one
//! ACCEPT after the other, which no agent answers. The time is from before the first is sent until a
//! watch over TLS has shown the record of the last task.
//!
//! `cargo bench -p meseta-e2e --bench offers [-- TURNS [TASKS]]` (default 300 and 5000).
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

mod figures;
mod fleet;
mod market;
mod records;

use std::time::{Duration, Instant};

use anyhow::Result;
use meseta_e2e::{Cluster, Layout, StoreKind};
use serde_json::json;

use crate::figures::{cpu_seconds, number, percentiles};
use crate::fleet::Fleet;
use crate::market::Market;

/// Simulated agents.
const AGENTS: usize = 100;
/// Cores of an agent that has room for one task, and no part of it: nothing is divided.
const FEW_CPUS: u64 = 1;
/// Cores of an agent that has room for many.
const MANY_CPUS: u64 = 8;
/// Schedulers that are subscribed at the same time.
const SCHEDULERS: [usize; 3] = [1, 10, 100];
/// The stores.
const STORES: [StoreKind; 2] = [StoreKind::Embedded, StoreKind::Etcd];

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse().ok());
    let (turns, tasks) = (numbers.next().unwrap_or(300), numbers.next().unwrap_or(5000));
    // The error is a provider that was there before: also a default.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Runtime::new()?;
    println!("free resource → OFFERS is read, ms; {AGENTS} agents, {turns} turns");
    println!(
        "{:10} {:>10} {:>8} {:>8} {:>13} {:>8} {:>10} {:>8} {:>12}",
        "store",
        "schedulers",
        "p50",
        "p99",
        "of it: write",
        "p99",
        "after it",
        "p99",
        "CPU ms/turn"
    );
    for store in STORES {
        for schedulers in SCHEDULERS {
            println!("{}", runtime.block_on(free_to_offers(store, schedulers, turns))?);
        }
    }
    let each = tasks.div_ceil(AGENTS);
    println!("\nACCEPT → stored; {AGENTS} agents, {each} tasks in each ACCEPT");
    println!("{:10} {:>8} {:>12}", "store", "tasks/s", "CPU ms/task");
    for store in STORES {
        println!("{}", runtime.block_on(accept_to_stored(store, each))?);
    }
    Ok(())
}

/// Times of one turn.
pub(crate) struct Turn {
    /// From before the write of the status until OFFERS was read.
    told: Duration,
    /// Until the answer to the write.
    written: Duration,
}

async fn free_to_offers(store: StoreKind, schedulers: usize, turns: usize) -> Result<String> {
    let cluster = Layout::new(store).start()?;
    let (mut market, _fleet) = market(&cluster, schedulers, FEW_CPUS).await?;
    // Less than the room of one task may be left over in parts.
    market.fill(millis(FEW_CPUS) - FEW_CPUS * 1000 / 2).await?;
    let pid = cluster.control_planes()[0].pid()?;
    let before = cpu_seconds(pid)?;
    let (mut told, mut written, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..turns {
        let turn = market.turn().await?;
        told.push(turn.told);
        written.push(turn.written);
        after.push(turn.told.saturating_sub(turn.written));
    }
    let cpu = (cpu_seconds(pid)? - before) * 1000.0 / number(turns);
    let [[told, told_99], [written, written_99], [after, after_99]] =
        [&mut told, &mut written, &mut after].map(|times| percentiles(times));
    let store = format!("{store:?}").to_lowercase();
    Ok(format!(
        "{store:10} {schedulers:>10} {told:>8.2} {told_99:>8.2} {written:>13.2} {written_99:>8.2} \
         {after:>10.2} {after_99:>8.2} {cpu:>12.2}"
    ))
}

async fn accept_to_stored(store: StoreKind, each: usize) -> Result<String> {
    let cluster = Layout::new(store).start()?;
    let (mut market, _fleet) = market(&cluster, 1, MANY_CPUS).await?;
    let offers = market.offers(millis(MANY_CPUS))?;
    let pid = cluster.control_planes()[0].pid()?;
    let before = cpu_seconds(pid)?;
    let begin = Instant::now();
    market.launch(&offers, each).await?;
    let wall = begin.elapsed().as_secs_f64();
    let tasks = number(offers.len() * each);
    let cpu = (cpu_seconds(pid)? - before) * 1000.0 / tasks;
    let store = format!("{store:?}").to_lowercase();
    Ok(format!("{store:10} {:>8.0} {cpu:>12.3}", tasks / wall))
}

/// Thousandths of cores of all agents together.
fn millis(cpus: u64) -> u64 {
    cpus * 1000 * AGENTS as u64
}

/// Agents of so many cores with a GiB each, and then schedulers: while agents join one by one, what
/// is fair is less than one of them, and they would be divided.
async fn market(cluster: &Cluster, schedulers: usize, cpus: u64) -> Result<(Market, Fleet)> {
    let plane = &cluster.control_planes()[0];
    let client = records::connect(&plane.data_dir.join("kubeconfig")).await?;
    let capacity = json!({"cpu": cpus.to_string(), "memory": format!("{cpus}Gi")});
    let fleet = Fleet::register(&client, AGENTS, &capacity).await?;
    let market = Market::new(&client, &plane.mesos, schedulers).await?;
    Ok((market, fleet))
}
