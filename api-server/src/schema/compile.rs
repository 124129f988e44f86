//! A schema as the walks need it: names sorted, patterns compiled, annotations left out.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use regex::Regex;
use serde_json::Value;

use super::METADATA;

/// One schema and those beneath it.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) kind: Type,
    pub(super) nullable: bool,
    pub(super) default: Option<Value>,
    pub(super) properties: BTreeMap<Box<str>, Node>,
    pub(super) required: Vec<Box<str>>,
    /// What names outside `properties` may have; nothing where it is absent.
    pub(super) additional: Option<Additional>,
    pub(super) items: Option<Box<Node>>,
    pub(super) list_type: ListType,
    /// Fields that are not described are kept.
    pub(super) preserve_unknown: bool,
    /// Has `apiVersion`, `kind` and `metadata`, whether they are described or not.
    pub(super) embedded_resource: bool,
    pub(super) bounds: Bounds,
    pub(super) enumeration: Vec<Value>,
    pub(super) pattern: Option<Pattern>,
    pub(super) format: Option<Box<str>>,
    pub(super) all_of: Vec<Node>,
    pub(super) any_of: Vec<Node>,
    pub(super) one_of: Vec<Node>,
    pub(super) not: Option<Box<Node>>,
    rules: bool,
}

/// The JSON types a value may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Type {
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

impl Type {
    /// The name in schemas and messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer,string",
        }
    }
}

/// What the names of a map may have as values.
#[derive(Clone, Debug)]
pub(super) enum Additional {
    Anything,
    Values(Box<Node>),
}

/// What a schema says about one field.
pub(super) enum Field<'a> {
    As(&'a Node),
    /// Kept with all that is in it.
    Whole,
    Unknown,
}

/// How the items of a list are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ListType {
    /// By nothing: the list is one value.
    #[default]
    Atomic,
    /// By their value.
    Set,
    /// By these fields of theirs.
    Map(Vec<Box<str>>),
}

/// Bounds on numbers, lengths and counts, both ends included unless it says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    pub(super) minimum: Option<f64>,
    pub(super) exclusive_minimum: bool,
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_maximum: bool,
    pub(super) multiple_of: Option<f64>,
    pub(super) min_length: usize,
    pub(super) max_length: Option<usize>,
    pub(super) min_items: usize,
    pub(super) max_items: Option<usize>,
    pub(super) min_properties: usize,
    pub(super) max_properties: Option<usize>,
}

/// A regular expression and its text.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) text: Box<str>,
    /// Absent where the text is no regular expression; such a pattern matches nothing.
    regex: Option<Regex>,
}

impl Pattern {
    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// How a schema is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// To the letter, as in a definition.
    Structural,
    /// As the schema of a built-in type: what is required may be absent all the same, since the
    /// type has a zero for it, and an object without described fields is free-form.
    Typed,
}

impl Node {
    pub(super) fn compile(schema: &JSONSchemaProps, strictness: Strictness) -> Self {
        let int_or_string = schema.x_kubernetes_int_or_string == Some(true)
            || schema.format.as_deref() == Some("int-or-string");
        let kind = if int_or_string { Type::IntOrString } else { type_of(schema) };
        let described = schema.properties.is_some() || schema.additional_properties.is_some();
        let free_form = strictness == Strictness::Typed && kind == Type::Object && !described;
        let all = |schemas: &Option<Vec<JSONSchemaProps>>| -> Vec<Self> {
            let schemas = schemas.iter().flatten().filter(|schema| **schema != Default::default());
            schemas.map(|schema| Self::compile(schema, strictness)).collect()
        };
        Self {
            kind,
            nullable: schema.nullable == Some(true),
            default: schema.default.as_ref().map(|JSON(value)| value.clone()),
            properties: schema
                .properties
                .iter()
                .flatten()
                .map(|(name, schema)| (name.as_str().into(), Self::compile(schema, strictness)))
                .collect(),
            required: match strictness {
                Strictness::Structural => boxed(schema.required.as_ref()),
                Strictness::Typed => Vec::new(),
            },
            additional: additional(schema.additional_properties.as_ref(), strictness),
            items: items(schema.items.as_ref(), strictness).map(Box::new),
            list_type: list_type(schema),
            preserve_unknown: schema.x_kubernetes_preserve_unknown_fields == Some(true)
                || free_form,
            embedded_resource: schema.x_kubernetes_embedded_resource == Some(true),
            bounds: bounds(schema),
            enumeration: schema.enum_.iter().flatten().map(|JSON(value)| value.clone()).collect(),
            pattern: schema
                .pattern
                .as_deref()
                .map(|text| Pattern { text: text.into(), regex: Regex::new(text).ok() }),
            format: if int_or_string { None } else { schema.format.as_deref().map(Box::from) },
            all_of: all(&schema.all_of),
            any_of: if int_or_string { Vec::new() } else { all(&schema.any_of) },
            one_of: all(&schema.one_of),
            not: schema.not.as_ref().map(|schema| Box::new(Self::compile(schema, strictness))),
            rules: schema.x_kubernetes_validations.as_ref().is_some_and(|rules| !rules.is_empty()),
        }
    }

