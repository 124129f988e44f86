//! What a `FrameworkInfo` means: which are refused, what is kept of an older one, and the record.
//!
//! Faults are told in an ERROR event on SUBSCRIBE and in a 400 on UPDATE_FRAMEWORK; the texts are
//! the same.

use std::collections::BTreeSet;

use meseta_crds::framework::Scheduler;
use meseta_crds::{Framework, FrameworkSpec, MESOS, SCHEDULER_FINALIZER, SCHEDULER_LABEL};
use meseta_mesos_wire::json;
use meseta_mesos_wire::v1::framework_info::capability::Type as Capability;
use meseta_mesos_wire::v1::scheduler::OfferConstraints;
use meseta_mesos_wire::v1::{FrameworkId, FrameworkInfo};

use super::{ids, roles};

/// The most roles of one framework; what a record holds.
pub const MAX_ROLES: usize = 256;
/// The largest `FrameworkInfo`, as JSON in bytes: each record of an executor holds it again, and one
/// ACCEPT launches thousands. What schedulers say of themselves takes some hundred.
pub const MAX_INFO_BYTES: usize = 64 * 1024;
/// The longest failover timeout, in seconds, that is so many nanoseconds in 64 bits.
const MAX_FAILOVER_SECONDS: f64 = 9.2e9;

/// What a framework said it understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Several roles; every offer says for which it is.
    pub multi_role: bool,
    /// States that tell more than `TASK_LOST`.
    pub partition_aware: bool,
    /// Resources say how they are reserved in `reservations`.
    pub reservation_refinement: bool,
    /// Agents with GPUs are offered.
    pub gpu_resources: bool,
    /// `TASK_KILLING` is sent.
    pub task_killing_state: bool,
}

impl Capabilities {
    /// Those of `info`.
    #[must_use]
    pub fn of(info: &FrameworkInfo) -> Self {
        let has = |wanted: Capability| {
            info.capabilities.iter().any(|capability| capability.r#type == Some(wanted.into()))
        };
        Self {
            multi_role: has(Capability::MultiRole),
            partition_aware: has(Capability::PartitionAware),
            reservation_refinement: has(Capability::ReservationRefinement),
            gpu_resources: has(Capability::GpuResources),
            task_killing_state: has(Capability::TaskKillingState),
        }
    }
}

/// A framework that may subscribe, or go on with another `FrameworkInfo`.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// What counts from now on, with id and principal.
    pub info: FrameworkInfo,
    /// The roles it wants offers for; may be none.
    pub roles: Vec<String>,
    /// Those of them it wants no offers for now.
    pub suppressed: BTreeSet<String>,
    /// What it understands.
    pub capabilities: Capabilities,
}

/// Checks a SUBSCRIBE. `id` is that of the framework, its own or one it is given; `old` what is known
/// of it; `principal` who it authenticated as.
///
/// # Errors
/// The message of the ERROR event.
pub fn subscribe(
    info: FrameworkInfo,
    suppressed: &[String],
    constraints: Option<&OfferConstraints>,
    id: &str,
    principal: Option<&str>,
    old: Option<&FrameworkInfo>,
) -> Result<Accepted, String> {
    let mut info = completed(info, id, principal);
    if let Some(old) = old {
        same_principal(old, &info)?;
        info.user.clone_from(&old.user);
        info.checkpoint = old.checkpoint;
    }
    accept(info, suppressed, constraints)
}

/// Checks an UPDATE_FRAMEWORK.
///
/// # Errors
/// The text of the 400.
pub fn update(
    info: FrameworkInfo,
    suppressed: &[String],
    constraints: Option<&OfferConstraints>,
    id: &str,
    principal: Option<&str>,
    old: &FrameworkInfo,
) -> Result<Accepted, String> {
    let info = completed(info, id, principal);
    let accepted = accept(info, suppressed, constraints)?;
    let info = &accepted.info;
    same_principal(old, info)?;
    if info.user != old.user {
        return Err(format!(
            "Updating 'FrameworkInfo.user' is unsupported; attempted to update from '{}' to '{}'",
            old.user, info.user
        ));
    }
    if info.checkpoint() != old.checkpoint() {
        return Err(format!(
            "Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update from '{}' to \
             '{}'",
            old.checkpoint(),
            info.checkpoint()
        ));
    }
    Ok(accepted)
}

fn completed(mut info: FrameworkInfo, id: &str, principal: Option<&str>) -> FrameworkInfo {
    info.id = Some(FrameworkId { value: id.to_owned() });
    if info.principal.is_none() {
        info.principal = principal.map(ToOwned::to_owned);
    }
    info
}

fn same_principal(old: &FrameworkInfo, new: &FrameworkInfo) -> Result<(), String> {
    if old.principal == new.principal {
        Ok(())
    } else {
        Err("Changing framework's principal is not allowed.".to_owned())
    }
}

