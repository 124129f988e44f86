//! The members of an etcd cluster, of which one is asked at a time.
//!
//! A member that does not answer is left for the next. Reads are asked again there; a write only
//! where it is certain that nobody received it.

use std::error::Error as StdError;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Identity, KvClient, LeaseClient, TlsOptions, WatchClient,
};
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};

use super::{Options, Tls};
use crate::Error;

/// How long the answer to a write may take; etcd itself gives up after about 7 s (5 s and two
/// elections).
const WRITE_TIMEOUT: Duration = Duration::from_secs(8);
/// How long the answer to a read may take, so that within [`RETRY_TIMEOUT`] another member is asked.
const READ_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a call is tried again while members are down or have no leader: a few elections.
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a silent connection is asked whether it lives, and how long it may think about it.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));

/// The members.
#[derive(Debug)]
pub(super) struct Cluster {
    members: Vec<Member>,
    current: AtomicUsize,
}

/// The services of one member.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) kv: KvClient,
    pub(super) watch: WatchClient,
    pub(super) lease: LeaseClient,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").finish_non_exhaustive()
    }
}

/// What etcd says when it does not do something.
#[derive(Debug)]
pub(super) enum Fault {
    /// The revision is compacted.
    Compacted,
    /// The revision is not there yet.
    Future,
    /// The lease has ended or never was.
    NoLease,
    /// The quota is used up.
    NoSpace(etcd_client::Error),
    /// Nobody has received the call, or who has did nothing.
    NotDone(etcd_client::Error),
    /// Nobody knows.
    Unknown(Unknown),
}

/// Why it is not known whether something happened.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unknown {
    /// The call failed.
    #[error(transparent)]
    Failed(#[from] etcd_client::Error),
    /// There was no answer in time.
    #[error("etcd did not answer in time")]
    Silent,
}

/// The options are no good.
#[derive(Debug, thiserror::Error)]
#[error("etcd needs at least one endpoint")]
struct NoEndpoint;

impl Fault {
    fn of(error: etcd_client::Error) -> Self {
        let etcd_client::Error::GRpcStatus(status) = &error else {
            return match &error {
                etcd_client::Error::LeaseKeepAliveError(_) => Self::NoLease,
                _ => Self::Unknown(error.into()),
            };
        };
        let says = |part| status.message().contains(part);
        if says("required revision has been compacted") {
            Self::Compacted
        } else if says("required revision is a future revision") {
            Self::Future
        } else if says("requested lease not found") {
            Self::NoLease
        } else if says("database space exceeded") {
            Self::NoSpace(error)
        } else if says("etcdserver: no leader") || refused(status) {
            Self::NotDone(error)
        } else {
            Self::Unknown(error.into())
        }
    }

    /// The fault as it looks from outside, where nothing more special is known.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::NoSpace(cause) => Error::NoSpace(Box::new(cause)),
            Self::NotDone(cause) => super::unavailable(cause),
            Self::Unknown(cause) => super::unavailable(cause),
            odd @ (Self::Compacted | Self::Future | Self::NoLease) => {
                super::unavailable(io::Error::other(format!("etcd said {odd:?}")))
            }
        }
    }
}

/// Whether no connection came about, so that nobody can have received anything.
fn refused(failure: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(failure);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::AddrNotAvailable
            );
        }
        cause = error.source();
    }
    false
}

impl Cluster {
    /// Prepares the connections; none comes about before it is used.
    pub(super) async fn connect(options: &Options) -> Result<Self, Error> {
        let mut connect = ConnectOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
            .with_keep_alive_while_idle(true)
            // A member that is cut off from the others ends its watches.
            .with_require_leader(true);
        if let Some(tls) = &options.tls {
            connect = connect.with_tls(tls_options(tls));
        }
        let mut members = Vec::with_capacity(options.endpoints.len());
        for endpoint in &options.endpoints {
            let client = Client::connect([endpoint], Some(connect.clone()));
            members.push(Member::of(&client.await.map_err(super::unavailable)?));
        }
        if members.is_empty() {
            return Err(super::unavailable(NoEndpoint));
        }
        Ok(Self { members, current: AtomicUsize::new(0) })
    }

    /// The member to ask, and its number.
    pub(super) fn member(&self) -> (usize, Member) {
        let number = self.current.load(Ordering::Relaxed) % self.members.len();
        (number, self.members[number].clone())
    }

    /// Leaves a member that failed for the next, unless somebody has done so already.
    pub(super) fn leave(&self, number: usize) {
        let next = (number + 1) % self.members.len();
        let _already =
            self.current.compare_exchange(number, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Asks for something that can be asked again.
    pub(super) async fn read<T>(
        &self,
        call: impl Fn(Member) -> BoxFuture<'static, Result<T, etcd_client::Error>>,
    ) -> Result<T, Fault> {
        let again = |fault: &Fault| matches!(fault, Fault::NotDone(_) | Fault::Unknown(_));
        self.ask(READ_TIMEOUT, call, again).await
    }

    /// Asks for something that must happen once at most.
    pub(super) async fn write<T>(
        &self,
        call: impl Fn(Member) -> BoxFuture<'static, Result<T, etcd_client::Error>>,
    ) -> Result<T, Fault> {
        self.ask(WRITE_TIMEOUT, call, |fault| matches!(fault, Fault::NotDone(_))).await
    }

    async fn ask<T>(
        &self,
        patience: Duration,
        call: impl Fn(Member) -> BoxFuture<'static, Result<T, etcd_client::Error>>,
        again: impl Fn(&Fault) -> bool,
    ) -> Result<T, Fault> {
        let end = Instant::now() + RETRY_TIMEOUT;
        loop {
            let (number, member) = self.member();
            let fault = match timeout(patience, call(member)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => Fault::of(error),
                Err(_elapsed) => Fault::Unknown(Unknown::Silent),
            };
            if matches!(fault, Fault::NotDone(_) | Fault::Unknown(_)) {
                self.leave(number);
            }
            if !again(&fault) || Instant::now() >= end {
                return Err(fault);
            }
            sleep(RETRY_PAUSE).await;
        }
    }
}

impl Member {
    fn of(client: &Client) -> Self {
        // A page or a commit of large records has more than gRPC's 4 MiB; what bounds them is here.
        Self {
            kv: client.kv_client().max_decoding_message_size(usize::MAX),
            watch: client.watch_client().max_decoding_message_size(usize::MAX),
            lease: client.lease_client(),
        }
    }
}

fn tls_options(tls: &Tls) -> TlsOptions {
    let options = TlsOptions::new().ca_certificate(Certificate::from_pem(&tls.ca_pem));
    match &tls.client {
        Some(client) => {
            options.identity(Identity::from_pem(&client.certificate_pem, &client.key_pem))
        }
        None => options,
    }
}
