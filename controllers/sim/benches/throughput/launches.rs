//! What tasks cost that an external scheduler launches on its offers: from ACCEPT to the stored
//! record with agents that are registered and silent, and to the end with agents that work.
//!
//! The scheduler runs in the measured child, as it would behind a gateway, without the wire: its
//! part of the CPU time is the watch of its tasks, the plan, and the write that frees each.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use meseta_sim::Config;

use crate::AGENTS;
use crate::driver::{SETTLED, as_f64, start_fleet};
use crate::etcd::Etcd;
use crate::server::{Server, Wanted};

/// Tasks that are launched: five on each agent.
const LAUNCHED: usize = 5000;

/// What is printed of one store.
pub(crate) struct Figures {
    stored: Cost,
    finished: Cost,
}

/// What so many tasks took.
struct Cost {
    wall: Duration,
    control_plane: Duration,
    etcd: Option<Duration>,
}

impl Figures {
    pub(crate) fn header() -> String {
        let columns = |what: &str| format!("{:>14} {:>14} {:>14}", what, "CPU ms", "etcd CPU ms");
        format!("{:10} {} {}", "store", columns("stored/s"), columns("finished/s"))
    }

    pub(crate) fn row(&self, store: &str) -> String {
        format!("{store:10} {} {}", self.stored.columns(), self.finished.columns())
    }
}

impl Cost {
    fn columns(&self) -> String {
        let per_task = |time: Duration| time.as_secs_f64() * 1000.0 / as_f64(LAUNCHED);
        let etcd = self.etcd.map_or_else(|| "-".to_owned(), |cpu| format!("{:.3}", per_task(cpu)));
        let rate = as_f64(LAUNCHED) / self.wall.as_secs_f64();
        format!("{rate:>14.0} {:>14.3} {etcd:>14}", per_task(self.control_plane))
    }
}

/// Measures one store; the server is empty.
pub(crate) async fn measure(server: &mut Server, etcd: Option<&Etcd>) -> Result<Figures> {
    // Agents that are there, as far as their records say; nothing of theirs is under way.
    let fleet = start_fleet(server, Config::new(AGENTS)).await?;
    drop(fleet);
    tokio::time::sleep(SETTLED).await;
    let wanted = |name: &str| Wanted {
        name: name.to_owned(),
        tasks: LAUNCHED,
        cpu_millis: 3000,
        to_the_end: name == "worked",
    };
    let stored = cost(server, etcd, wanted("silent")).await?;
    // The agents come back and find them; then the same again, to the end.
    let fleet = start_fleet(server, Config::new(AGENTS)).await?;
    let begin = Instant::now();
    while fleet.ledger().counts().finished < u64::try_from(LAUNCHED)? {
        ensure!(begin.elapsed() < Duration::from_secs(300), "{:?}", fleet.ledger().counts());
        tokio::time::sleep(SETTLED).await;
    }
    tokio::time::sleep(SETTLED).await;
    let finished = cost(server, etcd, wanted("worked")).await?;
    ensure!(fleet.ledger().faults().is_empty(), "{:?}", fleet.ledger().faults());
    Ok(Figures { stored, finished })
}

async fn cost(server: &mut Server, etcd: Option<&Etcd>, wanted: Wanted) -> Result<Cost> {
    let control_plane = server.process.cpu_time()?;
    let etcd_before = etcd.map(Etcd::cpu_time).transpose()?;
    let begin = Instant::now();
    server.launch(wanted).await?;
    let wall = begin.elapsed();
    let control_plane = server.process.cpu_time()?.saturating_sub(control_plane);
    let etcd = match (etcd, etcd_before) {
        (Some(etcd), Some(before)) => Some(etcd.cpu_time()?.saturating_sub(before)),
        _ => None,
    };
    Ok(Cost { wall, control_plane, etcd })
}
