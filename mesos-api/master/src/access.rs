//! Who may speak to the gateway: principals and their secrets, from one Secret, by HTTP Basic.
//!
//! The Secret [`CREDENTIALS`] in [`SYSTEM_NAMESPACE`] holds a key per principal, its value is the
//! principal's secret. It is watched: a change counts from the next request on.
//!
//! ```text
//!  Secret not read yet ─► 503        Secret absent ─► peers of this machine only, without a name
//!                                    Secret present ─► 401 unless the request names one of its pairs
//! ```
//!
//! **Invariant:** a Secret that is there and holds nothing usable lets nobody in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::server::answer::Refusal;
use crate::server::negotiate::last;

mod follow;

pub(crate) use follow::follow;

/// The Secret's name.
const CREDENTIALS: &str = "meseta-mesos-credentials";
/// The realm of the scheduler API.
pub(crate) const SCHEDULER_REALM: &str = "mesos-master-scheduler";
/// The realm of the operator API.
pub(crate) const OPERATOR_REALM: &str = "mesos-master-readwrite";

/// What is known of the Secret.
#[derive(Clone, Default)]
enum Known {
    /// It was not read yet.
    #[default]
    Nothing,
    /// There is none.
    Absent,
    /// SHA-256 of each principal's secret.
    Present(Arc<BTreeMap<String, [u8; 32]>>),
}

/// The gate; shared.
#[derive(Clone)]
pub(crate) struct Access {
    known: watch::Receiver<Known>,
}

impl Access {
    /// Lets a request in, or not; says as whom.
    ///
    /// # Errors
    /// 401, 403 or 503, each with a sentence.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
        realm: &'static str,
    ) -> Result<Option<String>, Refusal> {
        match &*self.known.borrow() {
            Known::Nothing => Err(Refusal::unavailable("The credentials have not been read yet")),
            Known::Absent => {
                // Browsers name an origin: a page from elsewhere is not this machine's user.
                let is_page = headers.contains_key(header::ORIGIN);
                if !is_page && peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
                    return Ok(None);
                }
                Err(Refusal::forbidden(format!(
                    "No credentials are configured, so only this machine is served; create the \
                     Secret {CREDENTIALS} in the namespace {} with a key for each principal and \
                     its secret as the value",
                    meseta_crds::SYSTEM_NAMESPACE
                )))
            }
            Known::Present(secrets) => {
                let authorization = last(headers, &header::AUTHORIZATION).unwrap_or_default();
                let principal = basic(authorization)
                    .filter(|(principal, secret)| matches(secrets, principal, secret))
                    .map(|(principal, _)| principal);
                principal.map(Some).ok_or_else(|| Refusal::unauthorized(realm))
            }
        }
    }
}

/// Principal and secret of an `Authorization` header: the decoded text must be two parts at `:`.
fn basic(authorization: &str) -> Option<(String, String)> {
    let (scheme, rest) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (principal, secret) = text.split_once(':')?;
    (!secret.contains(':') && !principal.is_empty())
        .then(|| (principal.to_owned(), secret.to_owned()))
}

/// Takes the same time whether the principal exists or not and wherever the secrets differ.
fn matches(secrets: &BTreeMap<String, [u8; 32]>, principal: &str, secret: &str) -> bool {
    let given = digest(secret.as_bytes());
    let stored = secrets.get(principal);
    let expected = stored.copied().unwrap_or_default();
    let differences = given.iter().zip(&expected).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differences) == 0 && stored.is_some()
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests;
