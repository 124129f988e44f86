//! One stored object as the server holds it: its bytes, and beside them what is looked at often.
//!
//! Bytes in the store begin with the same head for every object of a kind and carry no resource
//! version (a write learns its version only when it is committed). Reading an object puts the
//! version in, right after the head, so that nothing is parsed or encoded again to answer a get,
//! a list or a watch:
//!
//! ```text
//!  {"apiVersion":"meseta.dev/v1alpha1","kind":"Task","metadata":{"name":"a",…},"spec":{…}}
//!  └──────────────────────────── head ─────────────────────────┘▲
//!                                            "resourceVersion":"N",
//! ```
//!
//! What selectors, the garbage collector and namespaces look at is kept parsed: the [`Outline`],
//! which is the object's metadata without annotations, and the fields that can be selected on.
//!
//! **Invariant:** an object never changes; a write makes another one.

use std::sync::Arc;

use bytes::Bytes;
use meseta_store::{Record, Version};
use serde_json::{Map, Value};

use crate::registry::Kind;

/// Metadata that is big and never looked at by the server itself.
const NOT_IN_OUTLINE: [&str; 2] = ["annotations", "managedFields"];

/// The bytes of an object as the store holds them: head first, no resource version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    bytes: Bytes,
    /// Where the members of `metadata` begin.
    head: usize,
}

/// A stored object; see the module.
#[derive(Debug)]
pub(crate) struct Object {
    /// `namespace/name`, or `name` for the cluster scope: what follows the kind's prefix.
    key: Arc<str>,
    version: Version,
    body: Body,
    outline: Value,
}

/// Why bytes from the store are no object.
#[derive(Debug, thiserror::Error)]
#[error("the stored object `{key}` cannot be read: {why}")]
pub(crate) struct Corrupt {
    key: String,
    why: String,
}

impl Object {
    /// The object in a record whose key, without the kind's prefix, is `key`.
    ///
    /// # Errors
    /// Where the bytes are no object with a name.
    pub(crate) fn decode(
        kind: &Kind,
        key: &str,
        version: Version,
        body: Bytes,
    ) -> Result<Self, Corrupt> {
        let corrupt = |why: &str| Corrupt { key: key.to_owned(), why: why.to_owned() };
        let value: Value =
            serde_json::from_slice(&body).map_err(|error| corrupt(&error.to_string()))?;
        let named = value.pointer("/metadata/name").is_some_and(Value::is_string);
        if !named {
            return Err(corrupt("it has no name"));
        }
        let head = head(kind);
        let body = if body.starts_with(head.as_bytes()) {
            Body { bytes: body, head: head.len() }
        } else {
            // Written by another hand: brought into the usual shape.
            Body::encode(kind, &value)
        };
        Ok(Self { key: key.into(), version, body, outline: outline(kind, value) })
    }

    /// An object that is not stored, as of `version`.
    pub(crate) fn live(kind: &Kind, version: Version, value: Value) -> Self {
        let text = |name| value["metadata"][name].as_str().unwrap_or_default();
        let key = key(text("namespace"), text("name")).into();
        let body = Body::encode(kind, &value);
        Self { key, version, body, outline: outline(kind, value) }
    }

    /// The object in a record of the kind whose keys begin with `prefix`.
    ///
    /// # Errors
    /// As [`Object::decode`].
    pub(crate) fn from_record(kind: &Kind, prefix: &str, record: Record) -> Result<Self, Corrupt> {
        let Record { key, value, version } = record;
        Self::decode(kind, key.strip_prefix(prefix).unwrap_or(&key), version, value)
    }

    /// `namespace/name`, or `name`.
    pub(crate) fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// The write that made it.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// What the store holds.
    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    /// Metadata without annotations, and the selectable fields, in the object's own shape.
    pub(crate) fn outline(&self) -> &Value {
        &self.outline
    }

    fn metadata(&self, name: &str) -> Option<&Value> {
        self.outline.get("metadata")?.get(name)
    }

