//! What the disk of a task says after the agent has come back: where its life stands, and what
//! happened meanwhile.
//!
//! ```text
//! result.json                              ended
//! no run.json in the current run           staging: nothing was started
//! run.json, no shim.json                   abandoned: a shim that comes to life now ends at once, the
//!                                          task is staged again as the next run
//! exit.json                                the run ended, as it says
//! shim.json of another boot                the machine was restarted
//! shim.json, the shim lives                starting or running, as it says
//! shim.json, the shim is dead              lost
//! ```

use std::io;
use std::path::Path;

use meseta_shim_api::{
    CHECKPOINT_FILE, Checkpoint as ShimCheckpoint, EXIT_FILE, Exit, Phase, RUN_FILE,
};

use super::life::{Effect, Event, Force, Life, Program, State};
use crate::checkpoint::{self, Accepted, Checkpoint};
use crate::process;

/// What a run's directory says, and whether its shim lives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// No shim was asked for.
    NotBegun,
    /// A shim was asked for, and has not said that it is there.
    Unclaimed,
    /// The shim lives.
    Live(ShimCheckpoint),
    /// The shim was there, and is gone.
    Dead,
    /// The shim was there before the machine was restarted.
    Rebooted,
    /// The run has ended.
    Exited(Exit),
}

/// Looks at a run's directory, and for its shim.
///
/// # Errors
/// The file system refused.
pub(crate) fn look(run: &Path, boot_id: &str) -> io::Result<Seen> {
    let exit = || checkpoint::read::<Exit>(&run.join(EXIT_FILE));
    if let Some(exit) = exit()? {
        return Ok(Seen::Exited(exit));
    }
    let path = run.join(CHECKPOINT_FILE);
    let Some(shim) = checkpoint::read::<ShimCheckpoint>(&path)? else {
        // A damaged checkpoint proves that there was a shim, and nothing else.
        return if path.try_exists()? {
            Ok(Seen::Dead)
        } else if run.join(RUN_FILE).try_exists()? {
            Ok(Seen::Unclaimed)
        } else {
            Ok(Seen::NotBegun)
        };
    };
    if shim.boot_id != boot_id {
        return Ok(Seen::Rebooted);
    }
    if process::open(shim.shim)?.is_some() {
        return Ok(Seen::Live(shim));
    }
    // It may have written its last word between the two looks.
    Ok(exit()?.map_or(Seen::Dead, Seen::Exited))
}

/// A life as it stands, what has to be applied to it, and what to do before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recovered {
    pub(crate) life: Life,
    pub(crate) effects: Vec<Effect>,
    pub(crate) events: Vec<Event>,
}

/// What follows from what is written. An `Unclaimed` run must have been abandoned before, and is
/// then `NotBegun` under the next number.
pub(crate) fn recover(
    accepted: Accepted,
    checkpoint: &Checkpoint,
    seen: Seen,
    now: i64,
) -> Recovered {
    let mut life = Life::begin(accepted);
    if let Some(outcome) = &checkpoint.outcome {
        life.state = State::Ended(outcome.clone());
        return Recovered { life, effects: vec![Effect::FinishRun], events: Vec::new() };
    }
    let stop = checkpoint.stop;
    let events = match seen {
        Seen::NotBegun | Seen::Unclaimed => {
            let (effects, events) = match stop {
                Some(stop) => {
                    let wanted = Event::StopWanted { cause: stop.cause, grace_millis: 0 };
                    (Vec::new(), vec![wanted])
                }
                None => (vec![Effect::Stage], Vec::new()),
            };
            return Recovered { life, effects, events };
        }
        // Whoever attaches to the run sees how far it is.
        Seen::Live(_) => Vec::new(),
        Seen::Dead => vec![Event::ShimLost],
        Seen::Rebooted => vec![Event::Rebooted],
        Seen::Exited(exit) => vec![Event::Exited(exit)],
    };
    life.state = match stop {
        // The signal is sent again once the program is known to run: a second one does no harm.
        Some(stop) => State::Stopping { stop, program: None, force: Force::Asked },
        // The patience begins anew: the machine may have been busy with the agent's own start.
        None => State::Starting { since: now },
    };
    Recovered { life, effects: Vec::new(), events }
}

/// The start of the program, if the shim has seen it.
pub(crate) fn started(shim: &ShimCheckpoint) -> Option<Event> {
    let container = shim.container.filter(|_| shim.phase >= Phase::Running)?;
    let started = shim.started_unix_millis?;
    Some(Event::Started(Program { pid: container.pid, started }))
}

#[cfg(test)]
mod tests {
    use meseta_crds::TaskState;
    use meseta_shim_api::{Outcome as Ending, Process};

