//! The measured child: a control plane as `meseta control-plane` joins it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use meseta_api_server::{ApiServer, Options};
use meseta_pki::{AGENTS_GROUP, CONTROL_PLANE_GROUP, CertificateAuthority};
use meseta_serve::{Identity, Limits};
use meseta_store::Store;
use meseta_store::embedded::EmbeddedStore;
use meseta_store::etcd::{self, EtcdStore};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::process::Process;

/// Longest wait for etcd to answer.
const ETCD_STARTS: Duration = Duration::from_secs(30);

/// How the child is reached; it says so in one line.
#[derive(Serialize, Deserialize)]
struct Reached {
    url: String,
    authority_pem: String,
    authority_key_pem: String,
}

/// A control plane, seen from outside.
pub(crate) struct Server {
    pub(crate) process: Process,
    url: String,
    authority: CertificateAuthority,
}

impl Server {
    /// Starts it over a directory or an etcd endpoint and waits until it serves.
    pub(crate) async fn start(kind: &str, place: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", kind, place]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let output = process.0.stdout.take().context("its output was asked for")?;
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).map(|_| line)
        });
        let reached: Reached = serde_json::from_str(&line.await??).context("it has not started")?;
        let authority =
            CertificateAuthority::from_pem(&reached.authority_pem, &reached.authority_key_pem)?;
        Ok(Self { process, url: reached.url, authority })
    }

    /// A connection as an administrator.
    pub(crate) async fn admin(&self) -> Result<Client> {
        self.client("admin", meseta_pki::ADMIN_GROUP).await
    }

    /// A connection as an agent.
    pub(crate) async fn agent(&self, name: &str) -> Result<Client> {
        self.client(&meseta_pki::agent_user(name), AGENTS_GROUP).await
    }

    async fn client(&self, user: &str, group: &str) -> Result<Client> {
        let issued = self.authority.issue_client(user, &[group.to_owned()])?;
        let kubeconfig: Kubeconfig = serde_json::from_value(json!({
            "current-context": "bench",
            "clusters": [{"name": "bench", "cluster": {
                "server": self.url,
                "certificate-authority-data": STANDARD.encode(self.authority.certificate_pem()),
            }}],
            "users": [{"name": "bench", "user": {
                "client-certificate-data": STANDARD.encode(&issued.certificate_pem),
                "client-key-data": STANDARD.encode(&issued.key_pem),
            }}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        }))?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Ok(Client::try_from(config)?)
    }
}

/// Serves until its input ends.
pub(crate) async fn serve(kind: &str, place: &str) -> Result<()> {
    meseta_serve::install_crypto_provider();
    let store = open(kind, place).await?;
    let authority = meseta_api_server::authority(&*store, None).await?;
    let certificate = authority.issue_server(&["127.0.0.1".to_owned()])?;
    let tls = meseta_serve::server_config(
        authority.certificate_pem(),
        &certificate.certificate_pem,
        &certificate.key_pem,
    )?;
    let stop = CancellationToken::new();
    let api = ApiServer::start(store, Options::default(), stop.clone()).await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let reached = Reached {
        url: format!("https://{}", listener.local_addr()?),
        authority_pem: authority.certificate_pem().to_owned(),
        authority_key_pem: authority.key_pem(),
    };
    let identity =
        Identity { user: "bench".to_owned(), groups: vec![CONTROL_PLANE_GROUP.to_owned()] };
    let client = api.client(identity);
    let config = meseta_runtime::Config { sole: true, ..meseta_runtime::Config::new("bench") };
    tokio::spawn(meseta_serve::serve(listener, tls, Limits::default(), api, stop.clone()));
    let controllers = tokio::spawn(meseta_runtime::run(client, config, stop.clone()));
    println!("{}", serde_json::to_string(&reached)?);
    // The parent's end, however it comes, is the end of the input.
    tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await??;
    stop.cancel();
    controllers.await??;
    Ok(())
}

async fn open(kind: &str, place: &str) -> Result<Arc<dyn Store>> {
    match kind {
        "embedded" => Ok(Arc::new(EmbeddedStore::open(Path::new(place))?)),
        "etcd" => {
            let begin = std::time::Instant::now();
            loop {
                let options = etcd::Options {
                    endpoints: vec![place.to_owned()],
                    prefix: "/meseta".to_owned(),
                    tls: None,
                };
                match EtcdStore::connect(options).await {
                    Ok(store) => return Ok(Arc::new(store)),
                    Err(err) if begin.elapsed() > ETCD_STARTS => return Err(err.into()),
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }
        _ => bail!("no store `{kind}`"),
    }
}
