//! Sends recorded requests to a server in this process.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, WARNING};
use http_body_util::{BodyExt, Full};
use meseta_api_server::{ApiServer, Body, Options};
use meseta_serve::Identity;
use meseta_store::memory::MemoryStore;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::compare::Variables;
use super::vector::{self, Compare, Request, Response, Step};

/// How long an answer, or a stream that ends by itself, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two attempts at what happens in its own time.
const POLL: Duration = Duration::from_millis(50);

/// A server of the golden kinds over an empty store.
async fn server() -> ApiServer {
    let definition = |text: &str| serde_json::from_str(text).unwrap();
    let definitions = include_str!("../../data/golden/definitions.jsonl");
    let options = Options {
        definitions: definitions.lines().map(definition).collect(),
        ..Options::default()
    };
    let store = std::sync::Arc::new(MemoryStore::new());
    ApiServer::start(store, options, CancellationToken::new()).await.unwrap()
}

/// The replay of one file.
pub(super) struct Replay {
    server: ApiServer,
    scenario: String,
    variables: Variables,
    /// What was answered to the steps of the scenario.
    answers: BTreeMap<String, Bytes>,
    streams: BTreeMap<String, JoinHandle<Vec<u8>>>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Body,
}

impl Replay {
    /// A replay on a new server.
    pub(super) async fn start() -> Self {
        Self {
            server: server().await,
            scenario: String::new(),
            variables: Variables::default(),
            answers: BTreeMap::new(),
            streams: BTreeMap::new(),
        }
    }

    /// Runs one step.
    ///
    /// # Errors
    /// The first difference from the recording.
    pub(super) async fn run(&mut self, step: &Step) -> Result<(), String> {
        if self.scenario != step.scenario {
            step.scenario.clone_into(&mut self.scenario);
            self.variables = Variables::default();
            self.answers.clear();
        }
        if let Some(name) = &step.read_stream {
            let stream = self.streams.remove(name).ok_or("the stream was not opened")?;
            let read = tokio::time::timeout(ANSWER_TIMEOUT, stream).await;
            let bytes = read.map_err(|_| "the stream does not end")?.map_err(|e| e.to_string())?;
            return self.frames(&bytes, step.response.frames.as_deref().unwrap_or_default());
        }
        // The recording's own pause: something is to happen meanwhile.
        tokio::time::sleep(Duration::from_millis(step.wait_ms)).await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(step.within_s);
        loop {
            let before = self.variables.clone();
            let outcome = tokio::time::timeout(ANSWER_TIMEOUT, Box::pin(self.attempt(step)))
                .await
                .unwrap_or_else(|_| Err("no answer in time".to_owned()));
            if outcome.is_ok() || tokio::time::Instant::now() >= deadline {
                return outcome;
            }
            self.variables = before;
            tokio::time::sleep(POLL).await;
        }
    }

    async fn attempt(&mut self, step: &Step) -> Result<(), String> {
        let request = step.request.as_ref().ok_or("there is no request")?;
        let answer = self.send(request).await;
        let expected = &step.response;
        if step.also_allowed.contains(&answer.status) {
            return Ok(());
        }
        if answer.status != expected.status {
            let body = answer.body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(format!("status {} and not {}: {body}", answer.status, expected.status));
        }
        self.headers(&answer.headers, expected)?;
        if expected.stream.is_some() {
            let name = step.stream_id.clone().ok_or("the stream has no name")?;
            self.streams.insert(name, tokio::spawn(async { read(answer.body).await.to_vec() }));
            return Ok(());
        }
        let bytes = read(answer.body).await;
        self.answers.insert(step.step.clone(), bytes.clone());
        match (&expected.frames, &expected.body) {
            (Some(frames), _) => self.frames(&bytes, frames),
            (None, Some(body)) => self.body(&bytes, body, step.compare),
            (None, None) if step.compare == Compare::Exact && !bytes.is_empty() => {
                Err(format!("a body and not none: {}", String::from_utf8_lossy(&bytes)))
            }
            (None, None) => Ok(()),
        }
    }

