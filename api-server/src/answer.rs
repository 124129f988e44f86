//! Answers: a status, headers and a body that is whole or streams.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use serde_json::Value;

use crate::request::media::Encoding;
use crate::status::Failure;

/// An answer of the API server.
pub(crate) type Response = http::Response<Body>;

/// Any error of a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub struct Body(Inner);

enum Inner {
    Whole(Option<Bytes>),
    Stream(BoxStream<'static, Result<Bytes, BoxError>>),
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Inner::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }

    pub(crate) fn stream(
        stream: impl futures::Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
    ) -> Self {
        Self(Inner::Stream(stream.boxed()))
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Inner::Whole(_) => "Body(whole)",
            Inner::Stream(_) => "Body(stream)",
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Inner::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Stream(stream) => {
                stream.as_mut().poll_next(cx).map(|item| item.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Inner::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(None) => SizeHint::with_exact(0),
            Inner::Whole(Some(bytes)) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Inner::Stream(_) => SizeHint::default(),
        }
    }
}

/// An answer with a content type.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    answer(status, "text/plain; charset=utf-8", Body::whole(text))
}

/// The answer at a path that is none; in plain text, as Kubernetes has it.
pub(crate) fn no_such_page() -> Response {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// JSON text in the encoding that is wanted.
pub(crate) fn encoded(status: StatusCode, encoding: Encoding, json: Vec<u8>) -> Response {
    let body = match encoding {
        Encoding::Json => json,
        Encoding::Yaml => yaml(&json).into_bytes(),
    };
    answer(status, encoding.content_type(), Body::whole(body))
}

fn yaml(json: &[u8]) -> String {
    let value: Value = serde_json::from_slice(json).expect("the server has just written it");
    serde_yaml::to_string(&value).expect("JSON can be written as YAML")
}

/// A value in the encoding that is wanted.
pub(crate) fn value(status: StatusCode, encoding: Encoding, value: &Value) -> Response {
    encoded(status, encoding, value.to_string().into_bytes())
}

/// A failure as its `Status`.
pub(crate) fn failure(failure: &Failure, encoding: Encoding) -> Response {
    let code = StatusCode::from_u16(failure.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = value(code, encoding, &failure.body());
    if let Some(seconds) = failure.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Adds `Warning` headers, which kubectl prints.
pub(crate) fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    /// The code of RFC 7234 for all other persistent warnings; the agent is left out.
    const CODE: &str = "299 -";
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("{CODE} \"{quoted}\"")) {
            headers.append(header::WARNING, value);
        }
    }
}

/// Which store an answer comes from: another id means another store, or a restored one, and that
/// what is missing in it was not deleted.
pub(crate) const STORE_GENERATION: HeaderName = HeaderName::from_static("meseta-store-generation");
