//! Says in one sentence, with numbers, why a task has no agent.
//!
//! The causes are tried from the one that only a change of the task or of the cluster can end to the
//! one that passes by itself; the sentence tells the first that holds. What has to be counted over
//! all agents is counted once for all tasks of a shape, as long as no agent changes.

mod survey;
mod words;

use std::fmt;

pub(super) use self::survey::Survey;
use self::words::{agents, amount, and, constraint};
use super::agents::{Agent, Facts};
use super::amounts::{Amounts, ResourceId};
use super::room::AgentId;
use super::rows::TaskKey;
use super::shapes::Shape;
use super::tasks::{Entry, Kind, Waiting};
use super::volumes::Pin;
use super::{Allocator, fair_share, filter};

/// Why a task waits, as a sentence without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation(String);

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Allocator {
    /// Why the task waits; nothing if it does not.
    pub fn explain(&mut self, key: &TaskKey) -> Option<Explanation> {
        let Some(Entry::Waiting(Waiting { kind, .. })) = self.tasks.get(key) else { return None };
        let kind = *kind;
        let version = self.agents.version();
        let shape = self.shapes.get_mut(kind.shape);
        let survey = match shape.survey.take() {
            Some((counted, survey)) if counted == version => survey,
            _ => Survey::of(&self.agents, &self.offers, shape),
        };
        let sentence = Sentence { allocator: self, shape: self.shapes.get(kind.shape), kind };
        let text = sentence.compose(&survey);
        self.shapes.get_mut(kind.shape).survey = Some((version, survey));
        Some(Explanation(text))
    }
}

/// One sentence in the making.
struct Sentence<'a> {
    allocator: &'a Allocator,
    shape: &'a Shape,
    kind: Kind,
}

