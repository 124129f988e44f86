//! A measured child process; killed when it is dropped.

use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Clock ticks per second in `/proc`; fixed on Linux.
const TICKS: u64 = 100;

pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let program = format!("{:?}", command.get_program());
        Ok(Self(command.spawn().context(program)?))
    }

    /// CPU time of all its threads so far.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // After the name, which may contain anything: state is field 3, utime 14, stime 15.
        let (_, fields) = stat.rsplit_once(')').context("stat has a name in parentheses")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks = ticks.map(|field| field.parse::<u64>().unwrap_or_default()).sum::<u64>();
        Ok(Duration::from_millis(ticks * 1000 / TICKS))
    }

    /// Its resident memory now.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kib.context("status has a line VmRSS")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
