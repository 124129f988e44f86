//! TLS settings, and who a certificate says its owner is.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::Error;

/// Who calls, as the client certificate says; an extension of every request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Common name.
    pub user: String,
    /// Organizations.
    pub groups: Vec<String>,
}

impl Identity {
    /// The identity in a certificate that was verified before.
    ///
    /// # Errors
    /// [`Error::Pem`] where it cannot be read or names no user.
    pub fn from_certificate(certificate_der: &[u8]) -> Result<Self, Error> {
        let (user, groups) = meseta_pki::subject(certificate_der)
            .map_err(|source| Error::Pem { what: "client certificate", source: source.into() })?;
        Ok(Self { user, groups })
    }

    /// Whether it is a member of `group`.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

/// Makes ring the process's default provider, for libraries that take no other (kube). May be
/// called any number of times.
pub fn install_crypto_provider() {
    // The error is the provider that was there before: also a default.
    drop(ring::default_provider().install_default());
}

/// Settings of a listener: a client certificate of the authority is required; HTTP/2 and HTTP/1.1.
///
/// # Errors
/// [`Error::Pem`], [`Error::Tls`].
pub fn server_config(
    ca_pem: &str,
    certificate_pem: &str,
    key_pem: &str,
) -> Result<Arc<ServerConfig>, Error> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca_pem)?), provider())
            .build()
            .map_err(|e| Error::Tls(e.into()))?;
    let (chain, key) = pair(certificate_pem, key_pem)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Tls(e.into()))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|e| Error::Tls(e.into()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Settings of a caller that trusts this authority alone and shows a certificate of its own.
///
/// # Errors
/// [`Error::Pem`], [`Error::Tls`].
pub fn client_config(
    ca_pem: &str,
    certificate_pem: &str,
    key_pem: &str,
) -> Result<ClientConfig, Error> {
    let (chain, key) = pair(certificate_pem, key_pem)?;
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Tls(e.into()))?
        .with_root_certificates(roots(ca_pem)?)
        .with_client_auth_cert(chain, key)
        .map_err(|e| Error::Tls(e.into()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(ca_pem: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_pem, "authority's certificate")? {
        roots.add(certificate).map_err(|e| Error::Tls(e.into()))?;
    }
    Ok(roots)
}

fn pair(
    certificate_pem: &str,
    key_pem: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let chain = certificates(certificate_pem, "certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|e| Error::Pem { what: "private key", source: e.into() })?;
    Ok((chain, key))
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| Error::Pem { what, source: e.into() })?;
    if certificates.is_empty() {
        return Err(Error::Pem { what, source: "there is none in the text".into() });
    }
    Ok(certificates)
}
