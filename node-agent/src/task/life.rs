//! The life of one task on its agent: what follows from what happens.
//!
//! ```text
//!            Staged            Started           Exited, restarted
//!  Staging ─────────► Starting ───────► Running ───────────────────► Waiting ─┐
//!    ▲  │ NotStaged      │ │               │ │                          │ │   │ time
//!    │  │                │ └── Exited ─────┼─┼──────────────────┐       │ │   │
//!    │  │    StopWanted  ▼       ShimLost  │ ▼ Exited, not again│       │ │   │
//!    │  └─ (at once) ─► Stopping ──────────┴──────────────────► Ended ◄─┘ │   │
//!    │                    TERM … grace … KILL … patience … destroy        │   │
//!    └────────────────────────────────────────────────────────────────────┴───┘
//! ```
//!
//! Pure: no I/O, no clock. [`Life::next`] takes an event and the time and says what to do; the
//! shell (`drive.rs`) does it. Every state can be told from the disk alone ([`super::recover`]).
//!
//! **Invariants:** `Launch` follows a `Stage` of the same run once, and a run number is used for one
//! launch. `Ended` is final. What ends a container was written before ([`Effect::RememberStop`]).

mod reached;

use meseta_crds::task::{RestartPolicy, reason};
use meseta_shim_api::{Exit, Outcome as Ending};

use super::outcome::{self, Failure};
use crate::checkpoint::{Accepted, Outcome, Stop, StopCause};
pub(crate) use reached::Reached;

/// How long a shim may take from its start to a running program. A start takes tens of
/// milliseconds; a machine that needs a minute is not coming back by itself.
pub(crate) const START_PATIENCE_MILLIS: i64 = 60_000;
/// How long a container may take to die of SIGKILL before the agent ends the shim too.
pub(crate) const KILL_PATIENCE_MILLIS: i64 = 10_000;
/// Delay before the first restart in place; doubles with each further one.
const FIRST_RESTART_DELAY_MILLIS: i64 = 1_000;
/// Longest delay between two runs, as the kubelet's.
const LONGEST_RESTART_DELAY_MILLIS: i64 = 300_000;
/// A run that lasted this long starts the delays anew, as with the kubelet.
const STEADY_RUN_MILLIS: i64 = 600_000;

/// A task and where it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Life {
    /// What was accepted, and which run it is at.
    pub(crate) accepted: Accepted,
    /// Where it is. Times are in milliseconds since 1970.
    pub(crate) state: State,
    /// When it was where, as far as this process knows.
    pub(crate) reached: Reached,
}

/// Where a task is on its agent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// Image, sandbox and volumes are being prepared; nothing was started for this run.
    Staging,
    /// The shim was, or is about to be, started.
    Starting {
        /// When.
        since: i64,
    },
    /// The program runs.
    Running(Program),
    /// Between two runs.
    Waiting {
        /// When the next one begins.
        until: i64,
        /// How the last one ended, for people.
        last: String,
    },
    /// The container was asked to end.
    Stopping {
        /// Why, and until when it may take.
        stop: Stop,
        /// The program, if it runs.
        program: Option<Program>,
        /// How hard it was asked.
        force: Force,
    },
    /// Nothing of it runs any more. Final.
    Ended(Outcome),
}

/// A program that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Pid of its first process.
    pub(crate) pid: i32,
    /// When it was started.
    pub(crate) started: i64,
}

/// How hard a container was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    /// SIGTERM.
    Asked,
    /// SIGKILL, at this time.
    Killed(i64),
    /// The shim and everything in the cgroup are being killed by the agent itself.
    Destroyed,
}

/// What can happen to a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// Everything is prepared.
    Staged,
    /// Something could not be prepared.
    NotStaged(Failure),
    /// No shim came to life; nothing was started.
    NotLaunched(Failure),
    /// The shim has started the program.
    Started(Program),
    /// The shim says how the run ended.
    Exited(Exit),
    /// The shim is gone and has not said how the run ended; nothing of it is left.
    ShimLost,
    /// The machine was started anew since.
    Rebooted,
    /// The container has to end.
    StopWanted {
        /// Why.
        cause: StopCause,
        /// Time between SIGTERM and SIGKILL.
        grace_millis: i64,
    },
    /// Time has passed.
    Tick,
}

