//! How much a seat is offered at once while others want something too: about its entitlement.
//!
//! - It is a whole number of tasks of the size of the largest that the scheduler has launched, so that
//!   no parts of tasks lie about that nobody can use, and nobody takes the memory along that belongs
//!   to the cpus of others. What is not known to be needed is in proportion to that; so is all as
//!   long as nothing is known, and a usual task is assumed.
//! - It is at least one task; if nothing is known, something small.
//! - Where a limit allows a part of something only, it is that part of the rest too.
//! - What has just been refused is followed by more, step by step, so a scheduler whose tasks are
//!   larger than its entitlement gets its turn too, and none gets more than a task too much.

use super::amounts::{Amounts, CPU, MEMORY, ResourceId, Resources, grain};
use super::fair_share::Entitlement;
use super::seats::Seat;

/// The grain of what is not divided.
const WHOLE_GRAIN: i128 = 1000;
/// In about so many turns an agent is given away to somebody who is entitled to nothing more.
const MOST_TURNS: i128 = 16;

/// What a portion depends on beside the entitlement.
pub(super) struct Portion<'a> {
    pub(super) seat: &'a Seat,
    /// What is free on the agent.
    pub(super) free: &'a Amounts,
    /// The same as far as limits allow.
    pub(super) allowed: &'a Amounts,
    pub(super) resources: &'a Resources,
}

/// Whole tasks.
struct Tasks {
    count: i128,
    /// So much of what it has the least of, out of all of that.
    part: i128,
    of: i128,
}

impl Portion<'_> {
    /// The entitlement as it is offered; all that is free if there is none, and no limit. It may be
    /// more than is allowed.
    pub(super) fn step(&self, entitlement: &Entitlement, total: &Amounts) -> Amounts {
        let cut = self.cut();
        if cut.is_none() && entitlement.is_unbounded() {
            return self.allowed.clone();
        }
        let mut fair = Amounts::default();
        for (resource, most) in self.allowed.iter() {
            let least = if entitlement.is_used_up() { most / MOST_TURNS } else { 0 };
            let entitled = entitlement.of(resource, total.get(resource));
            let amount = entitled.map_or(most, |amount| amount.max(least));
            // What goes with so little of another is as little.
            let beside =
                cut.map_or(most, |(part, of)| self.free.get(resource).saturating_mul(part) / of);
            fair.set(resource, amount.min(beside));
        }
        let tasks = self.whole_tasks(&fair);
        let mut step = Amounts::default();
        for (resource, _) in self.allowed.iter() {
            let (fair, unit) = (fair.get(resource), self.seat.unit.get(resource));
            let amount = match &tasks {
                Some(tasks) if self.seat.is_known() && unit > 0 => unit.saturating_mul(tasks.count),
                Some(tasks) => self.in_grains(resource, fair.saturating_mul(tasks.part) / tasks.of),
                None => self.in_grains(resource, fair),
            };
            step.set(resource, amount.max(unit));
        }
        step
    }

    /// The part of what is free that limits allow of what its tasks need, where it is the least; nothing
    /// if they allow all.
    fn cut(&self) -> Option<(i128, i128)> {
        let needed = [CPU, MEMORY].into_iter().filter(|resource| self.seat.least(*resource) > 0);
        let parts = needed.map(|resource| (self.allowed.get(resource), self.free.get(resource)));
        let cut = parts.filter(|(allowed, free)| allowed < free);
        // Compared as fractions, crosswise.
        cut.reduce(|least, other| {
            let here = other.0.saturating_mul(least.1);
            if here < least.0.saturating_mul(other.1) { other } else { least }
        })
    }

    /// As many tasks as the amounts are enough for; nothing if that is not one.
    fn whole_tasks(&self, fair: &Amounts) -> Option<Tasks> {
        let task = self.seat.task();
        let scarce = task.iter().filter(|(resource, _)| self.allowed.get(*resource) > 0);
        // Fewest tasks: compared as fractions, crosswise.
        let (resource, task) = scarce.reduce(|least, other| {
            let here = fair.get(other.0).saturating_mul(least.1);
            if here < fair.get(least.0).saturating_mul(other.1) { other } else { least }
        })?;
        let amount = fair.get(resource);
        let count = amount / task;
        (count > 0).then(|| Tasks { count, part: count * task, of: amount })
    }

    fn in_grains(&self, resource: ResourceId, amount: i128) -> i128 {
        let grain = grain(self.resources.name(resource));
        let rest = amount % grain;
        // What comes only whole is rounded up: somebody has to get it.
        if grain == WHOLE_GRAIN && rest > 0 { amount - rest + grain } else { amount - rest }
    }

    /// What comes after so much was refused: as much again as its entitlement, so that a scheduler that
    /// takes it has at most one task too much. As long as nothing is known of its tasks, and of what
    /// only some need, it is more.
    ///
    /// It is more than was refused of something, if all that is allowed is.
    pub(super) fn larger(&self, refused: &Amounts, step: &Amounts) -> Amounts {
        let mut larger = Amounts::default();
        for (resource, most) in self.allowed.iter() {
            let (refused, step) = (refused.get(resource), step.get(resource).max(1));
            let more = match resource {
                CPU | MEMORY if self.seat.is_known() => refused + step,
                CPU | MEMORY => refused + refused.max(step),
                _ if refused == 0 => most,
                _ => refused + refused.max(step),
            };
            larger.set(resource, more.min(most));
        }
        larger
    }
}
