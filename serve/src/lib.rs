//! What every listener of Meseta needs: TLS, limits, timeouts, shutdown, access log.
//!
//! [`serve`] runs any tower service over HTTP/1.1 and HTTP/2 on a socket. Nobody is served without
//! a certificate of the cluster's authority; what the certificate says is put into the request as
//! an [`Identity`], and what that identity may do is the service's business. [`Client`] is the
//! other end: a control plane calling an agent. [`serve_plain`] is for the Mesos APIs, whose clients
//! know neither TLS nor HTTP/2: who is served is there the service's business alone. [`Bodies`] reads
//! what requests bring, within bounds.
//!
//! ```text
//!  accept ─► room for one more? ─► TLS handshake ─► first request ─► requests …
//!            [max_connections]     [handshake]      [header_read]     [streams, header bytes]
//!                                                   shutdown: finish what runs, at most [drain]
//! ```
//!
//! **Invariant:** nothing a peer does not send keeps a connection for longer than a named limit,
//! and nothing reaches a service of [`serve`] without an identity.

mod bodies;
mod client;
mod idle;
mod listener;
mod plain;
mod tls;

pub use bodies::{Bodies, BodyError, BodyLimits, BodyRoom};
pub use client::Client;
pub use listener::{Limits, serve};
pub use meseta_pki::agent_server_name;
pub use plain::{Hangup, serve_plain};
pub use tls::{Identity, client_config, install_crypto_provider, server_config};

/// Why TLS could not be set up, or a call did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A certificate or key cannot be read.
    #[error("cannot read the {what}")]
    Pem {
        /// Which of them.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Certificate, key and authority do not fit together.
    #[error("cannot set up TLS")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing answers at the address.
    #[error("cannot connect to {address}")]
    Connect {
        /// `host:port`.
        address: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The peer did not answer in time.
    #[error("{address} did not answer within {seconds} s")]
    Timeout {
        /// `host:port`.
        address: String,
        /// The limit.
        seconds: u64,
    },
    /// The server name, path or answer is not what HTTP allows.
    #[error("the call to {address} failed")]
    Http {
        /// `host:port`.
        address: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