    async fn send(&self, request: &Request) -> Answer {
        let mut builder = http::Request::builder()
            .method(request.method.as_str())
            .uri(self.variables.fill_in(&request.path));
        for (name, values) in &request.headers {
            for value in values.values() {
                let value = self.variables.fill_in(value);
                if *name == AUTHORIZATION.as_str() || name == "Authorization" {
                    builder = builder.extension(identity(&value));
                } else {
                    builder = builder.header(name, value);
                }
            }
        }
        let body = request.body.as_ref().map(|body| self.bytes(body)).unwrap_or_default();
        let request = builder.body(Full::new(body)).unwrap();
        let response = self.server.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    fn bytes(&self, body: &Value) -> Bytes {
        if let Some(step) = body.get("$answer_of").and_then(Value::as_str) {
            return self.answers.get(step).cloned().unwrap_or_default();
        }
        let bytes = vector::bytes(body);
        match String::from_utf8(bytes) {
            Ok(text) => self.variables.fill_in(&text).into(),
            Err(error) => error.into_bytes().into(),
        }
    }

    fn headers(&mut self, actual: &HeaderMap, expected: &Response) -> Result<(), String> {
        let values = |name: &str| -> Vec<String> {
            let name: HeaderName = name.parse().unwrap();
            let values = actual.get_all(name).iter();
            let mut values: Vec<String> =
                values.map(|value| value.to_str().unwrap_or_default().to_owned()).collect();
            values.sort();
            values
        };
        for (name, expected) in &expected.headers {
            let mut expected = expected.values().to_vec();
            expected.sort();
            let mut actual = values(name);
            if name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()) {
                for value in actual.iter_mut().chain(&mut expected) {
                    *value = value.split("; charset").next().unwrap_or_default().to_owned();
                }
            }
            if actual.len() != expected.len() {
                return Err(format!("header {name}: {actual:?} and not {expected:?}"));
            }
            for (actual, expected) in actual.iter().zip(&expected) {
                self.variables.text(actual, expected).map_err(|e| format!("header {name}: {e}"))?;
            }
        }
        let warned = expected.headers.keys().any(|name| name.eq_ignore_ascii_case("warning"));
        match values(WARNING.as_str()) {
            warnings if !warned && !warnings.is_empty() => Err(format!("warnings: {warnings:?}")),
            _ => Ok(()),
        }
    }

    fn body(&mut self, bytes: &[u8], expected: &Value, compare: Compare) -> Result<(), String> {
        if compare == Compare::Status {
            return Ok(());
        }
        let text = String::from_utf8_lossy(bytes);
        if let Some(expected) = expected.get("$text").and_then(Value::as_str) {
            return self.variables.text(&text, expected);
        }
        if let Some(expected) = expected.get("$yaml") {
            let actual = serde_yaml::from_str(&text).map_err(|_| format!("no YAML: {text}"))?;
            return self.variables.compare(&texts(actual), expected, compare);
        }
        let actual: Value = serde_json::from_str(&text).map_err(|_| format!("no JSON: {text}"))?;
        self.variables.compare(&actual, expected, compare)
    }

    /// Compares the events of a stream; bookmarks count only where they end the initial events.
    fn frames(&mut self, bytes: &[u8], expected: &[Value]) -> Result<(), String> {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let events: Result<Vec<Value>, _> = lines.map(serde_json::from_slice::<Value>).collect();
        let mut events = events.map_err(|error| error.to_string())?;
        events.retain(|event| {
            let annotations = &event["object"]["metadata"]["annotations"];
            event["type"] != "BOOKMARK" || !annotations["k8s.io/initial-events-end"].is_null()
        });
        self.variables.compare(&Value::from(events), &Value::from(expected), Compare::Exact)
    }
}

/// A value with every scalar as text.
fn texts(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, texts(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(texts).collect(),
        Value::String(text) => text.into(),
        scalar => scalar.to_string().into(),
    }
}

async fn read(body: Body) -> Bytes {
    // A body that breaks off is compared as far as it came.
    body.collect().await.map(|body| body.to_bytes()).unwrap_or_default()
}

/// Whose token it is.
fn identity(authorization: &str) -> Identity {
    let name = authorization.trim_start_matches("Bearer {{token:").trim_end_matches("}}");
    let group = if name == "admin" { "system:masters" } else { "devs" };
    Identity { user: name.to_owned(), groups: vec![group.to_owned()] }
}
