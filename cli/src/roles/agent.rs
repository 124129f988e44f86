//! `meseta agent`: this machine's agent, over TLS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use meseta_crds::{Quantity, ResourceList};
use meseta_node_agent::{Config, Tls};
use meseta_pki::{Issued, agent_user};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::shutdown::Parts;
use super::{machine, mesos};
use crate::verbs::agent_kubeconfig::server_url;
use crate::{endpoints, kubeconfig};

pub(crate) const EXAMPLES: &str = "Examples:
  meseta agent --kubeconfig n1.kubeconfig
  meseta agent --kubeconfig n1.kubeconfig --server https://10.0.0.1:7443,https://10.0.0.2:7443
  meseta agent --kubeconfig test.kubeconfig --data-dir /tmp/a --listen 127.0.0.1:0 \\
    --mesos-agent-listen 127.0.0.1:0 --resources cpu=1,memory=512Mi --attribute rack=r1";

#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// What `meseta agent-kubeconfig` wrote for this agent; its certificate names the agent.
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// Control planes to use instead of the kubeconfig's; the next where one does not answer.
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = server_url)]
    server: Vec<String>,
    /// Where images, sandboxes and output are kept.
    #[arg(long, value_name = "DIR", default_value = kubeconfig::USUAL_DATA_DIR)]
    data_dir: PathBuf,
    /// Where control planes reach the agent, for output.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:7451")]
    listen: SocketAddr,
    /// The same as others see it; the address towards the control plane where it is not given.
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    #[command(flatten)]
    machine: Machine,
}

/// What an agent offers of its machine.
#[derive(Debug, clap::Args)]
pub(super) struct Machine {
    /// What tasks can be given, instead of what the machine has.
    #[arg(long, value_name = "NAME=AMOUNT", value_delimiter = ',', value_parser = resource)]
    resources: Vec<(String, Quantity)>,
    /// An attribute for constraints, beside those that are found.
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    attribute: Vec<(String, String)>,
    /// Where executors written for Mesos find the agent, on loopback; `none`: they do not run here.
    /// Port 0 is chosen once and kept.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5051")]
    mesos_agent_listen: mesos::Listen,
    /// The program that runs containers; `meseta-shim` beside this one where it is not given.
    #[arg(long, value_name = "FILE")]
    shim: Option<PathBuf>,
}

impl Machine {
    /// The agent's configuration. Nothing in `hidden` is seen by a task.
    pub(super) fn config(
        self,
        name: String,
        data_dir: PathBuf,
        hidden: Vec<PathBuf>,
        listener: Listener,
    ) -> Result<Config> {
        let Listener { listen, advertise, tls } = listener;
        let shim = match self.shim {
            Some(shim) => shim,
            None => machine::sibling_program("meseta-shim")?,
        };
        ensure!(
            shim.is_file(),
            "the program {} does not exist; build it with `make build`, or name it with --shim",
            shim.display()
        );
        let resources: ResourceList = self.resources.into_iter().collect();
        Ok(Config {
            name,
            data_dir,
            shim: std::path::absolute(shim)?,
            listen,
            advertise,
            mesos_listen: self.mesos_agent_listen.0,
            resources: (!resources.is_empty()).then_some(resources),
            attributes: self.attribute.into_iter().collect::<BTreeMap<_, _>>(),
            hidden,
            tls,
        })
    }
}

/// Where an agent is called, and as whom it answers.
pub(super) struct Listener {
    pub(super) listen: SocketAddr,
    /// As others see it, where that differs.
    pub(super) advertise: Option<String>,
    pub(super) tls: Tls,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    machine::raise_file_limit();
    let shown = args.kubeconfig.display().to_string();
    let file = Kubeconfig::read_from(&args.kubeconfig)
        .with_context(|| format!("cannot use the kubeconfig {shown}"))?;
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("cannot use the kubeconfig {shown}"))?;
    let tls = tls_of(&config).with_context(|| format!("cannot use the kubeconfig {shown}"))?;
    let user = meseta_pki::inspect(&tls.certificate_pem)?.common_name;
    let name = user.strip_prefix(&agent_user("")).with_context(|| {
        format!("the certificate in {shown} is `{user}`'s, not an agent's; `meseta agent-kubeconfig` makes one")
    })?;
    let advertise = match args.advertise {
        None if args.listen.ip().is_unspecified() => {
            let server = args.server.first().map(|server| server.parse()).transpose()?;
            let address = machine::address_towards(server.as_ref().unwrap_or(&config.cluster_url))?;
            Some(SocketAddr::new(address, args.listen.port()).to_string())
        }
        given => given,
    };
    let data_dir = kubeconfig::private_dir(&args.data_dir)?;
    let own_url = config.cluster_url.to_string();
    let servers = if args.server.is_empty() {
        vec![own_url.trim_end_matches('/').to_owned()]
    } else {
        args.server
    };
    let client = endpoints::client(&config, &servers)?;
    let hidden = vec![std::fs::canonicalize(&args.kubeconfig)?];
    let listener = Listener { listen: args.listen, advertise, tls };
    let config = args.machine.config(name.to_owned(), data_dir, hidden, listener)?;
    let stop = CancellationToken::new();
    let mut parts = Parts::default();
    parts.spawn("the agent", work(client, config, stop.clone()));
    parts.run(&stop).await
}

