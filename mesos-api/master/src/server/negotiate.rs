//! Which encoding a request has and which one its answer may have. The last of several headers of
//! one name counts, as with a Mesos master: one client sends two `Accept` and depends on it.

use http::HeaderMap;
use http::header::{self, HeaderName};
use meseta_mesos_wire::Encoding;

use super::answer::Refusal;

/// The last header of a name; empty where it is not text.
pub(crate) fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let last = headers.get_all(name).iter().next_back()?;
    Some(last.to_str().unwrap_or_default())
}

/// The encoding of the request's body.
///
/// # Errors
/// 400 without a `Content-Type`, 415 with another than the two.
pub(crate) fn content_type(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let content_type = last(headers, &header::CONTENT_TYPE)
        .ok_or_else(|| Refusal::bad_request("Expecting 'Content-Type' to be present"))?;
    Encoding::of_content_type(content_type).ok_or_else(|| {
        Refusal::unsupported_media_type(
            "Expecting 'Content-Type' of application/json or application/x-protobuf",
        )
    })
}

/// The encoding of the answer: JSON where it is acceptable, else protobuf.
///
/// # Errors
/// 406 where neither is.
pub(crate) fn accepted(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    Encoding::accepted(last(headers, &header::ACCEPT)).ok_or_else(|| {
        Refusal::not_acceptable(
            "Expecting 'Accept' to allow application/json or application/x-protobuf",
        )
    })
}

#[cfg(test)]
mod tests;
