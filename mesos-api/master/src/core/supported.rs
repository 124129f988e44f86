//! What valid tasks may ask for that agents cannot do yet. It is refused, never left out silently.

use meseta_mesos_wire::v1;
use meseta_mesos_wire::v1::container_info::Type as ContainerType;
use meseta_mesos_wire::v1::environment::variable::Type as VariableType;

/// Checks a program that an agent is to run in a container of its own.
///
/// # Errors
/// What cannot be done.
pub fn program(
    command: &v1::CommandInfo,
    container: Option<&v1::ContainerInfo>,
) -> Result<(), String> {
    if command.value.as_ref().is_none_or(String::is_empty) {
        return Err("'CommandInfo.value' must be set".to_owned());
    }
    let unsupported = |what: &str| Err(format!("{what} not supported"));
    if !command.uris.is_empty() {
        return unsupported("'CommandInfo.uris' are");
    }
    let mut variables = command.environment.iter().flat_map(|environment| &environment.variables);
    if variables.any(|variable| variable.r#type() == VariableType::Secret) {
        return unsupported("environment variables of type 'SECRET' are");
    }
    if let Some(user) = &command.user {
        self::user(user)?;
    }
    container.map_or(Ok(()), self::container)
}

/// Uid and gid of a user who is named by numbers, `1000` or `1000:100`; `None` for root, whose rights
/// are cut.
///
/// # Errors
/// It is a name: users of machines are not known here.
pub fn user(user: &str) -> Result<Option<meseta_crds::task::User>, String> {
    if user == "root" {
        return Ok(None);
    }
    let (uid, gid) = user.split_once(':').unwrap_or((user, user));
    match (uid.parse(), gid.parse()) {
        (Ok(uid), Ok(gid)) => Ok(Some(meseta_crds::task::User { uid, gid })),
        _ => Err(format!(
            "'CommandInfo.user' must be 'root' or numeric, such as '1000' or '1000:1000'; '{}' is \
             not supported",
            user.escape_debug()
        )),
    }
}

fn container(container: &v1::ContainerInfo) -> Result<(), String> {
    let linux = container.linux_info.as_ref().is_some_and(|info| {
        // The one member that says something about groups of tasks only.
        v1::LinuxInfo { share_cgroups: None, ..info.clone() } != v1::LinuxInfo::default()
    });
    let asked = [
        (container.r#type() == ContainerType::Docker, "containers of type 'DOCKER' are"),
        (container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some()), "images are"),
        (!container.volumes.is_empty(), "'ContainerInfo.volumes' are"),
        (container.hostname.is_some(), "'ContainerInfo.hostname' is"),
        (!container.network_infos.is_empty(), "'ContainerInfo.network_infos' are"),
        (linux, "'ContainerInfo.linux_info' is"),
        (container.rlimit_info.is_some(), "'ContainerInfo.rlimit_info' is"),
        (container.tty_info.is_some(), "'ContainerInfo.tty_info' is"),
    ];
    match asked.into_iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(format!("{what} not supported")),
        None => Ok(()),
    }
}

/// Checks a task that an agent is to run without an executor of its framework.
///
/// # Errors
/// What cannot be done.
pub fn command_task(task: &v1::TaskInfo) -> Result<(), String> {
    if task.health_check.is_some() {
        return Err("health checks of command tasks are not supported".to_owned());
    }
    if task.check.is_some() {
        return Err("checks of command tasks are not supported".to_owned());
    }
    let Some(command) = &task.command else {
        return Err("'TaskInfo.command' must be set".to_owned());
    };
    program(command, task.container.as_ref())
}

/// Checks a task that a custom executor is to run; all but its resources is the executor's matter.
///
/// # Errors
/// What cannot be done.
pub fn inner_task(task: &v1::TaskInfo) -> Result<(), String> {
    if task.limits.is_empty() {
        Ok(())
    } else {
        Err("'TaskInfo.limits' of tasks of custom executors are not supported".to_owned())
    }
}

#[cfg(test)]
mod tests;
