//! Garbage collection: objects whose owners are gone go as well.
//!
//! ```text
//!  caches ──events──► Graph (who names whom as owner) ──► work ──► verdict ──► delete, or strip
//!                                                          ▲                      │ failed
//!                                                          └──────── later ◄──────┘
//! ```
//!
//! Owners are matched by uid, within the namespace or in the cluster scope. An object goes when all
//! its owners are gone; while one is left it only loses the references to the others. What the
//! cache says is missing is looked up in the store before anything is deleted. An owner of a kind
//! that is not served here counts as present.
//!
//! - *Background*: the owner is gone, its dependents follow.
//! - *Foreground*: the owner waits, with a finalizer, until those that block it are gone.
//! - *Orphan*: the owner waits until its dependents have lost their reference.
//!
//! Level, not edge: an item of work is a key, and what is done depends only on what is there then.

mod graph;
mod verdict;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{FutureExt as _, select_all};
use meseta_store::Version;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use self::graph::{Graph, Item};
use self::verdict::{OwnerState, Verdict, judge};
use super::change;
use crate::cache::{Event, Selection};
use crate::handlers::delete::{FOREGROUND, ORPHAN};
use crate::object::{self, Object};
use crate::server::Server;
use crate::status::Failure;
use crate::storage::Resource;

/// Items at a time; their writes share the store's syncs.
const CONCURRENCY: usize = 16;
/// How long an item rests that could not be dealt with.
const RETRY: Duration = Duration::from_secs(1);
/// How long changes gather before they are read: most of them are of no interest here, and a look
/// at all caches for each would cost as much as the writes.
const GATHER: Duration = Duration::from_millis(20);

/// Collects until the future is dropped.
pub(super) async fn run(server: Arc<Server>) {
    let mut collector = Collector::new(server);
    loop {
        collector.read_changes();
        collector.work().await;
        collector.wait().await;
    }
}

struct Collector {
    server: Arc<Server>,
    graph: Graph,
    /// Per resource: what was read of its changes, and what tells of more.
    cursors: Vec<Option<Version>>,
    followers: Vec<watch::Receiver<Version>>,
    /// What is to be looked at: at most every object once.
    work: BTreeSet<Item>,
    /// What is to be looked at again, in the order of time.
    later: VecDeque<(Instant, Item)>,
}

impl Collector {
    fn new(server: Arc<Server>) -> Self {
        let followers = server.resources().iter().map(|resource| resource.cache.follow()).collect();
        let cursors = vec![None; server.resources().len()];
        let (graph, work, later) = Default::default();
        Self { server, graph, cursors, followers, work, later }
    }

    /// Takes in what the caches have seen since the last time.
    fn read_changes(&mut self) {
        let server = Arc::clone(&self.server);
        for follower in &mut self.followers {
            follower.borrow_and_update();
        }
        for (index, resource) in server.resources().iter().enumerate() {
            let events = self.cursors[index].and_then(|since| resource.cache.events_after(since));
            match events {
                Some((events, version)) => {
                    self.cursors[index] = Some(version);
                    for event in events {
                        self.take_in(index, &event);
                    }
                }
                None => {
                    debug!(resource = resource.kind.resource(), "reads all objects");
                    self.read_all(index, resource);
                }
            }
        }
    }

    fn read_all(&mut self, index: usize, resource: &Resource) {
        let found = resource.cache.list(&Selection::default(), None, None);
        self.cursors[index] = Some(found.version);
        for object in found.objects {
            let item = Item { resource: index, key: Arc::clone(object.key()) };
            self.graph.set(&item, uids(&object));
            self.work.insert(item);
        }
    }

