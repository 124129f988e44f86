//! The second door: an unmodified pymesos scheduler is offered resources, and what it launches are
//! records like all others.

mod access;
mod executors;
mod failover;
mod kills;
mod rescinding;
mod schedulers;
mod sharing;
mod wire;

use meseta_e2e::{Client, await_condition};
use serde_json::Value;

/// Bound of a wait for something that takes a healthy cluster a second or two, or half a minute where a
/// leader leaves schedulers time to come back.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(90);

/// The record of a Mesos task, by the id that its scheduler gave it.
fn record(client: &Client, id: &str) -> Option<Value> {
    let tasks = client.list(&["tasks"]).unwrap();
    tasks.into_iter().find(|task| task["spec"]["mesos"]["taskId"] == id)
}

/// Waits until there is neither a framework nor a task.
fn await_empty(client: &Client) {
    await_condition("end of all records", DEADLINE, || {
        let left = client.kubectl(&["get", "frameworks,tasks", "-o", "name"]).unwrap();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .unwrap();
}
