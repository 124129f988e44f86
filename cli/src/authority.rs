//! The copy of the certificate authority in a control plane's data directory.
//!
//! The authority itself lies in the store; the copy lets `meseta agent-kubeconfig` work on files
//! alone, and lets a control plane whose store was lost stay the one that its agents trust.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};
use meseta_pki::CertificateAuthority;

use crate::kubeconfig::{private_dir, write_private};

const DIRECTORY: &str = "pki";
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";

/// The authority kept beneath `data_dir`, if there is one.
pub(crate) fn kept(data_dir: &Path) -> Result<Option<CertificateAuthority>> {
    let read = |name: &str| {
        let path = data_dir.join(DIRECTORY).join(name);
        match fs::read_to_string(&path) {
            Ok(pem) => Ok(Some(pem)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    };
    // The certificate is written last.
    let Some(certificate) = read(CERTIFICATE)? else { return Ok(None) };
    let key = read(KEY)?.unwrap_or_default();
    let authority = CertificateAuthority::from_pem(&certificate, &key)
        .with_context(|| format!("cannot use {}", data_dir.join(DIRECTORY).display()))?;
    Ok(Some(authority))
}

/// Keeps a copy of `authority` beneath `data_dir`.
pub(crate) fn keep(data_dir: &Path, authority: &CertificateAuthority) -> Result<()> {
    let directory = private_dir(&data_dir.join(DIRECTORY))?;
    let key = authority.key_pem();
    for (name, pem) in [(KEY, key.as_str()), (CERTIFICATE, authority.certificate_pem())] {
        let path = directory.join(name);
        write_private(&path, pem).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        assert!(kept(dir.path()).unwrap().is_none());
        let authority = CertificateAuthority::generate().unwrap();
        keep(dir.path(), &authority).unwrap();
        let back = kept(dir.path()).unwrap().unwrap();
        assert_eq!(back.key_pem(), authority.key_pem());
        fs::write(dir.path().join("pki/ca.key"), "broken").unwrap();
        assert!(kept(dir.path()).is_err());
    }
}
