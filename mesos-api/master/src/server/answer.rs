//! Answers as a Mesos master gives them: no `Content-Type` without a body, errors as one line of text.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use meseta_mesos_wire::Encoding;

use crate::session::stream::EventStream;

/// A body of either kind.
pub(crate) enum AnswerBody {
    /// Whole, of known length.
    Whole(Full<Bytes>),
    /// Events, until one side ends it.
    Events(EventStream),
}

pub(crate) type Answer = Response<AnswerBody>;

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context),
            Self::Events(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// An answer without a body; hyper adds `Content-Length: 0`.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Full::default()));
    *answer.status_mut() = status;
    answer
}

/// A JSON document.
pub(crate) fn json(value: &serde_json::Value) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Full::new(Bytes::from(value.to_string()))));
    let content_type = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    answer
}

/// A stream of events that a scheduler subscribed to.
pub(crate) fn events(stream: EventStream, encoding: Encoding, stream_id: &str) -> Answer {
    let mut answer = Response::new(AnswerBody::Events(stream));
    let headers = answer.headers_mut();
    let content_type = HeaderValue::from_static(encoding.content_type());
    headers.insert(header::CONTENT_TYPE, content_type);
    if let Ok(id) = HeaderValue::from_str(stream_id) {
        headers.insert(super::STREAM_ID, id);
    }
    answer
}

/// Sends the caller to `location`.
pub(crate) fn redirect(location: &str) -> Answer {
    let Ok(location) = HeaderValue::from_str(location) else {
        return Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the leader's address is no header",
        )
        .into();
    };
    let mut answer = empty(StatusCode::TEMPORARY_REDIRECT);
    answer.headers_mut().insert(header::LOCATION, location);
    answer
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// One line for people.
    pub(crate) text: String,
    /// A further header: `Allow`, `WWW-Authenticate`.
    header: Option<(header::HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), header: None }
    }

    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(crate) fn forbidden(text: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, text)
    }

    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    pub(crate) fn not_acceptable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, text)
    }

    pub(crate) fn unsupported_media_type(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
    }

    pub(crate) fn method_not_allowed(method: &http::Method) -> Self {
        let text = format!("Expecting one of {{ 'POST' }}, but received '{method}'");
        let allow = (header::ALLOW, HeaderValue::from_static("POST"));
        Self { header: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, text) }
    }

    pub(crate) fn unauthorized(realm: &'static str) -> Self {
        let challenge = format!("Basic realm=\"{realm}\"");
        let challenge = HeaderValue::try_from(challenge).ok();
        Self {
            header: challenge.map(|value| (header::WWW_AUTHENTICATE, value)),
            ..Self::new(StatusCode::UNAUTHORIZED, "Expecting a principal and its secret")
        }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        // One line, whatever a client put into it.
        let text = refusal.text.replace(['\r', '\n'], " ");
        let mut answer = Response::new(AnswerBody::Whole(Full::new(Bytes::from(text))));
        *answer.status_mut() = refusal.status;
        let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
        if let Some((name, value)) = refusal.header {
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}
