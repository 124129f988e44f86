//! The format of the recordings.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One request and its answer, or the frames of a stream that an earlier one opened.
#[derive(Debug, Deserialize)]
pub(super) struct Step {
    pub(super) scenario: String,
    pub(super) step: String,
    pub(super) request: Option<Request>,
    pub(super) response: Response,
    #[serde(default)]
    pub(super) compare: Compare,
    /// Repeat the request until the answer matches, for so many seconds.
    #[serde(default)]
    pub(super) within_s: u64,
    /// Milliseconds to wait before the request.
    #[serde(default)]
    pub(super) wait_ms: u64,
    /// Other statuses that will do; then nothing else is compared.
    #[serde(default)]
    pub(super) also_allowed: Vec<u16>,
    /// The name of the stream this request opens.
    pub(super) stream_id: Option<String>,
    /// The stream whose frames are in the response.
    pub(super) read_stream: Option<String>,
}

/// How much of a body is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Compare {
    /// All of it.
    #[default]
    Exact,
    /// What is expected must be there, lists in any order.
    Subset,
    /// Nothing.
    Status,
}

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Several>,
    pub(super) body: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, Several>,
    pub(super) body: Option<Value>,
    /// The events of a watch.
    pub(super) frames: Option<Vec<Value>>,
    /// `open` where the stream is to stay open.
    pub(super) stream: Option<String>,
}

/// The values of a header.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Several {
    One(String),
    Many(Vec<String>),
}

impl Several {
    pub(super) fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// The bytes of a recorded body, but for those that stand for an earlier answer.
pub(super) fn bytes(body: &Value) -> Vec<u8> {
    if let Some(text) = body.get("$text").and_then(Value::as_str) {
        return text.as_bytes().to_vec();
    }
    if let Some(repeat) = body.get("$repeat") {
        let text = |name: &str| repeat[name].as_str().unwrap();
        let count = usize::try_from(repeat["count"].as_u64().unwrap()).unwrap();
        let unit = text("unit").repeat(count);
        return [text("prefix"), unit.as_str(), text("suffix")].concat().into_bytes();
    }
    body.to_string().into_bytes()
}
