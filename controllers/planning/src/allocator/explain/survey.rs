//! What is counted over all agents for the tasks of one shape.

use super::super::agents::Agents;
use super::super::amounts::Amounts;
use super::super::filter;
use super::super::offers::Offers;
use super::super::shapes::Shape;

/// How many agents are left after each condition.
#[derive(Debug, Default)]
pub(in crate::allocator) struct Survey {
    /// Agents that have a row.
    pub(super) known: usize,
    /// The most that one of them has of each resource.
    pub(super) most: Amounts,
    /// Those that are large enough.
    pub(super) large: usize,
    /// Of these, for each constraint alone, those that meet it.
    pub(super) meeting: Vec<usize>,
    /// Of the large, those that meet all constraints.
    pub(super) matching: usize,
    /// Of these, those that take new tasks.
    pub(super) taking: usize,
    /// The most that one of them has free of each resource.
    pub(super) most_free: Amounts,
    /// Of these, those that have room now.
    pub(super) free: usize,
    /// Those that would have room if nothing of them were offered to schedulers.
    pub(super) offered: usize,
}

impl Survey {
    pub(super) fn of(agents: &Agents, offers: &Offers, shape: &Shape) -> Self {
        let mut survey = Self { meeting: vec![0; shape.constraints.len()], ..Self::default() };
        for (id, agent, facts) in agents.known() {
            survey.known += 1;
            survey.most.raise_to(&facts.capacity);
            if !facts.capacity.covers(&shape.needs) {
                continue;
            }
            survey.large += 1;
            let mut matching = true;
            for (constraint, met) in shape.constraints.iter().zip(&mut survey.meeting) {
                let meets = filter::matches_one(constraint, &agent.name, &facts.attributes);
                *met += usize::from(meets);
                matching &= meets;
            }
            survey.matching += usize::from(matching);
            if !matching || !facts.schedulable {
                continue;
            }
            survey.taking += 1;
            survey.most_free.raise_to(&agent.free);
            let mut offered = offers.of(id).peekable();
            if agent.free.covers(&shape.needs) {
                survey.free += 1;
            } else if offered.peek().is_some() {
                let mut without = agent.free.clone();
                offered.for_each(|offer| without.add(&offer.amounts));
                survey.offered += usize::from(without.covers(&shape.needs));
            }
        }
        survey
    }
}
