//! Who watches, found by what they watch.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meseta_store::Version;
use tokio::sync::mpsc;

use super::index::{Scope, Selection};
use super::{Cache, Change, Event};
use crate::object::Object;
use crate::registry::Kind;

/// Events that may wait for one watcher, as kube-apiserver's; one that has more is cut, and finds
/// what it missed in the ring when it comes back.
const QUEUE: usize = 1000;

/// One event for one watcher.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) event: Arc<Event>,
    pub(crate) change: Change,
}

/// All watchers of a kind, each in the narrowest [`Scope`] of its selection.
#[derive(Debug)]
pub(super) struct Watchers {
    kind: Arc<Kind>,
    by_scope: HashMap<Scope, BTreeMap<u64, Watcher>>,
    next_id: u64,
    deliveries: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Watcher {
    selection: Selection,
    /// Events up to this version are not for it.
    after: Version,
    queue: mpsc::Sender<Delivery>,
}

/// Where a watcher stands.
#[derive(Debug)]
pub(super) struct Place {
    scope: Scope,
    id: u64,
}

impl Watchers {
    pub(super) fn new(kind: &Arc<Kind>, deliveries: Arc<AtomicU64>) -> Self {
        Self { kind: Arc::clone(kind), by_scope: HashMap::new(), next_id: 0, deliveries }
    }

    pub(super) fn insert(
        &mut self,
        selection: Selection,
        after: Version,
    ) -> (Place, mpsc::Receiver<Delivery>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let scope = selection.scope(&self.kind);
        let id = self.next_id;
        self.next_id += 1;
        let watcher = Watcher { selection, after, queue };
        self.by_scope.entry(scope.clone()).or_default().insert(id, watcher);
        (Place { scope, id }, receiver)
    }

    pub(super) fn remove(&mut self, place: &Place) {
        if let Some(watchers) = self.by_scope.get_mut(&place.scope) {
            watchers.remove(&place.id);
            if watchers.is_empty() {
                self.by_scope.remove(&place.scope);
            }
        }
    }

    /// Ends all streams.
    pub(super) fn clear(&mut self) {
        self.by_scope.clear();
    }

    /// Gives an event to everyone it concerns; cuts those whose queue is full.
    pub(super) fn dispatch(&mut self, event: &Arc<Event>) {
        for scope in scopes(&self.kind, event) {
            let Some(watchers) = self.by_scope.get_mut(&scope) else { continue };
            let looked_at = u64::try_from(watchers.len()).unwrap_or(u64::MAX);
            self.deliveries.fetch_add(looked_at, Ordering::Relaxed);
            watchers.retain(|_, watcher| watcher.offer(event));
            if watchers.is_empty() {
                self.by_scope.remove(&scope);
            }
        }
    }
}

impl Watcher {
    /// Whether it keeps up.
    fn offer(&self, event: &Arc<Event>) -> bool {
        if event.version <= self.after {
            return true;
        }
        let Some(change) = event.change(&self.selection) else { return true };
        self.queue.try_send(Delivery { event: Arc::clone(event), change }).is_ok()
    }
}

/// Every scope in which somebody can stand whom the event concerns.
fn scopes(kind: &Kind, event: &Event) -> Vec<Scope> {
    let mut scopes = vec![Scope::All];
    let objects = || event.object.iter().chain(&event.previous);
    if let Some(object) = objects().next() {
        scopes.push(Scope::Name(object.key().to_string()));
        if kind.namespaced {
            scopes.push(Scope::Namespace(object.namespace().to_owned()));
        }
    }
    for (index, path) in kind.selectable_fields.iter().enumerate() {
        for object in objects() {
            let scope = Scope::Field(index, path.get(object.outline()).into_owned());
            if scopes.last() != Some(&scope) {
                scopes.push(scope);
            }
        }
    }
    scopes
}

/// What a new watcher is given at once.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) initial: Vec<Arc<Object>>,
    pub(super) backlog: VecDeque<Delivery>,
    pub(super) version: Version,
    pub(super) place: Place,
    pub(super) receiver: mpsc::Receiver<Delivery>,
}

/// A watch; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Subscription {
    cache: Arc<Cache>,
    /// The objects selected when the watch began, if they were asked for.
    initial: Vec<Arc<Object>>,
    backlog: VecDeque<Delivery>,
    /// What `initial` shows, and what everything delivered so far leads to.
    version: Version,
    place: Place,
    receiver: mpsc::Receiver<Delivery>,
}

impl Subscription {
    pub(super) fn new(cache: Arc<Cache>, begun: Begun) -> Self {
        let Begun { initial, backlog, version, place, receiver } = begun;
        Self { cache, initial, backlog, version, place, receiver }
    }

    /// Takes the objects the watch begins with; see [`Subscription::version`].
    pub(crate) fn take_initial(&mut self) -> Vec<Arc<Object>> {
        std::mem::take(&mut self.initial)
    }

    /// The version of what was delivered last.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The next event; `None` when the watcher was cut or the cache begins anew. May be dropped
    /// and called again without loss.
    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        let next = match self.backlog.pop_front() {
            Some(delivery) => Some(delivery),
            None => self.receiver.recv().await,
        };
        self.seen(next)
    }

    /// The next event, if it is there already.
    pub(crate) fn try_next(&mut self) -> Option<Delivery> {
        let next = self.backlog.pop_front().or_else(|| self.receiver.try_recv().ok());
        self.seen(next)
    }

    fn seen(&mut self, next: Option<Delivery>) -> Option<Delivery> {
        if let Some(delivery) = &next {
            self.version = delivery.event.version;
        }
        next
    }

    /// The version up to which everything that concerns this watch was delivered; `None` while
    /// something waits to be.
    pub(crate) fn bookmark(&mut self) -> Option<Version> {
        // No event can be dispatched while the state is held.
        let state = self.cache.state();
        if !self.backlog.is_empty() || !self.receiver.is_empty() || self.receiver.is_closed() {
            return None;
        }
        self.version = self.version.max(state.version());
        Some(self.version)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.cache.state().leave(&self.place);
    }
}
