mod model;
mod rules;

use meseta_mesos_wire::json;

use super::*;

/// The uuid of the update of a number.
fn uuid(number: u8) -> String {
    uuid::Uuid::from_bytes([number; 16]).hyphenated().to_string()
}

/// An update as an agent makes it.
fn update(number: u8, state: v1::TaskState) -> MesosUpdate {
    let status = v1::TaskStatus {
        task_id: v1::TaskId { value: "t".to_owned() },
        state: state.into(),
        uuid: Some(vec![number; 16]),
        ..v1::TaskStatus::default()
    };
    MesosUpdate { uuid: uuid(number), status: json::to_value(&status) }
}

/// A row with these updates, held by its agent and owed to its scheduler.
fn row(state: TaskState, updates: &[(u8, v1::TaskState)]) -> TaskRow {
    TaskRow {
        task_id: Some("t".to_owned()),
        state,
        updates: updates.iter().map(|(number, state)| update(*number, *state)).collect(),
        held_by_agent: true,
        held_by_scheduler: true,
        ..TaskRow::default()
    }
}
