//! Tasks: their spec, and which changes of it are allowed.

use serde_json::{Value, json};

use super::{DEFAULT_PIDS_LIMIT, Errors, FieldErrorKind, syntax};
use crate::task::{Constraint, ConstraintOperator, Container, TaskSpec, TaskStatus, Volume};

/// Bounds of the lists of a task; the schema names the same.
const MAX_ENV: usize = 1024;
const MAX_ARGUMENTS: usize = 4096;
const MAX_VOLUMES: usize = 64;
const MAX_CONSTRAINTS: usize = 32;
const MAX_VALUES: usize = 256;

/// Where a task without an image may mount: the host's tree leaves room only there.
const ROOM_FOR_MOUNTS: [&str; 2] = ["/mnt", "/run/meseta"];
/// What a task must not be given of the host: windows into other processes and devices.
const CLOSED_HOST_PATHS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// `limits.memory` follows `resources.memory`, `limits.pids` is 1024: the schema cannot say the one,
/// and a map's entries have no defaults for the other.
pub(super) fn default_limits(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let memory = spec.get("resources").and_then(|resources| resources.get("memory")).cloned();
    let limits = spec.entry("limits").or_insert_with(|| json!({}));
    let Some(limits) = limits.as_object_mut() else { return };
    if let Some(memory) = memory {
        limits.entry("memory").or_insert(memory);
    }
    limits.entry("pids").or_insert_with(|| json!(DEFAULT_PIDS_LIMIT.to_string()));
}

pub(super) fn check(spec: &TaskSpec, at: &str, errors: &mut Errors) {
    let shared_allowed = spec.owner.is_some();
    check_template(spec, at, shared_allowed, errors);
    if let Some(name) = &spec.agent_name {
        syntax::dns_subdomain(&format!("{at}.agentName"), name, errors);
    }
    if spec.placement.is_some() && spec.agent_name.is_none() {
        errors.forbidden(format!("{at}.placement"), "must be set together with `agentName`");
    }
    check_mesos(spec, at, errors);
    if let Some(owner) = &spec.owner {
        for (name, value) in
            [("framework", &owner.framework), ("frameworkUid", &owner.framework_uid)]
        {
            if value.is_empty() {
                errors.required(format!("{at}.owner.{name}"), "must not be empty");
            }
        }
        if owner.task_set.is_empty() && spec.mesos.is_none() {
            errors.required(format!("{at}.owner.taskSet"), "must not be empty");
        }
        for (name, value) in [("index", owner.index), ("incarnation", owner.incarnation)] {
            if value < 0 {
                errors.invalid(format!("{at}.owner.{name}"), "must be greater than or equal to 0");
            }
        }
    }
}

fn check_mesos(spec: &TaskSpec, at: &str, errors: &mut Errors) {
    if let Some(name) = &spec.executor_name {
        syntax::dns_subdomain(&format!("{at}.executorName"), name, errors);
        if spec.executor.is_some() {
            let message = "must not be set together with `executorName`";
            errors.forbidden(format!("{at}.executor"), message);
        }
    }
    if spec.executor.as_ref().is_some_and(|e| e.shutdown_grace_period_seconds < 0) {
        let field = format!("{at}.executor.shutdownGracePeriodSeconds");
        errors.invalid(field, "must be greater than or equal to 0");
    }
    let kill = spec.kill.unwrap_or_default();
    let grace = kill.grace_period_seconds.unwrap_or_default();
    for (name, number) in [("gracePeriodSeconds", grace), ("repeats", kill.repeats)] {
        if number < 0 {
            let field = format!("{at}.kill.{name}");
            errors.invalid(field, "must be greater than or equal to 0");
        }
    }
    let Some(mesos) = &spec.mesos else { return };
    syntax::mesos_id(&format!("{at}.mesos.frameworkId"), &mesos.framework_id, errors);
    for (name, id) in [("taskId", &mesos.task_id), ("executorId", &mesos.executor_id)] {
        if let Some(id) = id {
            syntax::mesos_id(&format!("{at}.mesos.{name}"), id, errors);
        }
    }
}