/// What to do about it, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Prepare the run.
    Stage,
    /// Write the run's request, then start its shim.
    Launch,
    /// Ask the container to end: SIGTERM.
    Terminate,
    /// End everything in the container: SIGKILL.
    Kill,
    /// End shim and container without their help.
    Destroy,
    /// Write what was accepted: the next run has begun.
    RememberAccepted,
    /// Write that the container has to end.
    RememberStop(Stop),
    /// Write how the task ended.
    RememberOutcome(Outcome),
    /// The run is over: let the shim go, clean up behind it.
    FinishRun,
    /// Remove what is left of an earlier run.
    DiscardRun(u32),
}

/// An event that cannot happen in this state.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("a task that is {state} cannot meet {event}")]
pub(crate) struct Rejected {
    state: &'static str,
    event: &'static str,
}

impl Life {
    /// A task that has just been accepted.
    pub(crate) fn begin(accepted: Accepted) -> Self {
        Self::of(accepted, State::Staging)
    }

    /// A task that is where it is, and of which nothing is known before.
    pub(crate) fn of(accepted: Accepted, state: State) -> Self {
        Self { accepted, state, reached: Reached::default() }
    }

    /// What follows from `event` at the time `now`.
    ///
    /// # Errors
    /// It cannot happen here; nothing changes.
    pub(crate) fn next(mut self, event: Event, now: i64) -> Result<(Self, Vec<Effect>), Rejected> {
        let rejected = Rejected { state: self.state.name(), event: event.name() };
        if self.outcome().is_none() {
            self.reached.note(&event, now);
        }
        let effects = match (&self.state, event) {
            // What is final stays, whatever is still wanted of it.
            (State::Ended(_), Event::StopWanted { .. } | Event::Tick) => Vec::new(),
            (State::Ended(_), _) => return Err(rejected),

            (State::Staging, Event::Staged) => {
                self.state = State::Starting { since: now };
                vec![Effect::Launch]
            }
            (State::Staging, Event::NotStaged(failure))
            | (State::Starting { .. }, Event::NotLaunched(failure)) => {
                let outcome = outcome::never_started(&self.accepted, failure, now);
                self.end(outcome)
            }
            (State::Staging | State::Waiting { .. }, Event::StopWanted { cause, .. }) => {
                let stop = Stop { cause, kill_unix_millis: now };
                let outcome = outcome::of_stop(&self.accepted, &stop, None, now);
                self.end(outcome)
            }

            (State::Starting { .. }, Event::Started(program)) => {
                self.state = State::Running(program);
                Vec::new()
            }
            (State::Starting { .. } | State::Running(_), Event::Exited(exit)) => self.exited(&exit),
            (State::Starting { .. } | State::Running(_), Event::ShimLost) => {
                let message = "the shim died, and the container was ended with it";
                self.lost(reason::SHIM_LOST, message, now)
            }
            (State::Starting { .. } | State::Running(_), Event::Rebooted) => {
                let message = "the machine was restarted while the container ran";
                self.lost(reason::AGENT_REBOOTED, message, now)
            }
            (
                State::Starting { .. } | State::Running(_),
                Event::StopWanted { cause, grace_millis },
            ) => self.stop(cause, now.saturating_add(grace_millis)),

            (State::Stopping { stop, program, force }, Event::Started(started)) => {
                // The signal that was sent before had nobody to go to.
                let effect = match (program, force) {
                    (None, Force::Asked) => vec![Effect::Terminate],
                    _ => Vec::new(),
                };
                self.state = State::Stopping { stop: *stop, program: Some(started), force: *force };
                effect
            }
            (State::Stopping { stop, .. }, Event::Exited(exit)) => {
                let outcome = outcome::of_stop(&self.accepted, stop, Some(&exit), now);
                self.end(outcome)
            }
            (
                State::Stopping { stop, .. },
                Event::ShimLost | Event::Rebooted | Event::NotLaunched(_),
            ) => {
                let outcome = outcome::of_stop(&self.accepted, stop, None, now);
                self.end(outcome)
            }
            (State::Stopping { .. }, Event::StopWanted { grace_millis, .. }) => {
                self.hasten(now.saturating_add(grace_millis))
            }

            (_, Event::Tick) => self.tick(now),

            (
                State::Staging,
                Event::NotLaunched(_)
                | Event::Started(_)
                | Event::Exited(_)
                | Event::ShimLost
                | Event::Rebooted,
            )
            | (State::Starting { .. }, Event::Staged | Event::NotStaged(_))
            | (
                State::Running(_) | State::Waiting { .. },
                Event::Staged | Event::NotStaged(_) | Event::NotLaunched(_) | Event::Started(_),
            )
            | (State::Waiting { .. }, Event::Exited(_) | Event::ShimLost | Event::Rebooted)
            | (State::Stopping { .. }, Event::Staged | Event::NotStaged(_)) => {
                return Err(rejected);
            }
        };
        Ok((self, effects))
    }

