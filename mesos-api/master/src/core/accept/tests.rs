//! Offers of `cpus:4; mem:1024; disk:1000` on `agent-1` for role `*`.

mod groups;
mod launches;
mod properties;
mod refusals;

use meseta_crds::{Quantity, TaskState};
use meseta_mesos_wire::v1::framework_info::Capability;
use meseta_mesos_wire::v1::framework_info::capability::Type as CapabilityType;
use meseta_mesos_wire::v1::offer::operation;
use meseta_mesos_wire::v1::value::{Scalar, Type as ValueType};

use super::super::resources::Amounts;
use super::super::rows::TaskRow;
use super::*;

const FRAMEWORK: &str = "f-0000";
const AGENT: &str = "agent-1";

fn info(capabilities: &[CapabilityType]) -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        name: "app".to_owned(),
        id: Some(v1::FrameworkId { value: FRAMEWORK.to_owned() }),
        capabilities: capabilities
            .iter()
            .map(|kind| Capability { r#type: Some((*kind).into()) })
            .collect(),
        ..v1::FrameworkInfo::default()
    }
}

fn launcher(info: &v1::FrameworkInfo) -> Launcher<'_> {
    Launcher {
        namespace: "default",
        framework: "app-123",
        uid: "uid",
        id: FRAMEWORK,
        info,
        epoch: 7,
    }
}

fn offered() -> ResourceList {
    [("cpu", "4"), ("memory", "1Gi"), ("disk", "1000Mi")]
        .map(|(name, text)| (name.to_owned(), Quantity::new(text)))
        .into()
}

fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: ValueType::Scalar.into(),
        scalar: Some(Scalar { value }),
        ..v1::Resource::default()
    }
}

fn command(value: &str) -> v1::CommandInfo {
    v1::CommandInfo { value: Some(value.to_owned()), ..v1::CommandInfo::default() }
}

/// A command task that is valid.
fn task(id: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: id.to_owned(),
        task_id: v1::TaskId { value: id.to_owned() },
        agent_id: v1::AgentId { value: AGENT.to_owned() },
        resources: vec![scalar("cpus", 1.0), scalar("mem", 64.0)],
        command: Some(command("sleep 1")),
        ..v1::TaskInfo::default()
    }
}

/// A custom executor that is valid.
fn executor(id: &str) -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: id.to_owned() },
        resources: vec![scalar("cpus", 0.5), scalar("mem", 32.0), scalar("disk", 10.0)],
        command: Some(command("./run")),
        ..v1::ExecutorInfo::default()
    }
}

/// A task of a custom executor that is valid.
fn inner(id: &str, executor: v1::ExecutorInfo) -> v1::TaskInfo {
    v1::TaskInfo { command: None, executor: Some(executor), ..task(id) }
}

fn launch(tasks: Vec<v1::TaskInfo>) -> Operation {
    Operation {
        r#type: Some(Type::Launch.into()),
        launch: Some(operation::Launch { task_infos: tasks }),
        ..Operation::default()
    }
}

fn launch_group(executor: v1::ExecutorInfo, tasks: Vec<v1::TaskInfo>) -> Operation {
    let task_group = v1::TaskGroupInfo { tasks };
    Operation {
        r#type: Some(Type::LaunchGroup.into()),
        launch_group: Some(Box::new(operation::LaunchGroup { executor, task_group })),
        ..Operation::default()
    }
}

fn planned(rows: &Rows, operations: &[Operation]) -> Plan {
    let info = info(&[CapabilityType::PartitionAware]);
    plan(launcher(&info), Place { agent: AGENT, role: "*" }, &offered(), rows, operations, 1000)
}

/// What a plan says, a line for each record and each status.
fn told(plan: &Plan) -> Vec<String> {
    let state = |status: &v1::TaskStatus| {
        let (state, reason) = (status.state().as_str_name(), status.reason().as_str_name());
        format!("{} {state} {reason}: {}", status.task_id.value, status.message())
    };
    plan.told.iter().map(state).collect()
}

/// The Mesos ids of the records to store, in order; executors with a star.
fn launched(plan: &Plan) -> Vec<String> {
    let id = |task: &Task| {
        let mesos = task.spec.mesos.as_ref().unwrap();
        mesos.task_id.clone().unwrap_or_else(|| format!("*{}", mesos.executor_id.as_ref().unwrap()))
    };
    plan.tasks.iter().map(id).collect()
}

/// Rows as they are when the records of `plan` have been stored, all in `state`.
fn stored(plan: &Plan, state: TaskState) -> Rows {
    let mut rows = Rows::default();
    for task in &plan.tasks {
        let row = TaskRow::of(task).unwrap();
        rows.insert(TaskRow { state, ..row });
    }
    rows
}
