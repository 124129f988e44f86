//! What `up` and `control-plane` have in common: a store, the API server over it, its listener and
//! the controllers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use meseta_api_server::{ApiServer, Options};
use meseta_pki::CertificateAuthority;
use meseta_serve::{Limits, serve, server_config};
use meseta_store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::pki;
use super::shutdown::Parts;
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
}

/// A control plane at work.
pub(super) struct Plane {
    pub(super) api: ApiServer,
    pub(super) authority: CertificateAuthority,
    /// Where the kubeconfig of an administrator was written.
    pub(super) kubeconfig: PathBuf,
    serving: JoinHandle<()>,
    /// Ends listener and API server.
    stop_serving: CancellationToken,
}

impl Plane {
    /// Loads the store, opens the listener, writes the kubeconfig and starts the controllers, which
    /// become a part of `parts` and end with `stop`.
    pub(super) async fn start(
        store: Arc<dyn Store>,
        config: &Config,
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
        let stop_serving = CancellationToken::new();
        let options = Options { agents: Some(agents), ..Options::default() };
        let api = ApiServer::start(store, options, stop_serving.clone())
            .await
            .context("cannot start the API server")?;

        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        let server = url(&listener, &config.advertised)?;
        let (service, shutdown) = (api.clone(), stop_serving.clone());
        let serving = tokio::spawn(serve(listener, tls, Limits::default(), service, shutdown));
        let kubeconfig = config.data_dir.join("kubeconfig");
        pki::write_admin_kubeconfig(&authority, &server, &kubeconfig)?;

        let client = api.client(pki::control_plane_identity(&config.identity));
        let mut controllers = meseta_runtime::Config::new(&config.identity);
        controllers.sole = config.sole;
        let shutdown = stop.clone();
        parts.spawn("the controllers", async move {
            Ok(meseta_runtime::run(client, controllers, shutdown).await?)
        });
        info!(server, kubeconfig = %kubeconfig.display(), "control plane serves");
        Ok(Self { api, authority, kubeconfig, serving, stop_serving })
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

/// The URL for the kubeconfig: the first advertised name, else the listener's address, else loopback.
fn url(listener: &TcpListener, advertised: &[String]) -> Result<String> {
    let address = listener.local_addr()?;
    let host = match advertised.first() {
        Some(name) if name.contains(':') => format!("[{name}]"),
        Some(name) => name.clone(),
        None if address.ip().is_unspecified() => "127.0.0.1".to_owned(),
        None if address.is_ipv6() => format!("[{}]", address.ip()),
        None => address.ip().to_string(),
    };
    Ok(format!("https://{host}:{}", address.port()))
}
