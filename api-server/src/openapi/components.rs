//! The `components.schemas` of a document: kinds, their lists, and what they refer to.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ListMeta, ObjectMeta, Status};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::group_version_kind;
use crate::registry::{Kind, Origin};

const API_VERSION_DESCRIPTION: &str = "APIVersion defines the versioned schema of this \
    representation of an object. Servers should convert recognized schemas to the latest internal \
    value, and may reject unrecognized values. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND_DESCRIPTION: &str = "Kind is a string value representing the REST resource this object \
    represents. Servers may infer this from the endpoint the client submits requests to. Cannot be \
    updated. In CamelCase. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA_DESCRIPTION: &str = "Standard object's metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The schemas of `kinds`, which are those of one group and version.
pub(super) fn of(kinds: &[Arc<Kind>]) -> Map<String, Value> {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let shared = Shared {
        object_meta: generator.subschema_for::<ObjectMeta>().to_value(),
        list_meta: generator.subschema_for::<ListMeta>().to_value(),
    };
    // Referred to by the operations.
    generator.subschema_for::<Status>();
    generator.subschema_for::<DeleteOptions>();

    let mut own = Map::new();
    for kind in kinds {
        let name = name(kind);
        own.insert(format!("{name}List"), list(kind, &name, &shared));
        match &kind.origin {
            Origin::Definition(definition) => {
                own.insert(name, custom(kind, definition, &shared));
            }
            Origin::BuiltIn(describe) => {
                describe(&mut generator);
            }
        }
    }
    let mut schemas = generator.take_definitions(true);
    schemas.extend(own);
    for kind in kinds {
        let mark = group_version_kind(kind, &kind.kind);
        schemas[&name(kind)]["x-kubernetes-group-version-kind"] = json!([mark]);
    }
    schemas
}

/// The name of a kind's schema: the group's words reversed, version and kind.
pub(super) fn name(kind: &Kind) -> String {
    match &kind.origin {
        Origin::Definition(_) => {
            let mut words: Vec<&str> = kind.group.split('.').rev().collect();
            words.extend([kind.version.as_str(), kind.kind.as_str()]);
            words.join(".")
        }
        Origin::BuiltIn(describe) => {
            let mut generator = SchemaSettings::openapi3().into_generator();
            let reference = describe(&mut generator).to_value();
            let path = reference["$ref"].as_str().unwrap_or_default();
            path.rsplit('/').next().unwrap_or(path).to_owned()
        }
    }
}

/// A reference to the schema of this name.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// References to schemas that every kind uses.
struct Shared {
    object_meta: Value,
    list_meta: Value,
}

fn custom(kind: &Kind, definition: &CustomResourceDefinition, shared: &Shared) -> Value {
    let version = definition.spec.versions.iter().find(|version| version.name == kind.version);
    let schema = version
        .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
        .and_then(|schema| serde_json::to_value(schema).ok());
    let mut schema = schema.unwrap_or_else(|| json!({ "type": "object" }));
    say_int_or_string(&mut schema);
    let properties = &mut schema["properties"];
    properties["apiVersion"] = json!({ "type": "string", "description": API_VERSION_DESCRIPTION });
    properties["kind"] = json!({ "type": "string", "description": KIND_DESCRIPTION });
    properties["metadata"] = described(&shared.object_meta);
    if !kind.selectable_fields.is_empty() {
        let fields = kind.selectable_fields.iter();
        schema["x-kubernetes-selectable-fields"] =
            fields.map(|field| json!({ "fieldPath": field.as_str() })).collect();
    }
    schema
}

fn list(kind: &Kind, item: &str, shared: &Shared) -> Value {
    json!({
        "description": format!("{} is a list of {}", kind.list_kind, kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string", "description": API_VERSION_DESCRIPTION },
            "kind": { "type": "string", "description": KIND_DESCRIPTION },
            "metadata": described(&shared.list_meta),
            "items": {
                "description": format!("List of {}.", kind.plural),
                "type": "array",
                "items": { "allOf": [reference(item)] },
            },
        },
        "x-kubernetes-group-version-kind": [group_version_kind(kind, &kind.list_kind)],
    })
}

fn described(metadata: &Value) -> Value {
    json!({ "description": METADATA_DESCRIPTION, "allOf": [metadata] })
}

/// Spells out what an int-or-string may be, everywhere in `schema`.
fn say_int_or_string(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                let either = json!([{ "type": "integer" }, { "type": "string" }]);
                fields.insert("anyOf".to_owned(), either);
            } else {
                fields.values_mut().for_each(say_int_or_string);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(say_int_or_string),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
