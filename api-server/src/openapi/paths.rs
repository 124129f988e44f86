//! The `paths` of a document: collection, item and status of every kind.

use serde_json::{Map, Value, json};

use super::{components, group_version_kind, root};
use crate::registry::Kind;

/// Schemas that operations of every kind refer to.
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Media types of patches that are taken.
const PATCH_TYPES: [&str; 2] = ["application/json-patch+json", "application/merge-patch+json"];

/// Query parameters, with their type.
type Parameters = &'static [(&'static str, &'static str)];
const LIST: Parameters = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const WRITE: Parameters =
    &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const PATCH: Parameters = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
    ("force", "boolean"),
];
const DELETE: Parameters = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const DELETE_COLLECTION: Parameters = &[
    ("dryRun", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("propagationPolicy", "string"),
];
const LOG: Parameters = &[("follow", "boolean"), ("stream", "string"), ("tailLines", "integer")];

/// The paths of one kind, each with its operations.
pub(super) fn of(kind: &Kind) -> Vec<(String, Value)> {
    let describe = Describe { kind, schema: components::name(kind) };
    let root = root(&kind.group, &kind.version);
    let plural = &kind.plural;
    let mut paths = Vec::new();
    let collection = if kind.namespaced {
        let everywhere = describe.path(&[], &[("get", "list", "ForAllNamespaces", LIST)]);
        paths.push((format!("/{root}/{plural}"), everywhere));
        format!("/{root}/namespaces/{{namespace}}/{plural}")
    } else {
        format!("/{root}/{plural}")
    };
    let place: &[&str] = if kind.namespaced { &["namespace"] } else { &[] };
    let item_place: &[&str] = if kind.namespaced { &["name", "namespace"] } else { &["name"] };
    let on_collection = [
        ("get", "list", "", LIST),
        ("post", "create", "", WRITE),
        ("delete", "deletecollection", "", DELETE_COLLECTION),
    ];
    let on_item = [
        ("get", "get", "", &[] as Parameters),
        ("put", "update", "", WRITE),
        ("patch", "patch", "", PATCH),
        ("delete", "delete", "", DELETE),
    ];
    let item = format!("{collection}/{{name}}");
    paths.push((collection, describe.path(place, &on_collection)));
    if kind.status_subresource {
        let on_status = [
            ("get", "get", "Status", &[] as Parameters),
            ("put", "update", "Status", WRITE),
            ("patch", "patch", "Status", PATCH),
        ];
        paths.push((format!("{item}/status"), describe.path(item_place, &on_status)));
    }
    paths.push((item, describe.path(item_place, &on_item)));
    paths
}

/// The path of a task's output, beneath the root of the live group.
pub(super) fn of_log(root: &str) -> Vec<(String, Value)> {
    let operation = json!({
        "description": "read the output of a task",
        "operationId": "readNamespacedTaskLog",
        "parameters": query(LOG),
        "responses": {
            "200": {
                "description": "OK",
                "content": { "text/plain": { "schema": { "type": "string" } } },
            },
        },
        "x-kubernetes-action": "get",
    });
    let path = format!("/{root}/namespaces/{{namespace}}/tasks/{{name}}/log");
    vec![(path, json!({ "get": operation, "parameters": place(&["name", "namespace"]) }))]
}

/// HTTP method, verb, end of the operation's id, query parameters.
type Operation = (&'static str, &'static str, &'static str, Parameters);

struct Describe<'a> {
    kind: &'a Kind,
    /// Name of the kind's schema.
    schema: String,
}

impl Describe<'_> {
    /// The operations of one path that the kind serves.
    fn path(&self, names: &[&str], operations: &[Operation]) -> Value {
        let mut path = Map::new();
        for operation in operations {
            if self.kind.verbs.contains(&operation.1) {
                path.insert(operation.0.to_owned(), self.operation(*operation));
            }
        }
        path.insert("parameters".to_owned(), place(names));
        path.into()
    }

    fn operation(&self, (method, verb, end, parameters): Operation) -> Value {
        let kind = &self.kind.kind;
        let scope = if self.kind.namespaced { "Namespaced" } else { "" };
        let answer = match verb {
            "list" => format!("{}List", self.schema),
            "delete" | "deletecollection" => STATUS.to_owned(),
            _ => self.schema.clone(),
        };
        let ok = json!({ "description": "OK", "content": json_content(&answer) });
        // Kubernetes names two of its verbs after their HTTP methods here.
        let action = match verb {
            "create" | "update" => method,
            _ => verb,
        };
        let mut operation = json!({
            "description": format!("{verb} {kind}"),
            "operationId": format!("{verb}{scope}{kind}{end}"),
            "parameters": query(parameters),
            "responses": { "200": ok },
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": group_version_kind(self.kind, kind),
        });
        let content = match verb {
            "create" | "update" => Some(json_content(&self.schema)),
            "delete" | "deletecollection" => Some(json_content(DELETE_OPTIONS)),
            "patch" => Some(patch_content()),
            _ => None,
        };
        if let Some(content) = content {
            operation["requestBody"] = json!({ "content": content });
        }
        operation
    }
}

fn json_content(schema: &str) -> Value {
    json!({ "application/json": { "schema": components::reference(schema) } })
}

fn patch_content() -> Value {
    let types = PATCH_TYPES.iter().map(|media_type| ((*media_type).to_owned(), json!({})));
    Value::Object(types.collect())
}

fn query(parameters: Parameters) -> Value {
    let parameters = parameters.iter().map(
        |(name, data_type)| json!({ "name": name, "in": "query", "schema": { "type": data_type } }),
    );
    parameters.collect()
}

fn place(names: &[&str]) -> Value {
    let names = names.iter().map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    names.collect()
}