    /// When a [`Event::Tick`] is due, if nothing else happens.
    pub(crate) fn wake_at(&self) -> Option<i64> {
        match &self.state {
            State::Staging | State::Ended(_) => None,
            State::Starting { since } => Some(since + START_PATIENCE_MILLIS),
            State::Running(_) => self.deadline(),
            State::Waiting { until, .. } => {
                Some(self.deadline().map_or(*until, |deadline| deadline.min(*until)))
            }
            State::Stopping { stop, force, .. } => match force {
                Force::Asked => Some(stop.kill_unix_millis),
                Force::Killed(at) => Some(at + KILL_PATIENCE_MILLIS),
                Force::Destroyed => None,
            },
        }
    }

    /// Whether nothing of it runs or will run.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            State::Ended(outcome) => Some(outcome),
            State::Staging
            | State::Starting { .. }
            | State::Running(_)
            | State::Waiting { .. }
            | State::Stopping { .. } => None,
        }
    }

    fn tick(&mut self, now: i64) -> Vec<Effect> {
        if self.wake_at().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let deadline_passed = self.deadline().is_some_and(|deadline| deadline <= now);
        match &self.state {
            State::Starting { .. } => self.stop(StopCause::StartTimeout, now),
            State::Running(_) => {
                let grace = self.accepted.grace_millis();
                self.stop(StopCause::DeadlineExceeded, now.saturating_add(grace))
            }
            State::Waiting { .. } if deadline_passed => {
                let stop = Stop { cause: StopCause::DeadlineExceeded, kill_unix_millis: now };
                let outcome = outcome::of_stop(&self.accepted, &stop, None, now);
                self.end(outcome)
            }
            State::Waiting { .. } => {
                let finished = self.accepted.run;
                self.accepted.run += 1;
                self.accepted.restarts += 1;
                self.state = State::Staging;
                vec![Effect::RememberAccepted, Effect::DiscardRun(finished), Effect::Stage]
            }
            State::Stopping { stop, program, force } => {
                let (force, effect) = match force {
                    Force::Asked => (Force::Killed(now), Effect::Kill),
                    Force::Killed(_) | Force::Destroyed => (Force::Destroyed, Effect::Destroy),
                };
                self.state = State::Stopping { stop: *stop, program: *program, force };
                vec![effect]
            }
            State::Staging | State::Ended(_) => Vec::new(),
        }
    }

    /// The program has ended: for good, or until the next run.
    fn exited(&mut self, exit: &Exit) -> Vec<Effect> {
        let started = !matches!(exit.outcome, Ending::NotStarted { .. });
        let again = match self.accepted.spec.restart_policy {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => !outcome::is_success(exit),
            RestartPolicy::Always => true,
        };
        // What cannot be started will not be startable later: there is nothing to repeat.
        if !again || !started {
            let outcome = outcome::of_exit(&self.accepted, exit);
            return self.end(outcome);
        }
        let accepted = &mut self.accepted;
        let begun = exit.started_unix_millis.unwrap_or(exit.finished_unix_millis);
        accepted.first_started_unix_millis.get_or_insert(begun);
        let steady = exit.finished_unix_millis - begun >= STEADY_RUN_MILLIS;
        accepted.restarts_in_a_row = if steady { 1 } else { accepted.restarts_in_a_row + 1 };
        accepted.last = Some(outcome::ended_container(accepted, exit));
        let until = exit.finished_unix_millis + restart_delay_millis(accepted.restarts_in_a_row);
        let last = outcome::describe(exit, accepted);
        self.state = State::Waiting { until, last };
        vec![Effect::FinishRun]
    }

    fn lost(&mut self, reason: &str, message: &str, now: i64) -> Vec<Effect> {
        let started = self.state.program().map(|program| program.started);
        let outcome = outcome::unknown(&self.accepted, reason, message, started, now);
        self.end(outcome)
    }

    fn stop(&mut self, cause: StopCause, kill_unix_millis: i64) -> Vec<Effect> {
        let program = self.state.program();
        let stop = Stop { cause, kill_unix_millis };
        self.state = State::Stopping { stop, program, force: Force::Asked };
        vec![Effect::RememberStop(stop), Effect::Terminate]
    }

    /// Whether a wish to stop with this grace changes anything.
    pub(crate) fn heeds_stop(&self, grace_millis: i64, now: i64) -> bool {
        match &self.state {
            State::Staging | State::Starting { .. } | State::Running(_) | State::Waiting { .. } => {
                true
            }
            State::Stopping { stop, force, .. } => {
                *force == Force::Asked && now.saturating_add(grace_millis) < stop.kill_unix_millis
            }
            State::Ended(_) => false,
        }
    }

    /// A later wish makes the grace shorter, never longer. The first cause stays: a deletion after a
    /// deadline does not undo the deadline.
    fn hasten(&mut self, kill_unix_millis: i64) -> Vec<Effect> {
        match &mut self.state {
            State::Stopping { stop, force: Force::Asked, .. }
                if kill_unix_millis < stop.kill_unix_millis =>
            {
                stop.kill_unix_millis = kill_unix_millis;
                vec![Effect::RememberStop(*stop)]
            }
            _ => Vec::new(),
        }
    }

    fn end(&mut self, outcome: Outcome) -> Vec<Effect> {
        self.state = State::Ended(outcome.clone());
        vec![Effect::RememberOutcome(outcome), Effect::FinishRun]
    }

    fn deadline(&self) -> Option<i64> {
        let seconds = self.accepted.spec.active_deadline_seconds?;
        let running = self.state.program().map(|program| program.started);
        let first = self.accepted.first_started_unix_millis.or(running)?;
        Some(first.saturating_add(seconds.saturating_mul(1000)))
    }
}

