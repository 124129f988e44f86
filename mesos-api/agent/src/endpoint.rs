//! The HTTP side: which path, which checks in which order, which answer.
//!
//! The order is a Mesos agent's, so that a call with several faults gets the answer it would get
//! there:
//!
//! ```text
//!  not of this machine 403 ─► path 404 ─► not recovered 503 ─► method 405 ─► body 408/413/503
//!  ─► no Content-Type 400 ─► other 415 ─► not parsed 400 ─► not valid 400 ─► Accept 406 (SUBSCRIBE)
//!  ─► HEARTBEAT 202 ─► framework 400 ─► executor 400 ─► not subscribed 403 ─► UNKNOWN 501, 202, 200
//! ```

mod answer;
mod read;
mod route;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body::Body;
use meseta_mesos_wire::{Encoding, v1};
use meseta_serve::{Bodies, BodyRoom};
use tokio_util::sync::CancellationToken;

use crate::call::{self, Checked};
use crate::executors::{Executors, Found, NotTaken, Slot, take_update};
use crate::stream::{Brought, Events};
use answer::{Answer, Refusal};
pub(crate) use read::LIMITS;
use route::Route;

/// What answers.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) executors: Executors,
    /// Where it listens: a peer of this address is on this machine.
    pub(crate) own: Option<IpAddr>,
    /// For the bodies of all requests.
    pub(crate) bodies: Bodies,
    /// Ends the streams.
    pub(crate) shutdown: CancellationToken,
}

impl Endpoint {
    /// Answers one request. The peer's address is an extension of it.
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body + Send,
        B::Data: Send,
    {
        self.respond(request).await.unwrap_or_else(Refusal::answer)
    }

    async fn respond<B>(&self, request: Request<B>) -> Result<Answer, Refusal>
    where
        B: Body + Send,
        B::Data: Send,
    {
        let peer = request.extensions().get::<SocketAddr>().map(SocketAddr::ip);
        if !peer.is_some_and(|peer| self.is_here(peer)) {
            return Err(Refusal::forbidden("Only programs on this machine are served"));
        }
        match route::route(request.uri().path()) {
            Some(Route::Executor) => self.call(request).await,
            Some(Route::Version) => Ok(answer::version()),
            Some(Route::Health) => Ok(answer::empty(StatusCode::OK)),
            None => Err(Refusal::not_found()),
        }
    }

    /// Whether connections from this address begin on this machine.
    fn is_here(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        peer.is_loopback() || self.own.is_some_and(|own| own.to_canonical() == peer)
    }

    async fn call<B>(&self, request: Request<B>) -> Result<Answer, Refusal>
    where
        B: Body + Send,
        B::Data: Send,
    {
        if !self.executors.is_recovered() {
            return Err(Refusal::unavailable("Agent has not finished recovery"));
        }
        if request.method() != Method::POST {
            return Err(Refusal::method(request.method()));
        }
        let (head, body) = request.into_parts();
        let (body, room) = self.bodies.read(body).await?;
        let call = parse(&head.headers, &body)?;
        let framework = call.framework_id.value.clone();
        let executor = call.executor_id.value.clone();
        let checked = check(call)?;
        let encoding = match checked {
            Checked::Subscribe(_) => accepted(&head.headers)?,
            Checked::Heartbeat => return Ok(answer::empty(StatusCode::ACCEPTED)),
            Checked::Update(_) | Checked::Message(_) | Checked::Unknown => Encoding::Json,
        };
        let slot = match self.executors.find(&framework, &executor) {
            Found::Executor(slot) => slot,
            Found::NoFramework => return Err(Refusal::bad_request("Framework cannot be found")),
            Found::NoExecutor => return Err(Refusal::bad_request("Executor cannot be found")),
        };
        if let Checked::Subscribe(subscription) = checked {
            let (executors, shutdown) = (self.executors.clone(), self.shutdown.clone());
            let brought = match slot.turn_now() {
                Some(turn) => Brought { subscription, turn, room },
                None => {
                    drop(subscription);
                    wait_to_subscribe(&slot, &head.headers, &body, room).await?
                }
            };
            let events = Events::open(executors, slot, brought, encoding, shutdown);
            return Ok(answer::events(events, encoding));
        }
        drop(body);
        if !slot.quietly(|session| session.takes_calls()) {
            return Err(Refusal::forbidden("Executor is not subscribed"));
        }
        self.accept(&slot, checked, room).await
    }

    async fn accept(
        &self,
        slot: &Arc<Slot>,
        checked: Checked,
        room: BodyRoom,
    ) -> Result<Answer, Refusal> {
        match checked {
            Checked::Update(status) => take_update(&self.executors, slot, *status, room)
                .await
                .map_err(|error| refuse_update(slot, &error))?,
            Checked::Message(data) => {
                self.executors.backend().message(&slot.facts().uid, data.into());
            }
            Checked::Unknown => return Err(Refusal::not_implemented()),
            Checked::Subscribe(_) | Checked::Heartbeat => {}
        }
        Ok(answer::empty(StatusCode::ACCEPTED))
    }
}

/// Waits until the updates that a SUBSCRIBE brings may be stored. What waits is the body, which has
/// its room: decoded it may take many times as much. The head of the answer waits with it.
async fn wait_to_subscribe(
    slot: &Slot,
    headers: &HeaderMap,
    body: &Bytes,
    room: BodyRoom,
) -> Result<Brought, Refusal> {
    let replaced = || Refusal::unavailable("A newer SUBSCRIBE of this executor has come");
    let turn = slot.turn_to_subscribe().await.ok_or_else(replaced)?;
    match check(parse(headers, body)?)? {
        Checked::Subscribe(subscription) => Ok(Brought { subscription, turn, room }),
        // The same bytes are the same call.
        Checked::Update(_) | Checked::Message(_) | Checked::Heartbeat | Checked::Unknown => {
            Err(Refusal::bad_request("Expecting a SUBSCRIBE"))
        }
    }
}

fn check(call: v1::executor::Call) -> Result<Checked, Refusal> {
    call::check(call).map_err(|error| {
        Refusal::bad_request(format!("Failed to validate Executor::Call: {error}"))
    })
}

fn refuse_update(slot: &Slot, error: &NotTaken) -> Refusal {
    let (executor, cause) = (&slot.facts().uid, error as &dyn std::error::Error);
    tracing::warn!(executor, error = cause, "an update is not taken");
    Refusal::unavailable(error.to_string())
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<v1::executor::Call, Refusal> {
    if !headers.contains_key(header::CONTENT_TYPE) {
        return Err(Refusal::bad_request("Expecting 'Content-Type' to be present"));
    }
    let encoding = last(headers, &header::CONTENT_TYPE)
        .and_then(Encoding::of_content_type)
        .ok_or_else(Refusal::unsupported_type)?;
    encoding.decode(body).map_err(|error| {
        Refusal::bad_request(match encoding {
            Encoding::Json => format!("Failed to convert JSON into Call protobuf: {error}"),
            Encoding::Protobuf => format!("Failed to parse body into Call protobuf: {error}"),
        })
    })
}

fn accepted(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let accept = headers
        .contains_key(header::ACCEPT)
        .then(|| last(headers, &header::ACCEPT).unwrap_or_default());
    Encoding::accepted(accept).ok_or_else(Refusal::not_acceptable)
}

/// The last header of a name counts, where it is text.
fn last<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()
}
