//! Where shared volumes are: all tasks that name one go to the agent its first task chose.
//!
//! A volume stays where it is as long as a task that was placed there is known, finished or not: what
//! the maps have written waits for the reduce. If that agent is removed, what is there is not
//! replaced by an empty directory elsewhere; tasks that need it wait, and say so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::room::AgentId;
use super::shapes::ShapeId;

/// Uid of the framework and name of the volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VolumeKey {
    pub(super) framework: String,
    pub(super) name: String,
}

/// Where a task has to go for its volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pin<'a> {
    /// Anywhere: it has none, or is the first.
    Free,
    /// To the agent that this volume is on.
    To(&'a str, AgentId),
    /// To two agents at once; the volumes were made apart.
    Split((&'a str, AgentId), (&'a str, AgentId)),
}

/// All shared volumes that somebody names.
#[derive(Debug, Default)]
pub(super) struct Volumes(BTreeMap<VolumeKey, Volume>);

#[derive(Debug, Default)]
struct Volume {
    /// Tasks by agent. There is one agent, unless somebody else has placed tasks; then the first by
    /// name counts.
    holders: BTreeMap<(Arc<str>, AgentId), usize>,
    /// What has to be looked at again when the volume moves.
    shapes: BTreeSet<ShapeId>,
}

impl Volume {
    fn agent(&self) -> Option<AgentId> {
        self.holders.keys().next().map(|(_, agent)| *agent)
    }
}

impl Volumes {
    /// Tasks of `shape` name these volumes.
    pub(super) fn attach(&mut self, keys: &[VolumeKey], shape: ShapeId) {
        for key in keys {
            self.0.entry(key.clone()).or_default().shapes.insert(shape);
        }
    }

    pub(super) fn detach(&mut self, keys: &[VolumeKey], shape: ShapeId) {
        for key in keys {
            let Some(volume) = self.0.get_mut(key) else { continue };
            volume.shapes.remove(&shape);
            if volume.shapes.is_empty() && volume.holders.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// A task with these volumes is on `agent`; returns the shapes that now have another place.
    pub(super) fn hold(
        &mut self,
        keys: &[VolumeKey],
        name: &Arc<str>,
        agent: AgentId,
    ) -> BTreeSet<ShapeId> {
        let mut moved = BTreeSet::new();
        for key in keys {
            let volume = self.0.entry(key.clone()).or_default();
            let former = volume.agent();
            *volume.holders.entry((name.clone(), agent)).or_default() += 1;
            if volume.agent() != former {
                moved.extend(&volume.shapes);
            }
        }
        moved
    }

    /// It is there no more; returns the shapes that now have another place.
    pub(super) fn release(
        &mut self,
        keys: &[VolumeKey],
        name: &Arc<str>,
        agent: AgentId,
    ) -> BTreeSet<ShapeId> {
        let mut moved = BTreeSet::new();
        for key in keys {
            let Some(volume) = self.0.get_mut(key) else { continue };
            let former = volume.agent();
            let holder = (name.clone(), agent);
            if let Some(tasks) = volume.holders.get_mut(&holder) {
                *tasks -= 1;
                if *tasks == 0 {
                    volume.holders.remove(&holder);
                }
            }
            if volume.agent() != former {
                moved.extend(&volume.shapes);
            }
            if volume.shapes.is_empty() && volume.holders.is_empty() {
                self.0.remove(key);
            }
        }
        moved
    }

    /// Where a task with these volumes has to go.
    pub(super) fn pin<'a>(&self, keys: &'a [VolumeKey]) -> Pin<'a> {
        let mut pinned = keys.iter().filter_map(|key| {
            let agent = self.0.get(key)?.agent()?;
            Some((key.name.as_str(), agent))
        });
        let Some(one) = pinned.next() else { return Pin::Free };
        match pinned.find(|(_, agent)| *agent != one.1) {
            Some(other) => Pin::Split(one, other),
            None => Pin::To(one.0, one.1),
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
