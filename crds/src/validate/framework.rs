//! Frameworks: their sets, and what the sets wait for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Errors, MAX_REPLICAS, syntax, task};
use crate::framework::{FrameworkSpec, Scheduler, TaskSet};

/// The most sets of one framework; the schema names the same.
const MAX_SETS: usize = 64;
/// The most roles of one scheduler; the schema names the same.
const MAX_ROLES: usize = 256;

pub(super) fn check(spec: &FrameworkSpec, errors: &mut Errors) {
    syntax::role_path("spec.role", &spec.role, errors);
    match &spec.scheduler {
        None if spec.task_sets.is_empty() => {
            errors.required("spec.taskSets", "must have at least one set");
        }
        Some(_) if !spec.task_sets.is_empty() => {
            errors.forbidden("spec.taskSets", "must be empty where there is a `scheduler`");
        }
        Some(scheduler) => check_scheduler(scheduler, spec, errors),
        None => {}
    }
    errors.at_most("spec.taskSets", &spec.task_sets, MAX_SETS);
    syntax::unique(
        spec.task_sets.iter().map(|set| set.name.as_str()),
        |index| format!("spec.taskSets[{index}].name"),
        errors,
    );
    for (index, set) in spec.task_sets.iter().enumerate() {
        check_set(set, &format!("spec.taskSets[{index}]"), errors);
    }
    check_dependencies(&spec.task_sets, errors);
}

fn check_scheduler(scheduler: &Scheduler, spec: &FrameworkSpec, errors: &mut Errors) {
    syntax::mesos_id("spec.scheduler.frameworkId", &scheduler.framework_id, errors);
    errors.at_most("spec.scheduler.roles", &scheduler.roles, MAX_ROLES);
    for (index, role) in scheduler.roles.iter().enumerate() {
        syntax::role_path(&format!("spec.scheduler.roles[{index}]"), role, errors);
    }
    if scheduler.roles.first() != Some(&spec.role) {
        errors.invalid("spec.scheduler.roles", "must begin with `spec.role`");
    }
    if scheduler.failover_timeout_seconds < 0 {
        let field = "spec.scheduler.failoverTimeoutSeconds";
        errors.invalid(field, "must be greater than or equal to 0");
    }
}

/// A scheduler stays what it is, under the id it knows itself by.
pub(super) fn check_change(new: &FrameworkSpec, old: &FrameworkSpec, errors: &mut Errors) {
    let id = |spec: &FrameworkSpec| spec.scheduler.as_ref().map(|s| s.framework_id.clone());
    if id(new) != id(old) {
        let message = "must not come, go or change its `frameworkId`; create another framework";
        errors.forbidden("spec.scheduler", message);
    }
}

fn check_set(set: &TaskSet, at: &str, errors: &mut Errors) {
    syntax::dns_label(&format!("{at}.name"), &set.name, errors);
    if !(0..=MAX_REPLICAS).contains(&set.replicas) {
        errors.invalid(format!("{at}.replicas"), format!("must be from 0 to {MAX_REPLICAS}"));
    }
    if set.max_failures < 0 {
        errors.invalid(format!("{at}.maxFailures"), "must be greater than or equal to 0");
    }
    let spec = &set.template.spec;
    let at = format!("{at}.template.spec");
    task::check_template(spec, &at, true, errors);
    for (name, set) in [
        ("agentName", spec.agent_name.is_some()),
        ("placement", spec.placement.is_some()),
        ("owner", spec.owner.is_some()),
        ("executor", spec.executor.is_some()),
        ("executorName", spec.executor_name.is_some()),
        ("kill", spec.kill.is_some()),
        ("mesos", spec.mesos.is_some()),
    ] {
        if set {
            errors.forbidden(format!("{at}.{name}"), "must not be set in a template");
        }
    }
}

fn check_dependencies(sets: &[TaskSet], errors: &mut Errors) {
    let known: BTreeMap<&str, &[String]> =
        sets.iter().map(|set| (set.name.as_str(), set.depends_on.as_slice())).collect();
    for (index, set) in sets.iter().enumerate() {
        let at = format!("spec.taskSets[{index}].dependsOn");
        syntax::unique(
            set.depends_on.iter().map(String::as_str),
            |position| format!("{at}[{position}]"),
            errors,
        );
        for (position, name) in set.depends_on.iter().enumerate() {
            if !known.contains_key(name.as_str()) {
                let message = format!("must name a set of this framework; there is no `{name}`");
                errors.invalid(format!("{at}[{position}]"), message);
            }
        }
        if reaches(&known, &set.name) {
            errors.invalid(at, format!("must not lead back to the set itself, `{}`", set.name));
        }
    }
}

/// Whether the dependencies of `name` lead back to `name`.
fn reaches(sets: &BTreeMap<&str, &[String]>, name: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![name];
    while let Some(next) = open.pop() {
        for dependency in sets.get(next).copied().unwrap_or_default() {
            if dependency == name {
                return true;
            }
            if seen.insert(dependency.as_str()) {
                open.push(dependency);
            }
        }
    }
    false
}
