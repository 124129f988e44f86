//! Verbs: what a method means at a path.

use http::Method;

use super::path::Objects;

/// What is done with objects, named as in authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    /// Not a request of its own: to set `spec.agentName` of a Task.
    Place,
}

impl Verb {
    /// The verb of a request; `None` for a method that is none of the API's. `watch` says whether
    /// the query asks for one.
    pub(crate) fn of(method: &Method, objects: &Objects, watch: bool) -> Option<Self> {
        let collection = objects.name.is_empty();
        match *method {
            Method::GET | Method::HEAD if objects.watch || (collection && watch) => {
                Some(Self::Watch)
            }
            Method::GET | Method::HEAD if collection => Some(Self::List),
            Method::GET | Method::HEAD => Some(Self::Get),
            Method::POST => Some(Self::Create),
            Method::PUT => Some(Self::Update),
            Method::PATCH => Some(Self::Patch),
            Method::DELETE if collection => Some(Self::DeleteCollection),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Place => "place",
        }
    }
}
