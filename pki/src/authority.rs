//! Making certificates.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

use crate::{
    AGENTS_GROUP, AUTHORITY_VALIDITY, CERTIFICATE_VALIDITY, CLOCK_SKEW, Error, agent_server_name,
    agent_user, inspect,
};

/// Common name of the authority.
const AUTHORITY_NAME: &str = "meseta-ca";

/// A certificate with its key, both PEM; the key is PKCS#8.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// The key that signs all certificates of a cluster.
pub struct CertificateAuthority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// A new authority with a key of its own.
    ///
    /// # Errors
    /// [`Error::Issue`] where the machine has no randomness to give.
    pub fn generate() -> Result<Self, Error> {
        let issue = |source| Error::Issue { name: AUTHORITY_NAME.to_owned(), source };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(issue)?;
        let mut params = params(AUTHORITY_NAME, None, AUTHORITY_VALIDITY);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate = params.self_signed(&key).map_err(issue)?;
        Ok(Self { certificate_pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    /// The authority that [`certificate_pem`](Self::certificate_pem) and
    /// [`key_pem`](Self::key_pem) gave before.
    ///
    /// # Errors
    /// [`Error::Load`] where one of them is unreadable, is not an authority's, or does not belong
    /// to the other.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, Error> {
        let load = |why: String| Error::Load { why };
        let key = KeyPair::from_pem(key_pem).map_err(|e| load(format!("its key: {e}")))?;
        let info = inspect(certificate_pem).map_err(|e| load(e.to_string()))?;
        if !info.is_authority {
            return Err(load(format!("`{}` is not an authority's certificate", info.common_name)));
        }
        if info.public_key != key.public_key_raw() {
            return Err(load("its key belongs to another certificate".to_owned()));
        }
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key)
            .map_err(|e| load(format!("its certificate: {e}")))?;
        Ok(Self { certificate_pem: certificate_pem.to_owned(), issuer })
    }

    /// The certificate that peers trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, PKCS#8; who has it is everybody.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate for a listener reached under any of `names`: DNS names or IP addresses.
    ///
    /// # Errors
    /// [`Error::Issue`] where a name is neither.
    pub fn issue_server(&self, names: &[String]) -> Result<Issued, Error> {
        let common_name = names.first().map_or("localhost", String::as_str);
        self.issue(common_name, &[], names, &[ExtendedKeyUsagePurpose::ServerAuth])
    }

    /// A certificate with which `user`, a member of `groups` (one at most), calls the API server.
    ///
    /// # Errors
    /// [`Error::Issue`]; [`Error::ManyGroups`].
    pub fn issue_client(&self, user: &str, groups: &[String]) -> Result<Issued, Error> {
        self.issue(user, groups, &[], &[ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// A certificate for an agent: it calls the API server and listens for control planes.
    ///
    /// # Errors
    /// [`Error::Issue`] where `agent` cannot be part of a DNS name.
    pub fn issue_agent(&self, agent: &str) -> Result<Issued, Error> {
        self.issue(
            &agent_user(agent),
            &[AGENTS_GROUP.to_owned()],
            &[agent_server_name(agent)],
            &[ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
        )
    }

    fn issue(
        &self,
        common_name: &str,
        groups: &[String],
        names: &[String],
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Result<Issued, Error> {
        let issue = |source| Error::Issue { name: common_name.to_owned(), source };
        let group = match groups {
            [] => None,
            [group] => Some(group.as_str()),
            // rcgen keeps one value per attribute of a name.
            [..] => return Err(Error::ManyGroups { name: common_name.to_owned() }),
        };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(issue)?;
        let mut params = params(common_name, group, CERTIFICATE_VALIDITY);
        params.subject_alt_names = CertificateParams::new(
            names.iter().map(|name| canonical_name(name)).collect::<Vec<_>>(),
        )
        .map_err(issue)?
        .subject_alt_names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue)?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

/// `[::1]` is how people write `::1` beside a port.
fn canonical_name(name: &str) -> String {
    name.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .filter(|inner| inner.parse::<IpAddr>().is_ok())
        .unwrap_or(name)
        .to_owned()
}

fn params(common_name: &str, group: Option<&str>, validity: Duration) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    if let Some(group) = group {
        subject.push(DnType::OrganizationName, group);
    }
    subject.push(DnType::CommonName, common_name);
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + validity).into();
    params
}

#[cfg(test)]
mod tests;
