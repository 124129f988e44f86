//! Every kind that is served, with all the server needs to know of it.
//!
//! ```text
//!  CustomResourceDefinitions ─┐                      ┌─► routes: group, version, plural, verbs
//!                             ├─► Kind ─► Registry ──┼─► writes: schema, status subresource
//!  built-in kinds ────────────┘                      ├─► caches: key prefix, selectable fields
//!                                                    └─► discovery, OpenAPI, tables
//! ```
//!
//! The server's code knows no kind by name except where Kubernetes gives one a behaviour of its
//! own. A definition is served in its storage version.

mod built_in;

use std::sync::{Arc, OnceLock};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use schemars::SchemaGenerator;

use crate::openapi::Documents;
use crate::schema::Schema;
use crate::selector::FieldPath;
use crate::table::{self, Column};

/// Verbs of custom kinds, in the order a real server lists them.
const CUSTOM_VERBS: &[&str] =
    &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
/// Verbs of kinds that live in memory.
const LIVE_VERBS: &[&str] = &["get", "list", "watch"];

/// One served kind, in one version.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    /// `Task`.
    pub kind: String,
    /// `TaskList`.
    pub list_kind: String,
    /// `tasks`.
    pub plural: String,
    /// `task`.
    pub singular: String,
    pub short_names: Vec<String>,
    /// Groups of kinds that `kubectl get` takes, such as `all`.
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// Whether `status` is written by its own path only.
    pub status_subresource: bool,
    /// Whether it comes from a definition.
    pub custom: bool,
    /// What field selectors may name, beside name and namespace.
    pub selectable_fields: Vec<FieldPath>,
    pub verbs: &'static [&'static str],
    /// Absent where objects are taken as they are.
    pub schema: Option<Schema>,
    /// Of its table, the name included.
    pub columns: Vec<Column>,
    /// Where its description comes from.
    pub origin: Origin,
}

/// Where the description of a kind comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    Definition(Box<CustomResourceDefinition>),
    /// Its Rust type, described through a generator.
    BuiltIn(fn(&mut SchemaGenerator) -> schemars::Schema),
}

impl Kind {
    /// `meseta.dev/v1alpha1`; only the version in the core group.
    pub(crate) fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// `tasks.meseta.dev`; only the plural in the core group.
    pub(crate) fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// What the keys of its objects begin with: `/registry/meseta.dev/tasks/`.
    pub(crate) fn key_prefix(&self) -> String {
        let group = if self.group.is_empty() { "core" } else { &self.group };
        format!("/registry/{group}/{}/", self.plural)
    }

    /// The kind of a definition, in its storage version; none where no version is stored.
    fn custom(definition: CustomResourceDefinition) -> Option<Self> {
        let spec = &definition.spec;
        let version = spec.versions.iter().find(|version| version.storage)?;
        let names = &spec.names;
        let subresources = version.subresources.as_ref();
        let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
        let selectable = version.selectable_fields.iter().flatten();
        Some(Self {
            group: spec.group.clone(),
            version: version.name.clone(),
            kind: names.kind.clone(),
            list_kind: names.list_kind.clone().unwrap_or_else(|| format!("{}List", names.kind)),
            plural: names.plural.clone(),
            singular: names.singular.clone().unwrap_or_else(|| names.kind.to_lowercase()),
            short_names: names.short_names.clone().unwrap_or_default(),
            categories: names.categories.clone().unwrap_or_default(),
            namespaced: spec.scope == "Namespaced",
            status_subresource: subresources.is_some_and(|both| both.status.is_some()),
            custom: true,
            selectable_fields: selectable.map(|field| FieldPath::new(&field.json_path)).collect(),
            verbs: CUSTOM_VERBS,
            schema: schema.map(Schema::from_crd),
            columns: table::custom_columns(
                version.additional_printer_columns.as_deref().unwrap_or_default(),
            ),
            origin: Origin::Definition(Box::new(definition)),
        })
    }
}

/// `group/version`, or only the version in the core group.
pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// All kinds, stored and live, in the order in which discovery lists them.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    kinds: Vec<Arc<Kind>>,
    live: Vec<Arc<Kind>>,
    documents: OnceLock<Documents>,
}

impl Registry {
    /// The built-in kinds and those of Meseta.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::of(meseta_crds::definitions::all())
    }

    /// The built-in kinds and those of `definitions`.
    pub(crate) fn of(definitions: Vec<CustomResourceDefinition>) -> Self {
        let custom = definitions.into_iter().filter_map(Kind::custom);
        let kinds = built_in::kinds().into_iter().chain(custom).map(Arc::new).collect();
        let live = Kind::custom(meseta_crds::Offer::crd())
            .map(|kind| Arc::new(Kind { verbs: LIVE_VERBS, ..kind }));
        Self { kinds, live: live.into_iter().collect(), documents: OnceLock::new() }
    }

    /// The kinds that live in memory and are never stored; all of one group.
    pub(crate) fn live(&self) -> &[Arc<Kind>] {
        &self.live
    }

    /// All stored kinds; those of one group stand together.
    pub(crate) fn kinds(&self) -> &[Arc<Kind>] {
        &self.kinds
    }

    /// The kind at `/apis/{group}/{version}/{plural}`.
    #[cfg(test)]
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.kinds
            .iter()
            .find(|kind| kind.plural == plural && kind.group == group && kind.version == version)
    }

    /// The OpenAPI documents, described at first use.
    pub(crate) fn documents(&self) -> &Documents {
        self.documents.get_or_init(|| crate::openapi::describe(&self.kinds, &self.live))
    }
}

#[cfg(test)]
mod tests;
