//! Answers of kind `Status`: what went wrong, in the words that clients act upon.
//!
//! Clients switch on `reason` first and on `code` second; Helm, Flux and kubectl also match a few
//! texts ("not found", "the object has been modified", "is immutable"). The forms are those of
//! `kubernetes/apimachinery: pkg/api/errors/errors.go`, v1.34.
//!
//! `details.kind` holds the *resource* (`tasks`) for what concerns an object as a whole, and the
//! *kind* (`Task`) for what is wrong inside one.

mod cause;

use serde_json::{Map, Value, json};

pub(crate) use self::cause::Cause;
use crate::registry::Kind;

/// A request that was refused or failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: u16,
    reason: &'static str,
    message: String,
    /// Boxed, so that results are small.
    details: Box<Map<String, Value>>,
    /// Where an expired list can go on, inconsistently.
    continue_token: Option<String>,
    retry_after: Option<u32>,
}

/// What somebody wanted to do, for a refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    pub user: &'a str,
    /// As authorization names it: `get`, `list`, `deletecollection`, …
    pub verb: &'a str,
    pub group: &'a str,
    /// Plural name of the resource.
    pub resource: &'a str,
    /// `status`, `log`; empty for the resource itself.
    pub subresource: &'a str,
    /// Empty for the cluster scope.
    pub namespace: &'a str,
    /// Empty for a collection.
    pub name: &'a str,
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Box::default(),
            continue_token: None,
            retry_after: None,
        }
    }

    /// Adds name, group and kind to the details, leaving out what is empty.
    fn about(mut self, name: &str, group: &str, kind: &str) -> Self {
        for (key, text) in [("name", name), ("group", group), ("kind", kind)] {
            if !text.is_empty() {
                self.details.insert(key.to_owned(), text.into());
            }
        }
        self
    }

    fn about_object(self, kind: &Kind, name: &str) -> Self {
        self.about(name, &kind.group, &kind.plural)
    }

    fn with_causes(mut self, causes: Vec<Cause>) -> Self {
        if !causes.is_empty() {
            let causes = causes.into_iter().map(|Cause { field, reason, message }| {
                let mut cause = Map::new();
                cause.insert("reason".to_owned(), reason.into());
                cause.insert("message".to_owned(), message.into());
                if !field.is_empty() {
                    cause.insert("field".to_owned(), field.into());
                }
                Value::Object(cause)
            });
            self.details.insert("causes".to_owned(), causes.collect());
        }
        self
    }

    fn retry_in(mut self, seconds: u32) -> Self {
        self.details.insert("retryAfterSeconds".to_owned(), seconds.into());
        self.retry_after = Some(seconds);
        self
    }

    /// 400: a body that cannot be decoded, a parameter that cannot be, a name that does not match.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: nobody's request.
    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 by the authorizer.
    pub(crate) fn forbidden(attempt: &Attempt<'_>) -> Self {
        let &Attempt { user, verb, group, resource, subresource, namespace, name } = attempt;
        let slash = if subresource.is_empty() { "" } else { "/" };
        let place = if namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {namespace:?}")
        };
        let why = format!(
            "User {user:?} cannot {verb} resource \"{resource}{slash}{subresource}\" in API group \
             {group:?} {place}"
        );
        Self::refused(group, resource, name, &why)
    }

    /// 403 for a reason of its own, such as a namespace that must not be deleted.
    pub(crate) fn forbidden_because(kind: &Kind, name: &str, why: &str) -> Self {
        Self::refused(&kind.group, &kind.plural, name, why)
    }

    /// 403: nothing new in a namespace that is being emptied.
    pub(crate) fn namespace_terminating(kind: &Kind, name: &str, namespace: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        Self::refused(&kind.group, &kind.plural, name, &why).with_causes(vec![Cause {
            field: "metadata.namespace".to_owned(),
            reason: "NamespaceTerminating",
            message: format!("namespace {namespace} is being terminated"),
        }])
    }

    fn refused(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(resource, group);
        let message = if name.is_empty() {
            format!("{what} is forbidden: {why}")
        } else {
            format!("{what} {name:?} is forbidden: {why}")
        };
        Self::new(403, "Forbidden", message).about(name, group, resource)
    }

    /// 404 for an object.
    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", kind.resource()))
            .about_object(kind, name)
    }

    /// 404 for what lies beneath an object, such as a subresource.
    pub(crate) fn resource_not_found() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 405: the verb is not served here.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// 406: none of the media types the client accepts.
    pub(crate) fn not_acceptable(accepted: &[&str]) -> Self {
        let message =
            format!("only the following media types are accepted: {}", accepted.join(", "));
        Self::new(406, "NotAcceptable", message)
    }

    /// 405: the kind does not have the verb, which is empty where it is none of ours.
    pub(crate) fn verb_not_allowed(kind: &Kind, verb: &str) -> Self {
        if !kind.custom {
            return Self::method_not_allowed();
        }
        let message = format!("{verb} is not supported on resources of kind {:?}", kind.resource());
        Self::new(405, "MethodNotAllowed", message).about_object(kind, "")
    }

    /// 409: the name is taken.
    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", kind.resource()))
            .about_object(kind, name)
    }

    /// 409: the name is taken by an object that is about to go.
    pub(crate) fn being_deleted(kind: &Kind, name: &str) -> Self {
        let exists = Self::already_exists(kind, name);
        Self { message: format!("object is being deleted: {}", exists.message), ..exists }
    }

    /// 409: a precondition does not hold.
    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.resource());
        Self::new(409, "Conflict", message).about_object(kind, name)
    }

    /// 409: the object is not of the version the client has seen.
    pub(crate) fn modified(kind: &Kind, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and \
             try again",
        )
    }

    /// 410: the version is compacted. `continue_token` leads on at the newest version.
    pub(crate) fn expired(message: impl Into<String>, continue_token: Option<String>) -> Self {
        Self { continue_token, ..Self::new(410, "Expired", message) }
    }

    /// 413: the body is over `limit` bytes.
    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 415: the body is of a type that is not read here.
    pub(crate) fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422: fields of an object are wrong. `causes` must not be empty.
    pub(crate) fn invalid(kind: &Kind, name: &str, causes: Vec<Cause>) -> Self {
        Self::invalid_type(&kind.group, &kind.kind, name, causes)
    }

    /// 422 for something that is no stored kind, such as `PatchOptions` of `meta.k8s.io`.
    pub(crate) fn invalid_type(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let texts: Vec<String> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let texts = match texts.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let message = format!("{} {name:?} is invalid: {texts}", qualified(kind, group));
        Self::new(422, "Invalid", message).about(name, group, kind).with_causes(causes)
    }

    /// 422 for a patch that cannot be carried out.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    /// 429: come back in a while.
    pub(crate) fn too_many_requests(retry_after_seconds: u32) -> Self {
        Self::new(429, "TooManyRequests", "Too many requests, please try again later.")
            .retry_in(retry_after_seconds)
    }

    /// 500: our fault.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {error}"))
    }

    /// 503: not ready, or the store does not answer.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// 503: what the leading control plane alone can answer, while there is none that can.
    pub(crate) fn leaderless(message: impl Into<String>) -> Self {
        /// A lease is taken over within seconds.
        const RETRY_SECONDS: u32 = 1;
        Self::unavailable(message).retry_in(RETRY_SECONDS)
    }

    /// 504: a version that has not come to be in time.
    pub(crate) fn timeout_future(asked: u64, current: u64) -> Self {
        /// The version may be there a moment later.
        const RETRY_SECONDS: u32 = 1;
        let message = format!("Too large resource version: {asked}, current: {current}");
        Self::new(504, "Timeout", format!("Timeout: {message}"))
            .with_causes(vec![Cause {
                field: String::new(),
                reason: "ResourceVersionTooLarge",
                message: "Too large resource version".to_owned(),
            }])
            .retry_in(RETRY_SECONDS)
    }

    /// The HTTP status.
    pub(crate) fn code(&self) -> u16 {
        self.code
    }

    /// Seconds for the header `Retry-After`.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    /// What it says, in one sentence.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The `Status` object.
    pub(crate) fn body(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".to_owned(), token.as_str().into());
        }
        let mut body = Map::new();
        body.insert("kind".to_owned(), "Status".into());
        body.insert("apiVersion".to_owned(), "v1".into());
        body.insert("metadata".to_owned(), metadata.into());
        body.insert("status".to_owned(), "Failure".into());
        body.insert("message".to_owned(), self.message.as_str().into());
        body.insert("reason".to_owned(), self.reason.into());
        if !self.details.is_empty() {
            body.insert("details".to_owned(), Value::Object((*self.details).clone()));
        }
        body.insert("code".to_owned(), self.code.into());
        Value::Object(body)
    }
}

/// `tasks.meseta.dev`, or `secrets` in the core group.
fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

/// The answer to a delete that left nothing behind.
pub(crate) fn success(kind: &Kind, name: &str, uid: &str) -> Value {
    let mut details = Map::new();
    for (key, text) in [
        ("name", name),
        ("group", kind.group.as_str()),
        ("kind", kind.plural.as_str()),
        ("uid", uid),
    ] {
        if !text.is_empty() {
            details.insert(key.to_owned(), text.into());
        }
    }
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    })
}

#[cfg(test)]
mod tests;
