//! Amounts of all resources at once, as vectors of integers.
//!
//! Every amount is in thousandths of its unit (milli-cpus, milli-bytes), in 128 bits: the sum of
//! anything that fits into a cluster stays exact. A resource has a small number as long as somebody
//! names it; then the number is free for another.

use std::collections::BTreeMap;
use std::sync::Arc;

use meseta_crds::{Quantity, ResourceList};
use slab::Slab;

/// Position of a resource in [`Amounts`].
pub(super) type ResourceId = usize;

/// Resources whose numbers are always the same.
const PINNED: [&str; 2] = ["cpu", "memory"];
/// Thousandths of a cpu.
pub(super) const CPU: ResourceId = 0;
/// Thousandths of a byte.
pub(super) const MEMORY: ResourceId = 1;

/// An amount of each resource; what is not mentioned is zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Amounts(Vec<i128>);

impl Amounts {
    pub(super) fn of<const N: usize>(amounts: [(ResourceId, i128); N]) -> Self {
        let mut all = Self::default();
        amounts.into_iter().for_each(|(id, amount)| all.set(id, amount));
        all
    }

    pub(super) fn get(&self, id: ResourceId) -> i128 {
        self.0.get(id).copied().unwrap_or_default()
    }

    /// What is not zero.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ResourceId, i128)> {
        self.0.iter().copied().enumerate().filter(|(_, amount)| *amount != 0)
    }

    /// Whether everything in `needs` is there. What is not needed may be missing or overdrawn.
    pub(super) fn covers(&self, needs: &Self) -> bool {
        needs.iter().all(|(id, need)| need <= self.get(id))
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.combine(other, |own, other| own + other);
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        self.combine(other, |own, other| own - other);
    }

    /// Raises each amount to that of `other` where it is less.
    pub(super) fn raise_to(&mut self, other: &Self) {
        self.combine(other, i128::max);
    }

    /// Lowers each amount to that of `other` where it is more.
    pub(super) fn lower_to(&mut self, other: &Self) {
        self.combine(other, i128::min);
    }

    /// Sets everything to zero and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(super) fn set(&mut self, id: ResourceId, amount: i128) {
        if self.0.len() <= id {
            self.0.resize(id + 1, 0);
        }
        self.0[id] = amount;
    }

    fn combine(&mut self, other: &Self, with: impl Fn(i128, i128) -> i128) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (id, own) in self.0.iter_mut().enumerate() {
            *own = with(*own, other.get(id));
        }
    }
}

impl PartialEq for Amounts {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// What an amount counts for that is no amount.
#[derive(Clone, Copy)]
pub(super) enum Unreadable {
    /// Nothing: it is something to be had.
    Zero,
    /// More than there is: it is something that is wanted.
    Unbounded,
}

/// The numbers of the resources that somebody names.
#[derive(Debug)]
pub(super) struct Resources {
    ids: BTreeMap<Arc<str>, ResourceId>,
    names: Slab<Name>,
}

#[derive(Debug)]
struct Name {
    text: Arc<str>,
    /// How many times it is named.
    users: usize,
}

impl Default for Resources {
    fn default() -> Self {
        let mut resources = Self { ids: BTreeMap::new(), names: Slab::new() };
        PINNED.iter().for_each(|name| {
            resources.acquire(name);
        });
        resources
    }
}

impl Resources {
    /// Names a resource once more; [`Self::release`] takes it back.
    pub(super) fn acquire(&mut self, name: &str) -> ResourceId {
        if let Some(id) = self.ids.get(name) {
            self.names[*id].users += 1;
            return *id;
        }
        let text: Arc<str> = name.into();
        let id = self.names.insert(Name { text: text.clone(), users: 1 });
        self.ids.insert(text, id);
        id
    }

    pub(super) fn release(&mut self, id: ResourceId) {
        let name = &mut self.names[id];
        name.users -= 1;
        if name.users == 0 {
            let name = self.names.remove(id);
            self.ids.remove(&name.text);
        }
    }

    /// The amounts of a list; names what is not zero.
    pub(super) fn acquire_amounts(
        &mut self,
        list: &ResourceList,
        unreadable: Unreadable,
    ) -> Amounts {
        let mut amounts = Amounts::default();
        for (name, quantity) in list {
            let amount = thousandths(quantity, unreadable);
            if amount != 0 {
                amounts.set(self.acquire(name), amount);
            }
        }
        amounts
    }

    /// Names once more what is not zero.
    pub(super) fn retain_amounts(&mut self, amounts: &Amounts) {
        amounts.iter().for_each(|(id, _)| self.names[id].users += 1);
    }

    pub(super) fn release_amounts(&mut self, amounts: &Amounts) {
        for (id, _) in amounts.iter() {
            self.release(id);
        }
    }

    pub(super) fn name(&self, id: ResourceId) -> &str {
        &self.names[id].text
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.names.len() == PINNED.len() && self.names.iter().all(|(_, name)| name.users == 1)
    }

    /// As people write it, without zeros.
    pub(super) fn list(&self, amounts: &Amounts) -> ResourceList {
        let entry = |(id, amount)| {
            let name = self.name(id);
            (name.to_owned(), quantity(name, amount))
        };
        amounts.iter().map(entry).collect()
    }
}

pub(super) fn thousandths(quantity: &Quantity, unreadable: Unreadable) -> i128 {
    quantity.millis().map_or_else(
        |_| match unreadable {
            Unreadable::Zero => 0,
            Unreadable::Unbounded => i128::from(i64::MAX),
        },
        i128::from,
    )
}

/// An amount of `name`; bytes get a binary suffix.
pub(super) fn quantity(name: &str, thousandths: i128) -> Quantity {
    let saturated = |amount: i128| i64::try_from(amount).unwrap_or(i64::MAX);
    match name {
        "memory" | "disk" => Quantity::from_bytes(saturated(thousandths / 1000)),
        _ => Quantity::from_millis(saturated(thousandths)),
    }
}

/// How finely `name` is divided among schedulers, in thousandths: hundredths of a cpu, mebibytes,
/// and whole ones of what nobody divides.
pub(super) fn grain(name: &str) -> i128 {
    match name {
        "cpu" => 10,
        "memory" | "disk" => 1000 << 20,
        _ => 1000,
    }
}
