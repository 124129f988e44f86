use std::collections::BTreeSet;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Schema, duplicate_fields};
use crate::registry::Registry;

/// The definition that the golden vectors were recorded with.
const GOLDEN_TASK: &str = include_str!("../../tests/data/golden/task.json");
/// Specs of that kind and what a real server says of them.
const GOLDEN_SPECS: &str = include_str!("../../tests/data/golden/schema.jsonl");

fn golden_schema() -> Schema {
    let registry = Registry::of(vec![serde_json::from_str(GOLDEN_TASK).unwrap()]);
    registry.find("golden.example.io", "v1", "tasks").unwrap().schema.clone().unwrap()
}

#[derive(Deserialize)]
struct GoldenSpec {
    step: String,
    spec: Option<Value>,
    stored: Option<Value>,
    #[serde(default)]
    causes: Vec<GoldenCause>,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct GoldenCause {
    field: String,
    reason: String,
    message: String,
}

#[test]
fn specs_are_stored_or_refused_as_by_a_real_server() {
    let schema = golden_schema();
    for line in GOLDEN_SPECS.lines() {
        let golden: GoldenSpec = serde_json::from_str(line).unwrap();
        let mut object = json!({ "metadata": { "name": "v" } });
        if let Some(spec) = golden.spec {
            object["spec"] = spec;
        }
        schema.prune(&mut object);
        schema.default(&mut object);
        let mut causes = schema.validate(&object, None);
        schema.note_unchecked_rules(&mut causes);
        let causes: BTreeSet<GoldenCause> = causes
            .into_iter()
            .map(|cause| GoldenCause {
                field: cause.field,
                reason: cause.reason.to_owned(),
                message: cause.message,
            })
            .collect();
        assert_eq!(causes, golden.causes.into_iter().collect(), "{}", golden.step);
        if let Some(stored) = golden.stored {
            assert_eq!(object["spec"], stored, "{}", golden.step);
        }
    }
}

fn schema(schema: Value) -> Schema {
    let schema: JSONSchemaProps = serde_json::from_value(schema).unwrap();
    Schema::from_crd(&schema)
}

/// The faults of `{"spec": value}` under the schema `spec`, one per line.
fn faults(spec: &Value, value: &Value) -> String {
    let schema = schema(json!({ "type": "object", "properties": { "spec": spec } }));
    let causes = schema.validate(&json!({ "spec": value }), None);
    let lines: Vec<String> =
        causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    lines.join("\n")
}

#[test]
fn unknown_fields_are_removed_and_named_where_they_stand() {
    let schema = golden_schema();
    let mut object = json!({
        "apiVersion": "golden.example.io/v1",
        "kind": "Task",
        "metadata": { "name": "f", "strange": 3, "labels": { "any": "1" } },
        "other": 2,
        "spec": {
            "bogus": 1,
            "env": [{ "name": "a", "xx": 1 }],
            "extra": { "kept": { "deep": [1] } },
            "labels": { "kept": "1" },
            "nested": { "b": { "yy": 2 }, "zz": 1 },
            "args": { "a": 1 },
        },
    });
    let mut unknown = schema.prune(&mut object);
    unknown.sort();
    assert_eq!(
        unknown,
        [
            "metadata.strange",
            "other",
            "spec.args.a",
            "spec.bogus",
            "spec.env[0].xx",
            "spec.nested.b.yy",
            "spec.nested.zz"
        ]
    );
    assert_eq!(
        object,
        json!({
            "apiVersion": "golden.example.io/v1",
            "kind": "Task",
            "metadata": { "name": "f", "labels": { "any": "1" } },
            "spec": {
                "env": [{ "name": "a" }],
                "extra": { "kept": { "deep": [1] } },
                "labels": { "kept": "1" },
                "nested": { "b": {} },
                "args": {},
            },
        })
    );
}

#[test]
fn managed_fields_of_any_shape_are_known() {
    let mut object = json!({ "metadata": { "managedFields": [
        { "manager": "m", "fieldsV1": { "f:spec": { ".": {}, "k:{\"a\":1}": {} } } },
    ] } });
    let before = object.clone();
    assert_eq!(golden_schema().prune(&mut object), Vec::<String>::new());
    assert_eq!(object, before);
}

#[test]
fn a_built_in_kind_knows_the_fields_of_its_type() {
    let schema = Schema::built_in::<ConfigMap>();
    let mut object = json!({
        "metadata": { "name": "f", "foo": 1, "creationTimestamp": null },
        "data": { "a": "b" },
        "dta": {},
    });
    assert_eq!(schema.prune(&mut object), ["metadata.foo", "dta"]);
    schema.default(&mut object);
    assert_eq!(object, json!({ "metadata": { "name": "f" }, "data": { "a": "b" } }));
    assert_eq!(schema.validate(&json!({ "data": { "a": 1 } }), None)[0].field, "data.a");
}

#[test]
fn every_bound_has_its_message() {
    for (schema, value, message) in [
        (json!({ "maximum": 2.5 }), json!(3), "spec in body should be less than or equal to 2.5"),
        (
            json!({ "maximum": 2.0, "exclusiveMaximum": true }),
            json!(2),
            "spec in body should be less than 2",
        ),
        (
            json!({ "minimum": 2.0, "exclusiveMinimum": true }),
            json!(2),
            "spec in body should be greater than 2",
        ),
        (json!({ "multipleOf": 2.0 }), json!(3), "spec in body should be a multiple of 2"),
        (json!({ "minItems": 2 }), json!([1]), "spec in body should have at least 2 items"),
        (
            json!({ "minProperties": 1 }),
            json!({}),
            "spec in body should have at least 1 properties",
        ),
        (json!({ "minLength": 3 }), json!("éé"), "spec in body should be at least 3 chars long"),
        (json!({ "maxLength": 2 }), json!("éé"), ""),
        (json!({ "pattern": "(" }), json!("a"), "spec in body should match '('"),
    ] {
        let found = faults(&schema, &value);
        assert!(found.ends_with(message) && found.is_empty() == message.is_empty(), "{found}");
    }
    assert_eq!(
        faults(&json!({ "maxItems": 1 }), &json!([1, 2])),
        "spec: Too many: 2: must have at most 1 item"
    );
}

#[test]
fn integers_keep_within_their_format() {
    for (format, value, fits) in [
        (json!("int32"), json!(2_147_483_647_i64), true),
        (json!("int32"), json!(2_147_483_648_i64), false),
        (json!("uint32"), json!(4_294_967_295_i64), true),
        (json!("uint32"), json!(-1), false),
        (json!("int64"), json!(u64::MAX), false),
        (json!("uint64"), json!(u64::MAX), true),
        (json!(null), json!(1e300), false),
        (json!(null), json!(2.0), true),
        (json!(null), json!(2.5), false),
    ] {
        let found = faults(&json!({ "type": "integer", "format": format }), &value);
        assert_eq!(found.is_empty(), fits, "{format} {value}: {found}");
    }
}

#[test]
fn formats_of_texts_are_checked() {
    for (format, text, fits) in [
        ("date-time", "2020-01-01T00:00:00Z", true),
        ("date-time", "2020-01-01T00:00:00.123456+02:00", true),
        ("date-time", "2020-01-01 00:00:00Z", false),
        ("date-time", "2020-13-01T00:00:00Z", false),
        ("date-time", "2020-01-01T00:00:00", false),
        ("date", "2020-02-29", true),
        ("date", "2021-02-29", false),
        ("byte", "YQ==", true),
        ("byte", "YQ=", false),
        ("byte", "Y===", false),
        ("byte", "!@#$", false),
        ("never heard of", "anything", true),
    ] {
        let found = faults(&json!({ "type": "string", "format": format }), &json!(text));
        assert_eq!(found.is_empty(), fits, "{format} {text}: {found}");
    }
}

#[test]
fn combinations_are_checked() {
    let either = json!([{ "required": ["a"] }, { "required": ["b"] }]);
    for (schema, value, fault) in [
        (json!({ "anyOf": either }), json!({ "a": 1 }), ""),
        (json!({ "anyOf": either }), json!({}), "must validate at least one schema (anyOf)"),
        (json!({ "oneOf": either }), json!({}), "(oneOf). Found none valid"),
        (json!({ "oneOf": either }), json!({ "a": 1, "b": 1 }), "Found 2 valid alternatives"),
        (json!({ "not": { "required": ["a"] } }), json!({ "a": 1 }), "not validate the schema"),
        (json!({ "allOf": either }), json!({ "a": 1 }), "must validate all the schemas (allOf)"),
    ] {
        let found = faults(&schema, &value);
        assert!(found.contains(fault) && found.is_empty() == fault.is_empty(), "{found}");
    }
}

#[test]
fn every_item_of_a_set_but_the_first_is_a_duplicate() {
    let set = json!({ "type": "array", "x-kubernetes-list-type": "set" });
    assert_eq!(
        faults(&set, &json!(["a", "b", "a", "a"])),
        "spec[2]: Duplicate value: \"a\"\nspec[3]: Duplicate value: \"a\""
    );
}

#[test]
fn a_key_that_is_absent_counts_as_its_default() {
    let ports = json!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": { "type": "object", "properties": { "protocol": { "default": "TCP" } } },
    });
    assert_eq!(
        faults(&ports, &json!([{ "port": 1 }, { "port": 1, "protocol": "TCP" }, { "port": 2 }])),
        "spec[1]: Duplicate value: {\"port\":1,\"protocol\":\"TCP\"}"
    );
}

