//! `meseta control-plane`: API server and controllers, over etcd or the embedded store.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Parser;
use meseta_store::Store;
use meseta_store::etcd::{self, EtcdStore};
use tokio_util::sync::CancellationToken;

use super::plane::{self, Plane};
use super::shutdown::Parts;
use super::{machine, mesos};
use crate::kubeconfig;

pub(crate) const EXAMPLES: &str = "Examples:
  meseta control-plane --etcd-endpoints http://10.0.0.1:2379,http://10.0.0.2:2379 \\
    --listen 0.0.0.0:7443 --advertise 10.0.0.1
  meseta control-plane --listen 0.0.0.0:7443     # one control plane, embedded store";

#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Where certificates and kubeconfig are kept, and the records if there is no etcd.
    #[arg(long, value_name = "DIR", default_value = kubeconfig::USUAL_DATA_DIR)]
    data_dir: PathBuf,
    /// Where the API server listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:7443")]
    listen: SocketAddr,
    /// Names or addresses under which others reach it; the first is written in the kubeconfig, and
    /// other control planes use it.
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    advertise: Vec<String>,
    /// Name among the control planes; the host's name where it is not given.
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Members of the etcd cluster that holds the records; without it they are in the data
    /// directory, and this is the only control plane.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    etcd_endpoints: Vec<String>,
    #[command(flatten)]
    etcd: EtcdArgs,
    #[command(flatten)]
    mesos: mesos::GatewayArgs,
}

/// How etcd is used; needs `--etcd-endpoints`.
#[derive(Debug, clap::Args)]
struct EtcdArgs {
    /// What all keys in etcd begin with; clusters that share an etcd have different ones.
    #[arg(long, value_name = "PREFIX", default_value = "/meseta", requires = "etcd_endpoints")]
    etcd_prefix: String,
    /// Authority of etcd's certificates (PEM); for https endpoints.
    #[arg(long, value_name = "FILE", requires = "etcd_endpoints")]
    etcd_ca: Option<PathBuf>,
    /// Client certificate for etcd (PEM).
    #[arg(long, value_name = "FILE", requires_all = ["etcd_key", "etcd_ca"])]
    etcd_certificate: Option<PathBuf>,
    /// Key of the client certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "etcd_certificate")]
    etcd_key: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    machine::raise_file_limit();
    let data_dir = kubeconfig::private_dir(&args.data_dir)?;
    let sole = args.etcd_endpoints.is_empty();
    let store = if sole {
        plane::embedded_store(&data_dir)?
    } else {
        etcd_store(args.etcd_endpoints, args.etcd).await?
    };
    let config = plane::Config {
        listen: args.listen,
        advertised: args.advertise,
        identity: args.identity.unwrap_or_else(machine::host_label),
        sole,
        data_dir,
        mesos: args.mesos,
    };
    let stop = CancellationToken::new();
    let mut parts = Parts::default();
    let plane = Plane::start(store, config, &mut parts, &stop).await?;
    let ended = parts.run(&stop).await;
    ended.and(plane.stop().await)
}

async fn etcd_store(endpoints: Vec<String>, args: EtcdArgs) -> Result<Arc<dyn Store>> {
    let what = endpoints.join(", ");
    let tls = match args.etcd_ca {
        None => None,
        Some(ca) => {
            let client = match (args.etcd_certificate, args.etcd_key) {
                (Some(certificate), Some(key)) => Some(etcd::ClientCertificate {
                    certificate_pem: read(&certificate)?,
                    key_pem: read(&key)?,
                }),
                _ => None,
            };
            Some(etcd::Tls { ca_pem: read(&ca)?, client })
        }
    };
    let options = etcd::Options { endpoints, prefix: args.etcd_prefix, tls };
    let store = EtcdStore::connect(options)
        .await
        .with_context(|| format!("cannot use the etcd at {what}"))?;
    Ok(Arc::new(store))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
