//! A control plane as a process.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::{START_DEADLINE, STOP_DEADLINE};
use crate::client::Client;
use crate::network::Host;
use crate::process::Process;
use crate::programs::Programs;
use crate::wait::await_condition;

/// One `meseta control-plane`.
#[derive(Debug)]
pub struct ControlPlane {
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Where it is reached, `https://…`.
    pub url: String,
    /// Where Mesos schedulers reach it, `host:port`.
    pub mesos: String,
    pub(super) args: Vec<String>,
    pub(super) log: PathBuf,
    pub(super) host: Option<Host>,
    pub(super) process: Option<Process>,
}

impl ControlPlane {
    /// Starts it (again) and waits until it answers.
    ///
    /// # Errors
    /// It does not.
    pub fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.await_ready()
    }

    /// Starts it (again) and does not wait.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        self.process = None;
        let mut command = Host::command(self.host.as_ref(), &Programs::find()?.meseta);
        command.arg("control-plane").args(&self.args);
        self.process = Some(Process::start("control plane", &mut command, &self.log)?);
        Ok(())
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// It does not, or has ended.
    pub fn await_ready(&mut self) -> Result<()> {
        let kubeconfig = self.data_dir.join("kubeconfig");
        let client = Client::new(&kubeconfig).on(self.host.as_ref());
        let process = self.process.as_mut().context("the control plane was stopped")?;
        let mut ended = Ok(());
        await_condition("control plane that answers", START_DEADLINE, || {
            ended = process.check_alive();
            if ended.is_err() {
                return Ok(());
            }
            if !kubeconfig.is_file() {
                return Err("no kubeconfig".to_owned());
            }
            let answer = client.kubectl(&["get", "--raw", "/readyz", "--request-timeout=5s"]);
            answer.map(drop).map_err(|error| format!("{error:#}"))
        })?;
        ended
    }

    /// Its process id.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("the control plane was stopped")?.pid())
    }

    /// SIGKILL.
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
        self.process.as_ref().context("the control plane was stopped")?.signal(signal)
    }
}
