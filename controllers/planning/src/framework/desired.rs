//! What should be true: a framework's spec that can be carried out.

use std::collections::{BTreeMap, BTreeSet};

use meseta_crds::framework::TaskSet;
use meseta_crds::{Framework, FrameworkSpec};

use super::names;

/// A spec that passed validation, with what identifies its framework.
#[derive(Clone, Debug)]
pub struct Desired<'a> {
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
    pub(super) generation: i64,
    pub(super) spec: &'a FrameworkSpec,
    /// One per set, in the order of the spec.
    pub(super) template_hashes: Vec<String>,
}

/// Everything that is wrong with a spec; it has to change before anything can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// One sentence each.
    pub problems: Vec<String>,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.problems.join("; "))
    }
}

impl<'a> Desired<'a> {
    /// Takes the spec of a stored framework.
    ///
    /// # Errors
    /// All problems at once: sets of one name, dependencies that are unknown or go in a circle,
    /// negative counts.
    pub fn validate(framework: &'a Framework) -> Result<Self, Invalid> {
        let spec = &framework.spec;
        let mut problems = Vec::new();
        let mut sets: BTreeMap<&str, &TaskSet> = BTreeMap::new();
        for set in &spec.task_sets {
            if sets.insert(&set.name, set).is_some() {
                problems.push(format!("two sets are named {}", set.name));
            }
            if set.replicas < 0 {
                problems.push(format!("set {} has {} replicas", set.name, set.replicas));
            }
            if set.max_failures < 0 {
                problems.push(format!("set {} has maxFailures {}", set.name, set.max_failures));
            }
        }
        for set in &spec.task_sets {
            for dependency in &set.depends_on {
                if !sets.contains_key(dependency.as_str()) {
                    problems.push(format!(
                        "set {} depends on {dependency}, which does not exist",
                        set.name
                    ));
                }
            }
        }
        if let Some(circle) = circle(&sets) {
            problems.push(format!("sets depend on each other in a circle: {circle}"));
        }
        let (Some(name), Some(uid)) = (&framework.metadata.name, &framework.metadata.uid) else {
            return Err(Invalid { problems: vec!["the record has no name or uid".to_owned()] });
        };
        if !problems.is_empty() {
            return Err(Invalid { problems });
        }
        let template_hashes =
            spec.task_sets.iter().map(|set| names::template_hash(&spec.role, set)).collect();
        let generation = framework.metadata.generation.unwrap_or_default();
        Ok(Self { name, uid, generation, spec, template_hashes })
    }
}

/// Some circle of dependencies, as `a, b, a`.
fn circle(sets: &BTreeMap<&str, &TaskSet>) -> Option<String> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for start in sets.keys().copied() {
        // Depth first with an explicit path: (set, next dependency to follow).
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        while let Some((name, next)) = path.last_mut() {
            let dependency = sets.get(*name).and_then(|set| set.depends_on.get(*next));
            *next += 1;
            let Some(dependency) = dependency.map(String::as_str) else {
                done.insert(*name);
                path.pop();
                continue;
            };
            if let Some(first) = path.iter().position(|(name, _)| *name == dependency) {
                let mut names: Vec<&str> = path[first..].iter().map(|(name, _)| *name).collect();
                names.push(dependency);
                return Some(names.join(", "));
            }
            if !done.contains(dependency) {
                path.push((dependency, 0));
            }
        }
    }
    None
}
