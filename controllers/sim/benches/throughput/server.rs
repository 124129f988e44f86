//! The measured child: a control plane as `meseta control-plane` joins it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use meseta_api_server::{ApiServer, Options};
use meseta_crds::Quantity;
use meseta_pki::{AGENTS_GROUP, CONTROL_PLANE_GROUP, CertificateAuthority};
use meseta_serve::{Identity, Limits};
use meseta_sim::{Scheduler, Wishes};
use meseta_store::Store;
use meseta_store::embedded::EmbeddedStore;
use meseta_store::etcd::{self, EtcdStore};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
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

/// Tasks that a scheduler in the child is to launch; it says when they are stored, or over.
#[derive(Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Name of its framework.
    pub(crate) name: String,
    pub(crate) tasks: usize,
    /// What each of them needs.
    pub(crate) cpu_millis: i64,
    /// Whether to wait for their end.
    pub(crate) to_the_end: bool,
}

/// A control plane, seen from outside.
pub(crate) struct Server {
    pub(crate) process: Process,
    /// What it is asked for, line by line, and what it says to that.
    pipes: Option<(ChildStdin, BufReader<ChildStdout>)>,
    url: String,
    authority: CertificateAuthority,
}

impl Server {
    /// Starts it over a directory or an etcd endpoint and waits until it serves.
    pub(crate) async fn start(kind: &str, place: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", kind, place]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let input = process.0.stdin.take().context("its input was asked for")?;
        let output = process.0.stdout.take().context("its output was asked for")?;
        let (line, output) = read_line(BufReader::new(output)).await?;
        let reached: Reached = serde_json::from_str(&line).context("it has not started")?;
        let authority =
            CertificateAuthority::from_pem(&reached.authority_pem, &reached.authority_key_pem)?;
        Ok(Self { process, pipes: Some((input, output)), url: reached.url, authority })
    }

    /// Lets a scheduler in it launch tasks, and waits until it has.
    pub(crate) async fn launch(&mut self, wanted: Wanted) -> Result<()> {
        let (mut input, output) = self.pipes.take().context("it was lost")?;
        writeln!(input, "{}", serde_json::to_string(&wanted)?)?;
        let (line, output) = read_line(output).await?;
        self.pipes = Some((input, output));
        ensure!(line.trim() == wanted.name, "the child says {line:?}");
        Ok(())
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

async fn read_line(mut output: BufReader<ChildStdout>) -> Result<(String, BufReader<ChildStdout>)> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        output.read_line(&mut line).map(|_| (line, output))
    });
    Ok(reading.await??)
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
    let (controllers, handle) = meseta_runtime::Controllers::new(config);
    let handles = watch::Sender::new(vec![handle]);
    let schedulers = api.client(Identity {
        user: "admin".to_owned(),
        groups: vec![meseta_pki::ADMIN_GROUP.to_owned()],
    });
    tokio::spawn(meseta_serve::serve(listener, tls, Limits::default(), api, stop.clone()));
    let controllers = tokio::spawn(controllers.run(client, stop.clone()));
    println!("{}", serde_json::to_string(&reached)?);
    let (sender, mut lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    // The parent's end, however it comes, is the end of the input.
    while let Some(line) = lines.recv().await {
        let wanted: Wanted = serde_json::from_str(&line)?;
        launch(&schedulers, &handles, &wanted).await?;
        println!("{}", wanted.name);
    }
    stop.cancel();
    controllers.await??;
    Ok(())
}

/// Runs a scheduler until its tasks are stored, or over.
async fn launch(
    client: &Client,
    handles: &watch::Sender<Vec<meseta_runtime::Handle>>,
    wanted: &Wanted,
) -> Result<()> {
    let cpus = Quantity::from_millis(wanted.cpu_millis);
    let wishes = Wishes {
        name: wanted.name.clone(),
        role: "eng".to_owned(),
        tasks: wanted.tasks,
        needs: [("cpu".to_owned(), cpus)].into(),
    };
    let mut scheduler = Scheduler::start(client.clone(), handles.subscribe(), wishes).await?;
    let is_done = |done: &meseta_sim::Done| match wanted.to_the_end {
        true => done.finished == wanted.tasks,
        false => done.launched == wanted.tasks,
    };
    scheduler.wait_for(is_done).await;
    ensure!(is_done(&scheduler.done()), "{:?}", scheduler.done());
    Ok(())
}

pub(crate) async fn open(kind: &str, place: &str) -> Result<Arc<dyn Store>> {
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
