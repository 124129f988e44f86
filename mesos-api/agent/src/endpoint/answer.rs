//! Answers as a Mesos agent gives them: no `Content-Type` without a body, errors as one line of text.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use meseta_mesos_wire::Encoding;

use crate::stream::Events;

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

pub(super) fn version() -> Answer {
    typed(StatusCode::OK, "application/json", meseta_mesos_wire::version().to_string())
}

/// An answer without a body; hyper adds `Content-Length: 0`.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default().boxed_unsync());
    *answer.status_mut() = status;
    answer
}

/// The events of an executor that subscribed. The type is that of each record.
pub(super) fn events(events: Events, encoding: Encoding) -> Answer {
    let mut answer = Response::new(StreamBody::new(events.frames()).boxed_unsync());
    let content_type = HeaderValue::from_static(encoding.content_type());
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    answer
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Why a request is not served: a status and one line for people.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn forbidden(text: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, text)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "")
    }

    pub(super) fn method(method: &Method) -> Self {
        let text = format!("Expecting one of {{ 'POST' }}, but received '{method}'.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, text)
    }

    pub(super) fn not_acceptable() -> Self {
        let text = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'";
        Self::new(StatusCode::NOT_ACCEPTABLE, text)
    }

    pub(super) fn unsupported_type() -> Self {
        let text = "Expecting 'Content-Type' of application/json or application/x-protobuf";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
    }

    pub(super) fn timeout(text: &str) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, text)
    }

    pub(super) fn too_large(text: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    }

    pub(super) fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    pub(super) fn not_implemented() -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "")
    }

    pub(super) fn answer(self) -> Answer {
        let mut answer = if self.text.is_empty() {
            empty(self.status)
        } else {
            typed(self.status, "text/plain; charset=utf-8", self.text)
        };
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        answer
    }
}
