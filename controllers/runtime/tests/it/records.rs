//! Records in memory behind a `kube::Client`: what the controllers rely on of an API server, in its
//! simplest form, so that a test can fail any single request and count what was written.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;

/// One answer, or a watch that goes on.
type Answer = UnsyncBoxBody<Bytes, Infallible>;

/// Plural, namespace, name.
type RecordKey = (String, String, String);

/// All records and what has happened to them.
#[derive(Clone)]
pub(crate) struct Records {
    inner: Arc<Mutex<Inner>>,
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    version: u64,
    records: BTreeMap<RecordKey, Value>,
    /// Version, plural, kind of event, record.
    log: Vec<(u64, String, &'static str, Value)>,
}

struct Refusal(StatusCode, &'static str);

const NOT_FOUND: Refusal = Refusal(StatusCode::NOT_FOUND, "NotFound");
const CONFLICT: Refusal = Refusal(StatusCode::CONFLICT, "Conflict");
const ALREADY_EXISTS: Refusal = Refusal(StatusCode::CONFLICT, "AlreadyExists");

impl Records {
    pub(crate) fn new() -> Self {
        Self { inner: Arc::default(), version: watch::channel(0).0 }
    }

    /// A client whose every request is answered at once.
    pub(crate) fn client(&self) -> Client {
        let records = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let records = records.clone();
            async move { Ok::<_, Infallible>(records.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Every event of tasks so far: kind of event and record.
    pub(crate) fn task_events(&self) -> Vec<(&'static str, Value)> {
        let inner = self.inner.lock().unwrap();
        let tasks = inner.log.iter().filter(|(_, plural, ..)| plural == "tasks");
        tasks.map(|(_, _, kind, record)| (*kind, record.clone())).collect()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let segments: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        // apis/<group>/<version>/[namespaces/<namespace>/]<plural>[/<name>[/status]]
        let (namespace, rest) = match &segments[3..] {
            ["namespaces", namespace, rest @ ..] => (*namespace, rest),
            rest => ("", rest),
        };
        let query = parts.uri.query().unwrap_or_default();
        if let ([plural], &Method::GET) = (rest, &parts.method) {
            return if query.contains("watch=true") {
                self.watch(plural, namespace, query)
            } else {
                self.list(plural, namespace)
            };
        }
        let result = self.change(&parts.method, namespace, rest, body);
        match result {
            Ok(record) => respond(StatusCode::OK, &record),
            Err(Refusal(code, reason)) => respond(
                code,
                &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                    "reason": reason, "message": reason, "code": code.as_u16()}),
            ),
        }
    }

    fn list(&self, plural: &str, namespace: &str) -> Response<Answer> {
        let inner = self.inner.lock().unwrap();
        let items: Vec<&Value> = inner
            .records
            .iter()
            .filter(|((p, n, _), _)| p == plural && (namespace.is_empty() || n == namespace))
            .map(|(_, record)| record)
            .collect();
        let version = inner.version.to_string();
        respond(
            StatusCode::OK,
            &json!({"kind": "List", "apiVersion": "v1",
                "metadata": {"resourceVersion": version}, "items": items}),
        )
    }

    fn watch(&self, plural: &str, namespace: &str, query: &str) -> Response<Answer> {
        let from = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("resourceVersion="))
            .and_then(|version| version.parse::<u64>().ok())
            .unwrap_or_default();
        let (plural, namespace) = (plural.to_owned(), namespace.to_owned());
        let state = (self.clone(), self.version.subscribe(), from);
        let stream = futures::stream::unfold(state, move |(records, mut version, from)| {
            let (plural, namespace) = (plural.clone(), namespace.clone());
            async move {
                let until = *version.wait_for(|version| *version > from).await.ok()?;
                let inner = records.inner.lock().unwrap();
                let start = inner.log.partition_point(|(version, ..)| *version <= from);
                let mut lines = Vec::new();
                for (version, p, kind, record) in &inner.log[start..] {
                    let here = namespace.is_empty() || record["metadata"]["namespace"] == namespace;
                    if *version <= until && *p == plural && here {
                        lines.extend(json!({"type": kind, "object": record}).to_string().bytes());
                        lines.push(b'\n');
                    }
                }
                drop(inner);
                let frame = http_body::Frame::data(Bytes::from(lines));
                Some((Ok::<_, Infallible>(frame), (records, version, until)))
            }
        });
        Response::new(StreamBody::new(stream).boxed_unsync())
    }

    fn change(
        &self,
        method: &Method,
        namespace: &str,
        path: &[&str],
        body: Value,
    ) -> Result<Value, Refusal> {
        let plural = path[0].to_owned();
        let name = path.get(1).map_or_else(
            || body["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            |name| (*name).to_owned(),
        );
        let key = (plural, namespace.to_owned(), name);
        let mut inner = self.inner.lock().unwrap();
        let known = inner.records.get(&key).cloned();
        if *method == Method::POST {
            if known.is_some() {
                return Err(ALREADY_EXISTS);
            }
            let mut record = body;
            if !namespace.is_empty() {
                record["metadata"]["namespace"] = json!(namespace);
            }
            record["metadata"]["uid"] = json!(format!("uid-{}", inner.version + 1));
            record["metadata"]["generation"] = json!(1);
            record["metadata"]["creationTimestamp"] = json!(jiff::Timestamp::now().to_string());
            return Ok(self.put(&mut inner, key, record, "ADDED"));
        }
        let known = known.ok_or(NOT_FOUND)?;
        if *method == Method::GET {
            return Ok(known);
        }
        if *method == Method::DELETE {
            refuse_other(&known, &body["preconditions"])?;
            return Ok(self.delete(&mut inner, key, known));
        }
        refuse_other(&known, &body["metadata"])?;
        let mut record = known.clone();
        if *method == Method::PATCH {
            json_patch::merge(&mut record, &body);
        } else {
            record = body;
        }
        let of_status = path.get(2) == Some(&"status");
        let kept = if of_status { &["spec", "metadata"][..] } else { &["status"][..] };
        for field in kept {
            record[field] = known[field].clone();
        }
        record.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        record["metadata"]["uid"] = known["metadata"]["uid"].clone();
        record["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"].clone();
        if record == known {
            return Ok(known);
        }
        if record["spec"] != known["spec"] {
            let generation = known["metadata"]["generation"].as_i64().unwrap_or_default();
            record["metadata"]["generation"] = json!(generation + 1);
        }
        let held = record["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        if !held && !record["metadata"]["deletionTimestamp"].is_null() {
            return Ok(self.remove(&mut inner, &key, record));
        }
        Ok(self.put(&mut inner, key, record, "MODIFIED"))
    }

    fn put(
        &self,
        inner: &mut Inner,
        key: RecordKey,
        mut record: Value,
        kind: &'static str,
    ) -> Value {
        inner.version += 1;
        record["metadata"]["resourceVersion"] = json!(inner.version.to_string());
        inner.log.push((inner.version, key.0.clone(), kind, record.clone()));
        inner.records.insert(key, record.clone());
        self.version.send_replace(inner.version);
        record
    }

    fn delete(&self, inner: &mut Inner, key: RecordKey, mut record: Value) -> Value {
        let held = record["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        if !held {
            return self.remove(inner, &key, record);
        }
        if record["metadata"]["deletionTimestamp"].is_null() {
            record["metadata"]["deletionTimestamp"] = json!(jiff::Timestamp::now().to_string());
            return self.put(inner, key, record, "MODIFIED");
        }
        record
    }

    fn remove(&self, inner: &mut Inner, key: &RecordKey, record: Value) -> Value {
        let record = self.put(inner, key.clone(), record, "DELETED");
        inner.records.remove(key);
        record
    }
}

/// Refuses a request whose guards are not those of the record.
fn refuse_other(known: &Value, guards: &Value) -> Result<(), Refusal> {
    let differs =
        |field: &str| !guards[field].is_null() && guards[field] != known["metadata"][field];
    if differs("uid") || differs("resourceVersion") { Err(CONFLICT) } else { Ok(()) }
}

fn respond(code: StatusCode, body: &Value) -> Response<Answer> {
    let mut response = Response::new(Full::from(body.to_string()).boxed_unsync());
    *response.status_mut() = code;
    response
}
