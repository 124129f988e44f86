//! What a Mesos master checks of tasks and executors, whoever is to run them.
//!
//! Texts are a master's. What is valid and cannot be done here is [`super::supported`]'s matter.

mod probes;

use meseta_mesos_wire::v1;
use meseta_mesos_wire::v1::environment::variable::Type as VariableType;

use super::ids;
use super::resources::{self, Amounts};

/// Smallest cpus of a task group's executor, in thousandths.
const MIN_CPUS: i64 = 10;
/// Smallest memory of a task group's executor, in thousandths of a MB.
const MIN_MEM: i64 = 32_000;

/// Checks what is asked of a task by itself, and returns what it asks for. `agent` and `role` are
/// those of the offer.
///
/// # Errors
/// The first fault.
pub fn task(task: &v1::TaskInfo, agent: &str, role: &str) -> Result<Amounts, String> {
    ids::check(&task.task_id.value)?;
    if task.agent_id.value != agent {
        return Err(format!(
            "Task uses invalid agent {} while agent {agent} is expected",
            task.agent_id.value
        ));
    }
    let grace = task.kill_policy.as_ref().and_then(|policy| policy.grace_period.as_ref());
    if is_negative(grace) {
        return Err("Task's 'kill_policy.grace_period' must be non-negative".to_owned());
    }
    if is_negative(task.max_completion_time.as_ref()) {
        return Err("Task's `max_completion_time` must be non-negative".to_owned());
    }
    if let Some(fault) = task.check.as_ref().and_then(|check| probes::check(check).err()) {
        return Err(format!("Task uses invalid check: {fault}"));
    }
    if let Some(fault) =
        task.health_check.as_ref().and_then(|check| probes::health_check(check).err())
    {
        return Err(format!("Task uses invalid health check: {fault}"));
    }
    if task.resources.is_empty() {
        return Err("Task uses no resources".to_owned());
    }
    let asked = resources::read(&task.resources, role)
        .map_err(|fault| format!("Task uses invalid resources: {fault}"))?;
    if let Some(command) = &task.command {
        self::command(command)
            .map_err(|fault| format!("Task's `CommandInfo` is invalid: {fault}"))?;
    }
    if let Some(container) = &task.container {
        self::container(container)
            .map_err(|fault| format!("Task's `ContainerInfo` is invalid: {fault}"))?;
    }
    limits(task, &asked)?;
    Ok(asked)
}

/// Checks an executor by itself, and returns what it asks for.
///
/// # Errors
/// The first fault.
pub fn executor(
    executor: &v1::ExecutorInfo,
    framework_id: &str,
    role: &str,
) -> Result<Amounts, String> {
    use v1::executor_info::Type;
    match executor.r#type() {
        Type::Default => default_executor(executor)?,
        Type::Custom if executor.command.is_none() => {
            return Err("'ExecutorInfo.command' must be set for 'CUSTOM' executor".to_owned());
        }
        Type::Custom | Type::Unknown => {}
    }
    ids::check(&executor.executor_id.value)?;
    if is_negative(executor.shutdown_grace_period.as_ref()) {
        return Err("ExecutorInfo's 'shutdown_grace_period' must be non-negative".to_owned());
    }
    if let Some(command) = &executor.command {
        self::command(command)
            .map_err(|fault| format!("Executor's `CommandInfo` is invalid: {fault}"))?;
    }
    if let Some(container) = &executor.container {
        self::container(container)
            .map_err(|fault| format!("Executor's `ContainerInfo` is invalid: {fault}"))?;
    }
    let Some(named) = &executor.framework_id else {
        return Err("'ExecutorInfo.framework_id' must be set".to_owned());
    };
    if named.value != framework_id {
        return Err(format!(
            "ExecutorInfo has an invalid FrameworkID (Actual: {} vs Expected: {framework_id})",
            named.value
        ));
    }
    if share_cgroups(executor.container.as_ref()) == Some(true) {
        return Err(
            "The 'share_cgroups' field cannot be set to 'true' on executor containers".to_owned()
        );
    }
    resources::read(&executor.resources, role)
        .map_err(|fault| format!("Executor uses invalid resources: {fault}"))
}

