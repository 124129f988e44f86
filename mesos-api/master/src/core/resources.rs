//! Mesos' resources and those of records; [`mesos_amount`] says how they correspond.
//!
//! Scalars are computed in thousandths, as in Mesos. Records are offered what is a whole number of
//! thousandths, and use the least number of bytes that holds what is asked.
//!
//! What Meseta has no room for yet is refused by name: reservations, revocable and shared
//! resources, persistent volumes and other kinds of disks, ranges and sets (so ports).

use std::collections::BTreeMap;
use std::fmt;

use meseta_crds::{ResourceList, mesos_amount};
use meseta_mesos_wire::v1::Resource;
use meseta_mesos_wire::v1::resource::AllocationInfo;
use meseta_mesos_wire::v1::value::{Scalar, Type};

use super::framework::Capabilities;
use super::roles;

/// Amounts by Mesos' names, in thousandths. None is zero or negative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<String, i64>);

impl Amounts {
    /// What `list` is in Mesos' terms. Fractions of a thousandth are left out, and so is what is not
    /// an amount.
    #[must_use]
    pub fn of_list(list: &ResourceList) -> Self {
        let amounts = list.iter().filter_map(|(name, quantity)| {
            let (name, thousandths) = mesos_amount::of_record(name, quantity)?;
            Some((name.to_owned(), thousandths))
        });
        Self(amounts.collect())
    }

    /// The same for a record.
    #[must_use]
    pub fn to_list(&self) -> ResourceList {
        let entry = |(name, amount): (&String, &i64)| {
            let (name, quantity) = mesos_amount::to_record(name, *amount);
            (name.to_owned(), quantity)
        };
        self.0.iter().map(entry).collect()
    }

    /// The amount of one resource, in thousandths.
    #[must_use]
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `other` is a part of this.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(name, amount)| self.get(name) >= *amount)
    }

    /// Adds `other`; stops at the largest number.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_default();
            *own = own.saturating_add(*amount);
        }
    }

    /// Takes `other` away; what this has less of becomes nothing.
    pub fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            if let Some(own) = self.0.get_mut(name) {
                *own -= amount;
            }
        }
        self.0.retain(|_, amount| *amount > 0);
    }
}

impl fmt::Display for Amounts {
    /// `cpus:1; mem:128.5`, as Mesos prints resources.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("{}");
        }
        for (index, (name, amount)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{name}:{}", number(*amount))?;
        }
        Ok(())
    }
}

/// A count of thousandths as it reads best.
pub(super) fn number(thousandths: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact for amounts that machines have")]
    let thousandths = thousandths as f64;
    thousandths / 1000.0
}

/// What a task or an executor asks for, if all of it is valid and can be given. Resources that say
/// no role are allocated to `role`, that of the offer.
///
/// # Errors
/// The first fault.
pub fn read(resources: &[Resource], role: &str) -> Result<Amounts, String> {
    let mut amounts = Amounts::default();
    for resource in resources {
        let amount = read_one(resource).map_err(|fault| {
            let name = resource.name.escape_debug();
            format!("Invalid resources: Resource '{name}' is invalid: {fault}")
        })?;
        let allocated = resource.allocation_info.as_ref().and_then(|info| info.role.as_deref());
        if let Some(other) = allocated.filter(|other| *other != role) {
            return Err(format!(
                "The resources are allocated to role '{other}', and the offer to role '{role}'"
            ));
        }
        if amount > 0 {
            amounts.add(&Amounts([(resource.name.clone(), amount)].into()));
        }
    }
    if amounts.get("gpus") % 1000 != 0 {
        return Err(
            "Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer".to_owned()
        );
    }
    Ok(amounts)
}

