//! Objects as the rows that `kubectl get` prints, and as bare metadata.
//!
//! A custom kind has the columns of its definition behind its name; without any it has its age.
//! Built-in kinds have the columns of `kubernetes: pkg/printers/internalversion/printers.go`. What
//! a cell shows is decided here and not by the client, ages included.

mod age;
mod built_in;
mod jsonpath;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;
use serde_json::{Map, Value, json};

use self::age::{UNKNOWN, age};
use self::jsonpath::JsonPath;
use crate::registry::Kind;

pub(crate) use self::built_in::columns as built_in_columns;

/// One column of a kind's table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    data_type: String,
    format: String,
    description: String,
    /// Above 0 it is shown only on demand (`-o wide`).
    priority: i32,
    cell: Cell,
}

/// Where a column's cells come from.
#[derive(Clone, Debug)]
enum Cell {
    /// The first value at the path, as the column's type prints it. No path: always empty.
    Path(Option<JsonPath>),
    Computed(fn(&Value, Timestamp) -> Value),
}

/// How much of each object a row carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

/// The columns of a custom kind with these printer columns.
pub(crate) fn custom_columns(printed: &[CustomResourceColumnDefinition]) -> Vec<Column> {
    let mut columns = vec![Column::name()];
    columns.extend(printed.iter().map(Column::custom));
    if printed.is_empty() {
        columns.push(Column { data_type: "date".to_owned(), ..Column::age() });
    }
    columns
}

/// The `columnDefinitions` of a kind's table.
pub(crate) fn table_columns(kind: &Kind) -> Vec<Value> {
    let definition = |column: &Column| {
        json!({
            "name": column.name,
            "type": column.data_type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        })
    };
    kind.columns.iter().map(definition).collect()
}

/// One of the `rows` of a kind's table, with ages as of `now`.
pub(crate) fn table_row(
    kind: &Kind,
    object: &Value,
    include: IncludeObject,
    now: Timestamp,
) -> Value {
    let cells: Vec<Value> = kind.columns.iter().map(|column| column.cell(object, now)).collect();
    let object = match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial_metadata(object),
        IncludeObject::Object => object.clone(),
    };
    let mut row = Map::new();
    row.insert("cells".to_owned(), cells.into());
    row.insert("object".to_owned(), object);
    Value::Object(row)
}

/// The `PartialObjectMetadata` of an object.
pub(crate) fn partial_metadata(object: &Value) -> Value {
    let metadata = object.get("metadata").cloned().unwrap_or_else(|| Map::new().into());
    let mut partial = Map::new();
    partial.insert("kind".to_owned(), "PartialObjectMetadata".into());
    partial.insert("apiVersion".to_owned(), "meta.k8s.io/v1".into());
    partial.insert("metadata".to_owned(), metadata);
    Value::Object(partial)
}

impl Column {
    fn computed(name: &str, description: &str, cell: fn(&Value, Timestamp) -> Value) -> Self {
        Self {
            name: name.to_owned(),
            data_type: "string".to_owned(),
            format: String::new(),
            description: description.to_owned(),
            priority: 0,
            cell: Cell::Computed(cell),
        }
    }

    fn name() -> Self {
        let column =
            Self::computed("Name", NAME_DESCRIPTION, |object, _| at(object, "/metadata/name"));
        Self { format: "name".to_owned(), ..column }
    }

    fn age() -> Self {
        Self::computed("Age", CREATED_DESCRIPTION, |object, now| {
            let created = object.pointer("/metadata/creationTimestamp");
            created.map_or_else(|| UNKNOWN.into(), |created| age(created, now))
        })
    }

    fn custom(printed: &CustomResourceColumnDefinition) -> Self {
        let path = &printed.json_path;
        Self {
            name: printed.name.clone(),
            data_type: printed.type_.clone(),
            format: printed.format.clone().unwrap_or_default(),
            description: printed.description.clone().unwrap_or_else(|| {
                format!("Custom resource definition column (in JSONPath format): {path}")
            }),
            priority: printed.priority.unwrap_or(0),
            cell: Cell::Path(JsonPath::parse(path)),
        }
    }

    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        match &self.cell {
            Cell::Computed(compute) => compute(object, now),
            Cell::Path(path) => path
                .as_ref()
                .and_then(|path| path.first(object))
                .map_or(Value::Null, |value| printed(&self.data_type, value, now)),
        }
    }
}

/// `value` in a column of the given type; null where it is of another.
fn printed(data_type: &str, value: &Value, now: Timestamp) -> Value {
    match (data_type, value) {
        ("string", Value::Null) => Value::Null,
        ("string", Value::String(_))
        | ("number", Value::Number(_))
        | ("boolean", Value::Bool(_)) => value.clone(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(number)) if number.is_f64() => {
            let whole = number.as_f64().map(|float| format!("{:.0}", float.trunc()));
            whole.and_then(|text| text.parse::<i64>().ok()).into()
        }
        ("integer", Value::Number(_)) => value.clone(),
        ("date", Value::String(_)) => age(value, now),
        _ => Value::Null,
    }
}

/// The value at a JSON pointer, or null.
fn at(object: &Value, pointer: &str) -> Value {
    object.pointer(pointer).cloned().unwrap_or_default()
}

/// The text at a JSON pointer, or the empty one.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating \
    resources, although some resources may allow a client to request the generation of an \
    appropriate name automatically. Name is primarily intended for creation idempotence and \
    configuration definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATED_DESCRIPTION: &str = "CreationTimestamp is a timestamp representing the server time \
    when this object was created. It is not guaranteed to be set in happens-before order across \
    separate operations. Clients may not set this value. It is represented in RFC3339 form and is \
    in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

#[cfg(test)]
mod tests;
