//! Times and how they are printed.

use std::fs;
use std::time::Duration;

/// One tick of the times in `/proc/self/stat`.
const TICK: Duration = Duration::from_millis(10);

/// How long one container took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// From spawn until its exit is known.
    pub(crate) known: Duration,
    /// From spawn until nothing is left of it.
    pub(crate) gone: Duration,
}

/// Everything measured of one runtime.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    times: Vec<Sample>,
    cpu: Duration,
}

impl Samples {
    /// Runs something so many times.
    pub(crate) fn take(&mut self, count: usize, mut run: impl FnMut() -> Sample) {
        let before = children_cpu();
        self.times.extend((0..count).map(|_| run()));
        self.cpu += children_cpu().saturating_sub(before);
    }

    /// One line of the table.
    pub(crate) fn row(&self, name: &str) -> String {
        let count = u32::try_from(self.times.len().max(1)).unwrap_or(u32::MAX);
        let known = percentiles(self.times.iter().map(|sample| sample.known));
        let gone = percentiles(self.times.iter().map(|sample| sample.gone));
        let cpu = milliseconds(self.cpu / count);
        format!("{name:34} {known:>21} {gone:>22} {cpu:>9.1}")
    }
}

/// The header of [`Samples::row`].
pub(crate) fn header() -> String {
    format!(
        "{:34} {:>21} {:>22} {:>9}",
        "", "exit known p50 / p99", "cleaned up p50 / p99", "CPU mean"
    )
}

/// Processor time of all children that were waited for, and of theirs: fields 16 and 17. The error
/// of a tick for each reading evens out over many.
fn children_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
    let ticks: u32 = fields.skip(16 - 3).take(2).map(|field| field.parse::<u32>().unwrap()).sum();
    TICK * ticks
}

fn percentiles(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    let at = |percent: usize| milliseconds(times[(times.len() - 1) * percent / 100]);
    format!("{:.1} / {:.1}", at(50), at(99))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
