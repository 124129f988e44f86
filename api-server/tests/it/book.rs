//! Offers in memory, as a leader has them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _};
use meseta_api_server::{Leader, LiveCollection, LiveEvent, LiveObject, Within};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

/// Versions of one term.
const TERM: u64 = 1 << 32;

/// See the module. It begins without a leader.
#[derive(Debug)]
pub(crate) struct Book {
    leader: watch::Sender<Leader>,
    term: Mutex<Term>,
}

/// What one leader has had.
#[derive(Debug, Default)]
struct Term {
    /// Of the newest change.
    version: u64,
    objects: BTreeMap<String, LiveObject>,
    changes: Vec<LiveEvent>,
    watchers: Vec<mpsc::UnboundedSender<LiveEvent>>,
}

impl Term {
    fn change(&mut self, event: LiveEvent) {
        self.watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
        self.changes.push(event);
    }
}

impl Book {
    pub(crate) fn new() -> Arc<Self> {
        let term = Mutex::new(Term::default());
        Arc::new(Self { leader: watch::Sender::new(Leader::Unknown), term })
    }

    fn term(&self) -> MutexGuard<'_, Term> {
        self.term.lock().unwrap()
    }

    /// Another leads, or nobody; where it is this one, with no offers yet.
    pub(crate) fn lead(&self, leader: Leader) {
        let mut term = self.term();
        let version = (term.version / TERM + 1) * TERM;
        *term = Term { version, ..Term::default() };
        self.leader.send_replace(leader);
    }

    /// Ends nothing, as a leader that is frozen.
    pub(crate) fn follow(&self, leader: Leader) {
        self.leader.send_replace(leader);
    }

    pub(crate) fn add(&self, namespace: &str, name: &str, framework: &str, agent: &str) {
        let mut term = self.term();
        term.version += 1;
        let added =
            LiveObject { version: term.version, value: offer(namespace, name, framework, agent) };
        term.objects.insert(name.to_owned(), added.clone());
        term.change(LiveEvent::Added(added));
    }

    pub(crate) fn remove(&self, name: &str) {
        let mut term = self.term();
        term.version += 1;
        let was = term.objects.remove(name).unwrap();
        let deleted = LiveObject { version: term.version, ..was };
        term.change(LiveEvent::Deleted(deleted));
    }
}

impl LiveCollection for Book {
    fn leader(&self) -> Leader {
        self.leader.borrow().clone()
    }

    fn leader_changed(&self, seen: Leader) -> BoxFuture<'static, ()> {
        let mut leader = self.leader.subscribe();
        Box::pin(async move {
            drop(leader.wait_for(|leader| *leader != seen).await);
        })
    }

    fn list(&self, within: Within<'_>) -> Option<(u64, Vec<LiveObject>)> {
        let term = self.term();
        (self.leader() == Leader::Here).then(|| {
            let is =
                |value: &Value, wanted: Option<&str>| wanted.is_none_or(|wanted| value == wanted);
            let within = |object: &&LiveObject| {
                let metadata = &object.value["metadata"];
                is(&metadata["namespace"], within.namespace) && is(&metadata["name"], within.name)
            };
            (term.version, term.objects.values().filter(within).cloned().collect())
        })
    }

    fn watch(&self, since: u64) -> Option<BoxStream<'static, LiveEvent>> {
        let mut term = self.term();
        if self.leader() != Leader::Here {
            return None;
        }
        if since > term.version || since < term.version / TERM * TERM {
            return Some(futures::stream::empty().boxed());
        }
        let version = |event: &LiveEvent| match event {
            LiveEvent::Added(object) | LiveEvent::Deleted(object) => object.version,
        };
        let missed = term.changes.iter().filter(|event| version(event) > since).cloned();
        let missed: Vec<_> = missed.collect();
        let (sender, receiver) = mpsc::unbounded_channel();
        term.watchers.push(sender);
        let next = futures::stream::unfold(receiver, |mut receiver| async {
            let event = receiver.recv().await?;
            Some((event, receiver))
        });
        Some(futures::stream::iter(missed).chain(next).boxed())
    }
}

/// An offer of half an agent.
fn offer(namespace: &str, name: &str, framework: &str, agent: &str) -> Value {
    json!({
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": format!("uid-of-{name}"),
            "creationTimestamp": jiff::Timestamp::now().to_string(),
        },
        "spec": {
            "framework": framework,
            "role": "eng",
            "agentName": agent,
            "resources": {"cpu": "2", "memory": "512Mi"},
        },
    })
}
