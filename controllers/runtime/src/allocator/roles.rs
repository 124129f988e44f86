//! Roles that appear by themselves, and what is said about each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use meseta_crds::condition::{self, Time, Value, kind};
use meseta_crds::framework_role::default_weight;
use meseta_crds::{FrameworkRole, FrameworkRoleSpec, FrameworkRoleStatus, ResourceList};
use meseta_planning::framework::short_hash;
use tokio::time::Instant;

use super::{Shell, convert};
use crate::cluster::{Cluster, RoleRow};
use crate::write::{WriteError, Writer};

/// Least time between two status writes of one role.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);
/// Least time between two tries to create one role.
const CREATE_INTERVAL: Duration = Duration::from_secs(2);

/// Something to write about a role.
pub(super) enum RoleReport {
    /// The role was used and has no record.
    Create { path: String },
    /// Its numbers have changed.
    Status { name: String, status: Box<FrameworkRoleStatus> },
}

impl RoleReport {
    pub(super) async fn write(self, writer: &Writer) -> Result<(), WriteError> {
        let roles: Api<FrameworkRole> = Api::all(writer.client.clone());
        match self {
            Self::Create { path } => {
                let name = record_name(&path);
                let spec = FrameworkRoleSpec {
                    path,
                    weight: default_weight(),
                    guarantees: ResourceList::new(),
                    limits: ResourceList::new(),
                };
                let role = FrameworkRole::new(&name, spec);
                match writer.write(roles.create(&PostParams::default(), &role)).await {
                    Ok(_) | Err(WriteError::AlreadyExists) => Ok(()),
                    Err(err) => Err(err),
                }
            }
            Self::Status { name, status } => {
                let patch = serde_json::json!({"status": status});
                let patch = Patch::Merge(&patch);
                writer.write(roles.patch_status(&name, &PatchParams::default(), &patch)).await?;
                Ok(())
            }
        }
    }
}

impl Shell {
    /// At most `room` roles to create or to report on now.
    pub(super) fn role_reports(&mut self, cluster: &Cluster, room: usize) -> Vec<RoleReport> {
        let shares: BTreeMap<String, convert::Share> =
            convert::shares(&self.allocator).into_iter().map(|s| (s.path.clone(), s)).collect();
        let now = Instant::now();
        let state = cluster.lock();
        let known: BTreeSet<&str> = state.roles.values().map(|row| row.path.as_str()).collect();
        let used = state.frameworks.values().map(|framework| &framework.spec.role);
        let missing: BTreeSet<&String> =
            used.chain(&self.used_paths).filter(|path| !known.contains(path.as_str())).collect();
        let mut reports = Vec::new();
        for path in missing {
            let tried = self.roles_reported.get(path);
            if tried.is_none_or(|tried| now - *tried >= CREATE_INTERVAL) && reports.len() < room {
                self.roles_reported.insert(path.clone(), now);
                reports.push(RoleReport::Create { path: path.clone() });
            }
        }
        for (name, row) in &state.roles {
            let reported = self.roles_reported.get(name);
            if reports.len() >= room || reported.is_some_and(|r| now - *r < REPORT_INTERVAL) {
                continue;
            }
            let status = status(row, shares.get(&row.path));
            if status != row.status {
                self.roles_reported.insert(name.clone(), now);
                reports.push(RoleReport::Status { name: name.clone(), status: Box::new(status) });
            }
        }
        reports
    }
}

fn status(row: &RoleRow, share: Option<&convert::Share>) -> FrameworkRoleStatus {
    let mut conditions = row.status.conditions.clone();
    let now = Time(jiff::Timestamp::now());
    let message = "the allocator knows the role";
    condition::set(
        &mut conditions,
        kind::READY,
        Value::True,
        "Known",
        message,
        row.generation,
        &now,
    );
    FrameworkRoleStatus {
        observed_generation: Some(row.generation),
        conditions,
        allocated: share.map(|share| share.allocated.clone()).unwrap_or_default(),
        dominant_share: Some(share.map_or_else(|| "0%".to_owned(), |s| s.dominant_share.clone())),
        pending_tasks: share.map_or(0, |share| share.pending_tasks),
    }
}

/// The name of the record of a role that appears by itself: the path with dots, or, where that would
/// not be a name or could be the name of another path, something like it and a hash.
fn record_name(path: &str) -> String {
    /// Leaves room for the hash.
    const MAX_READABLE: usize = 200;
    let is_label = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty()
            && part.len() <= 63
            && part.chars().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if path.len() <= MAX_READABLE && path.split('/').all(is_label) {
        return path.replace('/', ".");
    }
    let readable: String = path
        .chars()
        .take(MAX_READABLE / 4)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    format!("{}-{}", readable.trim_matches('-'), short_hash(path.as_bytes()))
        .trim_start_matches('-')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::record_name;

    #[test]
    fn names_of_roles_are_valid_and_distinct() {
        assert_eq!(record_name("eng/etl"), "eng.etl");
        assert_eq!(record_name("default"), "default");
        assert_eq!(record_name("Eng_X"), format!("eng-x-{}", &record_name("Eng_X")[6..]));
        assert_ne!(record_name("eng.etl"), record_name("eng/etl"));
        assert_ne!(record_name("Eng"), record_name("eng"));
        assert!(!record_name("*").starts_with('-'));
    }
}
