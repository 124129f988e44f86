//! The endpoint of the scheduler API.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use meseta_mesos_wire::Encoding;
use meseta_mesos_wire::v1::scheduler::{Call, call};
use meseta_serve::{BodyRoom, Hangup};
use tokio::sync::oneshot;

use super::answer::{self, Answer, Refusal};
use super::body;
use super::negotiate::{accepted, content_type, last};
use super::{STREAM_ID, Server};
use crate::core::call::{Fault, check};
use crate::session::{Job, Session, Subscription, Waiting, events, stream};
use crate::sync::Office;

impl Server {
    /// Answers a request of `principal` to the leader.
    ///
    /// # Errors
    /// The first check that fails.
    pub(super) async fn scheduler(
        &self,
        request: Request<Incoming>,
        principal: Option<String>,
    ) -> Result<Answer, Refusal> {
        let office = self
            .gateway
            .office()
            .ok_or_else(|| Refusal::unavailable("Master has not finished recovery"))?;
        if request.method() != Method::POST {
            return Err(Refusal::method_not_allowed(request.method()));
        }
        let encoding = content_type(request.headers())?;
        let (parts, incoming) = request.into_parts();
        let (bytes, room) = body::read(&self.bodies, incoming).await?;
        let head = {
            let principal = principal.clone();
            move |call: Call| (check(&call, principal.as_deref()), call.framework_id)
        };
        // It is decoded again when its turn comes; until then it waits as it came.
        let decoded = self.gateway.decoding.decode(encoding, bytes.clone(), head).await;
        let ((checked, framework_id), _) = decoded.map_err(|error| {
            Refusal::bad_request(format!("Failed to parse body into Call: {error}"))
        })?;
        let framework_id = framework_id.map(|id| id.value).unwrap_or_default();
        let kind = match checked {
            Ok(kind) => kind,
            // Refused like any other where it comes from nobody, and only then for what it is.
            Err(Fault::Unknown) => call::Type::Unknown,
            Err(Fault::Invalid(text)) => return Err(Refusal::bad_request(text)),
        };
        let stream_id = last(&parts.headers, &STREAM_ID);
        if kind == call::Type::Subscribe {
            let came_in = encoding;
            let encoding = accepted(&parts.headers)?;
            if stream_id.is_some() {
                return Err(Refusal::bad_request(
                    "Subscribe calls should not include the 'Mesos-Stream-Id' header",
                ));
            }
            let hangup = parts.extensions.get::<Hangup>().cloned().unwrap_or_default();
            let id = Some(framework_id).filter(|id| !id.is_empty());
            let came = Came { bytes, encoding: came_in, room, principal };
            return self.subscribe(&office, id, came, encoding, hangup).await;
        }
        if kind == call::Type::ReconcileOperations {
            accepted(&parts.headers)?;
        }
        let session = office
            .session(&framework_id)
            .ok_or_else(|| Refusal::bad_request("Framework cannot be found"))?;
        session.check(principal.as_deref(), stream_id)?;
        if kind == call::Type::Unknown {
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "Received 'UNKNOWN' call"));
        }
        let waiting = session.waiting(bytes, encoding, room)?;
        if kind == call::Type::UpdateFramework {
            return update(&session, principal, waiting).await;
        }
        session.queue(Job::Call(kind, waiting)).await?;
        Ok(answer::empty(StatusCode::ACCEPTED))
    }

    /// Opens the stream at once; whether it is subscribed is told on it.
    async fn subscribe(
        &self,
        office: &std::sync::Arc<Office>,
        id: Option<String>,
        came: Came,
        encoding: Encoding,
        hangup: Hangup,
    ) -> Result<Answer, Refusal> {
        let too_many = |_| Refusal::unavailable("Too many schedulers are subscribed");
        let held = std::sync::Arc::clone(&self.streams).try_acquire_owned().map_err(too_many)?;
        let heartbeat = events::record(encoding, &events::heartbeat());
        let (sender, body) = stream::open(heartbeat, hangup, held);
        let stream_id = uuid::Uuid::new_v4().to_string();
        let answer = answer::events(body, encoding, &stream_id);
        if let Some(Err(fault)) = id.as_deref().map(crate::core::ids::check) {
            sender.send(events::record(encoding, &events::error(fault))).ok();
            return Ok(answer);
        }
        let session = office
            .session_or_new(id.as_deref())
            .map_err(|_| Refusal::unavailable("There are too many frameworks"))?;
        let waiting = session.waiting(came.bytes, came.encoding, came.room)?;
        let subscription = Subscription { principal: came.principal, stream_id, encoding, sender };
        session.queue(Job::Subscribe(Box::new(subscription), waiting)).await?;
        Ok(answer)
    }
}

/// A call as it came, and from whom.
struct Came {
    bytes: Bytes,
    encoding: Encoding,
    room: BodyRoom,
    principal: Option<String>,
}

/// Changes a framework; the only call whose outcome is in its answer.
async fn update(
    session: &Session,
    principal: Option<String>,
    waiting: Waiting,
) -> Result<Answer, Refusal> {
    let (answer, answered) = oneshot::channel();
    session.queue(Job::Update(principal, answer, waiting)).await?;
    match answered.await {
        Ok(Ok(())) => Ok(answer::empty(StatusCode::OK)),
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(Refusal::unavailable("This master does not lead any more")),
    }
}