/// The delay before the `restart`th restart in a row, from 1.
fn restart_delay_millis(restart: u32) -> i64 {
    /// 2^16 s is beyond the longest delay.
    const MAX_DOUBLINGS: u32 = 16;
    let doublings = restart.saturating_sub(1).min(MAX_DOUBLINGS);
    (FIRST_RESTART_DELAY_MILLIS << doublings).min(LONGEST_RESTART_DELAY_MILLIS)
}

impl State {
    /// The program that runs, unless it was asked to end.
    fn program(&self) -> Option<Program> {
        match self {
            Self::Running(program) => Some(*program),
            Self::Staging
            | Self::Starting { .. }
            | Self::Waiting { .. }
            | Self::Stopping { .. }
            | Self::Ended(_) => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Starting { .. } => "starting",
            Self::Running(_) => "running",
            Self::Waiting { .. } => "waiting",
            Self::Stopping { .. } => "stopping",
            Self::Ended(_) => "ended",
        }
    }
}

impl Event {
    fn name(&self) -> &'static str {
        match self {
            Self::Staged => "the end of its staging",
            Self::NotStaged(_) => "a failure of its staging",
            Self::NotLaunched(_) => "a failure of its launch",
            Self::Started(_) => "the start of its program",
            Self::Exited(_) => "the end of its program",
            Self::ShimLost => "the loss of its shim",
            Self::Rebooted => "a restart of the machine",
            Self::StopWanted { .. } => "a wish to stop it",
            Self::Tick => "time",
        }
    }
}

#[cfg(test)]
mod tests;
