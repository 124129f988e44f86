//! What an agent does next with a task: the same decisions in the same order as the real one, without
//! a container.

use meseta_crds::task::reason;
use meseta_crds::{AGENT_FINALIZER, ResourceList, Task, TaskState};

use crate::ledger::Counts;

/// A record of a task, as far as an agent needs it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(super) uid: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Grows with every change.
    pub(super) version: u64,
    pub(super) generation: i64,
    pub(super) state: TaskState,
    deleting: bool,
    /// Whether its scheduler has asked for its end.
    killed: bool,
    pub(super) finalizers: Vec<String>,
    pub(super) epoch: i64,
    pub(super) needs: ResourceList,
}

/// How far a task has come on this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not looked at yet.
    New,
    /// It runs, and holds its needs.
    Running,
    /// It has run for its time, and still holds them.
    Over,
    /// It holds nothing any more, or never did.
    Ended(End),
}

impl Progress {
    pub(super) fn holds(self) -> bool {
        matches!(self, Self::Running | Self::Over)
    }
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Killed,
    /// The placement came from a leader that had been replaced.
    StaleLeader,
    OutOfRoom,
    /// Somebody else has said how.
    Elsewhere,
}

impl End {
    pub(super) fn count(self, counts: &mut Counts) {
        match self {
            Self::Finished => counts.finished += 1,
            Self::Killed => counts.killed += 1,
            Self::StaleLeader => counts.refused_stale += 1,
            Self::OutOfRoom => counts.refused_room += 1,
            Self::Elsewhere => {}
        }
    }
}

/// What the record does not say yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    /// A state and its cause.
    State(TaskState, Option<&'static str>),
    /// That nothing of the task is left.
    Release,
}

impl Seen {
    pub(super) fn of(task: &Task) -> Self {
        let metadata = &task.metadata;
        let version = metadata.resource_version.as_deref().unwrap_or_default();
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            version: version.parse().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            state: task.status.as_ref().map(|status| status.state).unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
            killed: task.spec.kill.is_some(),
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
            epoch: task.spec.placement.as_ref().map(|p| p.epoch).unwrap_or_default(),
            needs: task.spec.resources.clone(),
        }
    }

    /// How far the task is now, on an agent that has seen placements up to `epoch` and that runs
    /// `running`.
    pub(super) fn advance(
        &self,
        progress: Progress,
        epoch: i64,
        running: &[&Self],
        capacity: &ResourceList,
    ) -> Progress {
        match progress {
            Progress::Ended(end) => Progress::Ended(end),
            _ if self.state.is_terminal() => Progress::Ended(End::Elsewhere),
            _ if self.deleting || self.killed => Progress::Ended(End::Killed),
            // It ran when an earlier agent of this name was cut off.
            Progress::New if self.state != TaskState::Pending => Progress::Ended(End::Killed),
            Progress::New if self.epoch < epoch => Progress::Ended(End::StaleLeader),
            Progress::New if !fits(&self.needs, running, capacity) => {
                Progress::Ended(End::OutOfRoom)
            }
            Progress::New => Progress::Running,
            Progress::Running => Progress::Running,
            Progress::Over => Progress::Ended(End::Finished),
        }
    }

    /// What has to be written for the record to say how far the task is.
    pub(super) fn owed(&self, progress: Progress) -> Option<Owed> {
        if self.state.is_terminal() {
            let held = self.finalizers.iter().any(|finalizer| finalizer == AGENT_FINALIZER);
            return held.then_some(Owed::Release);
        }
        match progress {
            Progress::New | Progress::Over => None,
            Progress::Running => {
                (self.state == TaskState::Pending).then_some(Owed::State(TaskState::Running, None))
            }
            Progress::Ended(End::Finished) => {
                Some(Owed::State(TaskState::Finished, Some(reason::COMPLETED)))
            }
            Progress::Ended(End::Killed | End::Elsewhere) => {
                let asked = self.killed && !self.deleting;
                let why = if asked { reason::KILLED_BY_SCHEDULER } else { reason::DELETED };
                Some(Owed::State(TaskState::Killed, Some(why)))
            }
            Progress::Ended(End::StaleLeader) => {
                Some(Owed::State(TaskState::Dropped, Some(reason::STALE_LEADER)))
            }
            Progress::Ended(End::OutOfRoom) => {
                Some(Owed::State(TaskState::Dropped, Some(reason::AGENT_OUT_OF_ROOM)))
            }
        }
    }
}

fn fits(needs: &ResourceList, running: &[&Seen], capacity: &ResourceList) -> bool {
    let amount = |list: &ResourceList, name: &str| {
        list.get(name).map_or(0, |quantity| quantity.millis().unwrap_or(i64::MAX / 2))
    };
    needs.keys().all(|name| {
        let used: i64 = running.iter().map(|other| amount(&other.needs, name)).sum();
        used.saturating_add(amount(needs, name)) <= amount(capacity, name)
    })
}