#[test]
fn what_was_wrong_before_is_tolerated_until_it_changes() {
    let schema = golden_schema();
    let old = json!({ "spec": {
        "command": "sleep",
        "mode": "Gone",
        "weights": [99],
        "env": [{ "name": "a", "value": 1 }, { "name": "b" }],
    } });
    let mut new = old.clone();
    new["spec"]["agent"] = "n1".into();
    new["spec"]["env"] = json!([{ "name": "b" }, { "name": "a", "value": 1 }]);
    assert_eq!(schema.validate(&new, Some(&old)), []);
    assert_eq!(schema.validate(&new, None).len(), 3);

    new["spec"]["mode"] = "Other".into();
    let fields = |new: &Value| -> Vec<String> {
        schema.validate(new, Some(&old)).into_iter().map(|cause| cause.field).collect()
    };
    assert_eq!(fields(&new), ["spec.mode"]);
    new["spec"]["mode"] = "Gone".into();
    new["spec"]["weights"] = json!([99, 1]);
    assert_eq!(fields(&new), ["spec.weights[0]"]);
}

#[test]
fn a_default_is_filled_in_with_its_own_defaults() {
    let schema = schema(json!({ "type": "object", "properties": {
        "spec": {
            "type": "object",
            "default": {},
            "properties": { "a": { "type": "integer", "default": 1 } },
            "additionalProperties": { "type": "string" },
        },
    } }));
    let mut object = json!({});
    schema.default(&mut object);
    assert_eq!(object, json!({ "spec": { "a": 1 } }));
    let mut object = json!({ "spec": { "a": null } });
    schema.default(&mut object);
    assert_eq!(object, json!({ "spec": { "a": 1 } }));
}

