//! `meseta up`: one process, one directory, for people with one machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::client::Client;
use crate::leftovers::{Leftovers, leftovers, sweep};
use crate::process::{Process, end_of, free_port};
use crate::programs::Programs;
use crate::wait::await_condition;

/// A debug build on a busy machine needs some seconds to its first answer.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long it may take to end gracefully.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// One `meseta up`; dropping it ends it and all that it started.
#[derive(Debug)]
pub struct Up {
    /// Where Mesos schedulers reach it, `host:port`.
    pub mesos: String,
    agent: String,
    arguments: Vec<String>,
    process: Option<Process>,
    directory: TempDir,
}

impl Up {
    /// Starts it and waits until its agent is ready.
    ///
    /// # Errors
    /// It is not in time.
    pub fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("e2e-").tempdir_in("/tmp")?;
        let agent = format!("e2e-{}-up", std::process::id());
        let mesos = format!("127.0.0.1:{}", free_port()?);
        let arguments = [
            "up".to_owned(),
            "--data-dir".to_owned(),
            data_dir(directory.path()).display().to_string(),
            "--agent-name".to_owned(),
            agent.clone(),
            "--listen".to_owned(),
            format!("127.0.0.1:{}", free_port()?),
            "--mesos-listen".to_owned(),
            mesos.clone(),
            "--mesos-agent-listen".to_owned(),
            format!("127.0.0.1:{}", free_port()?),
        ];
        let mut up = Self { agent, mesos, arguments: arguments.to_vec(), process: None, directory };
        up.start_again()?;
        Ok(up)
    }

    /// Starts it once more, with the same arguments.
    ///
    /// # Errors
    /// Its agent is not ready in time.
    pub fn start_again(&mut self) -> Result<()> {
        let mut command = Command::new(&Programs::find()?.meseta);
        command.args(&self.arguments);
        self.process = Some(Process::start("meseta up", &mut command, &self.log())?);
        let wait = ["wait", "--for=condition=Ready", "--timeout=5s", "agent", &self.agent];
        let client = self.client();
        await_condition("ready agent", START_DEADLINE, || {
            client.kubectl(&wait).map(drop).map_err(|error| format!("{error:#}"))
        })
    }

    /// SIGTERM, and the wait for its end.
    ///
    /// # Errors
    /// It does not end well.
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.stop(STOP_DEADLINE))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// A client with the kubeconfig that it wrote.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&data_dir(self.directory.path()).join("kubeconfig"))
    }

    /// What is there of its containers.
    #[must_use]
    pub fn leftovers(&self) -> Leftovers {
        leftovers(&self.agent, &data_dir(self.directory.path()))
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("up.log")
    }
}

fn data_dir(directory: &Path) -> PathBuf {
    directory.join("d")
}

impl Drop for Up {
    #[expect(clippy::print_stderr, reason = "libtest shows it with the failure")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("==== meseta up\n{}", end_of(&self.log()));
        }
        self.process = None;
        sweep(&self.agent, &data_dir(self.directory.path()));
    }
}
