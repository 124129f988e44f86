//! The owners of an agent's tasks: how they begin, are told of their records, and end.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use crate::checkpoint::Accepted;
use crate::node::Node;
use crate::plan::{Amounts, Local};
use crate::report::Record;
use crate::task::request::millis;
use crate::task::{self, Begin, Holds, Left, Standing};

/// Pause before the task of an owner that failed gets another: its disk did not answer.
const RETRY: Duration = Duration::from_secs(5);

/// One owner per task; all of them end when this is dropped, and what they own runs on.
pub(super) struct Owners {
    node: Arc<Node>,
    handles: BTreeMap<String, Handle>,
    running: JoinSet<io::Result<Left>>,
    uid_of: HashMap<Id, String>,
}

struct Handle {
    accepted: Accepted,
    inbox: watch::Sender<Record>,
    standing: Arc<Standing>,
}

impl Owners {
    pub(super) fn new(node: Arc<Node>) -> Self {
        let (handles, uid_of) = (BTreeMap::new(), HashMap::new());
        Self { node, handles, running: JoinSet::new(), uid_of }
    }

    /// Gives a task an owner; `record` is what is known of its record.
    pub(super) fn begin(&mut self, begin: Begin, accepted: Accepted, record: Record) {
        let uid = accepted.uid.clone();
        let (inbox, outbox) = watch::channel(record);
        let standing = Arc::new(Standing::new(&begin));
        // Held from now on, and not from when the owner gets its turn.
        let holds = Holds::take(&self.node, &begin, &accepted);
        let node = Arc::clone(&self.node);
        let owned = Box::pin(task::own(node, begin, holds, outbox, Arc::clone(&standing)));
        let running = self.running.spawn({
            let uid = uid.clone();
            async move {
                let left = owned.await;
                if let Err(err) = &left {
                    log_unusable(&uid, err);
                    tokio::time::sleep(RETRY).await;
                }
                left
            }
        });
        self.uid_of.insert(running.id(), uid.clone());
        self.node.idle.store(false, Ordering::Release);
        self.handles.insert(uid, Handle { accepted, inbox, standing });
    }

    /// Waits for the end of an owner: the uid of its task, and what is left of that; nothing where
    /// the owner failed and the task needs another. `None` where there are no owners.
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn next_ended(&mut self) -> Option<(String, Option<Left>)> {
        loop {
            let (id, left) = match self.running.join_next_with_id().await? {
                Ok((id, left)) => (id, left.ok()),
                Err(err) => {
                    let id = err.id();
                    let error = &err as &dyn std::error::Error;
                    tracing::error!(error, uid = self.uid_of.get(&id), "an owner panicked");
                    (id, None)
                }
            };
            if let Some(uid) = self.uid_of.remove(&id) {
                self.handles.remove(&uid);
                self.node.idle.store(self.handles.is_empty(), Ordering::Release);
                return Some((uid, left));
            }
        }
    }

    /// Tells an owner, if there is one, what its record has become.
    pub(super) fn tell(&self, uid: &str, record: Record) {
        if let Some(handle) = self.handles.get(uid) {
            handle.tell(record);
        }
    }

    /// Tells every owner.
    pub(super) fn tell_all(&self, record: impl Fn(&str) -> Record) {
        for (uid, handle) in &self.handles {
            handle.tell(record(uid));
        }
    }

    /// What the owner of a task was given.
    pub(super) fn get(&self, uid: &str) -> Option<&Accepted> {
        self.handles.get(uid).map(|handle| &handle.accepted)
    }

    /// What each owner was given.
    pub(super) fn accepted(&self) -> impl Iterator<Item = &Accepted> {
        self.handles.values().map(|handle| &handle.accepted)
    }

    /// What is here of a task that has an owner.
    pub(super) fn local(&self, uid: &str) -> Option<Local> {
        let handle = self.handles.get(uid)?;
        Some(Local::Owned { ended: !handle.standing.uses_resources() })
    }

    /// What those tasks use that have not ended.
    pub(super) fn used(&self) -> Amounts {
        let mut used = Amounts::new();
        let using = self.handles.values().filter(|handle| handle.standing.uses_resources());
        for (name, amount) in using.flat_map(|handle| millis(&handle.accepted.spec.resources)) {
            let sum = used.entry(name).or_default();
            *sum = i64::saturating_add(*sum, amount);
        }
        used
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.handles.len()
    }
}

impl Handle {
    fn tell(&self, record: Record) {
        self.inbox.send_if_modified(|known| {
            let changed = *known != record;
            *known = record;
            changed
        });
    }
}

fn log_unusable(uid: &str, err: &io::Error) {
    let error = err as &dyn std::error::Error;
    tracing::error!(error, uid, "a task's directory cannot be used");
}