/// What holds for a task and for the template of one.
pub(super) fn check_template(spec: &TaskSpec, at: &str, shared_allowed: bool, errors: &mut Errors) {
    syntax::role_path(&format!("{at}.role"), &spec.role, errors);
    match spec.containers.as_slice() {
        [] if spec.executor_name.is_some() => {}
        [_] if spec.executor_name.is_some() => errors.forbidden(
            format!("{at}.containers"),
            "must be empty where `executorName` is set: the executor runs the task",
        ),
        [] => errors.required(format!("{at}.containers"), "must have exactly one container"),
        [_] => {}
        [_, _, ..] => errors.add(
            FieldErrorKind::TooMany,
            format!("{at}.containers"),
            format!("must have exactly one container, has {}", spec.containers.len()),
        ),
    }
    for (index, container) in spec.containers.iter().enumerate() {
        check_container(container, &format!("{at}.containers[{index}]"), &spec.volumes, errors);
    }
    check_amounts(spec, at, errors);

    errors.at_most(&format!("{at}.volumes"), &spec.volumes, MAX_VOLUMES);
    syntax::unique(
        spec.volumes.iter().map(|volume| volume.name.as_str()),
        |index| format!("{at}.volumes[{index}].name"),
        errors,
    );
    for (index, volume) in spec.volumes.iter().enumerate() {
        check_volume(volume, &format!("{at}.volumes[{index}]"), shared_allowed, errors);
    }

    errors.at_most(&format!("{at}.constraints"), &spec.constraints, MAX_CONSTRAINTS);
    for (index, constraint) in spec.constraints.iter().enumerate() {
        check_constraint(constraint, &format!("{at}.constraints[{index}]"), errors);
    }

    if spec.termination_grace_period_seconds < 0 {
        let field = format!("{at}.terminationGracePeriodSeconds");
        errors.invalid(field, "must be greater than or equal to 0");
    }
    if spec.active_deadline_seconds.is_some_and(|seconds| seconds < 1) {
        let field = format!("{at}.activeDeadlineSeconds");
        errors.invalid(field, "must be greater than or equal to 1");
    }
}

fn check_amounts(spec: &TaskSpec, at: &str, errors: &mut Errors) {
    syntax::amounts(&format!("{at}.resources"), &spec.resources, &[], errors);
    syntax::amounts(&format!("{at}.limits"), &spec.limits, &["pids"], errors);
    for name in ["cpu", "memory"] {
        let amount = |list: &crate::ResourceList| list.get(name)?.millis().ok();
        if let (Some(limit), Some(wanted)) = (amount(&spec.limits), amount(&spec.resources))
            && limit < wanted
        {
            errors.invalid(
                format!("{at}.limits[{name}]"),
                format!("must be greater than or equal to `resources.{name}`"),
            );
        }
    }
    for name in ["memory", "pids"] {
        if spec.limits.get(name).is_some_and(|limit| limit.millis() == Ok(0)) {
            errors.invalid(format!("{at}.limits[{name}]"), "must be greater than 0");
        }
    }
}

fn check_container(container: &Container, at: &str, volumes: &[Volume], errors: &mut Errors) {
    syntax::dns_label(&format!("{at}.name"), &container.name, errors);
    if container.image.is_none() && container.command.is_empty() {
        errors.required(format!("{at}.command"), "must be set where there is no `image`");
    }
    if container.command.first().is_some_and(String::is_empty) {
        errors.invalid(format!("{at}.command[0]"), "must name a program");
    }
    if let Some(image) = &container.image {
        let path = image.strip_prefix("oci:").unwrap_or_default();
        if !path.starts_with('/') || path.split('/').any(|segment| segment == "..") {
            errors.invalid(
                format!("{at}.image"),
                "must be an OCI layout on the agent, `oci:/path/to/layout:tag`, without `..`",
            );
        }
        syntax::bounded(&format!("{at}.image"), image, 4096, errors);
    }
    for (name, list) in [("command", &container.command), ("args", &container.args)] {
        errors.at_most(&format!("{at}.{name}"), list, MAX_ARGUMENTS);
        for (index, text) in list.iter().enumerate() {
            syntax::bounded(&format!("{at}.{name}[{index}]"), text, syntax::MAX_TEXT, errors);
        }
    }
    errors.at_most(&format!("{at}.env"), &container.env, MAX_ENV);
    for (index, variable) in container.env.iter().enumerate() {
        syntax::env_name(&format!("{at}.env[{index}].name"), &variable.name, errors);
        let field = format!("{at}.env[{index}].value");
        syntax::bounded(&field, &variable.value, syntax::MAX_TEXT, errors);
    }
    if let Some(directory) = &container.working_dir {
        syntax::absolute_path(&format!("{at}.workingDir"), directory, errors);
    }

    errors.at_most(&format!("{at}.volumeMounts"), &container.volume_mounts, MAX_VOLUMES);
    syntax::unique(
        container.volume_mounts.iter().map(|mount| mount.mount_path.trim_end_matches('/')),
        |index| format!("{at}.volumeMounts[{index}].mountPath"),
        errors,
    );
    for (index, mount) in container.volume_mounts.iter().enumerate() {
        let at = format!("{at}.volumeMounts[{index}]");
        if !volumes.iter().any(|volume| volume.name == mount.name) {
            errors.invalid(
                format!("{at}.name"),
                format!("must name one of `volumes`; there is no `{}`", mount.name),
            );
        }
        let field = format!("{at}.mountPath");
        if !syntax::absolute_path(&field, &mount.mount_path, errors) {
            continue;
        }
        if mount.mount_path.trim_matches('/').is_empty() {
            errors.invalid(&field, "must not be the root directory");
        } else if container.image.is_none()
            && !ROOM_FOR_MOUNTS.iter().any(|room| strictly_beneath(&mount.mount_path, room))
        {
            errors.invalid(
                &field,
                format!(
                    "must be beneath {} for a container without an image",
                    ROOM_FOR_MOUNTS.join(" or ")
                ),
            );
        }
    }
}

