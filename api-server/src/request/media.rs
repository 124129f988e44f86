//! Media types: what a client sends, and what it wants to be sent.
//!
//! `Accept` is a list tried in order; the first entry that can be produced wins. Its weights are
//! not looked at, as kube-apiserver does not either.

use std::borrow::Cow;

use http::{HeaderMap, header};

use crate::cache::Form;
use crate::status::Failure;
use crate::table::IncludeObject;

/// What can be produced, for a refusal.
const PRODUCED: [&str; 2] = ["application/json", "application/yaml"];

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
}

impl Encoding {
    /// The value of `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

/// What a client wants objects to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) encoding: Encoding,
    pub(crate) form: Form,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyType {
    Json,
    Yaml,
}

/// How a patch is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own; for built-in kinds.
    Strategic,
}

/// One entry of `Accept`.
struct Range<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let parameters = parts.filter_map(|part| part.split_once('=')).collect();
        Self { media_type, parameters }
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }

    fn encoding(&self) -> Option<Encoding> {
        match self.media_type {
            "*/*" | "application/*" | "application/json" => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            _ => None,
        }
    }

    fn form(&self, include: IncludeObject) -> Option<Form> {
        let version = self.parameter("v").unwrap_or_default();
        let known =
            self.parameter("g") == Some("meta.k8s.io") && matches!(version, "v1" | "v1beta1");
        match self.parameter("as") {
            None => Some(Form::Object),
            Some("Table") if known => Some(Form::Table(include)),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") if known => {
                Some(Form::Metadata { beta: version == "v1beta1" })
            }
            Some(_) => None,
        }
    }
}

fn ranges(headers: &HeaderMap) -> Cow<'_, str> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut values = values.filter(|value| !value.trim().is_empty());
    match (values.next(), values.next()) {
        (None, _) => Cow::Borrowed("*/*"),
        (Some(one), None) => Cow::Borrowed(one),
        (Some(one), Some(two)) => {
            let rest: Vec<&str> = values.collect();
            Cow::Owned([&[one, two], rest.as_slice()].concat().join(","))
        }
    }
}

/// How objects are wanted; `include` says what the rows of a table carry.
///
/// # Errors
/// 406 where nothing that is accepted can be produced.
pub(crate) fn wanted(headers: &HeaderMap, include: IncludeObject) -> Result<Wanted, Failure> {
    ranges(headers)
        .split(',')
        .map(Range::parse)
        .find_map(|range| Some(Wanted { encoding: range.encoding()?, form: range.form(include)? }))
        .ok_or_else(|| Failure::not_acceptable(&PRODUCED))
}

/// How an error or another answer without forms is written: never refused.
pub(crate) fn plain_encoding(headers: &HeaderMap) -> Encoding {
    ranges(headers)
        .split(',')
        .find_map(|range| Range::parse(range).encoding())
        .unwrap_or(Encoding::Json)
}

/// Whether discovery is wanted aggregated.
///
/// # Errors
/// 406 where only a form is accepted that is not served.
pub(crate) fn wants_aggregated_discovery(headers: &HeaderMap) -> Result<bool, Failure> {
    for range in ranges(headers).split(',').map(Range::parse) {
        let Some(Encoding::Json | Encoding::Yaml) = range.encoding() else { continue };
        match range.parameter("as") {
            None => return Ok(false),
            Some("APIGroupDiscoveryList")
                if range.parameter("g") == Some("apidiscovery.k8s.io")
                    && range.parameter("v") == Some("v2") =>
            {
                return Ok(true);
            }
            Some(_) => {}
        }
    }
    Err(Failure::not_acceptable(&PRODUCED))
}

/// `Content-Type` without its parameters.
fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

/// How the body of a write is written; none said means JSON.
///
/// # Errors
/// 415.
pub(crate) fn body_type(headers: &HeaderMap) -> Result<BodyType, Failure> {
    match content_type(headers) {
        "" | "application/json" => Ok(BodyType::Json),
        "application/yaml" => Ok(BodyType::Yaml),
        _ => Err(Failure::unsupported_media_type(&PRODUCED)),
    }
}

/// How a patch is meant.
///
/// # Errors
/// 415, also for server-side apply, which is not served yet, and for a strategic patch of a
/// `custom` kind.
pub(crate) fn patch_type(headers: &HeaderMap, custom: bool) -> Result<PatchType, Failure> {
    match content_type(headers) {
        "application/json-patch+json" => Ok(PatchType::Json),
        "application/merge-patch+json" => Ok(PatchType::Merge),
        "application/strategic-merge-patch+json" if !custom => Ok(PatchType::Strategic),
        _ => Err(unsupported_patch(custom)),
    }
}

/// 415 for a patch, naming what is read.
pub(crate) fn unsupported_patch(custom: bool) -> Failure {
    let types = [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    ];
    Failure::unsupported_media_type(if custom { &types[..2] } else { &types })
}

#[cfg(test)]
mod tests;