    use super::*;
    use crate::checkpoint::{Outcome, Stop, StopCause};

    fn accepted() -> Accepted {
        crate::task::accepted(&meseta_crds::Task::new("t", meseta_crds::TaskSpec::default()), None)
    }

    fn checkpoint(stop: Option<Stop>, outcome: Option<Outcome>) -> Checkpoint {
        Checkpoint { accepted: Some(accepted()), stop, outcome, released: false }
    }

    fn shim(phase: Phase) -> ShimCheckpoint {
        ShimCheckpoint {
            id: "u-0".to_owned(),
            phase,
            boot_id: "boot".to_owned(),
            shim: Process { pid: 1, start_ticks: 1 },
            container: Some(Process { pid: 2, start_ticks: 2 }),
            started_unix_millis: (phase >= Phase::Running).then_some(5),
        }
    }

    fn exit() -> Exit {
        Exit {
            outcome: Ending::Exited { code: 0 },
            started_unix_millis: Some(5),
            finished_unix_millis: 6,
            oom_kills: 0,
        }
    }

    /// What the owner does, and where the task is after all events.
    fn recovered(checkpoint: &Checkpoint, seen: Seen) -> (Vec<Effect>, State) {
        let Recovered { mut life, effects, events } = recover(accepted(), checkpoint, seen, 100);
        for event in events {
            (life, _) = life.next(event, 100).unwrap();
        }
        (effects, life.state)
    }

    #[test]
    fn a_life_goes_on_where_it_was() {
        let fresh = checkpoint(None, None);
        assert_eq!(recovered(&fresh, Seen::NotBegun), (vec![Effect::Stage], State::Staging));
        let (effects, state) = recovered(&fresh, Seen::Live(shim(Phase::Running)));
        assert_eq!((effects, state), (Vec::new(), State::Starting { since: 100 }));
        let program = Program { pid: 2, started: 5 };
        assert_eq!(started(&shim(Phase::Running)), Some(Event::Started(program)));
        assert_eq!(started(&shim(Phase::Created)), None);
        let ended = |seen| match recovered(&fresh, seen) {
            (effects, State::Ended(outcome)) if effects.is_empty() => outcome.reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(ended(Seen::Exited(exit())), "Completed");
        assert_eq!(ended(Seen::Dead), "ShimLost");
        assert_eq!(ended(Seen::Rebooted), "AgentRebooted");
    }

    #[test]
    fn a_stop_that_was_begun_is_finished() {
        let stop = Stop { cause: StopCause::DeadlineExceeded, kill_unix_millis: 50 };
        let stopping = checkpoint(Some(stop), None);
        let (_, state) = recovered(&stopping, Seen::Live(shim(Phase::Running)));
        assert_eq!(state, State::Stopping { stop, program: None, force: Force::Asked });
        let (_, state) = recovered(&stopping, Seen::Exited(exit()));
        assert!(matches!(state, State::Ended(outcome) if outcome.reason == "DeadlineExceeded"));
        let (effects, state) = recovered(&stopping, Seen::NotBegun);
        assert!(effects.is_empty(), "nothing is started that was to end");
        assert!(matches!(state, State::Ended(_)));
    }

    #[test]
    fn an_end_that_was_written_is_the_end() {
        let outcome = Outcome {
            state: TaskState::Failed,
            reason: "ShimLost".to_owned(),
            message: String::new(),
            container: None,
            ended_unix_millis: 3,
        };
        let ended = checkpoint(None, Some(outcome.clone()));
        let (_, state) = recovered(&ended, Seen::Exited(exit()));
        assert_eq!(state, State::Ended(outcome));
    }

    #[test]
    fn a_directory_says_how_far_its_run_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let look = |boot: &str| look(path, boot).unwrap();
        assert_eq!(look("boot"), Seen::NotBegun);
        std::fs::write(path.join(RUN_FILE), "{}").unwrap();
        assert_eq!(look("boot"), Seen::Unclaimed);
        meseta_shim_api::write(&path.join(CHECKPOINT_FILE), &shim(Phase::Running)).unwrap();
        assert_eq!(look("other boot"), Seen::Rebooted);
        // Pid 1 exists, and did not begin at tick 1 of this test's making.
        assert_eq!(look("boot"), Seen::Dead);
        std::fs::write(path.join(CHECKPOINT_FILE), "{").unwrap();
        assert_eq!(look("boot"), Seen::Dead, "damaged");
        meseta_shim_api::write(&path.join(EXIT_FILE), &exit()).unwrap();
        assert_eq!(look("boot"), Seen::Exited(exit()));
    }
}
