//! How much of a record the updates of its task may take, and what is left out where an update takes
//! more. Pure.
//!
//! ```text
//! RECORD_BYTES  ┌──────┬───────┬─────────────────────────┬────────────────────────┐
//!               │ spec │ other │ updates of a task that  │ its last update        │
//!               │      │       │ goes on, each an eighth │                        │
//!               └──────┴───────┴─────────────────────────┴────────────────────────┘
//! ```
//!
//! **Invariant:** at least [`ALWAYS`] updates of a task, or all up to its last, have room at once. So
//! many are acknowledged before the gateway stores that they are, and only then others come.

use meseta_crds::{TaskSpec, TaskState};
use meseta_mesos_wire::json;
use meseta_mesos_wire::v1::TaskStatus;

use super::inner::state_of;
use crate::report::told;

/// Bytes of a record that a store takes.
const RECORD_BYTES: usize = 1_400_000;
/// Bytes of a record beside spec and updates: metadata, conditions.
const OTHER_BYTES: usize = 64 * 1024;
/// Bytes of all updates of a task that goes on: its record is rewritten with each of them.
const GOING_ON_BYTES: usize = 384 * 1024;
/// Updates that have room whatever they say: as many as the gateway lets be acknowledged without
/// storing it.
const ALWAYS: usize = 8;
/// Bytes of all updates where the spec leaves less.
const LEAST_BYTES: usize = 16 * 1024;

/// Room for updates in the record of one task, in bytes of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// For all that say that the task goes on.
    pub(crate) going_on: usize,
    /// For one of them.
    each: usize,
    /// For the last.
    last: usize,
}

impl Room {
    /// What a record with this spec has room for.
    pub(crate) fn beside(spec: &TaskSpec) -> Self {
        let spec = serde_json::to_vec(spec).map_or(0, |spec| spec.len());
        let all = RECORD_BYTES.saturating_sub(OTHER_BYTES + spec).max(LEAST_BYTES);
        let going_on = GOING_ON_BYTES.min(all / 2);
        Self { going_on, each: going_on / ALWAYS, last: all - going_on }
    }

    /// Leaves out of an update what there is no room for, and says so in its message: its data, and
    /// if that is not enough all but what happened to the task.
    pub(crate) fn fit(self, status: TaskStatus) -> TaskStatus {
        let is_last = state_of(status.state()).is_some_and(TaskState::is_terminal);
        let room = if is_last { self.last } else { self.each };
        let fits = |status: &TaskStatus| bytes_of(status) <= room;
        if fits(&status) {
            return status;
        }
        let message = status.message.clone().unwrap_or_default();
        let noted = |message: &str, what: &str| {
            let note = format!("{message} [{what}: the update has more than {room} bytes]");
            Some(note.trim_start().to_owned())
        };
        let without_data =
            TaskStatus { data: None, message: noted(&message, "data left out"), ..status };
        if fits(&without_data) {
            return without_data;
        }
        TaskStatus {
            message: noted(&told(&message), "cut here, details left out"),
            labels: None,
            check_status: None,
            container_status: None,
            limitation: None,
            ..without_data
        }
    }
}

/// Bytes of an update as it stands in a record.
fn bytes_of(status: &TaskStatus) -> usize {
    json::to_value(status).to_string().len()
}

#[cfg(test)]
mod tests {
    use meseta_crds::Task;
    use meseta_crds::task::{MesosStatus, MesosTask, MesosUpdate};
    use meseta_mesos_wire::v1::{Label, Labels, TaskState as State};

    use super::*;

    /// A spec of about so many bytes.
    fn spec(bytes: usize) -> TaskSpec {
        let task_info = Some(serde_json::json!({"data": "x".repeat(bytes)}));
        let mesos = Some(MesosTask { task_info, ..MesosTask::default() });
        TaskSpec { mesos, ..TaskSpec::default() }
    }

    fn status(state: State, message: &str, data: usize) -> TaskStatus {
        let (message, data) = (Some(message.to_owned()), Some(vec![7; data]));
        let mut status = TaskStatus { message, data, ..TaskStatus::default() };
        status.set_state(state);
        status
    }

    #[test]
    fn a_full_record_is_one_that_stores_take() {
        for bytes in [0, 500_000, 1_300_000] {
            let spec = spec(bytes);
            let room = Room::beside(&spec);
            let full = |state: State, bytes: usize| {
                let message = "m".repeat(bytes - bytes_of(&status(state, "", 0)));
                let full = status(state, &message, 0);
                assert_eq!((bytes_of(&full), room.fit(full.clone())), (bytes, full.clone()));
                MesosUpdate { uuid: "u".repeat(36), status: json::to_value(&full) }
            };
            let mut updates = vec![full(State::TaskRunning, room.each); ALWAYS];
            updates.push(full(State::TaskFinished, room.last));
            let mut task = Task::new("t", spec);
            task.status = Some(meseta_crds::TaskStatus {
                mesos: Some(MesosStatus { updates, acknowledged: None }),
                ..meseta_crds::TaskStatus::default()
            });
            let bytes = serde_json::to_vec(&task).unwrap().len();
            assert!(bytes <= RECORD_BYTES - OTHER_BYTES + 1024, "{bytes}");
        }
    }

    #[test]
    fn what_has_no_room_loses_its_data_and_says_so() {
        let room = Room::beside(&spec(0));
        // Results of some hundred kilobytes are what schedulers wait for.
        let result = status(State::TaskFinished, "done", 700_000);
        assert_eq!(room.fit(result.clone()), result);
        let result = room.fit(status(State::TaskFinished, "done", 1 << 20));
        let last = room.last;
        let message = format!("done [data left out: the update has more than {last} bytes]");
        assert_eq!((result.data, result.message), (None, Some(message)));
        let running = room.fit(status(State::TaskRunning, "", 40_000));
        let message = "[data left out: the update has more than 49152 bytes]";
        assert_eq!((running.data, running.message.as_deref()), (None, Some(message)));
    }

    #[test]
    fn whatever_it_says_it_is_told_what_happened() {
        let room = Room::beside(&spec(0));
        let label = Label { key: "k".repeat(1 << 20), value: None };
        let mut failed = status(State::TaskFailed, &"m".repeat(1 << 20), 1 << 20);
        failed.labels = Some(Labels { labels: vec![label] });
        failed.uuid = Some(vec![1; 16]);
        let told = room.fit(failed);
        assert_eq!((told.state(), told.uuid.map(|uuid| uuid.len())), (State::TaskFailed, Some(16)));
        assert!(told.message.unwrap().starts_with("mmm"));
        assert_eq!((told.data, told.labels), (None, None));
    }
}