fn accept(
    info: FrameworkInfo,
    suppressed: &[String],
    constraints: Option<&OfferConstraints>,
) -> Result<Accepted, String> {
    let bytes = json::encode(&info).len();
    if bytes > MAX_INFO_BYTES {
        return Err(format!(
            "'FrameworkInfo' has {bytes} bytes as JSON; {MAX_INFO_BYTES} are the most"
        ));
    }
    let capabilities = Capabilities::of(&info);
    check_roles(&info, capabilities)?;
    ids::check(info.id.as_ref().map_or("", |id| &id.value))?;
    check_offer_filters(&info)?;
    let timeout = info.failover_timeout();
    if timeout.is_nan() || timeout.abs() > MAX_FAILOVER_SECONDS {
        return Err(format!("The framework failover_timeout ({timeout}) is invalid"));
    }
    let roles = roles_of(&info);
    let suppressed: BTreeSet<String> = suppressed.iter().cloned().collect();
    let foreign: Vec<&str> =
        suppressed.iter().filter(|role| !roles.contains(role)).map(String::as_str).collect();
    if !foreign.is_empty() {
        return Err(format!(
            "Suppressed roles {{ {} }} are not contained in the set of roles",
            foreign.join(", ")
        ));
    }
    if constraints.is_some_and(|constraints| !constraints.role_constraints.is_empty()) {
        return Err(
            "Offer constraints are not supported: leave 'offer_constraints' out and decline \
                    the offers that do not fit"
                .to_owned(),
        );
    }
    Ok(Accepted { info, roles, suppressed, capabilities })
}

/// The roles of a framework, as it wants offers for them.
#[must_use]
pub fn roles_of(info: &FrameworkInfo) -> Vec<String> {
    if Capabilities::of(info).multi_role {
        info.roles.clone()
    } else {
        vec![info.role().to_owned()]
    }
}

fn check_roles(info: &FrameworkInfo, capabilities: Capabilities) -> Result<(), String> {
    if !capabilities.multi_role {
        if !info.roles.is_empty() {
            return Err("'FrameworkInfo.roles' must not be set when the framework is not \
                        MULTI_ROLE capable"
                .to_owned());
        }
        return roles::check(info.role())
            .map_err(|fault| format!("'FrameworkInfo.role' is not a valid role: {fault}"));
    }
    if info.role.is_some() {
        return Err(
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
                .to_owned(),
        );
    }
    if info.roles.len() > MAX_ROLES {
        return Err(format!("'FrameworkInfo.roles' contains more than {MAX_ROLES} items"));
    }
    let mut seen = BTreeSet::new();
    for role in &info.roles {
        if !seen.insert(role) {
            return Err(format!("'FrameworkInfo.roles' contains duplicate items: {{ {role} }}"));
        }
        roles::check(role)
            .map_err(|fault| format!("'FrameworkInfo.roles' contains invalid role: {fault}"))?;
    }
    Ok(())
}

fn check_offer_filters(info: &FrameworkInfo) -> Result<(), String> {
    let minima = info.offer_filters.values().filter_map(|f| f.min_allocatable_resources.as_ref());
    for quantities in minima.flat_map(|minimum| &minimum.quantities) {
        if quantities.quantities.is_empty() {
            return Err("Resource quantities must contain at least one quantity".to_owned());
        }
        for (name, quantity) in &quantities.quantities {
            let fault = match quantity.value {
                value if value.is_infinite() => "Infinite values not supported",
                value if value.is_nan() => "NaN not supported",
                value if value.is_subnormal() => "Subnormal values not supported",
                value if value < 0.0 => "Negative values not supported",
                _ => continue,
            };
            return Err(format!("Invalid resource quantity for '{name}': {fault}"));
        }
    }
    Ok(())
}

/// How long a framework may be gone, in milliseconds.
#[must_use]
pub fn failover_timeout(spec: &FrameworkSpec) -> i64 {
    spec.scheduler
        .as_ref()
        .map_or(0, |scheduler| scheduler.failover_timeout_seconds.max(0).saturating_mul(1000))
}

/// The spec of the record of a framework.
#[must_use]
pub fn spec(accepted: &Accepted) -> FrameworkSpec {
    let info = &accepted.info;
    let mut roles = accepted.roles.clone();
    if roles.is_empty() {
        // A record names at least one; without offers it makes no difference which.
        roles.push(roles::DEFAULT.to_owned());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in the range")]
    let failover_timeout_seconds = info.failover_timeout().ceil().max(0.0) as i64;
    FrameworkSpec {
        role: roles[0].clone(),
        task_sets: Vec::new(),
        scheduler: Some(Scheduler {
            framework_id: info.id.as_ref().map(|id| id.value.clone()).unwrap_or_default(),
            roles,
            principal: info.principal.clone(),
            failover_timeout_seconds,
            framework_info: json::to_value(info),
        }),
    }
}

/// The record of a framework that has none yet.
#[must_use]
pub fn record(accepted: &Accepted, namespace: &str) -> Framework {
    let spec = spec(accepted);
    let id = spec.scheduler.as_ref().map_or("", |scheduler| &scheduler.framework_id);
    let mut record = Framework::new(&ids::framework_record(&accepted.info.name, id), spec);
    record.metadata.namespace = Some(namespace.to_owned());
    record.metadata.labels =
        Some([(SCHEDULER_LABEL.to_owned(), MESOS.to_owned())].into_iter().collect());
    record.metadata.finalizers = Some(vec![SCHEDULER_FINALIZER.to_owned()]);
    record
}

/// The `FrameworkInfo` in a record, or `None` where it is not one.
#[must_use]
pub fn info_of(record: &Framework) -> Option<FrameworkInfo> {
    json::from_value(&record.spec.scheduler.as_ref()?.framework_info).ok()
}

#[cfg(test)]
mod tests;
