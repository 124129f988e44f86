//! The cluster's certificate authority and the certificates it issues.
//!
//! One [`CertificateAuthority`] per cluster. Its certificates carry the identity that Meseta's
//! listeners read: the common name is the user, each organization is a group, as Kubernetes does.
//! Keys are P-256; a client accepts nothing but certificates of this one authority.
//!
//! Where keys are stored is left to others; nothing here touches a disk or a socket.
//!
//! **Invariant:** an authority issues end-entity certificates only, never another authority.

mod authority;
mod inspect;

pub use authority::{CertificateAuthority, Issued};
pub use inspect::{CertificateInfo, inspect, subject, verify};

use std::time::Duration;

/// Group of every agent's certificate.
pub const AGENTS_GROUP: &str = "meseta:agents";
/// Group of the control planes' client certificates; agents serve nobody else.
pub const CONTROL_PLANE_GROUP: &str = "meseta:control-planes";
/// Group that may do everything, named as in Kubernetes.
pub const ADMIN_GROUP: &str = "system:masters";

/// How long an authority is valid: as kubeadm's.
pub const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// How long an issued certificate is valid: as kubeadm's.
pub const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How far a peer's clock may be behind: validity begins this long before the moment of issue.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The user name in an agent's certificate.
#[must_use]
pub fn agent_user(agent: &str) -> String {
    format!("meseta:agent:{agent}")
}

/// The DNS name in an agent's certificate: what a control plane expects at the agent's address.
#[must_use]
pub fn agent_server_name(agent: &str) -> String {
    format!("{agent}.agent.meseta.internal")
}

/// Why a certificate was not made or not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key or certificate could not be made.
    #[error("cannot issue a certificate for `{name}`")]
    Issue {
        /// Common name of the certificate.
        name: String,
        /// What went wrong.
        #[source]
        source: rcgen::Error,
    },
    /// A certificate names one group at most.
    #[error("a certificate can name one group, and `{name}` has several")]
    ManyGroups {
        /// Common name of the certificate.
        name: String,
    },
    /// The authority's key does not belong to its certificate, or one of them is unreadable.
    #[error("cannot load the certificate authority: {why}")]
    Load {
        /// What is wrong with it.
        why: String,
    },
    /// A certificate cannot be read.
    #[error("cannot read the certificate: {why}")]
    Parse {
        /// What is wrong with it.
        why: String,
    },
    /// A certificate was not issued by the authority, or its time is over or yet to come.
    #[error("the certificate of `{name}` is not valid: {why}")]
    Untrusted {
        /// Common name of the certificate.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}
