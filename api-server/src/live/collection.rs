//! Kinds whose objects are in the memory of the leading control plane: list, watch and get.
//!
//! ```text
//!  request ─► does this process lead? ─yes─► list or watch of the LiveCollection ─► forms, selectors
//!                  │no                                                             of stored kinds
//!                  └─► forward to the leader, over mutual TLS; without one 503
//! ```
//!
//! A list is one page: what changes within milliseconds is not worth pinning. Versions are those of
//! the collection, and mean nothing to stored kinds. With its leader a watch ends, by 410.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::StatusCode;
use meseta_store::Version;

use super::changes::LiveChanges;
use super::source::{Leader, LiveCollection, Within};
use super::{Call, LiveResource, Shape, forward};
use crate::answer::Response;
use crate::cache::Selection;
use crate::handlers;
use crate::handlers::list::{self, Page};
use crate::handlers::watch::stream::{self, Initial};
use crate::object::Object;
use crate::registry::Kind;
use crate::request::media::{self, Wanted};
use crate::request::params::{At, ListOptions, WatchOptions, WatchStart};
use crate::request::verb::Verb;
use crate::status::Failure;

/// See the module.
pub(super) struct Collection {
    kind: Arc<Kind>,
    source: Option<Arc<dyn LiveCollection>>,
    /// The client for calls to the leader.
    peers: Option<meseta_serve::Client>,
}

impl LiveResource for Collection {
    fn shape(&self) -> Shape<'_> {
        Shape::Collection(&self.kind)
    }

    fn serve<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Response, Failure>> {
        Box::pin(self.answer(call))
    }
}

impl Collection {
    pub(super) fn new(
        kind: Arc<Kind>,
        source: Option<Arc<dyn LiveCollection>>,
        peers: Option<meseta_serve::Client>,
    ) -> Self {
        Self { kind, source, peers }
    }

    async fn answer(&self, call: Call<'_>) -> Result<Response, Failure> {
        let source = self.source.as_ref().ok_or_else(no_leader)?;
        match source.leader() {
            Leader::Unknown => Err(no_leader()),
            Leader::At(url) => forward::to(&url, source, self.peers.as_ref(), &call).await,
            Leader::Here => {
                let wanted = media::wanted(&call.head.headers, call.query.include_object()?)?;
                match call.verb {
                    Verb::Get => self.get(source, &call, wanted).await,
                    Verb::List => self.list(source, &call, wanted).await,
                    Verb::Watch => self.watch(source, &call, wanted).await,
                    Verb::Create
                    | Verb::Update
                    | Verb::Patch
                    | Verb::Delete
                    | Verb::DeleteCollection
                    | Verb::Place => Err(Failure::verb_not_allowed(&self.kind, call.verb.as_str())),
                }
            }
        }
    }

    async fn get(
        &self,
        source: &Arc<dyn LiveCollection>,
        call: &Call<'_>,
        wanted: Wanted,
    ) -> Result<Response, Failure> {
        let namespace = Some(call.objects.namespace.clone());
        let selection = Selection { namespace, ..Selection::default() };
        let name = call.objects.name.as_str();
        let (version, objects) = self.read(source, Some(name), selection).await?;
        not_older(version, call.query.resource_version()?)?;
        let found = objects.iter().find(|object| object.name() == name);
        let found = found.ok_or_else(|| Failure::not_found(&self.kind, name))?;
        Ok(handlers::object(StatusCode::OK, &self.kind, found.body(), found.version(), wanted))
    }

    async fn list(
        &self,
        source: &Arc<dyn LiveCollection>,
        call: &Call<'_>,
        wanted: Wanted,
    ) -> Result<Response, Failure> {
        let options = ListOptions::parse(call.query, call.objects, &self.kind)?;
        if let Some(token) = &options.token {
            return Err(list::expired(&options, token.version().unwrap_or_default()));
        }
        let (version, objects) = self.read(source, None, options.selection.clone()).await?;
        match options.at {
            At::Newest | At::Any => {}
            At::NotOlderThan(asked) => not_older(version, Some(asked))?,
            At::Exactly(asked) => {
                not_older(version, Some(asked))?;
                if asked < version {
                    return Err(list::expired(&options, asked));
                }
            }
        }
        Ok(list::render(Arc::clone(&self.kind), Page::whole(objects, version), wanted))
    }

    async fn watch(
        &self,
        source: &Arc<dyn LiveCollection>,
        call: &Call<'_>,
        wanted: Wanted,
    ) -> Result<Response, Failure> {
        let options = WatchOptions::parse(call.query, call.objects, &self.kind)?;
        let room = call.server.limits.stream()?;
        let selection = options.selection.clone();
        let (version, initial) = match options.start {
            WatchStart::After(version) => (version, Initial { objects: Vec::new(), ends: false }),
            WatchStart::Now => {
                let (version, _) = self.read(source, Some(""), Selection::default()).await?;
                (version, Initial { objects: Vec::new(), ends: false })
            }
            WatchStart::State { at, bookmark } => {
                let (version, objects) = self.read(source, None, selection.clone()).await?;
                match at {
                    At::Newest | At::Any => {}
                    At::NotOlderThan(asked) | At::Exactly(asked) => {
                        not_older(version, Some(asked))?;
                    }
                }
                (version, Initial { objects, ends: bookmark })
            }
        };
        let events = source.watch(version.0).ok_or_else(no_leader)?;
        let shutdown = call.server.shutdown.clone();
        let kind = Arc::clone(&self.kind);
        let changes = LiveChanges::new(Arc::clone(&kind), selection, events, version, shutdown);
        Ok(stream::begin(kind, wanted.form, &options, initial, changes, room))
    }

    /// What is selected, in the order of the keys, and the version it is as of.
    ///
    /// # Errors
    /// 503 where this process leads no longer.
    async fn read(
        &self,
        source: &Arc<dyn LiveCollection>,
        name: Option<&str>,
        selection: Selection,
    ) -> Result<(Version, Vec<Arc<Object>>), Failure> {
        let (source, kind) = (Arc::clone(source), Arc::clone(&self.kind));
        let name = name.or_else(|| selection.fields.exact("metadata.name")).map(str::to_owned);
        // There can be as many objects as agents: too many to encode between two other requests.
        let read = tokio::task::spawn_blocking(move || {
            let within = Within { namespace: selection.namespace(), name: name.as_deref() };
            let (version, found) = source.list(within)?;
            let mut objects: Vec<_> = found
                .into_iter()
                .map(|found| Arc::new(Object::live(&kind, Version(found.version), found.value)))
                .filter(|object| selection.matches(object))
                .collect();
            objects.sort_by(|a, b| a.key().cmp(b.key()));
            Some((Version(version), objects))
        });
        read.await.map_err(Failure::internal)?.ok_or_else(no_leader)
    }
}

/// 504 where less is known than was asked for.
fn not_older(version: Version, asked: Option<Version>) -> Result<(), Failure> {
    match asked {
        Some(asked) if asked > version => Err(Failure::timeout_future(asked.0, version.0)),
        _ => Ok(()),
    }
}

fn no_leader() -> Failure {
    Failure::leaderless("no control plane leads, or not yet; try again")
}
