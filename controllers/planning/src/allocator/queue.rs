//! The waiting tasks of one framework, in order, by shape.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::rows::TaskKey;
use super::shapes::ShapeId;

/// Which task of a framework goes first: the higher priority, the older, the first by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    pub(super) priority: Reverse<i32>,
    pub(super) created: Timestamp,
    pub(super) key: Arc<TaskKey>,
}

/// The tasks of one shape.
#[derive(Debug)]
struct Lane {
    tasks: BTreeSet<Order>,
    /// Whether one of them may fit somewhere.
    open: bool,
    /// Whether a role's limit is in the way.
    limited: bool,
}

/// All waiting tasks of a framework.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: BTreeMap<ShapeId, Lane>,
    /// The first task of each lane that can be tried.
    ready: BTreeSet<(Order, ShapeId)>,
}

impl Queue {
    /// Adds a task; returns whether it is the only one of its shape.
    pub(super) fn insert(&mut self, shape: ShapeId, order: Order, open: bool) -> bool {
        let mut first = false;
        self.change(shape, |lanes| {
            let lane = lanes.entry(shape).or_insert_with(|| {
                first = true;
                Lane { tasks: BTreeSet::new(), open, limited: false }
            });
            lane.tasks.insert(order);
        });
        first
    }

    /// Removes a task; returns whether it was the last of its shape.
    pub(super) fn remove(&mut self, shape: ShapeId, order: &Order) -> bool {
        let mut last = false;
        self.change(shape, |lanes| {
            let Some(lane) = lanes.get_mut(&shape) else { return };
            lane.tasks.remove(order);
            if lane.tasks.is_empty() {
                lanes.remove(&shape);
                last = true;
            }
        });
        last
    }

    pub(super) fn set_open(&mut self, shape: ShapeId, open: bool) {
        self.change(shape, |lanes| {
            if let Some(lane) = lanes.get_mut(&shape) {
                lane.open = open;
            }
        });
    }

    pub(super) fn set_limited(&mut self, shape: ShapeId, limited: bool) {
        self.change(shape, |lanes| {
            if let Some(lane) = lanes.get_mut(&shape) {
                lane.limited = limited;
            }
        });
    }

    /// Shapes of tasks that fit nowhere, and that no limit holds back.
    pub(super) fn blocked(&self) -> impl Iterator<Item = ShapeId> {
        let blocked = self.lanes.iter().filter(|(_, lane)| !lane.open && !lane.limited);
        blocked.map(|(shape, _)| *shape)
    }

    /// The first task that can be tried.
    pub(super) fn first(&self) -> Option<&(Order, ShapeId)> {
        self.ready.first()
    }

    /// Carries out a change of one lane and keeps `ready` right.
    fn change(&mut self, shape: ShapeId, change: impl FnOnce(&mut BTreeMap<ShapeId, Lane>)) {
        let former = self.head(shape);
        change(&mut self.lanes);
        let now = self.head(shape);
        if former == now {
            return;
        }
        if let Some(former) = former {
            self.ready.remove(&(former, shape));
        }
        if let Some(now) = now {
            self.ready.insert((now, shape));
        }
    }

    fn head(&self, shape: ShapeId) -> Option<Order> {
        let lane = self.lanes.get(&shape)?;
        let ready = lane.open && !lane.limited;
        ready.then(|| lane.tasks.first().cloned()).flatten()
    }
}
