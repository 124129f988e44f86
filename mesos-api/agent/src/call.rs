//! What an executor's call must be like; the texts are a Mesos agent's
//! (`src/common/validation.cpp`, `validateExecutorCall`, of Mesos 1.11).

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use meseta_mesos_wire::v1;
use v1::executor::call::{Subscribe, Type};
use v1::executor::{Call, call};

/// A call that passed the checks.
#[derive(Debug, PartialEq)]
pub(crate) enum Checked {
    Subscribe(Subscription),
    Update(Box<v1::TaskStatus>),
    Message(Vec<u8>),
    Heartbeat,
    /// `UNKNOWN`, the value 0.
    Unknown,
}

/// What a SUBSCRIBE brings.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Subscription {
    /// Mesos' ids of the tasks that the executor has or has had.
    pub(crate) listed: BTreeSet<String>,
    /// Updates that are valid, in its order. The others are left out, as they would be alone.
    pub(crate) updates: Vec<v1::TaskStatus>,
}

/// Checks a call.
///
/// # Errors
/// What is wrong with it, as it follows "Failed to validate Executor::Call: ".
pub(crate) fn check(call: Call) -> Result<Checked, String> {
    let Some(kind) = call.r#type.and_then(|kind| Type::try_from(kind).ok()) else {
        return Err("Expecting 'type' to be present".to_owned());
    };
    let missing = |name: &str| format!("Expecting '{name}' to be present");
    match kind {
        Type::Unknown => Ok(Checked::Unknown),
        Type::Subscribe => {
            let body = call.subscribe.ok_or_else(|| missing("subscribe"))?;
            let (executor, framework) = (&call.executor_id.value, &call.framework_id.value);
            Ok(Checked::Subscribe(subscription(body, executor, framework)))
        }
        Type::Update => {
            let call::Update { status } = call.update.ok_or_else(|| missing("update"))?;
            check_status(&status, &call.executor_id.value, &call.framework_id.value)?;
            Ok(Checked::Update(Box::new(status)))
        }
        Type::Message => Ok(Checked::Message(call.message.ok_or_else(|| missing("message"))?.data)),
        Type::Heartbeat => Ok(Checked::Heartbeat),
    }
}

fn subscription(body: Subscribe, executor: &str, framework: &str) -> Subscription {
    let mut listed: BTreeSet<_> =
        body.unacknowledged_tasks.into_iter().map(|task| task.task_id.value).collect();
    let mut updates = Vec::new();
    for call::Update { status } in body.unacknowledged_updates {
        listed.insert(status.task_id.value.clone());
        match check_status(&status, executor, framework) {
            Ok(()) => updates.push(status),
            Err(error) => tracing::warn!(executor, framework, error, "an update is not valid"),
        }
    }
    Subscription { listed, updates }
}

fn check_status(status: &v1::TaskStatus, executor: &str, framework: &str) -> Result<(), String> {
    let Some(uuid) = &status.uuid else {
        return Err("Expecting 'uuid' to be present".to_owned());
    };
    if uuid.len() != UUID_BYTES {
        return Err("Not a valid UUID".to_owned());
    }
    if let Some(id) = status.executor_id.as_ref().filter(|id| id.value != executor) {
        return Err(format!(
            "ExecutorID in Call: {executor} does not match ExecutorID in TaskStatus: {}",
            id.value
        ));
    }
    let from = format!("executor {executor} of framework {framework}");
    if status.source != Some(v1::task_status::Source::Executor.into()) {
        return Err(format!(
            "Received Call from {from} with invalid source, expecting 'SOURCE_EXECUTOR'"
        ));
    }
    if status.state == i32::from(v1::TaskState::TaskStaging) {
        return Err(format!("Received TASK_STAGING from {from} which is not allowed"));
    }
    status.check_status.as_ref().map_or(Ok(()), check_check_status)
}

const UUID_BYTES: usize = 16;

fn check_check_status(status: &v1::CheckStatusInfo) -> Result<(), String> {
    use v1::check_info::Type;
    let Some(kind) = status.r#type.and_then(|kind| Type::try_from(kind).ok()) else {
        return Err("CheckStatusInfo must specify 'type'".to_owned());
    };
    let (present, field, name) = match kind {
        Type::Command => (status.command.is_some(), "command", "COMMAND"),
        Type::Http => (status.http.is_some(), "http", "HTTP"),
        Type::Tcp => (status.tcp.is_some(), "tcp", "TCP"),
        Type::Unknown => return Err("'UNKNOWN' is not a valid check's status type".to_owned()),
    };
    if present {
        Ok(())
    } else {
        Err(format!("Expecting '{field}' to be set for {name} check's status"))
    }
}