    fn text(&self, name: &str) -> &str {
        self.metadata(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.text("name")
    }

    /// Empty for the cluster scope.
    pub(crate) fn namespace(&self) -> &str {
        self.text("namespace")
    }

    pub(crate) fn uid(&self) -> &str {
        self.text("uid")
    }

    pub(crate) fn labels(&self) -> Option<&Value> {
        self.metadata("labels")
    }

    /// Whether somebody has asked for its deletion.
    pub(crate) fn is_terminating(&self) -> bool {
        self.metadata("deletionTimestamp").is_some()
    }

    pub(crate) fn has_finalizer(&self, name: &str) -> bool {
        let finalizers = self.metadata("finalizers").and_then(Value::as_array);
        finalizers.is_some_and(|list| list.iter().any(|own| own.as_str() == Some(name)))
    }

    pub(crate) fn owner_references(&self) -> &[Value] {
        self.metadata("ownerReferences").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The whole object, parsed.
    pub(crate) fn value(&self) -> Value {
        self.body.value_at(self.version)
    }
}

impl Body {
    /// Encodes an object that has a name.
    pub(crate) fn encode(kind: &Kind, value: &Value) -> Self {
        let head = head(kind);
        let begin = head.len();
        let mut out = head.into_bytes();
        let nothing = Map::new();
        let members = value.as_object().unwrap_or(&nothing);
        let metadata = members.get("metadata").and_then(Value::as_object).unwrap_or(&nothing);
        write_members(metadata, |name| name != "resourceVersion", true, &mut out);
        out.push(b'}');
        let rest = |name: &str| !matches!(name, "apiVersion" | "kind" | "metadata");
        write_members(members, rest, false, &mut out);
        out.push(b'}');
        Self { bytes: out.into(), head: begin }
    }

    /// What the store holds.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Appends the JSON text, showing `version`: that of the write, or of the deletion.
    pub(crate) fn write_json(&self, version: Version, out: &mut Vec<u8>) {
        out.reserve(self.bytes.len() + VERSION_ROOM);
        out.extend_from_slice(&self.bytes[..self.head]);
        out.extend_from_slice(format!("\"resourceVersion\":\"{version}\",").as_bytes());
        out.extend_from_slice(&self.bytes[self.head..]);
    }

    /// The whole object, parsed, showing `version`.
    pub(crate) fn value_at(&self, version: Version) -> Value {
        let mut value: Value = serde_json::from_slice(&self.bytes).expect("it was made from JSON");
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), version.to_string().into());
        }
        value
    }
}

/// Bytes that a resource version takes in the text.
const VERSION_ROOM: usize = 48;

/// `namespace/name`, or `name` for the cluster scope.
pub(crate) fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// What every encoded object of the kind begins with, up to the first member of `metadata`.
fn head(kind: &Kind) -> String {
    format!(
        "{{\"apiVersion\":\"{}\",\"kind\":\"{}\",\"metadata\":{{",
        kind.api_version(),
        kind.kind
    )
}

/// Writes the members that are wanted, each after a comma unless it is the `first` in its object.
fn write_members(
    members: &Map<String, Value>,
    wanted: impl Fn(&str) -> bool,
    mut first: bool,
    out: &mut Vec<u8>,
) {
    for (name, value) in members.iter().filter(|(name, _)| wanted(name)) {
        if !first {
            out.push(b',');
        }
        first = false;
        serde_json::to_writer(&mut *out, name).expect("a string can be written to memory");
        out.push(b':');
        serde_json::to_writer(&mut *out, value).expect("JSON can be written to memory");
    }
}

/// See [`Object::outline`].
fn outline(kind: &Kind, mut value: Value) -> Value {
    let mut outline = Map::new();
    for path in &kind.selectable_fields {
        path.copy(&value, &mut outline);
    }
    if let Some(Value::Object(mut metadata)) = value.get_mut("metadata").map(Value::take) {
        metadata.retain(|name, _| !NOT_IN_OUTLINE.contains(&name.as_str()));
        outline.insert("metadata".to_owned(), Value::Object(metadata));
    }
    Value::Object(outline)
}

#[cfg(test)]
mod tests;
