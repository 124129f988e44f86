//! What the benchmarks print of times and of processes.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// In which unit Linux tells processes' times to programs, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// The 50th and the 99th percentile in milliseconds; sorts the times.
pub(crate) fn percentiles(times: &mut [Duration]) -> [f64; 2] {
    times.sort_unstable();
    [50, 99].map(|part| {
        let index = (times.len() * part / 100).min(times.len().saturating_sub(1));
        times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    })
}

/// User and system time of a process and of its children that were waited for.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(") ").context("stat has no name")?;
    let ticks = fields.split(' ').skip(11).take(4).filter_map(|field| field.parse::<u32>().ok());
    Ok(f64::from(ticks.sum::<u32>()) / TICKS_PER_SECOND)
}

/// A count as a number to divide by.
pub(crate) fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
