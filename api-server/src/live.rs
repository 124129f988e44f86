//! What is not stored but lives in memory or streams: the group `live.meseta.dev`.
//!
//! Each kind of it is a [`LiveResource`]: offers are a collection, logs are something of a stored
//! object; exec and explanations follow.

mod changes;
mod collection;
mod forward;
mod logs;
pub(crate) mod source;

use std::sync::Arc;

use futures::future::BoxFuture;
use http::{Method, request};
use meseta_serve::Identity;

use self::source::LiveCollection;
use crate::answer::{self, Response};
use crate::authz::{self, Attributes, Decision};
use crate::registry::{Kind, Registry};
use crate::request::params::Query;
use crate::request::path::Objects;
use crate::request::verb::Verb;
use crate::server::{self, Server};
use crate::status::{Attempt, Failure};

/// A request for something live, authorized.
pub(crate) struct Call<'a> {
    pub(crate) server: &'a Arc<Server>,
    pub(crate) head: &'a request::Parts,
    pub(crate) query: &'a Query<'a>,
    pub(crate) objects: &'a Objects,
    pub(crate) verb: Verb,
}

/// Something that is answered beneath `/apis/live.meseta.dev/v1alpha1/`.
pub(crate) trait LiveResource: Send + Sync {
    /// Where it is, and what can be done with it.
    fn shape(&self) -> Shape<'_>;

    /// Answers a call.
    fn serve<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Response, Failure>>;
}

/// The two forms of live resources.
pub(crate) enum Shape<'a> {
    /// Objects of a kind of their own, at the paths that those of a stored kind would have.
    Collection(&'a Kind),
    /// Something of an object of a stored kind, at
    /// `namespaces/{namespace}/{resource}/{name}/{subresource}`.
    Subresource {
        /// Plural name of the stored kind.
        resource: &'static str,
        subresource: &'static str,
        verbs: &'static [Verb],
    },
}

/// All live resources.
pub(crate) struct Live(Vec<Box<dyn LiveResource>>);

impl Live {
    /// The live resources of a server that dials agents and other control planes through `client`.
    pub(crate) fn new(
        registry: &Registry,
        client: Option<&meseta_serve::Client>,
        offers: Option<&Arc<dyn LiveCollection>>,
    ) -> Self {
        let mut all: Vec<Box<dyn LiveResource>> = vec![Box::new(logs::Logs::new(client.cloned()))];
        for kind in registry.live() {
            let source = offers.filter(|_| kind.plural == "offers").cloned();
            let collection = collection::Collection::new(Arc::clone(kind), source, client.cloned());
            all.push(Box::new(collection));
        }
        Self(all)
    }

    /// Answers a request to the group.
    ///
    /// # Errors
    /// 403, 405, and what the resource says.
    pub(crate) async fn handle(
        &self,
        server: &Arc<Server>,
        head: &request::Parts,
        identity: &Identity,
        objects: &Objects,
        query: &Query<'_>,
    ) -> Result<Response, Failure> {
        let here = |live: &&dyn LiveResource| match live.shape() {
            Shape::Collection(kind) => kind.plural == objects.resource,
            Shape::Subresource { resource, subresource, .. } => {
                (resource, subresource) == (&*objects.resource, &*objects.subresource)
            }
        };
        let found = self.0.iter().map(|live| &**live).find(here);
        let found = found.filter(|_| objects.version == meseta_crds::VERSION);
        let Some(live) = found else { return Ok(answer::no_such_page()) };
        match live.shape() {
            Shape::Collection(kind) => {
                if let Some(refusal) = server::out_of_scope(kind, objects, &head.method) {
                    return refusal;
                }
                let verb = server::verb(head, kind, objects, query)?;
                if server::authorize(identity, kind, objects, query, verb)?.is_some() {
                    return Err(server::forbidden(identity, kind, objects, verb));
                }
                let _room = server.limits.enter(verb).await?;
                live.serve(Call { server, head, query, objects, verb }).await
            }
            Shape::Subresource { verbs, .. } => {
                if objects.namespace.is_empty() || objects.name.is_empty() {
                    return Ok(answer::no_such_page());
                }
                let verb = match head.method {
                    Method::GET => Verb::Get,
                    Method::POST => Verb::Create,
                    _ => return Err(Failure::method_not_allowed()),
                };
                if !verbs.contains(&verb) {
                    return Err(Failure::method_not_allowed());
                }
                authorize(identity, objects, verb)?;
                live.serve(Call { server, head, query, objects, verb }).await
            }
        }
    }
}

fn authorize(identity: &Identity, objects: &Objects, verb: Verb) -> Result<(), Failure> {
    let attributes = Attributes {
        verb,
        group: &objects.group,
        resource: &objects.resource,
        subresource: &objects.subresource,
        namespace: &objects.namespace,
        name: &objects.name,
        agent_name: None,
    };
    match authz::authorize(identity, &attributes) {
        Decision::Allow => Ok(()),
        Decision::AllowIf(_) | Decision::Deny => Err(Failure::forbidden(&Attempt {
            user: &identity.user,
            verb: verb.as_str(),
            group: &objects.group,
            resource: &objects.resource,
            subresource: &objects.subresource,
            namespace: &objects.namespace,
            name: &objects.name,
        })),
    }
}
