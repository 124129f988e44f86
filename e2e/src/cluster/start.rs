//! How a layout becomes processes.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use super::agent::write_kubeconfig;
use super::{Agent, Cluster, ControlPlane, Layout, START_DEADLINE, StoreKind};
use crate::network::{Host, Network};
use crate::process::{Process, free_port, run};
use crate::programs::Programs;
use crate::wait::await_condition;

/// More than the tests of one cluster use together, so that none waits for another.
const ROOMY: &str = "cpu=1000,memory=1Ti,disk=10Ti";

pub(super) fn start(layout: &Layout) -> Result<Cluster> {
    // A socket's path has room for 107 bytes, and shims have theirs in here.
    let directory = tempfile::Builder::new().prefix("e2e-").tempdir_in("/tmp")?;
    let mut network = layout.hosts.then(Network::new).transpose()?;
    let mut host = || network.as_mut().map(Network::add_host).transpose();
    let etcd = match layout.store {
        StoreKind::Embedded => None,
        StoreKind::Etcd => Some(Etcd::start(directory.path(), host()?)?),
    };
    let mut control_planes = Vec::new();
    for number in 0..layout.control_planes {
        control_planes.push(control_plane(directory.path(), number, etcd.as_ref(), host()?)?);
    }
    let hosts = layout.agents.iter().map(|_| host()).collect::<Result<Vec<_>>>()?;
    let mut cluster =
        Cluster { control_planes, agents: Vec::new(), etcd, _network: network, directory };
    let started = start_in_order(&mut cluster, layout, hosts);
    if started.is_err() {
        cluster.print_output();
    }
    started.map(|()| cluster)
}

fn start_in_order(cluster: &mut Cluster, layout: &Layout, hosts: Vec<Option<Host>>) -> Result<()> {
    for plane in &mut cluster.control_planes {
        plane.start()?;
    }
    for (number, (args, host)) in layout.agents.iter().zip(hosts).enumerate() {
        let agent = agent(cluster, number, args, host)?;
        cluster.agents.push(agent);
        cluster.agents[number].spawn()?;
    }
    for number in 0..cluster.agents.len() {
        cluster.await_agent(number)?;
    }
    Ok(())
}

/// Where a process listens: on its host, or on a free port of loopback.
fn listen(host: Option<&Host>, usual_port: u16) -> Result<(Ipv4Addr, u16)> {
    match host {
        Some(host) => Ok((host.address(), usual_port)),
        None => Ok((Ipv4Addr::LOCALHOST, free_port()?)),
    }
}

fn control_plane(
    directory: &Path,
    number: usize,
    etcd: Option<&Etcd>,
    host: Option<Host>,
) -> Result<ControlPlane> {
    let data_dir = directory.join(format!("c{number}"));
    let (address, port) = listen(host.as_ref(), 7443)?;
    let mut args = vec![
        "--data-dir".to_owned(),
        data_dir.display().to_string(),
        "--listen".to_owned(),
        format!("{address}:{port}"),
        "--identity".to_owned(),
        format!("c{number}"),
    ];
    let (_, mesos_port) = listen(host.as_ref(), 5050)?;
    let mesos = format!("{address}:{mesos_port}");
    args.extend(["--mesos-listen".to_owned(), mesos.clone()]);
    if host.is_some() {
        args.extend(["--advertise".to_owned(), address.to_string()]);
    }
    if let Some(etcd) = etcd {
        args.extend(["--etcd-endpoints".to_owned(), etcd.url.clone()]);
    }
    Ok(ControlPlane {
        data_dir,
        url: format!("https://{address}:{port}"),
        mesos,
        args,
        log: directory.join(format!("c{number}.log")),
        host,
        process: None,
    })
}

fn agent(cluster: &Cluster, number: usize, more: &[String], host: Option<Host>) -> Result<Agent> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let unique = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("e2e-{}-{unique}", std::process::id());
    let data_dir = cluster.directory().join(format!("a{number}"));
    let kubeconfig = cluster.directory().join(format!("a{number}.kubeconfig"));
    write_kubeconfig(&cluster.control_planes[0], &name, &kubeconfig)?;
    let (address, port) = listen(host.as_ref(), 7444)?;
    let (_, mesos_port) = listen(host.as_ref(), 5051)?;
    let mut args = vec![
        "--data-dir".to_owned(),
        data_dir.display().to_string(),
        "--kubeconfig".to_owned(),
        kubeconfig.display().to_string(),
        "--listen".to_owned(),
        format!("{address}:{port}"),
        "--mesos-agent-listen".to_owned(),
        // The same after a restart: executors find the agent there again.
        format!("127.0.0.1:{mesos_port}"),
    ];
    for plane in &cluster.control_planes {
        args.extend(["--server".to_owned(), plane.url.clone()]);
    }
    if !more.iter().any(|arg| arg == "--resources") {
        args.extend(["--resources".to_owned(), ROOMY.to_owned()]);
    }
    args.extend(more.iter().cloned());
    let log = cluster.directory().join(format!("a{number}.log"));
    Ok(Agent { name, data_dir, kubeconfig, host, args, log, process: None })
}

/// An etcd server; what it acknowledges is not synced, since no test takes the power away.
#[derive(Debug)]
pub(super) struct Etcd {
    address: (Ipv4Addr, u16),
    url: String,
    peer_url: String,
    data_dir: PathBuf,
    pub(super) log: PathBuf,
    host: Option<Host>,
    process: Option<Process>,
}

impl Etcd {
    fn start(directory: &Path, host: Option<Host>) -> Result<Self> {
        let (address, port) = listen(host.as_ref(), 2379)?;
        let (_, peer_port) = listen(host.as_ref(), 2380)?;
        let mut etcd = Self {
            address: (address, port),
            url: format!("http://{address}:{port}"),
            peer_url: format!("http://{address}:{peer_port}"),
            data_dir: directory.join("etcd"),
            log: directory.join("etcd.log"),
            host,
            process: None,
        };
        etcd.spawn()?;
        Ok(etcd)
    }

    fn spawn(&mut self) -> Result<()> {
        let Self { url, peer_url, data_dir, log, host, .. } = &*self;
        let mut command = Host::command(host.as_ref(), &Programs::find()?.etcd);
        command.arg("--data-dir").arg(data_dir).args(["--unsafe-no-fsync", "--log-level=error"]);
        command.args(["--listen-client-urls", url, "--advertise-client-urls", url]);
        command.args(["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]);
        command.arg(format!("--initial-cluster=default={peer_url}"));
        self.process = Some(Process::start("etcd", &mut command, log)?);
        self.await_ready()
    }

    fn await_ready(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("etcd was stopped")?;
        let mut ended = Ok(());
        await_condition("etcd that answers", START_DEADLINE, || {
            ended = process.check_alive();
            if ended.is_err() {
                return Ok(());
            }
            let mut command = Host::command(self.host.as_ref(), Path::new("bash"));
            let (address, port) = self.address;
            command.args(["-c", &format!("exec 3<>/dev/tcp/{address}/{port}")]);
            let answer = run(&mut command, None, START_DEADLINE);
            answer.and_then(|answer| answer.success()).map(drop).map_err(|e| format!("{e:#}"))
        })?;
        ended
    }

    /// Starts it again after something was done to its directory.
    pub(super) fn restart_after(&mut self, change: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.process = None;
        change(&self.data_dir)?;
        self.spawn()
    }
}
