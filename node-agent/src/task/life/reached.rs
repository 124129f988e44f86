//! When a life was where: for schedulers that are told so. Pure.

use super::Event;

/// When a task was where for the first time, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Its shim was about to be started.
    pub(crate) starting: Option<i64>,
    /// Its program was started.
    pub(crate) running: Option<i64>,
    /// It was asked to end.
    pub(crate) killing: Option<i64>,
}

impl Reached {
    /// Takes note of what an event tells of it.
    pub(super) fn note(&mut self, event: &Event, now: i64) {
        let (reached, at) = match event {
            Event::Staged => (&mut self.starting, Some(now)),
            Event::Started(program) => (&mut self.running, Some(program.started)),
            Event::Exited(exit) => (&mut self.running, exit.started_unix_millis),
            Event::StopWanted { .. } => (&mut self.killing, Some(now)),
            Event::NotStaged(_)
            | Event::NotLaunched(_)
            | Event::ShimLost
            | Event::Rebooted
            | Event::Tick => return,
        };
        *reached = reached.or(at);
    }
}
