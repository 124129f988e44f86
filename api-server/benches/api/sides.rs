//! What is measured: servers over stores, and ways to them.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use meseta_api_server::{ApiServer, Options};
use meseta_pki::{ADMIN_GROUP, CertificateAuthority};
use meseta_serve::{Identity, Limits, serve, server_config};
use meseta_store::Store;
use meseta_store::embedded::EmbeddedStore;
use meseta_store::etcd::EtcdStore;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Fault;

/// How long an etcd may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A server, served over TLS as well, and what it stands on.
pub(crate) struct Side {
    pub(crate) api: ApiServer,
    pub(crate) etcd: Option<Etcd>,
    authority: CertificateAuthority,
    /// `host:port` of the listener.
    pub(crate) address: String,
    _directory: Option<TempDir>,
    _stop: DropGuard,
}

impl Side {
    pub(crate) async fn embedded() -> Result<Self, Fault> {
        let directory = directory()?;
        let store = Arc::new(EmbeddedStore::open(directory.path())?);
        Self::over(store, None, Some(directory)).await
    }

    pub(crate) async fn etcd() -> Result<Self, Fault> {
        let etcd = Etcd::start().await?;
        let options = meseta_store::etcd::Options {
            endpoints: vec![etcd.endpoint.clone()],
            prefix: "/meseta".to_owned(),
            tls: None,
        };
        let store = Arc::new(EtcdStore::connect(options).await?);
        Self::over(store, Some(etcd), None).await
    }

    async fn over(
        store: Arc<dyn Store>,
        etcd: Option<Etcd>,
        directory: Option<TempDir>,
    ) -> Result<Self, Fault> {
        let stop = CancellationToken::new();
        let authority = meseta_api_server::authority(&*store, None).await?;
        let api = ApiServer::start(store, Options::default(), stop.clone()).await?;
        let issued = authority.issue_server(&["127.0.0.1".to_owned()])?;
        let ca = authority.certificate_pem();
        let tls = server_config(ca, &issued.certificate_pem, &issued.key_pem)?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(serve(listener, tls, Limits::default(), api.clone(), stop.clone()));
        let _directory = directory;
        Ok(Self { api, etcd, authority, address, _directory, _stop: stop.drop_guard() })
    }

    /// A client in this process.
    pub(crate) fn in_process(&self) -> kube::Client {
        let groups = vec![ADMIN_GROUP.to_owned()];
        self.api.client(Identity { user: "bench".to_owned(), groups })
    }

    /// A client over TLS, with connections of its own.
    pub(crate) async fn over_tls(&self) -> Result<kube::Client, Fault> {
        let issued = self.authority.issue_client("bench", &[ADMIN_GROUP.to_owned()])?;
        let cluster = json!({
            "server": format!("https://{}", self.address),
            "certificate-authority-data": STANDARD.encode(self.authority.certificate_pem()),
        });
        let user = json!({
            "client-certificate-data": STANDARD.encode(&issued.certificate_pem),
            "client-key-data": STANDARD.encode(&issued.key_pem),
        });
        let kubeconfig: Kubeconfig = serde_json::from_value(json!({
            "current-context": "b",
            "clusters": [{"name": "b", "cluster": cluster}],
            "users": [{"name": "b", "user": user}],
            "contexts": [{"name": "b", "context": {"cluster": "b", "user": "b"}}],
        }))?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// A caller that reads bytes and nothing else, each call on a connection of its own.
    pub(crate) fn caller(&self) -> Result<meseta_serve::Client, Fault> {
        let issued = self.authority.issue_client("bench", &[ADMIN_GROUP.to_owned()])?;
        let ca = self.authority.certificate_pem();
        Ok(meseta_serve::Client::new(ca, &issued.certificate_pem, &issued.key_pem)?)
    }
}

/// An etcd of its own.
pub(crate) struct Etcd {
    process: Child,
    pub(crate) endpoint: String,
    _directory: TempDir,
}

impl Etcd {
    /// Starts an etcd that syncs, as it does by default, and waits until it answers.
    pub(crate) async fn start() -> Result<Self, Fault> {
        let directory = directory()?;
        let ports = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let [client, peer] = [ports[0].local_addr()?, ports[1].local_addr()?];
        drop(ports);
        let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let process = Command::new(etcd_bin_vendored::etcd_bin_path()?)
            .arg("--data-dir")
            .arg(directory.path())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error"])
            .stdin(Stdio::null())
            .spawn()?;
        let etcd = Self { process, endpoint: client, _directory: directory };
        let begin = Instant::now();
        loop {
            let mut client = etcd_client::Client::connect([&etcd.endpoint], None).await?;
            match client.status().await {
                Ok(_) => return Ok(etcd),
                Err(error) if begin.elapsed() > START_TIMEOUT => return Err(error.into()),
                Err(_starting) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// A new directory on the disk that is built on: what is for temporary files may be memory.
fn directory() -> Result<TempDir, Fault> {
    Ok(TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?)
}
