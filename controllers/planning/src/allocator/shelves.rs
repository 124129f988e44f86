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

use super::bits::Bits;
use super::room::AgentId;

/// Each is for half as much as the one before.
const SHELVES: usize = 8;

/// All shelves.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    shelves: [Bits; SHELVES],
    /// Where each agent is, by position.
    places: Vec<Option<usize>>,
}

impl Shelves {
    /// Puts an agent whose scarcest resource is free to so many parts of `whole`; nowhere if nothing
    /// can be offered of it.
    pub(super) fn put(&mut self, agent: AgentId, free: Option<i128>, whole: i128) {
        let shelf = free.map(|free| {
            let full = (0..SHELVES - 1).find(|shelf| free << (shelf + 1) >= whole);
            full.unwrap_or(SHELVES - 1)
        });
        if self.places.len() <= agent {
            self.places.resize(agent + 1, None);
        }
        let former = std::mem::replace(&mut self.places[agent], shelf);
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

    /// Whether something can be offered of the agent.
    pub(super) fn has(&self, agent: AgentId) -> bool {
        self.places.get(agent).is_some_and(Option::is_some)
    }

    /// The next agent from `from` on that is not in `without`.
    pub(super) fn next(&self, without: &Bits, from: AgentId) -> Option<AgentId> {
        let shelves = self.shelves.iter().filter(|shelf| !shelf.is_empty());
        shelves.into_iter().find_map(|shelf| shelf.first_without(without, from))
    }
}
