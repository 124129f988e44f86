//! `meseta up`: everything on one machine, in one process.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use tokio_util::sync::CancellationToken;

use super::agent::{self, Listener, Machine};
use super::plane::{self, Plane};
use super::shutdown::Parts;
use super::{machine, mesos, pki};
use crate::verbs::agent_kubeconfig::agent_name;
use crate::{kubeconfig, out};

pub(crate) const EXAMPLES: &str = "Examples:
  meseta up
  meseta up --data-dir ~/meseta --listen 127.0.0.1:7443 --resources cpu=2,memory=4Gi";

#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Where records, certificates, kubeconfig, images and sandboxes are kept.
    #[arg(long, value_name = "DIR", default_value = kubeconfig::USUAL_DATA_DIR)]
    data_dir: PathBuf,
    /// Where the API server listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7443")]
    listen: SocketAddr,
    /// Name of this machine's agent; the host's name where it is not given.
    #[arg(long, value_name = "NAME", value_parser = agent_name)]
    agent_name: Option<String>,
    #[command(flatten)]
    mesos: mesos::GatewayArgs,
    #[command(flatten)]
    machine: Machine,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    machine::raise_file_limit();
    let data_dir = kubeconfig::private_dir(&args.data_dir)?;
    let name = args.agent_name.unwrap_or_else(machine::host_label);
    let store = plane::embedded_store(&data_dir)?;
    let config = plane::Config {
        listen: args.listen,
        advertised: Vec::new(),
        identity: name.clone(),
        sole: true,
        data_dir: data_dir.clone(),
        mesos: args.mesos,
    };
    let stop = CancellationToken::new();
    let mut parts = Parts::default();
    let plane = Plane::start(store, config, &mut parts, &stop).await?;

    let client = plane.api.client(pki::agent_identity(&name));
    let issued = plane.authority.issue_agent(&name)?;
    let tls = agent::tls(plane.authority.certificate_pem(), &issued);
    // Only this process calls the agent.
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let agent_dir = kubeconfig::private_dir(&data_dir.join("agent"))?;
    let listener = Listener { listen, advertise: None, tls };
    // Records and keys lie beside the agent's directory.
    let config = args.machine.config(name, agent_dir, vec![data_dir], listener)?;
    parts.spawn("the agent", agent::work(client, config, stop.clone()));

    out::line(format_args!(
        "Meseta is up. Type next:\n\n  export KUBECONFIG={}\n  kubectl get agents\n",
        plane.kubeconfig.display()
    ))?;
    if let Some(mesos) = &plane.mesos {
        out::line(format_args!("Mesos schedulers: http://{mesos}\n"))?;
    }
    let ended = parts.run(&stop).await;
    ended.and(plane.stop().await)
}
