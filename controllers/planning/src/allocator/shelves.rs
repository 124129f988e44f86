//! The agents of which something can be offered, roughly from the emptiest to the fullest.
//!
//! ```text
//!  shelf 0: scarcest resource at least half free    [ 0 1 1 0 … ]  one bit an agent
//!  shelf 1: at least a quarter                      [ 1 0 0 0 … ]
//!    …
//!  the last: something is free
//! ```
//!
//! A seat takes, of the first shelf that has any, the next agent after the one it was offered last,
//! passing over those it has refused; so that costs a few words, however many agents there are.

use super::amounts::Amounts;
use super::bits::Bits;
use super::room::AgentId;

/// Each is for half as much as the one before.
const SHELVES: usize = 8;

/// All shelves.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    shelves: [Bits; SHELVES],
    /// By position of the agent.
    places: Vec<Place>,
    /// What is free on all that are on a shelf.
    spare: Amounts,
}

/// Where an agent is, if on a shelf, and what it adds to `spare`.
#[derive(Clone, Debug, Default)]
struct Place {
    shelf: Option<usize>,
    free: Amounts,
}

impl Shelves {
    /// Puts an agent of which so much is free, and its scarcest resource to so many parts of `whole`;
    /// nowhere if nothing can be offered of it.
    pub(super) fn put(&mut self, agent: AgentId, free: Option<(&Amounts, i128)>, whole: i128) {
        let shelf = free.map(|(_, scarcest)| {
            let full = (0..SHELVES - 1).find(|shelf| scarcest << (shelf + 1) >= whole);
            full.unwrap_or(SHELVES - 1)
        });
        if self.places.len() <= agent {
            self.places.resize(agent + 1, Place::default());
        }
        let place = &mut self.places[agent];
        self.spare.subtract(&place.free);
        place.free.clear();
        if let Some((free, _)) = free {
            place.free.add(free);
            self.spare.add(free);
        }
        let former = std::mem::replace(&mut place.shelf, shelf);
        if former == shelf {
            return;
        }
        if let Some(former) = former {
            self.shelves[former].remove(agent);
        }
        if let Some(shelf) = shelf {
            self.shelves[shelf].insert(agent);
        }
    }

    /// What is free on all of these agents.
    pub(super) fn spare(&self) -> &Amounts {
        &self.spare
    }

    /// What is free on those of these agents that are on a shelf.
    pub(super) fn sum(&self, agents: &Bits) -> Amounts {
        let mut sum = Amounts::default();
        for place in agents.iter().filter_map(|agent| self.places.get(agent)) {
            sum.add(&place.free);
        }
        sum
    }

    /// Whether something can be offered of the agent.
    pub(super) fn has(&self, agent: AgentId) -> bool {
        self.places.get(agent).is_some_and(|place| place.shelf.is_some())
    }

    /// The next agent from `from` on that is not in `without`.
    pub(super) fn next(&self, without: &Bits, from: AgentId) -> Option<AgentId> {
        let shelves = self.shelves.iter().filter(|shelf| !shelf.is_empty());
        shelves.into_iter().find_map(|shelf| shelf.first_without(without, from))
    }
}
