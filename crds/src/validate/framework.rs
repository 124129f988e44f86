//! Frameworks: their sets, and what the sets wait for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Errors, MAX_REPLICAS, syntax, task};
use crate::framework::{FrameworkSpec, TaskSet};

/// The most sets of one framework; the schema names the same.
const MAX_SETS: usize = 64;

pub(super) fn check(spec: &FrameworkSpec, errors: &mut Errors) {
    syntax::role_path("spec.role", &spec.role, errors);
    if spec.task_sets.is_empty() {
        errors.required("spec.taskSets", "must have at least one set");
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
