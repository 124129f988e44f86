//! The paths of the API.
//!
//! ```text
//!  /api/v1/…                                           the core group
//!  /apis/{group}/{version}/…                           every other group
//!    …/{resource}                                      cluster scope, or all namespaces
//!    …/namespaces/{namespace}/{resource}[/{name}[/{subresource}]]
//!    …/watch/…                                         the old form of a watch
//! ```

use percent_encoding::percent_decode_str;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// `/healthz`, `/livez`, `/readyz`, with an optional check after it.
    Health { check: String },
    /// `/version`.
    Version,
    /// `/openapi/v3`.
    OpenApiIndex,
    /// `/openapi/v3/{document}`.
    OpenApi { document: String },
    /// `/api`: the versions of the core group.
    CoreVersions,
    /// `/apis`: all groups.
    Groups,
    /// `/apis/{group}`.
    Group { group: String },
    /// `/api/v1` or `/apis/{group}/{version}`: the resources of a group-version.
    Resources { group: String, version: String },
    /// Objects.
    Objects(Objects),
    /// Nothing is there.
    Unknown,
}

/// A path to objects of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Objects {
    /// Empty for the core group.
    pub(crate) group: String,
    pub(crate) version: String,
    /// Empty for the cluster scope, or for all namespaces.
    pub(crate) namespace: String,
    /// The plural name.
    pub(crate) resource: String,
    /// Empty for a collection.
    pub(crate) name: String,
    /// `status`, `log`, …; empty for the objects themselves.
    pub(crate) subresource: String,
    /// Whether it is the old form of a watch.
    pub(crate) watch: bool,
}

impl Path {
    /// Reads a path without its query.
    pub(crate) fn parse(path: &str) -> Self {
        let Some(path) = path.strip_prefix('/') else { return Self::Unknown };
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = Vec::new();
        for segment in path.split('/') {
            match percent_decode_str(segment).decode_utf8() {
                Ok(segment) => segments.push(segment.into_owned()),
                Err(_) => return Self::Unknown,
            }
        }
        let texts: Vec<&str> = segments.iter().map(String::as_str).collect();
        match texts.as_slice() {
            ["healthz" | "livez" | "readyz", check @ ..] => Self::Health { check: check.join("/") },
            ["version"] => Self::Version,
            ["openapi", "v3"] => Self::OpenApiIndex,
            ["openapi", "v3", document @ ..] => Self::OpenApi { document: document.join("/") },
            ["api"] => Self::CoreVersions,
            ["api", version, rest @ ..] => Self::in_version("", version, rest),
            ["apis"] => Self::Groups,
            ["apis", group] if !group.is_empty() => Self::Group { group: (*group).to_owned() },
            ["apis", group, version, rest @ ..] if !group.is_empty() => {
                Self::in_version(group, version, rest)
            }
            _ => Self::Unknown,
        }
    }

    fn in_version(group: &str, version: &str, rest: &[&str]) -> Self {
        let (group, version) = (group.to_owned(), version.to_owned());
        let (watch, rest) = match rest {
            ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
            rest => (false, rest),
        };
        let (namespace, rest) = match rest {
            [] => return Self::Resources { group, version },
            // Namespaces are objects themselves, with subresources of their own.
            ["namespaces", _, "status" | "finalize"] if group.is_empty() => ("", rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (resource, name, subresource) = match rest {
            [resource] => (*resource, "", String::new()),
            [resource, name, subresource @ ..] => (*resource, *name, subresource.join("/")),
            [] => return Self::Unknown,
        };
        Self::Objects(Objects {
            group,
            version,
            namespace: namespace.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            subresource,
            watch,
        })
    }
}

#[cfg(test)]
mod tests;