/// Runs the agent until `stop`.
pub(super) async fn work(client: Client, config: Config, stop: CancellationToken) -> Result<()> {
    meseta_node_agent::run(client, config, stop).await.map_err(|error| {
        let executors = matches!(error, meseta_node_agent::Error::ExecutorListener { .. });
        let error = anyhow::Error::new(error);
        if executors {
            error.context("--mesos-agent-listen takes another address, or `none`")
        } else {
            error
        }
    })
}

/// What the agent's listener shows and trusts.
pub(super) fn tls(ca_pem: &str, issued: &Issued) -> Tls {
    Tls {
        ca_pem: ca_pem.to_owned(),
        certificate_pem: issued.certificate_pem.clone(),
        key_pem: issued.key_pem.clone(),
    }
}

/// Authority, certificate and key of a kubeconfig.
fn tls_of(config: &kube::Config) -> Result<Tls> {
    let ca = config.root_cert.as_deref().unwrap_or_default();
    ensure!(!ca.is_empty(), "it names no `certificate-authority`");
    let ca_pem: String = ca.iter().map(|der| pem("CERTIFICATE", der)).collect();
    let user = &config.auth_info;
    let (certificate, key) = (&user.client_certificate_data, &user.client_key_data);
    let key = key.as_ref().map(ExposeSecret::expose_secret);
    Ok(Tls {
        ca_pem,
        certificate_pem: text(
            "client-certificate",
            certificate.as_deref(),
            user.client_certificate.as_deref(),
        )?,
        key_pem: text("client-key", key, user.client_key.as_deref())?,
    })
}

/// A PEM text that is in the kubeconfig itself, as base64, or in a file of its own.
fn text(what: &str, data: Option<&str>, file: Option<&str>) -> Result<String> {
    match (data, file) {
        (Some(data), _) => {
            let bytes =
                STANDARD.decode(data).with_context(|| format!("`{what}-data` is not base64"))?;
            String::from_utf8(bytes).with_context(|| format!("`{what}-data` is not PEM"))
        }
        (None, Some(file)) => std::fs::read_to_string(Path::new(file))
            .with_context(|| format!("cannot read the {what} {file}")),
        (None, None) => anyhow::bail!("it names no `{what}`"),
    }
}

/// DER as PEM.
fn pem(label: &str, der: &[u8]) -> String {
    /// Characters of a line, as RFC 7468 has it.
    const LINE: usize = 64;
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64.as_bytes().chunks(LINE) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// `cpu=500m`.
fn resource(text: &str) -> Result<(String, Quantity), String> {
    let (name, amount) = attribute(text)?;
    let amount = Quantity::new(amount);
    match amount.millis() {
        Ok(millis) if millis < 0 => Err(format!("`{amount}` must not be negative")),
        Ok(_) => Ok((name, amount)),
        Err(error) => Err(error.to_string()),
    }
}

/// `rack=r1`.
fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` must be NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_amounts() {
        assert_eq!(resource("cpu=500m"), Ok(("cpu".to_owned(), Quantity::new("500m"))));
        for text in ["cpu", "=1", "cpu=much", "cpu=-1"] {
            assert!(resource(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_authority_survives_the_way_through_a_kubeconfig() {
        let authority = meseta_pki::CertificateAuthority::generate().unwrap();
        let issued = authority.issue_agent("n1").unwrap();
        let (ca, user) = (authority.certificate_pem(), agent_user("n1"));
        let file = kubeconfig::text("https://127.0.0.1:1", ca, &user, &issued);
        let file: Kubeconfig = serde_yaml::from_str(&file).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let options = KubeConfigOptions::default();
        let config =
            runtime.block_on(kube::Config::from_custom_kubeconfig(file, &options)).unwrap();
        let tls = tls_of(&config).unwrap();
        let now = std::time::SystemTime::now();
        meseta_pki::verify(&tls.ca_pem, &tls.certificate_pem, now).unwrap();
        assert_eq!(tls.key_pem, issued.key_pem);
    }
}