fn check_volume(volume: &Volume, at: &str, shared_allowed: bool, errors: &mut Errors) {
    syntax::dns_label(&format!("{at}.name"), &volume.name, errors);
    match (&volume.shared, &volume.host_path) {
        (None, None) => errors.required(at, "must have a source: `shared` or `hostPath`"),
        (Some(_), Some(_)) => {
            errors.forbidden(format!("{at}.hostPath"), "must have exactly one source");
        }
        (Some(_), None) if !shared_allowed => errors.forbidden(
            format!("{at}.shared"),
            "must be a volume in a task of a framework; a task alone shares with nobody",
        ),
        (Some(_), None) => {}
        (None, Some(host)) => {
            let field = format!("{at}.hostPath.path");
            if !syntax::absolute_path(&field, &host.path, errors) {
                return;
            }
            let closed =
                |path: &&str| normal(&host.path) == **path || strictly_beneath(&host.path, path);
            if normal(&host.path).is_empty() || CLOSED_HOST_PATHS.iter().any(closed) {
                errors.forbidden(
                    &field,
                    format!(
                        "must not be `/` or one of {} or beneath them",
                        CLOSED_HOST_PATHS.join(", ")
                    ),
                );
            }
        }
    }
}

/// The path without doubled slashes and `.` segments; empty for the root.
fn normal(path: &str) -> String {
    let segments = path.split('/').filter(|segment| !matches!(*segment, "" | "."));
    segments.fold(String::new(), |path, segment| path + "/" + segment)
}

fn strictly_beneath(path: &str, root: &str) -> bool {
    normal(path).strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
}

fn check_constraint(constraint: &Constraint, at: &str, errors: &mut Errors) {
    syntax::attribute(&format!("{at}.attribute"), &constraint.attribute, errors);
    let field = format!("{at}.values");
    errors.at_most(&field, &constraint.values, MAX_VALUES);
    match constraint.operator {
        ConstraintOperator::In | ConstraintOperator::NotIn if constraint.values.is_empty() => {
            errors.required(field, "must have a value where `operator` is 'In' or 'NotIn'");
        }
        ConstraintOperator::Exists | ConstraintOperator::DoesNotExist
            if !constraint.values.is_empty() =>
        {
            let message = "must be empty where `operator` is 'Exists' or 'DoesNotExist'";
            errors.forbidden(field, message);
        }
        ConstraintOperator::In
        | ConstraintOperator::NotIn
        | ConstraintOperator::Exists
        | ConstraintOperator::DoesNotExist => {}
    }
}

pub(super) fn check_change(new: &TaskSpec, old: &TaskSpec, errors: &mut Errors) {
    if old.kill.is_some() && new.kill.is_none() {
        errors.forbidden("spec.kill", "must not be taken back");
    }
    if old.agent_name.is_none() {
        return;
    }
    let placed = "must not change once the task is placed; create another task instead";
    if new.agent_name != old.agent_name {
        errors.forbidden("spec.agentName", "must not change once it is set");
    }
    if new.placement != old.placement {
        errors.forbidden("spec.placement", placed);
    }
    if new.resources != old.resources {
        errors.forbidden("spec.resources", placed);
    }
    if new.containers != old.containers {
        errors.forbidden("spec.containers", placed);
    }
    if new.volumes != old.volumes {
        errors.forbidden("spec.volumes", placed);
    }
    if new.owner != old.owner {
        errors.forbidden("spec.owner", placed);
    }
    if new.role != old.role {
        errors.forbidden("spec.role", placed);
    }
    if new.executor != old.executor {
        errors.forbidden("spec.executor", placed);
    }
    if new.executor_name != old.executor_name {
        errors.forbidden("spec.executorName", placed);
    }
    if new.mesos != old.mesos {
        errors.forbidden("spec.mesos", placed);
    }
}

pub(super) fn check_status_change(new: &TaskStatus, old: &TaskStatus, errors: &mut Errors) {
    if old.state.is_terminal() && new.state != old.state {
        errors.forbidden(
            "status.state",
            format!("must not change: '{:?}' is a terminal state", old.state),
        );
    }
}
