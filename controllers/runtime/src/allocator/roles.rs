//! Roles that appear by themselves, and what is said about each.

mod automatic;

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use meseta_crds::condition::{self, Time, Value, kind};
use meseta_crds::{AUTOMATIC_LABEL, FrameworkRole, FrameworkRoleStatus, merge_patch};
use meseta_planning::framework::short_hash;
use serde_json::json;
use tokio::time::Instant;

pub(super) use self::automatic::Automatic;
use self::automatic::Doomed;
use super::{Shell, convert};
use crate::cluster::{Cluster, RoleRow, unsaid};
use crate::write::{WriteError, Writer};

/// Least time between two status writes of one role.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// Something to write about a role.
pub(super) enum RoleReport {
    /// The role is used and has no record.
    Create { path: String },
    /// The record came by itself, and the role is not used any more.
    Delete(Doomed),
    /// Its numbers have changed; a merge patch of its status.
    Status { name: String, status: serde_json::Value },
}

impl RoleReport {
    pub(super) async fn write(self, writer: &Writer) -> Result<(), WriteError> {
        let roles: Api<FrameworkRole> = Api::all(writer.client.clone());
        match self {
            Self::Create { path } => {
                let role = record(path);
                match writer.write(roles.create(&PostParams::default(), &role)).await {
                    Ok(_) | Err(WriteError::AlreadyExists) => Ok(()),
                    Err(err) => Err(err),
                }
            }
            Self::Delete(Doomed { name, uid, version }) => {
                let preconditions =
                    Preconditions { uid: Some(uid), resource_version: Some(version) };
                let parameters = DeleteParams::background().preconditions(preconditions);
                writer.write(roles.delete(&name, &parameters)).await?;
                tracing::info!(name, "role forgotten that nothing uses");
                Ok(())
            }
            Self::Status { name, status } => {
                let patch = json!({"status": status});
                let patch = Patch::Merge(&patch);
                writer.write(roles.patch_status(&name, &PatchParams::default(), &patch)).await?;
                Ok(())
            }
        }
    }
}

impl Shell {
    /// At most `room` roles to create, to delete or to report on now.
    pub(super) fn role_reports(&mut self, cluster: &Cluster, room: usize) -> Vec<RoleReport> {
        let shares: BTreeMap<String, convert::Share> =
            convert::shares(&self.allocator).into_iter().map(|s| (s.path.clone(), s)).collect();
        let now = Instant::now();
        let state = cluster.lock();
        let missing = self.automatic.missing(&state, now, room);
        let mut reports: Vec<_> =
            missing.into_iter().map(|path| RoleReport::Create { path }).collect();
        self.roles_reported.retain(|_, at| now - *at < REPORT_INTERVAL);
        for doomed in self.automatic.doomed(&state, now, room - reports.len()) {
            self.roles_reported.insert(doomed.name.clone(), now);
            reports.push(RoleReport::Delete(doomed));
        }
        for (name, row) in &state.roles {
            if reports.len() >= room || self.roles_reported.contains_key(name) {
                continue;
            }
            let status = status(row, shares.get(&row.path));
            if status != row.status {
                self.roles_reported.insert(name.clone(), now);
                let status = merge_patch(&json!(row.status), json!(status));
                reports.push(RoleReport::Status { name: name.clone(), status });
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

/// The record of a role that appears by itself.
fn record(path: String) -> FrameworkRole {
    let mut role = FrameworkRole::new(&record_name(&path), unsaid(path));
    let label = (AUTOMATIC_LABEL.to_owned(), "true".to_owned());
    role.metadata.labels = Some([label].into());
    role
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
