//! Changes, and how they look to those who watch.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use meseta_store::Version;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Selection;
use crate::object::{Body, Object};
use crate::registry::Kind;
use crate::table::{self, IncludeObject};

/// One change of one object.
#[derive(Debug)]
pub(crate) struct Event {
    /// The write.
    pub(crate) version: Version,
    /// What it left; `None` for a deletion.
    pub(crate) object: Option<Arc<Object>>,
    /// What was there before.
    pub(crate) previous: Option<Arc<Object>>,
    /// When the cache saw it.
    pub(crate) seen: Instant,
    /// The lines already encoded. Few: one entry per representation in use.
    lines: Mutex<Vec<((Change, Form), Bytes)>>,
}

/// What an event is to a watcher, seen through its selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    /// Also when an object merely stops matching.
    Deleted,
}

impl Change {
    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// How objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Whole.
    Object,
    /// One row of a `Table`.
    Table(IncludeObject),
    /// Metadata alone, as `meta.k8s.io/v1` or, for old clients, `v1beta1`.
    Metadata { beta: bool },
}

impl Event {
    pub(crate) fn new(
        version: Version,
        object: Option<Arc<Object>>,
        previous: Option<Arc<Object>>,
    ) -> Self {
        Self { version, object, previous, seen: Instant::now(), lines: Mutex::default() }
    }

    /// Bytes that keeping it costs, near enough.
    pub(super) fn bytes(&self) -> usize {
        /// The structures around the bytes, encoded lines left out.
        const OVERHEAD: usize = 512;
        OVERHEAD
            + self.object.as_ref().or(self.previous.as_ref()).map_or(0, |o| o.body().bytes().len())
    }

    /// What it is to somebody who selects; `None` if it does not concern them.
    pub(crate) fn change(&self, selection: &Selection) -> Option<Change> {
        let matched = self.previous.as_ref().is_some_and(|object| selection.matches(object));
        let matches = self.object.as_ref().is_some_and(|object| selection.matches(object));
        match (matched, matches) {
            (false, false) => None,
            (false, true) => Some(Change::Added),
            (true, true) => Some(Change::Modified),
            (true, false) => Some(Change::Deleted),
        }
    }

    /// The line of a watch stream; encoded at the first call and shared from then on.
    pub(crate) fn line(&self, kind: &Kind, change: Change, form: Form) -> Bytes {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, line)) = lines.iter().find(|(key, _)| *key == (change, form)) {
            return line.clone();
        }
        let line = self.encode(kind, change, form, false);
        lines.push(((change, form), line.clone()));
        line
    }

    /// As [`Event::line`], for the first event of a stream: a table names its columns.
    pub(crate) fn first_line(&self, kind: &Kind, change: Change, form: Form) -> Bytes {
        match form {
            Form::Table(_) => self.encode(kind, change, form, true),
            Form::Object | Form::Metadata { .. } => self.line(kind, change, form),
        }
    }

    fn encode(&self, kind: &Kind, change: Change, form: Form, first: bool) -> Bytes {
        // A deletion shows what was there with the version of the deletion.
        let shown = match change {
            Change::Deleted => self.previous.as_ref(),
            Change::Added | Change::Modified => self.object.as_ref(),
        };
        let Some(object) = shown else { return Bytes::new() };
        line(kind, change, object.body(), self.version, form, first)
    }
}

/// The line for an object in a stream.
pub(crate) fn line(
    kind: &Kind,
    change: Change,
    body: &Body,
    version: Version,
    form: Form,
    first: bool,
) -> Bytes {
    let mut out = format!("{{\"type\":\"{}\",\"object\":", change.as_str()).into_bytes();
    write_object(kind, body, version, form, first, &mut out);
    out.extend_from_slice(b"}\n");
    out.into()
}

/// Writes one object in a form; a table with its columns if it is the `first` of a stream.
pub(crate) fn write_object(
    kind: &Kind,
    body: &Body,
    version: Version,
    form: Form,
    first: bool,
    out: &mut Vec<u8>,
) {
    let value = match form {
        Form::Object => return body.write_json(version, out),
        Form::Table(include) => table(kind, &body.value_at(version), include, first),
        Form::Metadata { beta } => metadata(&body.value_at(version), beta),
    };
    serde_json::to_writer(out, &value).expect("JSON can be written to memory");
}

/// A table of one row.
pub(crate) fn table(kind: &Kind, object: &Value, include: IncludeObject, first: bool) -> Value {
    let columns = if first { table::table_columns(kind).into() } else { Value::Null };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": object["metadata"]["resourceVersion"]},
        "columnDefinitions": columns,
        "rows": [table::table_row(kind, object, include, jiff::Timestamp::now())],
    })
}

/// The metadata of an object, as an object of its own.
pub(crate) fn metadata(object: &Value, beta: bool) -> Value {
    let mut partial = table::partial_metadata(object);
    if beta {
        partial["apiVersion"] = "meta.k8s.io/v1beta1".into();
    }
    partial
}
