use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{IncludeObject, table_columns, table_row};
use crate::registry::{Kind, Registry};

/// A definition with every type of column, objects of it, and the table a real server makes.
const GOLDEN_COLUMNS: &str = include_str!("../../tests/data/golden/columns.json");

#[derive(Deserialize)]
struct GoldenColumns {
    definition: Value,
    objects: Vec<Value>,
    table: GoldenTable,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GoldenTable {
    column_definitions: Vec<Value>,
    rows: Vec<Value>,
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn cells(kind: &Kind, object: &Value) -> Value {
    table_row(kind, object, IncludeObject::None, now())["cells"].take()
}

#[test]
fn printer_columns_print_what_a_real_server_prints() {
    let golden: GoldenColumns = serde_json::from_str(GOLDEN_COLUMNS).unwrap();
    let registry = Registry::of(vec![serde_json::from_value(golden.definition).unwrap()]);
    let kind = registry.find("c.golden.example.io", "v1", "cols").unwrap();
    assert_eq!(table_columns(kind), golden.table.column_definitions);

    for object in golden.objects {
        let mut cells = cells(kind, &object);
        let row = golden.table.rows.iter().find(|row| row["cells"][0] == cells[0]).unwrap();
        if row["cells"][5] == "{{any}}" {
            cells[5] = "{{any}}".into();
        }
        assert_eq!(cells, row["cells"]);
    }
}

#[test]
fn a_kind_without_columns_has_name_and_age() {
    let mut golden: GoldenColumns = serde_json::from_str(GOLDEN_COLUMNS).unwrap();
    golden.definition["spec"]["versions"][0]["additionalPrinterColumns"] = Value::Null;
    let registry = Registry::of(vec![serde_json::from_value(golden.definition).unwrap()]);
    let kind = registry.find("c.golden.example.io", "v1", "cols").unwrap();
    let names: Vec<(String, String)> = table_columns(kind)
        .iter()
        .map(|column| (text(&column["name"]), text(&column["type"])))
        .collect();
    assert_eq!(names, [("Name", "string"), ("Age", "date")].map(|(a, b)| (a.into(), b.into())));
    let object =
        json!({ "metadata": { "name": "a", "creationTimestamp": "2026-01-02T03:00:00Z" } });
    assert_eq!(cells(kind, &object), json!(["a", "4m5s"]));
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn built_in_kinds_have_columns_of_their_own() {
    let registry = Registry::new();
    let metadata = json!({ "name": "a", "creationTimestamp": "2026-01-02T03:04:00Z" });
    for (group, plural, object, expected) in [
        (
            "",
            "namespaces",
            json!({ "status": { "phase": "Active" } }),
            json!(["a", "Active", "5s"]),
        ),
        (
            "",
            "configmaps",
            json!({ "data": { "a": "1", "b": "2" }, "binaryData": { "c": "" } }),
            json!(["a", 3, "5s"]),
        ),
        (
            "",
            "secrets",
            json!({ "type": "Opaque", "data": { "a": "" } }),
            json!(["a", "Opaque", 1, "5s"]),
        ),
        ("", "serviceaccounts", json!({}), json!(["a", "5s"])),
        (
            "coordination.k8s.io",
            "leases",
            json!({ "spec": { "holderIdentity": "me" } }),
            json!(["a", "me", "5s"]),
        ),
        (
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            json!({}),
            json!(["a", "2026-01-02T03:04:00Z"]),
        ),
        (
            "",
            "events",
            json!({
                "count": 3,
                "involvedObject": { "kind": "Task", "name": "t" },
                "message": "m",
                "reason": "R",
                "source": { "component": "c" },
                "type": "Normal",
                "lastTimestamp": null,
            }),
            json!(["<unknown>", "Normal", "R", "task/t", "", "c", "m", "<unknown>", 3, "a"]),
        ),
        (
            "",
            "events",
            json!({
                "eventTime": "2026-01-02T03:00:05.000000Z",
                "series": { "count": 7, "lastObservedTime": "2026-01-02T03:04:03.000000Z" },
                "involvedObject": { "kind": "Task" },
                "reportingComponent": "agent",
                "reportingInstance": "n1",
            }),
            json!(["2s", "", "", "task", "", "agent, n1", "", "4m", 7, "a"]),
        ),
    ] {
        let kind = registry.find(group, "v1", plural).unwrap();
        let mut object = object;
        object["metadata"] = metadata.clone();
        assert_eq!(cells(kind, &object), expected, "{plural}");
        assert_eq!(table_columns(kind).len(), expected.as_array().unwrap().len());
    }
}

#[test]
fn a_row_carries_as_much_of_its_object_as_is_asked_for() {
    let registry = Registry::new();
    let kind = registry.find("", "v1", "configmaps").unwrap();
    let object = json!({ "metadata": { "name": "a" }, "data": {} });
    let carried = |include| table_row(kind, &object, include, now())["object"].take();
    assert_eq!(carried(IncludeObject::None), Value::Null);
    assert_eq!(carried(IncludeObject::Object), object);
    assert_eq!(
        carried(IncludeObject::Metadata),
        json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": { "name": "a" },
        })
    );
}