    /// Notes what an event makes worth looking at.
    fn take_in(&mut self, index: usize, event: &Event) {
        let Some(object) = event.object.as_ref().or(event.previous.as_ref()) else { return };
        let item = Item { resource: index, key: Arc::clone(object.key()) };
        let before = event.previous.as_ref().map(|object| uids(object)).unwrap_or_default();
        let after = event.object.as_ref().map(|object| uids(object)).unwrap_or_default();
        self.graph.set(&item, after.clone());
        match &event.object {
            None => self.work.extend(self.graph.dependents(object.uid())),
            Some(object) => {
                let new = event.previous.is_none();
                let dies = object.is_terminating() && waits_for_dependents(object);
                if dies || ((new || before != after) && !after.is_empty()) {
                    self.work.insert(item);
                }
            }
        }
        // Owners that wait may have waited for this.
        if object.is_terminating() || before != after {
            let owners = event.previous.as_ref().map(|previous| self.owners(previous));
            self.work.extend(owners.into_iter().flatten());
        }
    }

    /// The item of an owner, if its kind is served.
    fn item_of(&self, dependent: &Object, reference: &Value) -> Option<Item> {
        let text = |name: &str| reference[name].as_str().unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let resource = self.server.resources().iter().position(|resource| {
            resource.kind.kind == kind && resource.kind.api_version() == api_version
        })?;
        let key = owner_key(&self.server.resources()[resource], dependent, text("name"));
        Some(Item { resource, key: key.into() })
    }

    /// Deals with everything that is to be looked at.
    async fn work(&mut self) {
        let now = Instant::now();
        while self.later.front().is_some_and(|(due, _)| *due <= now) {
            self.work.extend(self.later.pop_front().map(|(_, item)| item));
        }
        let items = std::mem::take(&mut self.work);
        let this = &*self;
        let failed: Vec<Item> = futures::stream::iter(items)
            .map(|item| async move {
                match Box::pin(this.look_at(&item)).await {
                    Ok(()) => None,
                    Err(failure) => {
                        let resource = &this.server.resources()[item.resource];
                        let (resource, key) = (resource.kind.resource(), &item.key);
                        if failure.code() == 409 {
                            debug!(resource, %key, "changed meanwhile");
                        } else {
                            let failure = failure.message();
                            warn!(resource, %key, failure, "cannot collect");
                        }
                        Some(item)
                    }
                }
            })
            .buffer_unordered(CONCURRENCY)
            .filter_map(futures::future::ready)
            .collect()
            .await;
        let due = Instant::now() + RETRY;
        self.later.extend(failed.into_iter().map(|item| (due, item)));
    }