    /// What a field of this name may have.
    pub(super) fn field(&self, name: &str) -> Field<'_> {
        if self.embedded_resource {
            match name {
                "apiVersion" | "kind" => return Field::Whole,
                "metadata" => return Field::As(&METADATA),
                _ => {}
            }
        }
        if let Some(node) = self.properties.get(name) {
            return Field::As(node);
        }
        match &self.additional {
            Some(Additional::Values(node)) => Field::As(node),
            Some(Additional::Anything) => Field::Whole,
            None if self.preserve_unknown => Field::Whole,
            None => Field::Unknown,
        }
    }

    /// The schema of a field, where there is one.
    pub(super) fn described(&self, name: &str) -> Option<&Node> {
        match self.field(name) {
            Field::As(node) => Some(node),
            Field::Whole | Field::Unknown => None,
        }
    }

    /// Whether rules in CEL stand here or beneath.
    pub(super) fn has_rules(&self) -> bool {
        let additional = match &self.additional {
            Some(Additional::Values(node)) => Some(node),
            Some(Additional::Anything) | None => None,
        };
        let mut beneath = self
            .properties
            .values()
            .chain(additional.map(|node| &**node))
            .chain(self.items.as_deref());
        self.rules || beneath.any(Self::has_rules)
    }
}

fn boxed(names: Option<&Vec<String>>) -> Vec<Box<str>> {
    names.into_iter().flatten().map(|name| name.as_str().into()).collect()
}

fn type_of(schema: &JSONSchemaProps) -> Type {
    match schema.type_.as_deref() {
        Some("object") => Type::Object,
        Some("array") => Type::Array,
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("number") => Type::Number,
        Some("boolean") => Type::Boolean,
        Some(_) | None => Type::Any,
    }
}

fn additional(
    schema: Option<&JSONSchemaPropsOrBool>,
    strictness: Strictness,
) -> Option<Additional> {
    match schema? {
        JSONSchemaPropsOrBool::Schema(schema) => {
            Some(Additional::Values(Box::new(Node::compile(schema, strictness))))
        }
        JSONSchemaPropsOrBool::Bool(true) => Some(Additional::Anything),
        JSONSchemaPropsOrBool::Bool(false) => None,
    }
}

fn items(schema: Option<&JSONSchemaPropsOrArray>, strictness: Strictness) -> Option<Node> {
    match schema? {
        JSONSchemaPropsOrArray::Schema(schema) => Some(Node::compile(schema, strictness)),
        // Structural schemas do not allow one schema per position.
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

fn list_type(schema: &JSONSchemaProps) -> ListType {
    match schema.x_kubernetes_list_type.as_deref() {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(boxed(schema.x_kubernetes_list_map_keys.as_ref())),
        Some(_) | None => ListType::Atomic,
    }
}

fn bounds(schema: &JSONSchemaProps) -> Bounds {
    let count = |bound: Option<i64>| bound.and_then(|bound| usize::try_from(bound).ok());
    Bounds {
        minimum: schema.minimum,
        exclusive_minimum: schema.exclusive_minimum == Some(true),
        maximum: schema.maximum,
        exclusive_maximum: schema.exclusive_maximum == Some(true),
        multiple_of: schema.multiple_of,
        min_length: count(schema.min_length).unwrap_or(0),
        max_length: count(schema.max_length),
        min_items: count(schema.min_items).unwrap_or(0),
        max_items: count(schema.max_items),
        min_properties: count(schema.min_properties).unwrap_or(0),
        max_properties: count(schema.max_properties),
    }
}
