//! The columns of built-in kinds.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::age::{UNKNOWN, age};
use super::{CREATED_DESCRIPTION, Column, at, text};

/// The columns of the built-in kind of this name; name and age where it has none of its own.
pub(crate) fn columns(kind: &str) -> Vec<Column> {
    match kind {
        "Namespace" => vec![
            Column::name(),
            Column::computed("Status", "The status of the namespace", |namespace, _| {
                at(namespace, "/status/phase")
            }),
            Column::age(),
        ],
        "ConfigMap" => vec![
            Column::name(),
            Column::computed("Data", CONFIG_MAP_DATA, |map, _| {
                (entries(map, "data") + entries(map, "binaryData")).into()
            }),
            Column::age(),
        ],
        "Secret" => vec![
            Column::name(),
            Column::computed("Type", SECRET_TYPE, |secret, _| at(secret, "/type")),
            Column::computed("Data", SECRET_DATA, |secret, _| entries(secret, "data").into()),
            Column::age(),
        ],
        "Lease" => vec![
            Column::name(),
            Column::computed("Holder", LEASE_HOLDER, |lease, _| {
                text(lease, "/spec/holderIdentity").into()
            }),
            Column::age(),
        ],
        "CustomResourceDefinition" => {
            let created = Column::computed("Created At", CREATED_DESCRIPTION, |object, _| {
                at(object, "/metadata/creationTimestamp")
            });
            vec![Column::name(), Column { data_type: "date".to_owned(), ..created }]
        }
        "Event" => event(),
        _ => vec![Column::name(), Column::age()],
    }
}

fn entries(object: &Value, field: &str) -> usize {
    object.get(field).and_then(Value::as_object).map_or(0, Map::len)
}

fn event() -> Vec<Column> {
    let wide = |column: Column| Column { priority: 1, ..column };
    vec![
        Column::computed("Last Seen", EVENT_LAST_SEEN, last_seen),
        Column::computed("Type", EVENT_TYPE, |event, _| text(event, "/type").into()),
        Column::computed("Reason", EVENT_REASON, |event, _| text(event, "/reason").into()),
        Column::computed("Object", "The object that this event is about.", involved_object),
        wide(Column::computed("Subobject", EVENT_SUBOBJECT, |event, _| {
            text(event, "/involvedObject/fieldPath").into()
        })),
        wide(Column::computed("Source", EVENT_SOURCE, source)),
        Column::computed("Message", EVENT_MESSAGE, |event, _| {
            text(event, "/message").trim().into()
        }),
        wide(Column::computed("First Seen", EVENT_FIRST_SEEN, first_seen)),
        wide(Column::computed("Count", EVENT_COUNT, |event, _| count(event).into())),
        wide(Column::name()),
    ]
}

fn last_seen(event: &Value, now: Timestamp) -> Value {
    match event.pointer("/series/lastObservedTime").or_else(|| event.get("lastTimestamp")) {
        None | Some(Value::Null) => first_seen(event, now),
        Some(time) => age(time, now),
    }
}

fn first_seen(event: &Value, now: Timestamp) -> Value {
    let time = |field: &str| event.get(field).filter(|time| !time.is_null());
    match time("firstTimestamp").or_else(|| time("eventTime")) {
        Some(time) => age(time, now),
        None => UNKNOWN.into(),
    }
}

fn involved_object(event: &Value, _: Timestamp) -> Value {
    let kind = text(event, "/involvedObject/kind").to_lowercase();
    match text(event, "/involvedObject/name") {
        "" => kind.into(),
        name => format!("{kind}/{name}").into(),
    }
}

fn source(event: &Value, _: Timestamp) -> Value {
    let either = |old: &str, new: &str| match text(event, old) {
        "" => text(event, new).to_owned(),
        text => text.to_owned(),
    };
    let component = either("/source/component", "/reportingComponent");
    match either("/source/host", "/reportingInstance") {
        instance if instance.is_empty() => component.into(),
        instance => format!("{component}, {instance}").into(),
    }
}

/// How often it happened; once where nothing is said.
fn count(event: &Value) -> i64 {
    let count = event.pointer("/series/count").or_else(|| event.get("count"));
    count.and_then(Value::as_i64).filter(|count| *count > 0).unwrap_or(1)
}

const CONFIG_MAP_DATA: &str = "Data contains the configuration data. Each key must consist of \
    alphanumeric characters, '-', '_' or '.'. Values with non-UTF-8 byte sequences must use the \
    BinaryData field. The keys stored in Data must not overlap with the keys in the BinaryData \
    field, this is enforced during validation process.";
const SECRET_TYPE: &str = "Used to facilitate programmatic handling of secret data. More info: \
    https://kubernetes.io/docs/concepts/configuration/secret/#secret-types";
const SECRET_DATA: &str = "Data contains the secret data. Each key must consist of alphanumeric \
    characters, '-', '_' or '.'. The serialized form of the secret data is a base64 encoded \
    string, representing the arbitrary (possibly non-string) data value here. Described in \
    https://tools.ietf.org/html/rfc4648#section-4";
const LEASE_HOLDER: &str = "holderIdentity contains the identity of the holder of a current lease. \
    If Coordinated Leader Election is used, the holder identity must be equal to the elected \
    LeaseCandidate.metadata.name field.";
const EVENT_LAST_SEEN: &str =
    "The time at which the most recent occurrence of this event was recorded.";
const EVENT_TYPE: &str =
    "Type of this event (Normal, Warning), new types could be added in the future";
const EVENT_REASON: &str = "This should be a short, machine understandable string that gives the \
    reason for the transition into the object's current status.";
const EVENT_SUBOBJECT: &str = "If referring to a piece of an object instead of an entire object, \
    this string should contain a valid JSON/Go field access statement, such as \
    desiredState.manifest.containers[2]. For example, if the object reference is to a container \
    within a pod, this would take on a value like: \"spec.containers{name}\" (where \"name\" refers \
    to the name of the container that triggered the event) or if no container name is specified \
    \"spec.containers[2]\" (container with index 2 in this pod). This syntax is chosen only to have \
    some well-defined way of referencing a part of an object.";
const EVENT_SOURCE: &str = "The component reporting this event. Should be a short machine \
    understandable string.";
const EVENT_MESSAGE: &str = "A human-readable description of the status of this operation.";
const EVENT_FIRST_SEEN: &str = "The time at which the event was first recorded. (Time of server \
    receipt is in TypeMeta.)";
const EVENT_COUNT: &str = "The number of times this event has occurred.";
