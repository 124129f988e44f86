//! How many frameworks there may be, and which one ends where there are too many.

use std::sync::Arc;

use super::Office;
use crate::session::Session;

/// Frameworks with a session, connected or not. Five times what is built for.
pub(super) const MAX_FRAMEWORKS: usize = 5000;
/// More than these are brought down to as many again. The rest is for those that come meanwhile.
const MANY_FRAMEWORKS: usize = 4900;

impl Office {
    /// Ends what there is too much: the frameworks that are disconnected longest, of those without
    /// live tasks.
    pub(super) fn thin_out(&self) {
        let sessions = self.sessions();
        if sessions.len() <= MANY_FRAMEWORKS {
            return;
        }
        let staying = sessions.iter().filter(|session| !session.is_ending()).count();
        let idle = |session: Arc<Session>| session.idle_since().map(|since| (since, session));
        let mut idle: Vec<_> = sessions.into_iter().filter_map(idle).collect();
        idle.sort_by_key(|(since, _)| *since);
        idle.into_iter()
            .filter(|(_, session)| !session.has_live_tasks())
            .take(staying.saturating_sub(MANY_FRAMEWORKS))
            .for_each(|(_, session)| session.give_way());
    }
}
