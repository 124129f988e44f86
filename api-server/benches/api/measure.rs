//! Time and CPU of a measurement.

use std::time::{Duration, Instant};

use crate::Fault;

/// In which unit Linux tells processes' times to programs, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the measurements of one line came to.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) operations: u64,
    pub(crate) wall: Duration,
    pub(crate) own_cpu: f64,
    pub(crate) etcd_cpu: f64,
    pub(crate) latencies: Vec<Duration>,
}

/// A measurement that has begun.
pub(crate) struct Begun {
    etcd: Option<u32>,
    at: Instant,
    own_cpu: f64,
    etcd_cpu: f64,
}

impl Begun {
    /// Begins, with the process of an etcd if there is one.
    pub(crate) fn new(etcd: Option<u32>) -> Result<Self, Fault> {
        let (own_cpu, etcd_cpu) = (cpu_seconds("self")?, etcd_seconds(etcd)?);
        Ok(Self { etcd, at: Instant::now(), own_cpu, etcd_cpu })
    }

    /// Adds what was done since to `measured`.
    pub(crate) fn end(self, measured: &mut Measured) -> Result<(), Fault> {
        measured.wall += self.at.elapsed();
        measured.own_cpu += cpu_seconds("self")? - self.own_cpu;
        measured.etcd_cpu += etcd_seconds(self.etcd)? - self.etcd_cpu;
        Ok(())
    }
}

impl Measured {
    /// Operations per second, latencies in milliseconds, CPU per operation in microseconds.
    pub(crate) fn columns(&self) -> String {
        let mut latencies = self.latencies.clone();
        latencies.sort();
        let at = |part: usize| {
            let latency = latencies.get(latencies.len().saturating_sub(1) * part / 100);
            latency.map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        let operations = count(self.operations);
        format!(
            "{:>10.0} {:>9.2} {:>9.2} {:>12.1} {:>12.1}",
            operations / self.wall.as_secs_f64(),
            at(50),
            at(99),
            self.own_cpu / operations * 1e6,
            self.etcd_cpu / operations * 1e6,
        )
    }
}

/// A count as an operand.
#[expect(clippy::cast_precision_loss, reason = "some millions")]
pub(crate) fn count(operations: u64) -> f64 {
    operations as f64
}

fn etcd_seconds(etcd: Option<u32>) -> Result<f64, Fault> {
    etcd.map_or(Ok(0.0), |process| cpu_seconds(&process.to_string()))
}

/// The CPU time of a process so far, user and system.
fn cpu_seconds(process: &str) -> Result<f64, Fault> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Behind the name, which may hold anything: state, then numbers; the 12th and 13th are times.
    let numbers = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let times: Result<Vec<f64>, _> = numbers.skip(11).take(2).map(str::parse).collect();
    Ok(times?.iter().sum::<f64>() / TICKS_PER_SECOND)
}