impl Sentence<'_> {
    fn compose(&self, survey: &Survey) -> String {
        let cause = self
            .too_large(survey)
            .or_else(|| self.limit())
            .or_else(|| self.volumes())
            .or_else(|| self.no_match(survey))
            .or_else(|| self.none_free(survey))
            .unwrap_or_else(|| self.turn(survey));
        format!("{}; {cause}", self.needs())
    }

    /// `needs 4 cpus and 8Gi memory`.
    fn needs(&self) -> String {
        let needs: Vec<String> =
            self.sorted_needs().into_iter().map(|(id, need)| self.amount(id, need)).collect();
        if needs.is_empty() {
            "needs any agent".to_owned()
        } else {
            format!("needs {}", and(&needs))
        }
    }

    /// By name: the numbers of resources depend on who named them first.
    fn sorted_needs(&self) -> Vec<(ResourceId, i128)> {
        let mut needs: Vec<(ResourceId, i128)> = self.shape.needs.iter().collect();
        needs.sort_by_key(|(id, _)| self.name(*id));
        needs
    }

    /// The needs that `amounts` do not cover.
    fn lacking(&self, amounts: &Amounts) -> Vec<ResourceId> {
        let needs = self.sorted_needs().into_iter();
        needs.filter(|(id, need)| amounts.get(*id) < *need).map(|(id, _)| id).collect()
    }

    /// No agent, or none that is large enough, even if it were empty.
    fn too_large(&self, survey: &Survey) -> Option<String> {
        let needs = &self.shape.needs;
        if survey.known == 0 {
            return Some("there are no agents".to_owned());
        }
        if survey.large > 0 {
            return None;
        }
        let kinds = needs.iter().count();
        let Some(id) = self.lacking(&survey.most).first().copied() else {
            let both = if kinds == 2 { "both" } else { "all of it" };
            return Some(format!("{} {both}", nobody_has(survey.known)));
        };
        let most = survey.most.get(id);
        let name = self.name(id);
        let alone = kinds == 1;
        Some(match (most, survey.known) {
            (0, known) if alone => format!("{} any", nobody_has(known)),
            (0, known) => format!("{} any {name}", nobody_has(known)),
            (_, 1) => format!("the only agent has {}", self.short(id, most, alone)),
            (_, known) => {
                format!("the largest of {known} agents has {}", self.short(id, most, alone))
            }
        })
    }

    /// `role eng holds 6 of its limit of 8 cpus`.
    fn limit(&self) -> Option<String> {
        let needs = &self.shape.needs;
        let id = self.allocator.tree.limit_reached(self.kind.framework, needs)?;
        let role = self.allocator.tree.get(id);
        let (resource, limit) = role.limits.iter().find(|(resource, limit)| {
            let need = needs.get(*resource);
            need > 0 && role.held.get(*resource) + need > *limit
        })?;
        Some(format!(
            "role {} holds {} of its limit of {}",
            self.allocator.tree.path(id),
            self.short(*resource, role.held.get(*resource), true),
            self.amount(*resource, *limit),
        ))
    }

    /// The agent that a shared volume is on cannot take it now.
    fn volumes(&self) -> Option<String> {
        let agents = &self.allocator.agents;
        match self.allocator.volumes.pin(self.shape.volumes()) {
            Pin::Free => None,
            Pin::Split((one, here), (other, there)) => Some(format!(
                "its shared volumes are on different agents: {one} on {}, {other} on {}",
                agents.name(here),
                agents.name(there),
            )),
            Pin::To(volume, agent) => {
                let fault = self.fault_of(agent)?;
                let agent = agents.name(agent);
                Some(format!("its shared volume {volume} is on agent {agent}, which {fault}"))
            }
        }
    }

    /// Why a certain agent cannot take the task now.
    fn fault_of(&self, agent: AgentId) -> Option<String> {
        let Some((agent, facts)) = self.found(agent) else {
            return Some("is gone".to_owned());
        };
        if let Some(id) = self.lacking(&facts.capacity).first() {
            return Some(format!("has only {}", self.amount(*id, facts.capacity.get(*id))));
        }
        let unmet = self
            .shape
            .constraints
            .iter()
            .find(|c| !filter::matches_one(c, &agent.name, &facts.attributes));
        if let Some(unmet) = unmet {
            return Some(format!("does not match `{}`", constraint(unmet)));
        }
        if !facts.schedulable {
            return Some("takes no new tasks".to_owned());
        }
        let lacking = self.lacking(&agent.free);
        let id = lacking.first()?;
        Some(format!("has {} free", self.amount(*id, agent.free.get(*id))))
    }

    fn found(&self, agent: AgentId) -> Option<(&Agent, &Facts)> {
        let agent = self.allocator.agents.get(agent)?;
        Some((agent, agent.facts.as_ref()?))
    }

    /// `3 of 12 agents have them; none of these matches …`.
    fn no_match(&self, survey: &Survey) -> Option<String> {
        if survey.matching > 0 {
            return None;
        }
        let unmet = self.shape.constraints.iter().zip(&survey.meeting).find(|(_, met)| **met == 0);
        let unmet = match unmet {
            Some((unmet, _)) => format!("`{}`", constraint(unmet)),
            None => "all of its constraints".to_owned(),
        };
        let them = if survey.large == 1 { "it does not match" } else { "none of these matches" };
        Some(format!("{}; {them} {unmet}", self.have(survey)))
    }

    /// `3 of 12 agents have them; all 3 are full`.
    fn none_free(&self, survey: &Survey) -> Option<String> {
        if survey.free > 0 {
            return None;
        }
        let matching = match (survey.large - survey.matching, survey.matching) {
            (0, _) => String::new(),
            (_, 1) => "; 1 of these matches its constraints".to_owned(),
            (_, matching) => format!("; {matching} of these match its constraints"),
        };
        let state = match (survey.taking, survey.matching - survey.taking) {
            (0, closed) => format!("{} new tasks", agents(closed, "takes no", "take no")),
            (full, 0) => agents(full, "is full", "are full"),
            (full, 1) => format!("{full} of them full, 1 takes no new tasks"),
            (full, closed) => format!("{full} of them full, {closed} take no new tasks"),
        };
        let most: Vec<String> = self
            .lacking(&survey.most_free)
            .into_iter()
            .map(|id| self.amount(id, survey.most_free.get(id)))
            .collect();
        let most = match (survey.taking, most.as_slice()) {
            (0, _) | (_, []) => String::new(),
            (_, most) => format!(" (at most {} free)", and(most)),
        };
        let offered = match (survey.offered, survey.taking) {
            (0, _) => String::new(),
            (1, 1) => "; what it needs is offered to schedulers".to_owned(),
            (offered, _) => {
                format!("; what it needs is offered to schedulers on {offered} of them")
            }
        };
        Some(format!("{}{matching}; {state}{most}{offered}", self.have(survey)))
    }

    /// It fits, and others go before it.
    fn turn(&self, survey: &Survey) -> String {
        let tree = &self.allocator.tree;
        let role = tree.role_of(self.kind.framework);
        let share = fair_share::as_fraction(&role.held, tree.total()) * 100.0;
        format!(
            "{} of {} agents {} room; it waits for its turn: role {} holds {share:.1}% of the \
             cluster and has {} waiting tasks",
            survey.free,
            survey.known,
            if survey.free == 1 { "has" } else { "have" },
            tree.path(self.kind.framework),
            role.pending,
        )
    }

    /// `3 of 12 agents have them`.
    fn have(&self, survey: &Survey) -> String {
        let needs: Vec<(ResourceId, i128)> = self.shape.needs.iter().collect();
        let what = match needs.as_slice() {
            [] if survey.known == 1 => return "there is 1 agent".to_owned(),
            [] => return format!("there are {} agents", survey.known),
            [(id, need)] if *need == 1000 || words::is_bytes(self.name(*id)) => "it",
            _ => "them",
        };
        let have = if survey.large == 1 { "has" } else { "have" };
        match survey.known {
            1 => format!("the only agent has {what}"),
            known => format!("{} of {known} agents {have} {what}", survey.large),
        }
    }

    fn name(&self, id: ResourceId) -> &str {
        self.allocator.resources.name(id)
    }

    fn amount(&self, id: ResourceId, thousandths: i128) -> String {
        amount(self.name(id), thousandths)
    }

    /// The number alone where it is clear what it is of.
    fn short(&self, id: ResourceId, thousandths: i128, alone: bool) -> String {
        if alone { words::number(self.name(id), thousandths) } else { self.amount(id, thousandths) }
    }
}

/// `none of 3 agents has`, `the only agent does not have`.
fn nobody_has(known: usize) -> String {
    if known == 1 {
        "the only agent does not have".to_owned()
    } else {
        format!("none of {known} agents has")
    }
}
