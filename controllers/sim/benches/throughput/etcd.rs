//! One etcd server on loopback.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::process::Process;

pub(crate) struct Etcd {
    pub(crate) process: Process,
    client: String,
}

impl Etcd {
    /// Keeps its data beneath `directory`. It need not answer yet.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let program = etcd_bin_vendored::etcd_bin_path().map_err(|err| anyhow!("{err}"))?;
        let (client, peer) = (free_url()?, free_url()?);
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(directory.join("etcd")).args([
            "--name=bench",
            "--log-level=error",
            "--quota-backend-bytes=8589934592",
            &format!("--listen-client-urls={client}"),
            &format!("--advertise-client-urls={client}"),
            &format!("--listen-peer-urls={peer}"),
            &format!("--initial-advertise-peer-urls={peer}"),
            &format!("--initial-cluster=bench={peer}"),
        ]);
        let process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
        Ok(Self { process, client })
    }

    pub(crate) fn endpoint(&self) -> String {
        self.client.clone()
    }

    /// CPU time of the server so far.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        self.process.cpu_time()
    }
}

/// A port that is free at this moment.
fn free_url() -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    Ok(format!("http://{}", listener.local_addr()?))
}
