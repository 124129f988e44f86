//! From a request to its handler.
//!
//! ```text
//!  identity ─► path ─► resource ─► verb ─► authorization ─► room for one more ─► handler
//!    401        404       404       405         403              429
//! ```

mod limits;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, request};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use meseta_serve::Identity;
use meseta_store::Store;
use tokio_util::sync::CancellationToken;

pub(crate) use limits::{Limits, REQUEST_TIMEOUT};

use crate::answer::{self, Body, BoxError, Response};
use crate::authz::{self, Attributes, Condition, Decision};
use crate::cache::{Cache, Selection};
use crate::handlers;
use crate::live::Live;
use crate::registry::{Kind, Registry};
use crate::request::media;
use crate::request::params::Query;
use crate::request::path::{Objects, Path};
use crate::request::verb::Verb;
use crate::selector::FieldSelector;
use crate::status::{Attempt, Failure};
use crate::storage::{Resource, Storage};

/// Bytes of a request's body, as in kube-apiserver.
const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;

/// Everything a request is answered from.
pub(crate) struct Server {
    pub(crate) registry: Registry,
    pub(crate) storage: Storage,
    resources: Vec<Arc<Resource>>,
    pub(crate) limits: Limits,
    pub(crate) live: Live,
    pub(crate) shutdown: CancellationToken,
    deliveries: Arc<AtomicU64>,
    generation: http::HeaderValue,
}

/// A request that has passed authorization.
pub(crate) struct Request<'a> {
    pub(crate) query: Query<'a>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) objects: &'a Objects,
    pub(crate) resource: &'a Arc<Resource>,
    pub(crate) identity: &'a Identity,
    pub(crate) body: Bytes,
    /// What the object must be.
    pub(crate) condition: Option<Condition>,
}

impl Request<'_> {
    pub(crate) fn kind(&self) -> &Arc<Kind> {
        &self.resource.kind
    }

    /// The object in the path: its key in the cache and, with the kind's prefix, in the store.
    pub(crate) fn key(&self) -> String {
        crate::object::key(&self.objects.namespace, &self.objects.name)
    }
}

impl Server {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        registry: Registry,
        live: Live,
        shutdown: CancellationToken,
    ) -> Self {
        let deliveries = Arc::new(AtomicU64::new(0));
        let resource = |kind: &Arc<Kind>| {
            let cache = Arc::new(Cache::new(Arc::clone(kind), Arc::clone(&deliveries)));
            Arc::new(Resource::new(kind, cache))
        };
        let resources = registry.kinds().iter().map(resource).collect();
        let generation = http::HeaderValue::from_str(store.generation())
            .unwrap_or_else(|_| http::HeaderValue::from_static("unknown"));
        Self {
            registry,
            resources,
            storage: Storage::new(store),
            limits: Limits::default(),
            live,
            shutdown,
            deliveries,
            generation,
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.storage.store
    }

    pub(crate) fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    /// All resources, in the order of the registry.
    pub(crate) fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// The resource at `/apis/{group}/{version}/{plural}`.
    pub(crate) fn resource(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Option<&Arc<Resource>> {
        let found = |resource: &&Arc<Resource>| {
            let kind = &resource.kind;
            kind.plural == plural && kind.group == group && kind.version == version
        };
        self.resources.iter().find(found)
    }

    /// The resource whose objects have this type.
    pub(crate) fn resource_of(&self, api_version: &str, kind: &str) -> Option<&Arc<Resource>> {
        let found = |resource: &&Arc<Resource>| {
            resource.kind.kind == kind && resource.kind.api_version() == api_version
        };
        self.resources.iter().find(found)
    }

    /// The namespaces.
    pub(crate) fn namespaces(&self) -> &Arc<Resource> {
        self.resource("", "v1", "namespaces").expect("namespaces are a built-in kind")
    }

    /// Answers a request, whatever it is.
    pub(crate) async fn respond<B>(self: Arc<Self>, request: http::Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let mut response = match Box::pin(self.dispatch(&head, body)).await {
            Ok(response) => response,
            Err(failure) => answer::failure(&failure, media::plain_encoding(&head.headers)),
        };
        if head.method == Method::HEAD {
            *response.body_mut() = Body::whole(Bytes::new());
        }
        response.headers_mut().insert(answer::STORE_GENERATION, self.generation.clone());
        response
    }

    async fn dispatch<B>(
        self: &Arc<Self>,
        head: &request::Parts,
        body: B,
    ) -> Result<Response, Failure>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let identity = head.extensions.get::<Identity>().ok_or_else(Failure::unauthorized)?;
        let objects = match Path::parse(head.uri.path()) {
            Path::Objects(objects) => objects,
            path => return handlers::discovery::handle(self, head, &path),
        };
        let query = Query::parse(head.uri.query());
        if objects.group == meseta_crds::LIVE_GROUP {
            return self.live.handle(self, head, identity, &objects, &query).await;
        }
        let Some(resource) = self.resource(&objects.group, &objects.version, &objects.resource)
        else {
            return not_served(&objects);
        };
        let kind = &resource.kind;
        if let Some(refusal) = out_of_scope(kind, &objects, &head.method) {
            return refusal;
        }
        let verb = verb(head, kind, &objects, &query)?;
        let condition = authorize(identity, kind, &objects, &query, verb)?;
        let _room = self.limits.enter(verb).await?;
        let body = match verb {
            Verb::Get | Verb::List | Verb::Watch => Bytes::new(),
            _ => read(body).await?,
        };
        let headers = &head.headers;
        let request =
            Request { query, headers, objects: &objects, resource, identity, body, condition };
        let handled = Box::pin(self.handle(verb, &request));
        tokio::time::timeout(limits::REQUEST_TIMEOUT, handled)
            .await
            .unwrap_or_else(|_| Err(Failure::unavailable(TOO_SLOW)))
    }

    async fn handle(
        self: &Arc<Self>,
        verb: Verb,
        request: &Request<'_>,
    ) -> Result<Response, Failure> {
        match verb {
            Verb::Get => handlers::get::handle(self, request).await,
            Verb::List => handlers::list::handle(self, request).await,
            Verb::Watch => handlers::watch::handle(self, request).await,
            Verb::Create => handlers::create::handle(self, request).await,
            Verb::Update | Verb::Place => handlers::update::handle(self, request).await,
            Verb::Patch => handlers::patch::handle(self, request).await,
            Verb::Delete => handlers::delete::handle(self, request).await,
            Verb::DeleteCollection => handlers::delete_collection::handle(self, request).await,
        }
    }
}

