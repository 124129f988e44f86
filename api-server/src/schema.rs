//! Structural schemas: what an object of a kind may look like.
//!
//! A schema is compiled once from the definition (patterns included) and then walked over every
//! object that is written, in this order, as a Kubernetes API server does:
//!
//! ```text
//!  prune          unknown fields go, and are named for fieldValidation
//!  default        absent fields get their default; null counts as absent where it is not allowed
//!  validate       types, required fields, bounds, patterns, enums, formats, list types
//! ```
//!
//! Rules in CEL are not evaluated here; `meseta_crds::validate::admit` says the same in Rust.
//! The walks allocate only for what they have to report.
//!
//! **Invariant:** a walk never fails on any JSON; an object that passed the three is of the shape
//! its Rust type reads.

mod compile;
mod defaults;
mod duplicates;
mod format;
mod lists;
mod path;
mod prune;
mod validate;

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use self::compile::{Node, Strictness};
pub(crate) use self::duplicates::duplicate_fields;
use self::path::Path;
pub(crate) use crate::status::Cause;

/// The compiled schema of one version of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    root: Node,
    has_rules: bool,
}

/// What `metadata` may look like in every kind.
static METADATA: LazyLock<Node> =
    LazyLock::new(|| Node::compile(&inline_schema::<ObjectMeta>(), Strictness::Typed));

impl Schema {
    /// The schema of a custom kind.
    pub(crate) fn from_crd(schema: &JSONSchemaProps) -> Self {
        Self::compile(schema, Strictness::Structural)
    }

    /// The schema of a built-in kind, from its Rust type. `T` must not contain itself.
    pub(crate) fn built_in<T: JsonSchema>() -> Self {
        Self::compile(&inline_schema::<T>(), Strictness::Typed)
    }

    fn compile(schema: &JSONSchemaProps, strictness: Strictness) -> Self {
        let mut root = Node::compile(schema, strictness);
        root.embedded_resource = true;
        Self { has_rules: root.has_rules(), root }
    }

    /// Whether the schema knows every field, as it nearly always does: then there is nothing to
    /// [`prune`](Self::prune).
    pub(crate) fn describes(&self, object: &Value) -> bool {
        prune::describes(&self.root, object)
    }

    /// Removes what the schema does not know and returns the paths of it, such as `spec.bogus`.
    pub(crate) fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        prune::prune(&self.root, object, &Path::ROOT, &mut unknown);
        unknown
    }

    /// Fills in defaults and removes nulls that are not allowed.
    pub(crate) fn default(&self, object: &mut Value) {
        defaults::fill(&self.root, object);
    }

    /// Everything that is wrong with `object`; of `metadata` only the types are looked at. What
    /// `old` has the same is tolerated, so that a record from a laxer time can still be changed
    /// elsewhere.
    pub(crate) fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<Cause> {
        let mut causes = validate::faults(&self.root, object, None);
        if !causes.is_empty() && old.is_some() {
            causes = validate::faults(&self.root, object, old);
        }
        causes
    }

    /// Adds to all faults of an object that its rules were not looked at, where that is so.
    pub(crate) fn note_unchecked_rules(&self, causes: &mut Vec<Cause>) {
        if self.has_rules && causes.iter().any(hides_rules) {
            causes.push(Cause::invalid(
                NO_FIELD,
                &Value::Null,
                "some validation rules were not checked because the object was invalid; correct \
                 the existing errors to complete validation",
            ));
        }
    }
}

/// What stands for a path where a fault belongs to no field.
const NO_FIELD: &str = "<nil>";

/// Whether rules that look at the field could not be evaluated.
fn hides_rules(cause: &Cause) -> bool {
    matches!(
        cause.reason,
        "FieldValueNotSupported"
            | "FieldValueRequired"
            | "FieldValueTooLong"
            | "FieldValueTooMany"
            | "FieldValueTypeInvalid"
    )
}

/// The schema of a type with all its parts written out.
fn inline_schema<T: JsonSchema>() -> JSONSchemaProps {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>();
    serde_json::from_value(schema.to_value()).expect("generated schemas are valid OpenAPI")
}

#[cfg(test)]
mod tests;
