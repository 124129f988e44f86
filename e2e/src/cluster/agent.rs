//! An agent as a process.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::{ControlPlane, START_DEADLINE, STOP_DEADLINE};
use crate::leftovers::{Leftovers, leftovers, shims};
use crate::network::Host;
use crate::process::{Process, run};
use crate::programs::Programs;
use crate::wait::await_condition;

/// One `meseta agent`.
#[derive(Debug)]
pub struct Agent {
    /// Name of its record, unlike that of any other agent on this machine.
    pub name: String,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Its kubeconfig.
    pub kubeconfig: PathBuf,
    /// Its host, if it has one of its own.
    pub host: Option<Host>,
    pub(super) args: Vec<String>,
    pub(super) log: PathBuf,
    pub(super) process: Option<Process>,
}

impl Agent {
    /// Starts it (again) and does not wait; [`Cluster::await_agent`] does.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        self.process = None;
        let mut command = Host::command(self.host.as_ref(), &Programs::find()?.meseta);
        command.arg("agent").args(&self.args);
        self.process = Some(Process::start(&self.name, &mut command, &self.log)?);
        Ok(())
    }

    /// Its process id.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("the agent was stopped")?.pid())
    }

    /// SIGKILL of the agent alone; its shims and containers go on.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGTERM, and the wait for its end.
    ///
    /// # Errors
    /// It does not end well.
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.stop(STOP_DEADLINE))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("the agent was stopped")?.signal(signal)
    }

    /// What is there of its containers.
    #[must_use]
    pub fn leftovers(&self) -> Leftovers {
        leftovers(&self.name, &self.data_dir)
    }

    /// Waits until nothing is there of its containers.
    ///
    /// # Errors
    /// Something stays; the message says what.
    pub fn await_nothing_left(&self) -> Result<()> {
        await_condition("clean agent", START_DEADLINE, || {
            let found = self.leftovers();
            if found.is_empty() { Ok(()) } else { Err(found.to_string()) }
        })
    }

    /// Pids of its shims.
    #[must_use]
    pub fn shims(&self) -> Vec<u32> {
        shims(&self.data_dir)
    }
}

/// Writes the kubeconfig of an agent with the verb that operators use.
pub(super) fn write_kubeconfig(plane: &ControlPlane, name: &str, output: &Path) -> Result<()> {
    let mut command = Command::new(&Programs::find()?.meseta);
    command.arg("agent-kubeconfig").arg("--data-dir").arg(&plane.data_dir);
    command.args(["--name", name, "--server", &plane.url, "--output"]).arg(output);
    run(&mut command, None, START_DEADLINE)?.success().map(drop)
}
