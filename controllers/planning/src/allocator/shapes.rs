//! Shapes: what equal tasks have in common, and what is known of where they fit.
//!
//! Tasks with the same needs, constraints and shared volumes fit on the same agents, so the search is
//! made once for all of them. A search that finds nothing *closes* the shape: from then on room only
//! shrinks on every agent but those that have [grown](Shapes::offer), and only they are looked at.
//!
//! ```text
//!            nothing found            an agent grew that fits
//!  Anywhere ──────────────► Among {} ─────────────────────────► Among {agents that grew}
//!     ▲                        ▲                                      │ nothing found
//!     │ volume moved,          └──────────────────────────────────────┘
//!     │ many agents grew
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meseta_crds::task::Constraint;
use slab::Slab;

use super::amounts::{Amounts, Resources, Unreadable};
use super::explain::Survey;
use super::fair_share::NodeId;
use super::room::AgentId;
use super::rows::TaskRow;
use super::volumes::VolumeKey;

pub(super) type ShapeId = usize;

/// Agents that are remembered one by one; with more it is as quick to search among all.
const MAX_CANDIDATES: usize = 32;

/// All shapes that some task has.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    ids: BTreeMap<Arc<ShapeKey>, ShapeId>,
    shapes: Slab<Shape>,
    /// Shapes of waiting tasks that are not looked for anywhere.
    narrowed: BTreeSet<ShapeId>,
}

/// What makes two tasks equal.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ShapeKey {
    resources: Vec<(String, String)>,
    /// As JSON, which has an order.
    constraints: String,
    volumes: Vec<VolumeKey>,
}

#[derive(Debug)]
pub(super) struct Shape {
    key: Arc<ShapeKey>,
    pub(super) needs: Amounts,
    pub(super) constraints: Vec<Constraint>,
    /// Tasks that have it.
    users: usize,
    /// Frameworks of which such tasks wait.
    waiting: BTreeSet<NodeId>,
    pub(super) candidates: Candidates,
    /// The version of what the agents are, busy or not, in which it was seen that none is for it.
    pub(super) fits_nowhere: Option<u64>,
    /// What was counted for an explanation, and in which version of the agents.
    pub(super) survey: Option<(u64, Survey)>,
}

/// Where a task of the shape may fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Candidates {
    /// Nobody knows yet.
    Anywhere,
    /// Here, or nowhere.
    Among(BTreeSet<AgentId>),
}

impl Shape {
    pub(super) fn volumes(&self) -> &[VolumeKey] {
        &self.key.volumes
    }

    /// Whether a search can find something.
    pub(super) fn is_open(&self) -> bool {
        match &self.candidates {
            Candidates::Anywhere => true,
            Candidates::Among(agents) => !agents.is_empty(),
        }
    }
}

impl Shapes {
    /// The shape of a task, to be kept until [`Self::release`]; and whether it is new.
    pub(super) fn acquire(&mut self, row: &TaskRow, resources: &mut Resources) -> (ShapeId, bool) {
        let key = ShapeKey::of(row);
        if let Some(id) = self.ids.get(&key) {
            self.shapes[*id].users += 1;
            return (*id, false);
        }
        let key = Arc::new(key);
        let id = self.shapes.insert(Shape {
            key: key.clone(),
            needs: resources.acquire_amounts(&row.resources, Unreadable::Unbounded),
            constraints: row.constraints.clone(),
            users: 1,
            waiting: BTreeSet::new(),
            candidates: Candidates::Anywhere,
            fits_nowhere: None,
            survey: None,
        });
        self.ids.insert(key, id);
        (id, true)
    }

    /// Another task has the shape.
    pub(super) fn retain(&mut self, id: ShapeId) {
        self.shapes[id].users += 1;
    }

    /// Takes back one [`Self::acquire`] or [`Self::retain`]; returns the shape if nobody has it any more.
    pub(super) fn release(&mut self, id: ShapeId, resources: &mut Resources) -> Option<Shape> {
        self.shapes[id].users -= 1;
        if self.shapes[id].users > 0 {
            return None;
        }
        self.narrowed.remove(&id);
        let shape = self.shapes.remove(id);
        self.ids.remove(&shape.key);
        resources.release_amounts(&shape.needs);
        Some(shape)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    pub(super) fn get(&self, id: ShapeId) -> &Shape {
        &self.shapes[id]
    }

    pub(super) fn get_mut(&mut self, id: ShapeId) -> &mut Shape {
        &mut self.shapes[id]
    }

    /// Tasks of the shape wait in `framework`.
    pub(super) fn add_waiting(&mut self, id: ShapeId, framework: NodeId) {
        self.shapes[id].waiting.insert(framework);
    }

    /// None does any more. What nobody waits for is not kept up to date.
    pub(super) fn remove_waiting(&mut self, id: ShapeId, framework: NodeId) {
        let shape = &mut self.shapes[id];
        shape.waiting.remove(&framework);
        if shape.waiting.is_empty() {
            shape.candidates = Candidates::Anywhere;
            self.narrowed.remove(&id);
        }
    }

    pub(super) fn waiting(&self, id: ShapeId) -> impl Iterator<Item = NodeId> {
        self.shapes[id].waiting.iter().copied()
    }

    /// Notes that a task of the shape fits nowhere.
    pub(super) fn close(&mut self, id: ShapeId) {
        self.shapes[id].candidates = Candidates::Among(BTreeSet::new());
        self.narrowed.insert(id);
    }

    /// Notes that nobody knows any more where it fits.
    pub(super) fn reset(&mut self, id: ShapeId) {
        self.shapes[id].candidates = Candidates::Anywhere;
        self.narrowed.remove(&id);
    }

    /// Shapes that want to hear of agents with more room than before.
    pub(super) fn narrowed(&self) -> impl Iterator<Item = ShapeId> {
        self.narrowed.iter().copied()
    }

    /// Notes that `agent`, which has grown, has room for the shape; returns whether it was closed.
    pub(super) fn offer(&mut self, id: ShapeId, agent: AgentId) -> bool {
        let Candidates::Among(agents) = &mut self.shapes[id].candidates else { return false };
        let was_closed = agents.is_empty();
        agents.insert(agent);
        if agents.len() > MAX_CANDIDATES {
            self.reset(id);
        }
        was_closed
    }
}

impl ShapeKey {
    fn of(row: &TaskRow) -> Self {
        let resources = row.resources.iter();
        let mut volumes: Vec<VolumeKey> = row
            .framework
            .iter()
            .flat_map(|framework| {
                row.shared_volumes
                    .iter()
                    .map(|name| VolumeKey { framework: framework.clone(), name: name.clone() })
            })
            .collect();
        volumes.sort();
        volumes.dedup();
        Self {
            resources: resources.map(|(name, q)| (name.clone(), q.as_str().to_owned())).collect(),
            constraints: match row.constraints.as_slice() {
                [] => String::new(),
                some => serde_json::to_string(some).expect("constraints are plain text"),
            },
            volumes,
        }
    }
}