fn default_executor(executor: &v1::ExecutorInfo) -> Result<(), String> {
    if executor.command.is_some() {
        return Err("'ExecutorInfo.command' must not be set for 'DEFAULT' executor".to_owned());
    }
    let Some(container) = &executor.container else { return Ok(()) };
    if container.r#type() != v1::container_info::Type::Mesos {
        return Err(
            "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor".to_owned()
        );
    }
    if container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some()) {
        return Err("'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor"
            .to_owned());
    }
    Ok(())
}

/// Checks that an executor of a task group is large enough to do its work.
///
/// # Errors
/// Which resource it has too little of.
pub fn group_executor(id: &str, asked: &Amounts) -> Result<(), String> {
    let shown = |amount: i64| match amount {
        0 => "None".to_owned(),
        amount => resources::number(amount).to_string(),
    };
    let (cpus, mem) = (asked.get("cpus"), asked.get("mem"));
    if cpus < MIN_CPUS {
        let least = resources::number(MIN_CPUS);
        return Err(format!(
            "Executor '{id}' uses less CPUs ({}) than the minimum required ({least})",
            shown(cpus)
        ));
    }
    if mem < MIN_MEM {
        let least = resources::number(MIN_MEM);
        return Err(format!(
            "Executor '{id}' uses less memory ({}) than the minimum required ({least})",
            shown(mem)
        ));
    }
    if asked.get("disk") == 0 {
        return Err(format!("Executor '{id}' uses no disk"));
    }
    Ok(())
}

/// `share_cgroups`, where it is said.
pub(super) fn share_cgroups(container: Option<&v1::ContainerInfo>) -> Option<bool> {
    container
        .and_then(|container| container.linux_info.as_ref())
        .and_then(|info| info.share_cgroups)
}

fn is_negative(duration: Option<&v1::DurationInfo>) -> bool {
    duration.is_some_and(|duration| duration.nanoseconds < 0)
}

fn command(command: &v1::CommandInfo) -> Result<(), String> {
    for variable in command.environment.iter().flat_map(|e| &e.variables) {
        let (has_value, has_secret) = (variable.value.is_some(), variable.secret.is_some());
        let (kind, missing, surplus) = match variable.r#type() {
            VariableType::Value => {
                ("VALUE", (!has_value).then_some("value"), has_secret.then_some("secret"))
            }
            VariableType::Secret => {
                ("SECRET", (!has_secret).then_some("secret"), has_value.then_some("value"))
            }
            VariableType::Unknown => {
                return Err("Environment variable of type 'UNKNOWN' is not allowed".to_owned());
            }
        };
        let subject = || format!("Environment variable '{}' of type '{kind}'", variable.name);
        if let Some(missing) = missing {
            return Err(format!("{} must have a {missing} set", subject()));
        }
        if let Some(surplus) = surplus {
            return Err(format!("{} must not have a {surplus} set", subject()));
        }
    }
    Ok(())
}

fn container(container: &v1::ContainerInfo) -> Result<(), String> {
    for volume in &container.volumes {
        let sources = [volume.host_path.is_some(), volume.image.is_some(), volume.source.is_some()];
        if sources.into_iter().filter(|set| *set).count() != 1 {
            return Err(
                "Invalid volume: Only one of them should be set: 'host_path', 'image' and \
                        'source'"
                    .to_owned(),
            );
        }
    }
    if container.r#type() == v1::container_info::Type::Docker {
        let Some(docker) = &container.docker else {
            return Err("DockerInfo 'docker' is not set for DOCKER typed ContainerInfo".to_owned());
        };
        if docker.parameters.iter().any(|parameter| parameter.key == "name") {
            return Err("Parameter in DockerInfo must not be 'name'".to_owned());
        }
    }
    Ok(())
}

fn limits(task: &v1::TaskInfo, asked: &Amounts) -> Result<(), String> {
    for (name, limit) in &task.limits {
        let (long, short) = match name.as_str() {
            "cpus" => ("CPU", "cpu"),
            "mem" => ("memory", "memory"),
            _ => {
                return Err(
                    "Only cpus and mem may be included in a task's resource limits".to_owned()
                );
            }
        };
        if asked.get(name) == 0 {
            return Err(format!(
                "When a {long} limit is specified, a {long} request must also be specified"
            ));
        }
        // Not a number is not enough either.
        let enough = limit.value == f64::INFINITY
            || resources::thousandths(limit.value).is_some_and(|limit| limit >= asked.get(name));
        if !enough {
            return Err(format!(
                "The {short} limit must be greater than or equal to the {short} request"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
