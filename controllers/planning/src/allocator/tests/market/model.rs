//! What was said, and nothing else; every question looks at all of it.

use std::collections::{BTreeMap, BTreeSet};

use meseta_crds::ResourceList;

use crate::allocator::{AgentRow, Offer, OfferId, RoleRow, SeatKey, TaskKey, TaskRow};

#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) seat: SeatKey,
    pub(super) agent: String,
    pub(super) refused: ResourceList,
    pub(super) until: i64,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) now: i64,
    pub(super) agents: BTreeMap<String, AgentRow>,
    pub(super) roles: BTreeMap<String, RoleRow>,
    /// Whether it is suppressed; lapses in a row, and when the last was.
    pub(super) seats: BTreeMap<SeatKey, (bool, u32, i64)>,
    pub(super) offers: BTreeMap<OfferId, Offer>,
    pub(super) held: BTreeSet<OfferId>,
    pub(super) filters: Vec<Filter>,
    /// With an agent: they hold something. Whether a decision about them is under way.
    pub(super) tasks: BTreeMap<TaskKey, (TaskRow, bool)>,
}

pub(super) fn amount(list: &ResourceList, name: &str) -> i64 {
    list.get(name).map_or(0, |quantity| quantity.millis().unwrap())
}

pub(super) fn covers(all: &ResourceList, part: &ResourceList) -> bool {
    part.keys().all(|name| amount(part, name) <= amount(all, name))
}

pub(super) fn is_beneath(path: &str, role: &str) -> bool {
    path.strip_prefix(role).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Model {
    /// All that is held: role, agent, resources.
    pub(super) fn holding(&self) -> impl Iterator<Item = (&str, &str, &ResourceList)> {
        let tasks = self.tasks.values().filter_map(|(row, _)| {
            Some((row.role.as_str(), row.agent.as_deref()?, &row.resources))
        });
        let offers = self
            .offers
            .values()
            .map(|offer| (offer.seat.role.as_str(), offer.agent.as_str(), &offer.resources));
        tasks.chain(offers)
    }

    pub(super) fn free(&self, agent: &AgentRow, name: &str) -> i64 {
        let here = self.holding().filter(|(_, at, _)| *at == agent.name);
        amount(&agent.capacity, name) - here.map(|(.., list)| amount(list, name)).sum::<i64>()
    }

    pub(super) fn is_sound(&self, agent: &AgentRow) -> bool {
        let names: BTreeSet<&String> = self
            .holding()
            .filter(|(_, at, _)| *at == agent.name)
            .flat_map(|(.., list)| list.keys())
            .collect();
        agent.schedulable && names.into_iter().all(|name| self.free(agent, name) >= 0)
    }

    /// How much the limits of a role and those above leave.
    pub(super) fn allowed(&self, role: &str, name: &str) -> i64 {
        let limits = self
            .roles
            .values()
            .filter(|row| is_beneath(role, &row.path) && row.limits.contains_key(name));
        let left = limits.map(|row| {
            let beneath = self.holding().filter(|(role, ..)| is_beneath(role, &row.path));
            let held: i64 = beneath.map(|(.., list)| amount(list, name)).sum();
            amount(&row.limits, name) - held
        });
        left.min().unwrap_or(i64::MAX)
    }

    pub(super) fn is_refused(&self, seat: &SeatKey, agent: &str, list: &ResourceList) -> bool {
        self.filters.iter().any(|filter| self.covers(filter, seat, agent, list))
    }

    /// Whether a filter holds, and is about so much of the agent.
    pub(super) fn covers(
        &self,
        filter: &Filter,
        seat: &SeatKey,
        agent: &str,
        list: &ResourceList,
    ) -> bool {
        filter.seat == *seat
            && filter.agent == agent
            && filter.until > self.now
            && covers(&filter.refused, list)
    }

    pub(super) fn refuse(&mut self, offer: &Offer, refused: ResourceList, until: i64) {
        let suppressed = self.seats.get(&offer.seat).is_none_or(|seat| seat.0);
        let known = self.agents.contains_key(&offer.agent);
        if known && !suppressed && !refused.is_empty() {
            let (seat, agent) = (offer.seat.clone(), offer.agent.clone());
            self.filters.push(Filter { seat, agent, refused, until });
        }
    }

    /// What could be offered to a seat and is not.
    pub(super) fn idle(&self) -> Option<(SeatKey, String)> {
        for (seat, _) in self.seats.iter().filter(|(_, seat)| !seat.0) {
            for agent in self.agents.values().filter(|agent| self.is_sound(agent)) {
                let names: BTreeSet<&String> = agent.capacity.keys().collect();
                let free = names.iter().map(|name| {
                    let allowed = self.allowed(&seat.role, name).max(0);
                    ((*name).clone(), self.free(agent, name).min(allowed))
                });
                let free: BTreeMap<String, i64> = free.filter(|(_, free)| *free > 0).collect();
                let list: ResourceList = free
                    .iter()
                    .map(|(name, free)| (name.clone(), meseta_crds::Quantity::from_millis(*free)))
                    .collect();
                // A role that may have no cpus is offered nothing, not even of agents without any.
                let useful = |name: &str, least: i64| {
                    self.allowed(&seat.role, name) >= least
                        && (amount(&agent.capacity, name) == 0
                            || free.get(name).is_some_and(|free| *free >= least))
                };
                let useful = useful("cpu", 10) && useful("memory", 32_000 << 20);
                let useful = useful && !list.is_empty();
                if useful && !self.is_refused(seat, &agent.name, &list) {
                    return Some((seat.clone(), agent.name.clone()));
                }
            }
        }
        None
    }

    pub(super) fn fits(&self, row: &TaskRow, agent: &AgentRow) -> bool {
        agent.schedulable
            && row.resources.keys().all(|name| {
                let need = amount(&row.resources, name);
                need <= self.free(agent, name) && need <= self.allowed(&row.role, name)
            })
    }
}
