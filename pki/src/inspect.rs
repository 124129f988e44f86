//! Reading certificates.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
use x509_parser::x509::X509Name;

use crate::Error;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Common name: the user.
    pub common_name: String,
    /// Organizations: the groups.
    pub organizations: Vec<String>,
    /// DNS names and IP addresses of a listener.
    pub names: Vec<String>,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// Begin of its validity.
    pub not_before: SystemTime,
    /// End of its validity.
    pub not_after: SystemTime,
    /// The public key, as an uncompressed point.
    pub public_key: Vec<u8>,
}

/// What the first certificate in a PEM text says; nothing is verified.
///
/// # Errors
/// [`Error::Parse`].
pub fn inspect(certificate_pem: &str) -> Result<CertificateInfo, Error> {
    let der = der(certificate_pem)?;
    let certificate = parse(&der)?;
    let (common_name, organizations) = identity(certificate.subject());
    let names = certificate
        .subject_alternative_name()
        .map_err(|e| Error::Parse { why: e.to_string() })?
        .map(|extension| extension.value.general_names.iter().filter_map(name).collect())
        .unwrap_or_default();
    Ok(CertificateInfo {
        common_name,
        organizations,
        names,
        is_authority: certificate.is_ca(),
        not_before: time(certificate.validity().not_before.timestamp()),
        not_after: time(certificate.validity().not_after.timestamp()),
        public_key: certificate.public_key().subject_public_key.data.to_vec(),
    })
}

/// Common name and organizations of a DER certificate whose signature was verified before.
///
/// # Errors
/// [`Error::Parse`], also where there is no common name.
pub fn subject(certificate_der: &[u8]) -> Result<(String, Vec<String>), Error> {
    let certificate = parse(certificate_der)?;
    let (common_name, organizations) = identity(certificate.subject());
    if common_name.is_empty() {
        return Err(Error::Parse { why: "it has no common name".to_owned() });
    }
    Ok((common_name, organizations))
}

/// Checks that the authority signed the certificate and that `now` is within its validity.
///
/// # Errors
/// [`Error::Untrusted`] where it is not so, [`Error::Parse`].
pub fn verify(authority_pem: &str, certificate_pem: &str, now: SystemTime) -> Result<(), Error> {
    let (authority_der, certificate_der) = (der(authority_pem)?, der(certificate_pem)?);
    let (authority, certificate) = (parse(&authority_der)?, parse(&certificate_der)?);
    let info = inspect(certificate_pem)?;
    let untrusted =
        |why: &str| Err(Error::Untrusted { name: info.common_name.clone(), why: why.to_owned() });
    if !authority.is_ca() || certificate.issuer() != authority.subject() {
        return untrusted("it names another issuer");
    }
    if certificate.verify_signature(Some(authority.public_key())).is_err() {
        return untrusted("its signature is not the authority's");
    }
    if now < info.not_before {
        return untrusted("its time is yet to come; is the clock of this machine right?");
    }
    if now > info.not_after {
        return untrusted("its time is over");
    }
    Ok(())
}

fn der(pem: &str) -> Result<CertificateDer<'static>, Error> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| Error::Parse { why: e.to_string() })
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|e| Error::Parse { why: e.to_string() })?;
    Ok(certificate)
}

fn identity(name: &X509Name<'_>) -> (String, Vec<String>) {
    let common_name =
        name.iter_common_name().next().and_then(|cn| cn.as_str().ok()).unwrap_or_default();
    let organizations = name
        .iter_organization()
        .filter_map(|organization| organization.as_str().ok())
        .map(str::to_owned)
        .collect();
    (common_name.to_owned(), organizations)
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            if let Ok(v4) = <[u8; 4]>::try_from(*bytes) {
                Some(std::net::Ipv4Addr::from(v4).to_string())
            } else {
                let v6 = <[u8; 16]>::try_from(*bytes).ok()?;
                Some(std::net::Ipv6Addr::from(v6).to_string())
            }
        }
        _ => None,
    }
}

/// Certificates of a time before 1970 are not valid now either; they count as 1970.
fn time(unix_seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_seconds).unwrap_or(0))
}
