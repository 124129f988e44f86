//! Query parameters.
//!
//! Unknown ones are ignored, and so are empty pairs (`?&a=b`), which kube-rs sends.

mod delete;
mod list;
mod token;
mod write;

use std::borrow::Cow;

use meseta_store::Version;

pub(crate) use delete::{DeleteOptions, Propagation};
pub(crate) use list::{At, ListOptions, WatchOptions, WatchStart};
pub(crate) use token::Token;
pub(crate) use write::{FieldValidation, WriteKind, WriteOptions};

use crate::status::Failure;
use crate::table::IncludeObject;

/// The parameters of a request, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(crate) fn parse(query: Option<&'a str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect())
    }

    /// The first value of a parameter; `None` where it is absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    /// Every value of a parameter.
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_ref())
    }

    /// Whether it is present and not said to be off; a bare `?watch` is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.all(name).next().is_some_and(|value| !matches!(value, "false" | "0"))
    }

    /// Whether it is on or off, if it is said at all.
    fn switch(&self, name: &str) -> Option<bool> {
        self.all(name).next().map(|_| self.is_on(name))
    }

    /// A whole number.
    ///
    /// # Errors
    /// 400 where it is none.
    fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                let why = format!("strconv.ParseInt: parsing {text:?}: invalid syntax");
                Failure::bad_request(why)
            })
        };
        self.get(name).map(parse).transpose()
    }

    /// What the rows of a table carry.
    ///
    /// # Errors
    /// 400.
    pub(crate) fn include_object(&self) -> Result<IncludeObject, Failure> {
        match self.get("includeObject") {
            None | Some("Metadata") => Ok(IncludeObject::Metadata),
            Some("None") => Ok(IncludeObject::None),
            Some("Object") => Ok(IncludeObject::Object),
            Some(other) => Err(Failure::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: \
                 must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }

    /// `resourceVersion` of a read; `None` where it is absent.
    ///
    /// # Errors
    /// 400 where it is no number.
    pub(crate) fn resource_version(&self) -> Result<Option<Version>, Failure> {
        self.get("resourceVersion").map(version).transpose()
    }
}

/// A resource version.
///
/// # Errors
/// 400 where it is no number.
pub(crate) fn version(text: &str) -> Result<Version, Failure> {
    text.parse().map(Version).map_err(|_| {
        Failure::bad_request(format!(
            "invalid resource version: resourceVersion: Invalid value: {text:?}: \
             strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

/// 422 for options of `meta.k8s.io`.
fn invalid_options(kind: &str, causes: Vec<crate::status::Cause>) -> Failure {
    Failure::invalid_type("meta.k8s.io", kind, "", causes)
}

#[cfg(test)]
mod tests;
