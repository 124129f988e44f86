//! Rows as the allocator wants them.

use jiff::Timestamp;
use meseta_crds::condition::Time;
use meseta_crds::{
    FRAMEWORK_LABEL, MESOS, Offer, OfferSpec, ResourceList, SCHEDULER_LABEL, Task, TaskState,
};
use meseta_planning::allocator::{self, Allocator, OfferId, TaskKey};

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
    allocator::RoleRow {
        path: row.path.clone(),
        weight: row.weight,
        limits: row.limits.clone(),
        guarantees: row.guarantees.clone(),
    }
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

/// A task that is about to be created on an agent.
pub(super) fn launched(key: &Key, task: &Task) -> allocator::TaskRow {
    let row = TaskRow::new(task, None);
    allocator::TaskRow { uid: String::new(), ..self::task(task_key(key), &row) }
}

/// Name of the record of an offer; it is never given again.
pub(super) fn offer_name(epoch: i64, id: OfferId) -> String {
    format!("offer-{epoch}-{id}")
}

/// The offer of this term that has the name.
pub(super) fn offer_id(epoch: i64, name: &str) -> Option<OfferId> {
    let (of_epoch, id) = name.strip_prefix("offer-")?.rsplit_once('-')?;
    let id: OfferId = id.parse().ok()?;
    // Only as it is written here, not `+7` or `007`.
    (of_epoch == epoch.to_string() && offer_name(epoch, id) == name).then_some(id)
}

/// The record of an offer, and from when to when it is out.
pub(super) fn offer(
    epoch: i64,
    offer: &allocator::Offer,
    namespace: &str,
    framework: &str,
    (from, until): (Timestamp, Timestamp),
) -> Offer {
    let name = offer_name(epoch, offer.id);
    let spec = OfferSpec {
        framework: framework.to_owned(),
        role: offer.seat.role.clone(),
        agent_name: offer.agent.clone(),
        resources: offer.resources.clone(),
        expires_at: Some(Time(until)),
    };
    let mut record = Offer::new(&name, spec);
    let metadata = &mut record.metadata;
    metadata.namespace = Some(namespace.to_owned());
    metadata.creation_timestamp = Some(Time(from));
    metadata.uid = Some(name);
    let labels = [(FRAMEWORK_LABEL, framework), (SCHEDULER_LABEL, MESOS)];
    metadata.labels = Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    record
}
