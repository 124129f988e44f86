//! The kinds of Kubernetes itself that tools cannot do without.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Secret, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::JsonSchema;

use super::{Kind, Origin};
use crate::schema::Schema;
use crate::selector::FieldPath;
use crate::table;

const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Namespaces are deleted one by one.
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
/// Definitions are the server's own.
const READ_VERBS: &[&str] = &["get", "list", "watch"];

/// All of them; those of one group stand together.
pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind { short_names: names(&["cm"]), ..kind::<ConfigMap>("", "ConfigMap", "configmaps") },
        Kind {
            short_names: names(&["ev"]),
            selectable_fields: event_fields(),
            ..kind::<Event>("", "Event", "events")
        },
        Kind {
            short_names: names(&["ns"]),
            namespaced: false,
            status_subresource: true,
            verbs: NAMESPACE_VERBS,
            selectable_fields: vec![FieldPath::new("status.phase")],
            ..kind::<Namespace>("", "Namespace", "namespaces")
        },
        Kind {
            selectable_fields: vec![FieldPath::new("type")],
            ..kind::<Secret>("", "Secret", "secrets")
        },
        Kind {
            short_names: names(&["sa"]),
            ..kind::<ServiceAccount>("", "ServiceAccount", "serviceaccounts")
        },
        kind::<Lease>("coordination.k8s.io", "Lease", "leases"),
        definition(),
    ]
}

/// A namespaced kind of version `v1` that takes all verbs.
fn kind<T: JsonSchema>(group: &str, name: &str, plural: &str) -> Kind {
    Kind { schema: Some(Schema::built_in::<T>()), ..untyped::<T>(group, name, plural) }
}

/// Its type contains itself, and only the server writes it: it has no schema to check against.
fn definition() -> Kind {
    const NAME: &str = "CustomResourceDefinition";
    const PLURAL: &str = "customresourcedefinitions";
    Kind {
        short_names: names(&["crd", "crds"]),
        categories: names(&["api-extensions"]),
        namespaced: false,
        verbs: READ_VERBS,
        ..untyped::<CustomResourceDefinition>("apiextensions.k8s.io", NAME, PLURAL)
    }
}

fn untyped<T: JsonSchema>(group: &str, name: &str, plural: &str) -> Kind {
    Kind {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: name.to_owned(),
        list_kind: format!("{name}List"),
        plural: plural.to_owned(),
        singular: name.to_lowercase(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        status_subresource: false,
        custom: false,
        selectable_fields: Vec::new(),
        verbs: ALL_VERBS,
        schema: None,
        columns: table::built_in_columns(name),
        origin: Origin::BuiltIn(|generator| generator.subschema_for::<T>()),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What `kubectl describe` and `kubectl events` select events by.
fn event_fields() -> Vec<FieldPath> {
    const FIELDS: [&str; 10] = [
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "type",
    ];
    let source = FieldPath::at("source", &["source.component", "reportingComponent"]);
    FIELDS.iter().map(|field| FieldPath::new(field)).chain([source]).collect()
}