fn read_one(resource: &Resource) -> Result<i64, String> {
    if resource.name.is_empty() {
        return Err("Empty resource name".to_owned());
    }
    let kind =
        Type::try_from(resource.r#type).map_err(|_| "Unsupported resource type".to_owned())?;
    let (scalar, ranges, set) =
        (resource.scalar.is_some(), resource.ranges.is_some(), resource.set.is_some());
    let fits = match kind {
        Type::Scalar => scalar && !ranges && !set,
        Type::Ranges => ranges && !scalar && !set,
        Type::Set => set && !scalar && !ranges,
        Type::Text => return Err("Unsupported resource type".to_owned()),
    };
    if !fits {
        let kind = format!("{kind:?}").to_lowercase();
        return Err(format!("Invalid {kind} resource: exactly its {kind} must be set"));
    }
    if resource.disk.is_some() && resource.name != "disk" {
        return Err("DiskInfo should not be set for this resource".to_owned());
    }
    check_role(resource)?;
    let unsupported = |what: &str| Err(format!("{what} are not supported"));
    if resource.revocable.is_some() {
        return unsupported("revocable resources");
    }
    if resource.shared.is_some() {
        return unsupported("shared resources");
    }
    if resource.disk.is_some() {
        return unsupported("persistent volumes and disk sources");
    }
    if resource.provider_id.is_some() {
        return unsupported("resource providers");
    }
    let value = match kind {
        Type::Scalar => resource.scalar.map_or(0.0, |scalar| scalar.value),
        Type::Ranges => return check_ranges(resource),
        Type::Set | Type::Text => return unsupported("sets"),
    };
    if !value.is_finite() {
        return Err("Invalid scalar resource: value is not finite".to_owned());
    }
    if value < 0.0 {
        return Err("Invalid scalar resource: value < 0".to_owned());
    }
    match thousandths(value) {
        Some(0) if value > 0.0 => {
            Err(format!("Invalid scalar resource: {value} is too small, use multiples of 0.001"))
        }
        Some(amount) => Ok(amount),
        None => Err(format!("Invalid scalar resource: {value} is too large")),
    }
}

fn check_role(resource: &Resource) -> Result<(), String> {
    let role = resource.role();
    if role != roles::DEFAULT {
        roles::check(role)?;
    }
    for reservation in &resource.reservations {
        roles::check(reservation.role.as_deref().unwrap_or_default())?;
    }
    let reserved = resource.reservation.is_some() || !resource.reservations.is_empty();
    if role == roles::DEFAULT && resource.reservation.is_some() {
        return Err("Invalid reservation: role \"*\" cannot be dynamically reserved".to_owned());
    }
    if reserved || role != roles::DEFAULT {
        return Err("reservations are not supported".to_owned());
    }
    Ok(())
}

fn check_ranges(resource: &Resource) -> Result<i64, String> {
    let mut ranges = resource.ranges.clone().unwrap_or_default().range;
    if ranges.is_empty() {
        return Ok(0);
    }
    if let Some(range) = ranges.iter().find(|range| range.begin > range.end) {
        return Err(format!("Invalid ranges resource: begin {} > end {}", range.begin, range.end));
    }
    ranges.sort_by_key(|range| range.begin);
    if ranges.is_sorted_by(|earlier, later| earlier.end < later.begin) {
        Err("ranges, ports among them, are not supported".to_owned())
    } else {
        Err("Invalid ranges resource: overlapping ranges".to_owned())
    }
}

/// A scalar rounded to thousandths, or `None` where they are beyond 64 bits. It is not negative.
pub(super) fn thousandths(value: f64) -> Option<i64> {
    /// Below this every whole number has a double of its own.
    const MOST: f64 = 9.0e15;
    let rounded = (value * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "in the range")]
    (rounded <= MOST).then_some(rounded as i64)
}

/// `amounts` as resources of an offer to `role`, in the format that the framework understands.
#[must_use]
pub fn write(amounts: &Amounts, capabilities: Capabilities, role: &str) -> Vec<Resource> {
    let unreserved = (!capabilities.reservation_refinement).then(|| roles::DEFAULT.to_owned());
    let allocation = capabilities.multi_role.then(|| allocation(role));
    let resource = |(name, amount): (&String, &i64)| Resource {
        name: name.clone(),
        r#type: Type::Scalar.into(),
        scalar: Some(Scalar { value: number(*amount) }),
        role: unreserved.clone(),
        allocation_info: allocation.clone(),
        ..Resource::default()
    };
    amounts.0.iter().map(resource).collect()
}

/// An allocation to `role`.
#[must_use]
pub fn allocation(role: &str) -> AllocationInfo {
    AllocationInfo { role: Some(role.to_owned()) }
}

#[cfg(test)]
mod tests;