    /// Waits for a change, or until something is to be looked at again.
    async fn wait(&mut self) {
        let retry = self.later.front().map(|(due, _)| *due);
        let changes = self.followers.iter_mut().map(|follower| follower.changed().boxed());
        tokio::select! {
            _ = select_all(changes) => tokio::time::sleep(GATHER).await,
            () = async {
                match retry {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }

    /// Does what is to be done about one object, as it is now.
    async fn look_at(&self, item: &Item) -> Result<(), Failure> {
        let resource = &self.server.resources()[item.resource];
        let Some(object) = resource.cache.get(&item.key) else { return Ok(()) };
        if object.is_terminating() && object.has_finalizer(ORPHAN) {
            return self.orphan_dependents(resource, &object).await;
        }
        if object.is_terminating() && object.has_finalizer(FOREGROUND) {
            return self.await_dependents(resource, &object).await;
        }
        if object.is_terminating() || object.owner_references().is_empty() {
            return Ok(());
        }
        let mut owners = Vec::new();
        for reference in object.owner_references() {
            let uid = reference["uid"].as_str().unwrap_or_default().to_owned();
            owners.push((uid, self.owner_state(&object, reference).await?));
        }
        let storage = &self.server.storage;
        match judge(&object, owners) {
            Verdict::Keep => Ok(()),
            Verdict::Strip(uids) => change::remove_owners(storage, resource, &object, &uids).await,
            Verdict::Delete(propagation) => {
                debug!(resource = resource.kind.resource(), key = %item.key, "collects");
                change::delete(storage, resource, &object, propagation).await
            }
        }
    }

    /// Whether an owner is there; the store is asked before it is said not to be.
    async fn owner_state(
        &self,
        dependent: &Object,
        reference: &Value,
    ) -> Result<OwnerState, Failure> {
        let text = |name: &str| reference[name].as_str().unwrap_or_default();
        let Some(resource) = self.server.resource_of(text("apiVersion"), text("kind")) else {
            return Ok(OwnerState::Present);
        };
        let key = owner_key(resource, dependent, text("name"));
        let is_owner = |found: &Arc<Object>| found.uid() == text("uid");
        let found = match resource.cache.get(&key).filter(is_owner) {
            Some(found) => Some(found),
            None => resource.read(self.server.store(), &key).await?.filter(is_owner),
        };
        Ok(match found {
            None => OwnerState::Gone,
            Some(owner) if owner.is_terminating() && owner.has_finalizer(FOREGROUND) => {
                OwnerState::AwaitsDependents
            }
            Some(_) => OwnerState::Present,
        })
    }

    fn dependents(&self, owner: &Object) -> Vec<(&Arc<Resource>, Arc<Object>)> {
        let items = self.graph.dependents(owner.uid());
        let found = items.into_iter().filter_map(|item| {
            let resource = &self.server.resources()[item.resource];
            Some((resource, resource.cache.get(&item.key)?))
        });
        found.collect()
    }

    /// Takes the owner's reference off its dependents, then lets the owner go.
    async fn orphan_dependents(&self, resource: &Resource, owner: &Object) -> Result<(), Failure> {
        let storage = &self.server.storage;
        let uids = BTreeSet::from([owner.uid().to_owned()]);
        for (resource, dependent) in self.dependents(owner) {
            change::remove_owners(storage, resource, &dependent, &uids).await?;
        }
        change::remove_finalizer(storage, resource, owner, ORPHAN).await
    }

    /// Deletes the owner's dependents; lets the owner go when none that blocks it is left.
    async fn await_dependents(&self, resource: &Resource, owner: &Object) -> Result<(), Failure> {
        let storage = &self.server.storage;
        let dependents = self.dependents(owner);
        let mut blocked = false;
        for (resource, dependent) in &dependents {
            if dependent.is_terminating() {
                // In a circle each would wait for the other.
                if dependent.has_finalizer(FOREGROUND) && self.is_owned_by(owner, dependent.uid()) {
                    change::unblock_owners(storage, resource, dependent).await?;
                    continue;
                }
            } else {
                Box::pin(self.look_at_dependent(resource, dependent)).await?;
            }
            blocked |= verdict::blocks(dependent, owner.uid());
        }
        if blocked {
            return Ok(());
        }
        change::remove_finalizer(storage, resource, owner, FOREGROUND).await
    }

    /// Whether the object with `uid` is an owner of `object`, or an owner of its owners.
    fn is_owned_by(&self, object: &Object, uid: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut ways: Vec<Item> = self.owners(object);
        while let Some(item) = ways.pop() {
            let resource = &self.server.resources()[item.resource];
            let Some(owner) = resource.cache.get(&item.key).filter(|_| seen.insert(item)) else {
                continue;
            };
            if owner.uid() == uid {
                return true;
            }
            ways.extend(self.owners(&owner));
        }
        false
    }

    /// The items of an object's owners.
    fn owners(&self, object: &Object) -> Vec<Item> {
        let references = object.owner_references().iter();
        references.filter_map(|reference| self.item_of(object, reference)).collect()
    }

    async fn look_at_dependent(
        &self,
        resource: &Resource,
        dependent: &Object,
    ) -> Result<(), Failure> {
        let same = |own: &Arc<Resource>| own.kind.resource() == resource.kind.resource();
        let Some(index) = self.server.resources().iter().position(same) else { return Ok(()) };
        self.look_at(&Item { resource: index, key: Arc::clone(dependent.key()) }).await
    }
}

fn owner_key(owner: &Resource, dependent: &Object, name: &str) -> String {
    let namespace = if owner.kind.namespaced { dependent.namespace() } else { "" };
    object::key(namespace, name)
}

/// The uids of an object's owners.
fn uids(object: &Object) -> BTreeSet<String> {
    let references = object.owner_references().iter();
    references.filter_map(|reference| reference["uid"].as_str().map(str::to_owned)).collect()
}

fn waits_for_dependents(object: &Object) -> bool {
    object.has_finalizer(FOREGROUND) || object.has_finalizer(ORPHAN)
}
