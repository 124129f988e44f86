//! Rows as the allocator wants them.

use meseta_crds::{ResourceList, TaskState};
use meseta_planning::allocator::{self, Allocator, TaskKey};

use crate::cluster::{AgentRow, Key, RoleRow, TaskRow};

pub(super) fn task_key(key: &Key) -> TaskKey {
    TaskKey { namespace: key.namespace.clone(), name: key.name.clone() }
}

pub(super) fn key(key: &TaskKey) -> Key {
    Key { namespace: key.namespace.clone(), name: key.name.clone() }
}

/// What one role holds.
pub(super) struct Share {
    pub(super) path: String,
    pub(super) allocated: ResourceList,
    /// Such as `12.5%`.
    pub(super) dominant_share: String,
    pub(super) pending_tasks: i64,
}

pub(super) fn shares(allocator: &Allocator) -> Vec<Share> {
    let shares = allocator.role_shares().into_iter().map(|share| Share {
        dominant_share: format!("{:.1}%", share.dominant_share * 100.0),
        allocated: share.allocated,
        pending_tasks: i64::try_from(share.pending_tasks).unwrap_or(i64::MAX),
        path: share.path,
    });
    shares.collect()
}

pub(super) fn agent(name: &str, row: &AgentRow) -> allocator::AgentRow {
    let mut attributes = row.attributes.clone();
    attributes.extend(row.spec.attributes.clone());
    allocator::AgentRow {
        name: name.to_owned(),
        capacity: row.capacity.clone(),
        attributes,
        schedulable: row.takes_tasks && !row.spec.unschedulable,
    }
}

pub(super) fn role(row: &RoleRow) -> allocator::RoleRow {
    allocator::RoleRow { path: row.path.clone(), weight: row.weight, limits: row.limits.clone() }
}

pub(super) fn task(key: TaskKey, row: &TaskRow) -> allocator::TaskRow {
    // What nobody made, or what went with its agent, is not waited for.
    let volumes_made = !matches!(row.state, TaskState::Dropped | TaskState::Lost);
    allocator::TaskRow {
        key,
        uid: row.uid.clone(),
        framework: row.owner.as_ref().map(|owner| owner.framework_uid.clone()),
        role: row.role.clone(),
        priority: row.priority,
        created: row.created,
        resources: row.resources.clone(),
        constraints: row.constraints.clone(),
        shared_volumes: if volumes_made { row.shared_volumes.clone() } else { Vec::new() },
        agent: row.agent.clone(),
        terminal: row.state.is_terminal(),
    }
}