/// Said of a request that was given up; it may have been a write.
const TOO_SLOW: &str = "the request did not finish in time; whether it is carried out is not known";

/// What is said to a path in another scope than the kind's, if it is.
pub(crate) fn out_of_scope(
    kind: &Kind,
    objects: &Objects,
    method: &Method,
) -> Option<Result<Response, Failure>> {
    let everywhere = kind.namespaced && objects.namespace.is_empty();
    let elsewhere = !kind.namespaced && !objects.namespace.is_empty();
    if elsewhere || (everywhere && !objects.name.is_empty()) {
        return Some(not_served(objects));
    }
    let reads = matches!(*method, Method::GET | Method::HEAD);
    // Writes to a collection are to that of one namespace.
    (everywhere && !reads)
        .then(|| if kind.custom { not_served(objects) } else { Err(Failure::method_not_allowed()) })
}

/// What is said where no such kind, or not in this scope, is served.
fn not_served(objects: &Objects) -> Result<Response, Failure> {
    if objects.group.is_empty() {
        return Err(Failure::resource_not_found());
    }
    Ok(answer::no_such_page())
}

/// The verb of a request, if the kind has it.
pub(crate) fn verb(
    head: &request::Parts,
    kind: &Kind,
    objects: &Objects,
    query: &Query<'_>,
) -> Result<Verb, Failure> {
    let verb = Verb::of(&head.method, objects, query.is_on("watch"))
        .ok_or_else(|| Failure::verb_not_allowed(kind, ""))?;
    let collection = objects.name.is_empty();
    match verb {
        Verb::Update | Verb::Patch if collection && kind.custom => {
            return Err(Failure::bad_request("name must be provided"));
        }
        Verb::Update | Verb::Patch if collection => return Err(Failure::method_not_allowed()),
        _ => {}
    }
    if !objects.subresource.is_empty() {
        if crate::admission::Part::of(kind, &objects.subresource).is_none() {
            return Err(Failure::not_found(kind, &objects.name));
        }
        let served = matches!(verb, Verb::Get | Verb::Update | Verb::Patch);
        return if served { Ok(verb) } else { Err(Failure::verb_not_allowed(kind, verb.as_str())) };
    }
    if kind.verbs.contains(&verb.as_str()) {
        Ok(verb)
    } else {
        Err(Failure::verb_not_allowed(kind, verb.as_str()))
    }
}

/// Asks the authorizer; the condition is what remains to be looked at.
pub(crate) fn authorize(
    identity: &Identity,
    kind: &Kind,
    objects: &Objects,
    query: &Query<'_>,
    verb: Verb,
) -> Result<Option<Condition>, Failure> {
    // A selector that cannot be read selects nothing here, and is refused by its handler.
    let fields = query.get("fieldSelector").filter(|_| matches!(verb, Verb::List | Verb::Watch));
    let fields = FieldSelector::parse(fields.unwrap_or_default(), kind).unwrap_or_default();
    let selected = Selection { fields, ..Selection::default() };
    let name = match objects.name.as_str() {
        "" => selected.fields.exact("metadata.name").unwrap_or_default(),
        name => name,
    };
    let attributes = Attributes {
        verb,
        group: &kind.group,
        resource: &kind.plural,
        subresource: &objects.subresource,
        namespace: &objects.namespace,
        name,
        agent_name: selected.fields.exact("spec.agentName"),
    };
    match authz::authorize(identity, &attributes) {
        Decision::Allow => Ok(None),
        Decision::AllowIf(condition) => Ok(Some(condition)),
        Decision::Deny => Err(forbidden(identity, kind, objects, verb)),
    }
}

/// The refusal of a request.
pub(crate) fn forbidden(
    identity: &Identity,
    kind: &Kind,
    objects: &Objects,
    verb: Verb,
) -> Failure {
    Failure::forbidden(&Attempt {
        user: &identity.user,
        verb: verb.as_str(),
        group: &kind.group,
        resource: &kind.plural,
        subresource: &objects.subresource,
        namespace: &objects.namespace,
        name: &objects.name,
    })
}

/// Reads a body within its bounds.
async fn read<B>(body: B) -> Result<Bytes, Failure>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let collected = tokio::time::timeout(
        limits::BODY_TIMEOUT,
        Box::pin(Limited::new(body, MAX_BODY_BYTES)).collect(),
    );
    match collected.await {
        Err(_) => Err(Failure::bad_request("the body of the request did not come in time")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::too_large(MAX_BODY_BYTES)),
        Ok(Err(error)) => Err(Failure::bad_request(format!("cannot read the body: {error}"))),
    }
}

/// The status of an answer to a write.
pub(crate) const CREATED: StatusCode = StatusCode::CREATED;
