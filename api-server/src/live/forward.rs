//! What only the leader can answer, asked by a control plane that does not lead.
//!
//! The caller has been authorized here. The leader is asked with the control plane's own
//! certificate, may answer as to any control plane, and is not asked to ask another one.
//!
//! **Invariant:** a forwarded watch ends when its leader is replaced, even if the old one still
//! answers: with 410 where the last line is complete, else by a broken answer.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use http::header::{self, HeaderName, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyDataStream, BodyExt as _};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::Call;
use super::changes::MOVED;
use super::source::{Leader, LiveCollection};
use crate::answer::{Body, BoxError, Response};
use crate::handlers::watch::error_line;
use crate::request::verb::Verb;
use crate::server::REQUEST_TIMEOUT;
use crate::status::Failure;
use crate::storage::with_causes;

/// On a request that was forwarded: it is not forwarded again.
const FORWARDED: HeaderName = HeaderName::from_static("meseta-forwarded");
/// What of the leader's answer is passed on, beside status and body.
const PASSED_ON: [HeaderName; 3] = [header::CONTENT_TYPE, header::RETRY_AFTER, header::WARNING];

/// Said where another leads by now.
const MOVED_AWAY: &str = "the control plane that was asked does not lead any more; try again";

/// Asks the API server at `url` what `call` asks here.
///
/// # Errors
/// 503 where it cannot be asked, or where the request comes from another control plane.
pub(super) async fn to(
    url: &str,
    source: &Arc<dyn LiveCollection>,
    peers: Option<&meseta_serve::Client>,
    call: &Call<'_>,
) -> Result<Response, Failure> {
    if call.head.headers.contains_key(FORWARDED) {
        return Err(Failure::leaderless(MOVED_AWAY));
    }
    let cannot = |why: &str| {
        Failure::leaderless(format!("the leading control plane at {url} cannot be asked: {why}"))
    };
    let peers = peers.ok_or_else(|| cannot("there is no certificate to show"))?;
    let (address, name) = address(url).ok_or_else(|| cannot("this is no address"))?;
    let path = call.head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = Request::get(path).body(Bytes::new()).map_err(Failure::internal)?;
    request.headers_mut().insert(FORWARDED, HeaderValue::from_static("true"));
    for accept in call.head.headers.get_all(header::ACCEPT) {
        request.headers_mut().append(header::ACCEPT, accept.clone());
    }
    let room = call.server.limits.stream()?;
    let mut moved = source.leader_changed(Leader::At(url.to_owned()));
    let answer = tokio::select! {
        () = &mut moved => return Err(Failure::leaderless(MOVED_AWAY)),
        answer = peers.send(&address, &name, request) => answer,
    };
    let answer = answer.map_err(|error| cannot(&with_causes(&error)))?;

    let (head, body) = answer.into_parts();
    let watch = call.verb == Verb::Watch && head.status == StatusCode::OK;
    let cut = if watch { moved } else { Box::pin(tokio::time::sleep(REQUEST_TIMEOUT)) };
    let body = body.into_data_stream();
    let shutdown = call.server.shutdown.clone();
    let relay = Relay { body, watch, cut, shutdown, complete: true, over: false, room };
    let relay = futures::stream::unfold(relay, |mut relay| async move {
        let chunk = relay.next().await?;
        Some((chunk, relay))
    });
    let mut response = Response::new(Body::stream(relay));
    *response.status_mut() = head.status;
    for name in PASSED_ON {
        if let Some(value) = head.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Ok(response)
}

/// `host:port` and the name in the certificate, of `https://host:port`.
fn address(url: &str) -> Option<(String, String)> {
    let url: Uri = url.parse().ok()?;
    let authority = url.authority().filter(|_| url.scheme_str() == Some("https"))?;
    let host = authority.host();
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((format!("{host}:{}", authority.port_u16().unwrap_or(443)), name))
}

/// The leader's answer on its way to the client.
struct Relay {
    body: BodyDataStream<Incoming>,
    watch: bool,
    /// Ready when a watch must end because the leader is another, and anything else because it has
    /// taken too long.
    cut: BoxFuture<'static, ()>,
    /// Ends a watch; its client goes on at another control plane.
    shutdown: CancellationToken,
    /// Whether what was passed on ends with a line.
    complete: bool,
    over: bool,
    /// Held until the end.
    #[expect(dead_code, reason = "held, not read")]
    room: OwnedSemaphorePermit,
}

impl Relay {
    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        if self.over {
            return None;
        }
        let chunk = tokio::select! {
            biased;
            () = self.shutdown.cancelled(), if self.watch => return None,
            () = &mut self.cut => Err(BoxError::from(MOVED)),
            chunk = self.body.next() => chunk?.map_err(BoxError::from),
        };
        match chunk {
            Ok(bytes) => {
                self.complete = bytes.last().map_or(self.complete, |last| *last == b'\n');
                Some(Ok(bytes))
            }
            Err(error) => {
                self.over = true;
                let line = error_line(&Failure::expired(MOVED, None));
                Some(if self.watch && self.complete { Ok(line) } else { Err(error) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_dialled_at_the_host_and_port_of_its_url() {
        let some = |address: &str, name: &str| Some((address.to_owned(), name.to_owned()));
        assert_eq!(address("https://10.0.0.1:7443"), some("10.0.0.1:7443", "10.0.0.1"));
        assert_eq!(address("https://[::1]:7443"), some("[::1]:7443", "::1"));
        assert_eq!(address("https://plane-1"), some("plane-1:443", "plane-1"));
        for bad in ["http://10.0.0.1:7443", "10.0.0.1:7443", "", "https://"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