#[test]
fn a_task_of_ours_is_completed_and_accepted() {
    let registry = Registry::new();
    let task = registry.find("meseta.dev", "v1alpha1", "tasks").unwrap();
    let schema = task.schema.as_ref().unwrap();
    let mut object = json!({ "metadata": { "name": "t" }, "spec": {
        "containers": [{ "command": ["true"], "env": [{ "name": "A" }] }],
        "resources": { "cpu": 1, "memory": "64Mi" },
        "agentName": null,
    } });
    assert_eq!(schema.prune(&mut object), Vec::<String>::new());
    schema.default(&mut object);
    assert_eq!(schema.validate(&object, None), []);
    assert_eq!(object["spec"]["role"], "default");
    assert_eq!(object["spec"]["containers"][0]["env"][0]["value"], "");

    object["spec"]["resources"]["memory"] = "lots".into();
    let container = object["spec"]["containers"][0].clone();
    object["spec"]["containers"] = json!([container, container]);
    let fields: Vec<String> =
        schema.validate(&object, None).into_iter().map(|cause| cause.field).collect();
    assert_eq!(fields, ["spec.containers", "spec.resources.memory"]);
}

#[test]
fn names_that_stand_twice_are_found() {
    let body = br#"{"a":1,"m":{"x":1,"x":{"y":[{"z":1,"z":2}]}},"a":2,"l":[1,-1,1.5,null,true]}"#;
    assert_eq!(duplicate_fields(body), ["m.x.y[0].z", "m.x", "a"]);
    assert_eq!(duplicate_fields(br#"{"caf\u00e9":1,"caf\u00e9":2}"#), ["caf\u{e9}"]);
    assert_eq!(duplicate_fields(b"{\"a\":1,\"a\":"), Vec::<String>::new());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "metadata",
        "spec",
        "status",
        "containers",
        "env",
        "name",
        "labels",
        "resources",
        "x",
    ]);
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

proptest! {
    #[test]
    fn a_second_walk_finds_nothing_to_do(mut object in any_json()) {
        for kind in REGISTRY.kinds() {
            let Some(schema) = &kind.schema else { continue };
            let described = schema.describes(&object);
            prop_assert_eq!(schema.prune(&mut object).is_empty(), described);
            prop_assert!(schema.describes(&object));
            schema.default(&mut object);
            let once = object.clone();
            prop_assert!(schema.prune(&mut object).is_empty());
            schema.default(&mut object);
            prop_assert_eq!(&object, &once);
            prop_assert!(schema.validate(&object, Some(&once)).is_empty());
        }
    }
}
