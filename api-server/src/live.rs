//! What is not stored but lives in memory or streams: the group `live.meseta.dev`.
//!
//! Each kind of it is a [`LiveResource`]; logs are the first, offers, exec and explanations follow.

mod logs;

use std::sync::Arc;

use futures::future::BoxFuture;
use http::{Method, request};
use meseta_serve::Identity;

use crate::answer::{self, Response};
use crate::authz::{self, Attributes, Decision};
use crate::request::params::Query;
use crate::request::path::Objects;
use crate::request::verb::Verb;
use crate::server::Server;
use crate::status::{Attempt, Failure};

/// A request for something live, authorized.
pub(crate) struct Call<'a> {
    pub(crate) server: &'a Arc<Server>,
    pub(crate) query: &'a Query<'a>,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

/// Something that is answered at
/// `/apis/live.meseta.dev/v1alpha1/namespaces/{namespace}/{resource}/{name}/{subresource}`.
pub(crate) trait LiveResource: Send + Sync {
    /// Plural name of the resource and its subresource, such as `tasks` and `log`.
    fn path(&self) -> (&'static str, &'static str);

    /// What can be done with it.
    fn verbs(&self) -> &'static [Verb];

    /// Answers a call.
    fn serve<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Response, Failure>>;
}

/// All live resources.
pub(crate) struct Live(Vec<Box<dyn LiveResource>>);

impl Live {
    /// The live resources of a server that dials agents through `agents`.
    pub(crate) fn new(agents: Option<meseta_serve::Client>) -> Self {
        Self(vec![Box::new(logs::Logs::new(agents))])
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
        let path = (objects.resource.as_str(), objects.subresource.as_str());
        let found = self.0.iter().find(|live| live.path() == path);
        let complete = objects.version == meseta_crds::VERSION
            && !objects.namespace.is_empty()
            && !objects.name.is_empty();
        let Some(live) = found.filter(|_| complete) else {
            return Ok(answer::no_such_page());
        };
        let verb = match head.method {
            Method::GET => Verb::Get,
            Method::POST => Verb::Create,
            _ => return Err(Failure::method_not_allowed()),
        };
        if !live.verbs().contains(&verb) {
            return Err(Failure::method_not_allowed());
        }
        authorize(identity, objects, verb)?;
        let call = Call { server, query, namespace: &objects.namespace, name: &objects.name };
        live.serve(call).await
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
