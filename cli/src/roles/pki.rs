//! The certificates of a control plane: the authority lies in the store, with a copy in the data
//! directory for `meseta agent-kubeconfig`; everything else is issued anew at each start.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result};
use meseta_pki::{
    ADMIN_GROUP, AGENTS_GROUP, CONTROL_PLANE_GROUP, CertificateAuthority, Issued, agent_user,
};
use meseta_serve::Identity;
use meseta_store::Store;

use super::machine;
use crate::{authority, kubeconfig};

/// User name of the kubeconfig that a control plane writes.
const ADMIN_USER: &str = "meseta:admin";

/// The cluster's authority. A store without one gets the one that the data directory has kept, so
/// that agents trust a control plane whose store was lost; the directory gets a copy.
pub(super) async fn authority(store: &dyn Store, data_dir: &Path) -> Result<CertificateAuthority> {
    let kept = authority::kept(data_dir)?;
    let authority = meseta_api_server::authority(store, kept.as_ref())
        .await
        .context("cannot get the certificate authority from the store")?;
    authority::keep(data_dir, &authority)?;
    Ok(authority)
}

/// Certificate of a listener at `listen` that is also reached under the names in `advertised`.
pub(super) fn server_certificate(
    authority: &CertificateAuthority,
    listen: SocketAddr,
    advertised: &[String],
) -> Result<Issued> {
    let mut names: Vec<String> = advertised.to_vec();
    let usual = [
        "localhost".to_owned(),
        IpAddr::from([127, 0, 0, 1]).to_string(),
        IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]).to_string(),
        machine::host_label(),
    ];
    names.extend(usual);
    if !listen.ip().is_unspecified() {
        names.push(listen.ip().to_string());
    }
    names.sort();
    names.dedup();
    authority.issue_server(&names).context("cannot issue the listener's certificate")
}

/// Writes the kubeconfig of an administrator.
pub(super) fn write_admin_kubeconfig(
    authority: &CertificateAuthority,
    server: &str,
    path: &Path,
) -> Result<()> {
    let issued = authority.issue_client(ADMIN_USER, &[ADMIN_GROUP.to_owned()])?;
    let text = kubeconfig::text(server, authority.certificate_pem(), ADMIN_USER, &issued);
    kubeconfig::write_private(path, &text)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The client with which a control plane calls agents.
pub(super) fn agents_client(
    authority: &CertificateAuthority,
    identity: &str,
) -> Result<meseta_serve::Client> {
    let Identity { user, groups } = control_plane_identity(identity);
    let issued = authority.issue_client(&user, &groups)?;
    let ca = authority.certificate_pem();
    Ok(meseta_serve::Client::new(ca, &issued.certificate_pem, &issued.key_pem)?)
}

/// Who a control plane is to its own API server and to agents.
pub(super) fn control_plane_identity(name: &str) -> Identity {
    Identity {
        user: format!("meseta:control-plane:{name}"),
        groups: vec![CONTROL_PLANE_GROUP.to_owned()],
    }
}

/// Who an agent of this process is to the API server.
pub(super) fn agent_identity(name: &str) -> Identity {
    Identity { user: agent_user(name), groups: vec![AGENTS_GROUP.to_owned()] }
}
