//! The life of a task in the allocator, and what it holds in each state.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::Allocator;
use super::fair_share::NodeId;
use super::queue::Order;
use super::room::AgentId;
use super::rows::{TaskKey, TaskRow};
use super::shapes::ShapeId;
use super::volumes::{VolumeKey, Volumes};

/// What a task is to the allocator; tasks that are over and have left nothing behind are nothing.
#[derive(Debug)]
pub(super) enum Entry {
    /// It stands in the queue of its framework.
    Waiting(Waiting),
    /// It was decided on, and nobody has said yet what has become of that.
    Assumed { held: Held, record: Record },
    /// It is on its agent.
    Held(Held),
    /// It is over, and its shared volumes are on the agent.
    Ended(Held),
}

/// What is known of the record of an assumed task.
#[derive(Debug)]
pub(super) enum Record {
    /// It has no agent yet.
    Waits(Waiting),
    /// Nobody has seen it yet: a scheduler has accepted an offer for it.
    Awaited,
    /// It is gone.
    Gone,
}

/// A task without an agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) uid: String,
    pub(super) order: Order,
    pub(super) kind: Kind,
}

/// A task with an agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) uid: String,
    pub(super) agent: AgentId,
    pub(super) kind: Kind,
}

/// What it needs, and whose share that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) shape: ShapeId,
    pub(super) framework: NodeId,
}

impl Allocator {
    /// Takes in a task as it is now.
    pub fn upsert_task(&mut self, row: TaskRow) {
        let (key, former) = match self.tasks.remove_entry(&row.key) {
            Some((key, former)) => (key, Some(former)),
            None => (Arc::new(row.key.clone()), None),
        };
        let kind = self.acquire_kind(&row);
        let TaskRow { uid, priority, created, agent, terminal, .. } = row;
        let mut placed = None;
        let entry = match agent {
            Some(agent) => {
                let agent = self.agents.acquire(&agent);
                placed = Some(agent);
                self.place(former, Held { uid, agent, kind }, terminal)
            }
            None if terminal => {
                self.drop_former(former);
                self.release_kind(kind);
                None
            }
            None => {
                let order = Order { priority: Reverse(priority), created, key: key.clone() };
                Some(self.wait(former, Waiting { uid, order, kind }))
            }
        };
        if let Some(entry) = entry {
            self.tasks.insert(key, entry);
        }
        // Somebody else may have placed it where something is offered.
        if let Some(agent) = placed {
            self.take_back(agent);
        }
    }

    /// Takes in that a record is gone, or needs no agent any more.
    pub fn remove_task(&mut self, key: &TaskKey) {
        match self.tasks.remove_entry(key) {
            // The room is held until it is known that nothing was placed.
            Some((key, Entry::Assumed { held, record })) => {
                self.drop_record(record);
                self.tasks.insert(key, Entry::Assumed { held, record: Record::Gone });
            }
            former => self.drop_former(former.map(|(_, former)| former)),
        }
    }

    /// The placement was written.
    pub fn confirm(&mut self, key: &TaskKey) {
        match self.tasks.remove_entry(key) {
            Some((key, Entry::Assumed { held, record: Record::Waits(row) }))
                if row.uid == held.uid =>
            {
                self.release_kind(row.kind);
                self.tasks.insert(key, Entry::Held(held));
            }
            Some((key, Entry::Assumed { held, record: Record::Awaited })) => {
                self.tasks.insert(key, Entry::Held(held));
            }
            // Written, and gone since then.
            Some((key, Entry::Assumed { held, record })) => self.end_assumption(key, held, record),
            Some((key, other)) => {
                self.tasks.insert(key, other);
            }
            None => {}
        }
    }

    /// The placement was not written: its room is free and the task, if it still exists, waits.
    pub fn forget(&mut self, key: &TaskKey) {
        match self.tasks.remove_entry(key) {
            Some((key, Entry::Assumed { held, record })) => self.end_assumption(key, held, record),
            Some((key, other)) => {
                self.tasks.insert(key, other);
            }
            None => {}
        }
    }

    fn end_assumption(&mut self, key: Arc<TaskKey>, held: Held, record: Record) {
        self.drop_former(Some(Entry::Held(held)));
        if let Record::Waits(row) = record {
            self.enqueue(&row);
            self.tasks.insert(key, Entry::Waiting(row));
        }
    }

    /// The task is on an agent. What it holds now is taken before what it held is given back, so
    /// that its volumes do not seem to move.
    fn place(&mut self, former: Option<Entry>, held: Held, terminal: bool) -> Option<Entry> {
        if terminal {
            self.hold_volumes(&held);
            self.drop_former(former);
            if self.shapes.get(held.kind.shape).volumes().is_empty() {
                self.drop_former(Some(Entry::Ended(held)));
                return None;
            }
            return Some(Entry::Ended(held));
        }
        match former {
            Some(Entry::Held(known)) if known == held => {
                self.release(&held);
                Some(Entry::Held(known))
            }
            Some(Entry::Assumed { held: known, record }) if known == held => {
                self.drop_record(record);
                self.release(&held);
                Some(Entry::Held(known))
            }
            former => {
                self.charge(&held);
                self.drop_former(former);
                Some(Entry::Held(held))
            }
        }
    }

