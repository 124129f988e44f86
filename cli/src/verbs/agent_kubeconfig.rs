//! `meseta agent-kubeconfig`

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use meseta_pki::agent_user;

use crate::failure::Failure;
use crate::{authority, kubeconfig, out};

pub(crate) const EXAMPLES: &str = "Example:
  meseta agent-kubeconfig --name n1 --server https://10.0.0.1:7443
  scp /var/lib/meseta/agents/n1.kubeconfig n1:";

#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Data directory of a control plane on this machine; its `pki/` holds the authority.
    #[arg(long, value_name = "DIR", default_value = kubeconfig::USUAL_DATA_DIR)]
    data_dir: PathBuf,
    /// Name of the agent; the certificate is for this agent alone.
    #[arg(long, value_name = "NAME", value_parser = agent_name)]
    name: String,
    /// URL of a control plane as the agent reaches it.
    #[arg(long, value_name = "URL", value_parser = server_url)]
    server: String,
    /// Where to write; `<data-dir>/agents/<name>.kubeconfig` where it is not given.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A DNS label: it becomes part of a DNS name and of a record's name.
pub(crate) fn agent_name(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    fits.then(|| text.to_owned()).ok_or_else(|| {
        "an agent's name has at most 63 lower-case letters, digits and `-`, such as n1".to_owned()
    })
}

/// `https://host:port`, without a path.
pub(crate) fn server_url(text: &str) -> Result<String, String> {
    let url: http::Uri = text.parse().map_err(|error| format!("{error}"))?;
    if url.scheme_str() != Some("https") || !matches!(url.path(), "" | "/") {
        return Err("a control plane is at https://host:port".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

pub(crate) fn run(args: Args) -> Result<()> {
    let authority = authority::kept(&args.data_dir)?.ok_or_else(|| {
        Failure::NotFound(format!(
            "there is no authority in {}; run this on the machine of a control plane, with its --data-dir",
            args.data_dir.display()
        ))
    })?;
    let issued = authority.issue_agent(&args.name)?;
    let user = agent_user(&args.name);
    let text = kubeconfig::text(&args.server, authority.certificate_pem(), &user, &issued);
    let path = args
        .output
        .unwrap_or_else(|| args.data_dir.join("agents").join(format!("{}.kubeconfig", args.name)));
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        kubeconfig::private_dir(parent)?;
    }
    kubeconfig::write_private(&path, &text)
        .with_context(|| format!("cannot write {}", path.display()))?;
    out::line(format_args!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use meseta_pki::CertificateAuthority;

    use super::*;

    #[test]
    fn names_and_urls_are_checked() {
        assert_eq!(agent_name("n-1").as_deref(), Ok("n-1"));
        for wrong in ["", "N1", "-a", "a-", "a.b", "a/../b", &"x".repeat(64)] {
            agent_name(wrong).unwrap_err();
        }
        assert_eq!(server_url("https://h:1/").as_deref(), Ok("https://h:1"));
        for wrong in ["", "h:1", "http://h:1", "https://h:1/x"] {
            server_url(wrong).unwrap_err();
        }
    }

    #[test]
    fn the_kubeconfig_names_the_agent_and_its_certificate_is_of_the_authority() {
        let dir = tempfile::tempdir().unwrap();
        let ca = CertificateAuthority::generate().unwrap();
        authority::keep(dir.path(), &ca).unwrap();
        run(Args {
            data_dir: dir.path().to_owned(),
            name: "n1".to_owned(),
            server: "https://h:1".to_owned(),
            output: None,
        })
        .unwrap();
        let text = fs::read_to_string(dir.path().join("agents/n1.kubeconfig")).unwrap();
        let read: kube::config::Kubeconfig = serde_yaml::from_str(&text).unwrap();
        assert_eq!(read.auth_infos[0].name, "meseta:agent:n1");
    }

    #[test]
    fn without_an_authority_it_says_where_to_run() {
        let error = run(Args {
            data_dir: "/nowhere".into(),
            name: "n1".to_owned(),
            server: "https://h:1".to_owned(),
            output: None,
        })
        .unwrap_err();
        assert!(error.to_string().contains("--data-dir"), "{error}");
    }
}
