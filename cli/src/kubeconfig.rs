//! Writing kubeconfigs.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meseta_pki::Issued;

/// Where roles keep their data if nothing else is said.
pub(crate) const USUAL_DATA_DIR: &str = "/var/lib/meseta";

/// The kubeconfig that `meseta up` writes if nothing else is said.
pub(crate) fn usual_path() -> PathBuf {
    Path::new(USUAL_DATA_DIR).join("kubeconfig")
}

/// A kubeconfig with everything in it: one cluster, one user, the context `meseta`.
pub(crate) fn text(server: &str, ca_pem: &str, user: &str, issued: &Issued) -> String {
    let (ca, certificate, key) = (
        STANDARD.encode(ca_pem),
        STANDARD.encode(&issued.certificate_pem),
        STANDARD.encode(&issued.key_pem),
    );
    // JSON strings are YAML strings: nothing in a name or URL can end one early.
    let (server, user) = (serde_json::json!(server), serde_json::json!(user));
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         current-context: meseta\n\
         clusters:\n\
         - name: meseta\n  \
           cluster:\n    \
             server: {server}\n    \
             certificate-authority-data: {ca}\n\
         users:\n\
         - name: {user}\n  \
           user:\n    \
             client-certificate-data: {certificate}\n    \
             client-key-data: {key}\n\
         contexts:\n\
         - name: meseta\n  \
           context:\n    \
             cluster: meseta\n    \
             user: {user}\n    \
             namespace: default\n"
    )
}

/// Makes a directory that nobody else may enter, with its parents, and gives its absolute path.
pub(crate) fn private_dir(path: &Path) -> Result<PathBuf> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| fs::canonicalize(path))
        .with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Replaces a file that nobody else may read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_kubeconfig_is_what_kube_reads() {
        let issued = Issued { certificate_pem: "C".to_owned(), key_pem: "K".to_owned() };
        let text = text("https://[::1]:7443", "A", "meseta:agent:a", &issued);
        let read: kube::config::Kubeconfig = serde_yaml::from_str(&text).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("meseta"));
        let cluster = read.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://[::1]:7443"));
        assert_eq!(cluster.certificate_authority_data.as_deref(), Some("QQ=="));
        let context = read.contexts[0].context.as_ref().unwrap();
        assert_eq!(context.user.as_deref(), Some("meseta:agent:a"));
        let user = read.auth_infos[0].auth_info.as_ref().unwrap();
        assert_eq!(user.client_certificate_data.as_deref(), Some("Qw=="));
    }

    #[test]
    fn a_private_file_is_replaced_and_stays_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        fs::write(&path, "old").unwrap();
        write_private(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