    /// The task has no agent as far as its record says.
    fn wait(&mut self, former: Option<Entry>, row: Waiting) -> Entry {
        match former {
            Some(Entry::Assumed { held, record }) => {
                self.drop_record(record);
                Entry::Assumed { held, record: Record::Waits(row) }
            }
            // An agent is for good: this is an older view.
            Some(Entry::Held(held)) if held.uid == row.uid => {
                self.release_kind(row.kind);
                Entry::Held(held)
            }
            Some(Entry::Waiting(known)) if known == row => {
                self.release_kind(row.kind);
                Entry::Waiting(known)
            }
            former => {
                self.drop_former(former);
                self.enqueue(&row);
                Entry::Waiting(row)
            }
        }
    }

    /// Takes a task out of the queue and gives it room on `agent`, until that is confirmed or
    /// forgotten.
    pub(super) fn assume(&mut self, row: Waiting, agent: AgentId) -> Entry {
        self.dequeue(&row);
        self.agents.retain(agent);
        self.shapes.retain(row.kind.shape);
        self.tree.retain(row.kind.framework);
        let held = Held { uid: row.uid.clone(), agent, kind: row.kind };
        self.charge(&held);
        Entry::Assumed { held, record: Record::Waits(row) }
    }

    /// Gives a task room on `agent` whose record is about to be written.
    pub(super) fn launch(&mut self, row: TaskRow, agent: AgentId) -> ShapeId {
        let kind = self.acquire_kind(&row);
        self.agents.retain(agent);
        let held = Held { uid: row.uid, agent, kind };
        self.charge(&held);
        self.tasks.insert(Arc::new(row.key), Entry::Assumed { held, record: Record::Awaited });
        kind.shape
    }

    /// Gives back whatever the task held.
    fn drop_former(&mut self, former: Option<Entry>) {
        match former {
            None => {}
            Some(Entry::Waiting(row)) => {
                self.dequeue(&row);
                self.release_kind(row.kind);
            }
            Some(Entry::Assumed { held, record }) => {
                self.drop_record(record);
                self.discharge(&held);
                self.release(&held);
            }
            Some(Entry::Held(held)) => {
                self.discharge(&held);
                self.release(&held);
            }
            Some(Entry::Ended(held)) => {
                self.leave_volumes(&held);
                self.release(&held);
            }
        }
    }

    fn drop_record(&mut self, record: Record) {
        if let Record::Waits(row) = record {
            self.release_kind(row.kind);
        }
    }

    fn enqueue(&mut self, row: &Waiting) {
        self.stirred = true;
        let Kind { shape, framework } = row.kind;
        let open = self.shapes.get(shape).is_open();
        if self.tree.enqueue(framework, shape, row.order.clone(), open) {
            self.shapes.add_waiting(shape, framework);
        }
    }

    fn dequeue(&mut self, row: &Waiting) {
        let Kind { shape, framework } = row.kind;
        if self.tree.dequeue(framework, shape, &row.order) {
            self.shapes.remove_waiting(shape, framework);
        }
    }

    fn charge(&mut self, held: &Held) {
        let shape = self.shapes.get(held.kind.shape);
        self.agents.charge(held.agent, &shape.needs);
        self.tree.charge(held.kind.framework, &shape.needs);
        self.hold_volumes(held);
    }

    fn discharge(&mut self, held: &Held) {
        let shape = self.shapes.get(held.kind.shape);
        self.agents.discharge(held.agent, &shape.needs);
        self.tree.discharge(held.kind.framework, &shape.needs);
        self.grown.insert(held.agent);
        self.leave_volumes(held);
    }

    fn hold_volumes(&mut self, held: &Held) {
        self.change_volumes(held, Volumes::hold);
    }

    fn leave_volumes(&mut self, held: &Held) {
        self.change_volumes(held, Volumes::release);
    }

    fn change_volumes(&mut self, held: &Held, change: VolumeChange) {
        let volumes = self.shapes.get(held.kind.shape).volumes();
        if volumes.is_empty() {
            return;
        }
        let name = self.agents.name(held.agent);
        for shape in change(&mut self.volumes, volumes, name, held.agent) {
            self.shapes.reset(shape);
            self.set_open(shape, true);
        }
    }

    /// Puts the lanes of a shape where its [`is_open`](super::shapes::Shape::is_open) says.
    pub(super) fn set_open(&mut self, shape: ShapeId, open: bool) {
        for framework in self.shapes.waiting(shape) {
            self.tree.set_open(framework, shape, open);
        }
    }

    fn acquire_kind(&mut self, row: &TaskRow) -> Kind {
        let (shape, new) = self.shapes.acquire(row, &mut self.resources);
        if new {
            self.volumes.attach(self.shapes.get(shape).volumes(), shape);
        }
        let framework = match &row.framework {
            Some(uid) => framework_name(uid),
            None => format!("namespace {}", row.key.namespace),
        };
        Kind { shape, framework: self.tree.acquire(&row.role, &framework) }
    }

    fn release_kind(&mut self, kind: Kind) {
        if let Some(shape) = self.shapes.release(kind.shape, &mut self.resources) {
            self.volumes.detach(shape.volumes(), kind.shape);
        }
        self.tree.release(kind.framework);
    }

    fn release(&mut self, held: &Held) {
        self.agents.release(held.agent);
        self.release_kind(held.kind);
    }
}

/// Name of the node of a framework in its role.
pub(super) fn framework_name(uid: &str) -> String {
    format!("framework {uid}")
}

/// [`Volumes::hold`] or [`Volumes::release`].
type VolumeChange = fn(&mut Volumes, &[VolumeKey], &Arc<str>, AgentId) -> BTreeSet<ShapeId>;
