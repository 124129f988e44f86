//! What `up` and `control-plane` have in common: a store, the API server over it, its listener, the
//! controllers, and the gateway for schedulers written for Mesos.
//!
//! ```text
//!  listeners ─► controllers and their handle ─┬─► API server (offers) ─► client ─► controllers run
//!  (addresses for the leader's lease)         └─► gateway
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use meseta_api_server::{ApiServer, Options};
use meseta_pki::CertificateAuthority;
use meseta_runtime::{Controllers, LeaderAddress};
use meseta_serve::{Limits, serve, server_config};
use meseta_store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::offers::Offers;
use super::shutdown::Parts;
use super::{mesos, pki};
use crate::kubeconfig;

/// How a control plane is reached, and who it is.
pub(super) struct Config {
    /// Where it listens.
    pub(super) listen: SocketAddr,
    /// Names and addresses under which others reach it; the first is in the kubeconfig.
    pub(super) advertised: Vec<String>,
    /// Its name among the control planes.
    pub(super) identity: String,
    /// Whether nobody else can have this store open.
    pub(super) sole: bool,
    /// Where it keeps its copy of the authority and the kubeconfig.
    pub(super) data_dir: PathBuf,
    /// Where schedulers written for Mesos are served.
    pub(super) mesos: mesos::GatewayArgs,
}

/// A control plane at work.
pub(super) struct Plane {
    pub(super) api: ApiServer,
    pub(super) authority: CertificateAuthority,
    /// Where the kubeconfig of an administrator was written.
    pub(super) kubeconfig: PathBuf,
    /// `host:port` for schedulers written for Mesos, if they are served.
    pub(super) mesos: Option<String>,
    serving: JoinHandle<()>,
    /// Ends listener and API server.
    stop_serving: CancellationToken,
}

impl Plane {
    /// Loads the store, opens the listeners, writes the kubeconfig and starts controllers and
    /// gateway, which become parts of `parts` and end with `stop`.
    pub(super) async fn start(
        store: Arc<dyn Store>,
        config: Config,
        parts: &mut Parts,
        stop: &CancellationToken,
    ) -> Result<Self> {
        let authority = pki::authority(&*store, &config.data_dir).await?;
        let certificate = pki::server_certificate(&authority, config.listen, &config.advertised)?;
        let tls = server_config(
            authority.certificate_pem(),
            &certificate.certificate_pem,
            &certificate.key_pem,
        )?;
        let agents = pki::agents_client(&authority, &config.identity)?;
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            format!("cannot listen on {}; --listen takes another address", config.listen)
        })?;
        let server =
            format!("https://{}", host_and_port(listener.local_addr()?, &config.advertised));
        let door = config.mesos.open(&config.advertised).await?;
        let mesos = door.as_ref().map(|door| door.address.clone());

        let mut controllers = meseta_runtime::Config::new(&config.identity);
        controllers.sole = config.sole;
        controllers.address = LeaderAddress { api: Some(server.clone()), mesos: mesos.clone() };
        let (controllers, handle) = Controllers::new(controllers);

        let stop_serving = CancellationToken::new();
        let options = Options {
            agents: Some(agents.clone()),
            offers: Some(Arc::new(Offers::new(&handle))),
            ..Options::default()
        };
        let api = ApiServer::start(store, options, stop_serving.clone())
            .await
            .context("cannot start the API server")?;
        let (service, shutdown) = (api.clone(), stop_serving.clone());
        let serving = tokio::spawn(serve(listener, tls, Limits::default(), service, shutdown));
        let kubeconfig = config.data_dir.join("kubeconfig");
        pki::write_admin_kubeconfig(&authority, &server, &kubeconfig)?;

        let client = api.client(pki::control_plane_identity(&config.identity));
        if let Some(door) = door {
            let config = meseta_mesos_master::Config {
                listener: door.listener,
                advertise: Some(door.address),
                namespace: mesos::NAMESPACE.to_owned(),
            };
            let (client, shutdown) = (client.clone(), stop.clone());
            parts.spawn("the Mesos scheduler API", async move {
                Ok(meseta_mesos_master::run(config, client, agents, handle, shutdown).await?)
            });
        }
        let shutdown = stop.clone();
        parts.spawn("the controllers", async move { Ok(controllers.run(client, shutdown).await?) });
        info!(server, mesos, kubeconfig = %kubeconfig.display(), "control plane serves");
        Ok(Self { api, authority, kubeconfig, mesos, serving, stop_serving })
    }

    /// Ends the listener and the API server, after everything that needs them.
    pub(super) async fn stop(self) -> Result<()> {
        self.stop_serving.cancel();
        self.serving.await.context("the listener panicked")
    }
}

/// Opens the embedded store of a data directory.
pub(super) fn embedded_store(data_dir: &Path) -> Result<Arc<dyn Store>> {
    let directory = kubeconfig::private_dir(&data_dir.join("store"))?;
    let store = meseta_store::embedded::EmbeddedStore::open(&directory)
        .with_context(|| format!("cannot open the store in {}", directory.display()))?;
    Ok(Arc::new(store))
}

/// `host:port` of a listener as others see it: the first advertised name, else its address, else
/// loopback.
pub(super) fn host_and_port(address: SocketAddr, advertised: &[String]) -> String {
    let host = match advertised.first() {
        Some(name) if name.contains(':') => format!("[{name}]"),
        Some(name) => name.clone(),
        None if address.ip().is_unspecified() => "127.0.0.1".to_owned(),
        None if address.is_ipv6() => format!("[{}]", address.ip()),
        None => address.ip().to_string(),
    };
    format!("{host}:{}", address.port())
}
