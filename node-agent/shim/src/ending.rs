//! SIGTERM to all of a container, with the effect that it has outside of one.
//!
//! Of a command that gets SIGTERM with all its children one expects that each process that does
//! nothing about the signal dies. But the kernel keeps it from the first process of a pid namespace
//! that neither catches, ignores nor blocks it: `sleep 1000` would live on, and a shell, whose child
//! has died, would go on with its next command. So such a first process is stopped, and killed as
//! soon as the others are gone; that counts as an end by SIGTERM.
//!
//! ```text
//!            first one handles it: TERM to all
//!  Unasked ◄──────┐
//!     └──── ask ──┤                                      others gone: KILL
//!                 └──────► Stopped ─────────────────────────────────────────► StoodIn
//!                          first one: STOP, others: TERM
//! ```
//!
//! Best effort: a process that is just being forked may be missed, and one may never end. Whoever asks
//! has to send SIGKILL in the end.
//!
//! **Invariant:** numbers of processes are those of the shim's own pid namespace, in which there are no
//! others than the container's: a number that is used anew is still one of them.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use meseta_shim_api::Outcome;
use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::Hierarchies;
use crate::container::Container;

/// Pause between two looks at the processes that are still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How often to look, a pause apart, at a first process that blocks SIGTERM. Together they are longer
/// than a fork, and short for the agent, which waits for its answer.
const MAX_STANCE_LOOKS: u32 = 50;
const STANCE_PAUSE: Duration = Duration::from_millis(2);

/// How far a container is that was asked to end as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was not, or its processes deal with it.
    #[default]
    Unasked,
    /// The first process is stopped until the others are gone.
    Stopped,
    /// The first process was killed in the stead of SIGTERM.
    StoodIn,
}

impl Ending {
    /// Sends SIGTERM to all processes of the container, whose control group is `group`. A repeat
    /// sends it again.
    ///
    /// # Errors
    /// The first process cannot be signalled, or looked at.
    pub(crate) fn ask(
        self,
        container: &Container,
        hierarchies: &Hierarchies,
        group: &Path,
    ) -> io::Result<Self> {
        if self == Self::StoodIn {
            return Ok(self);
        }
        let first = container.pid.as_raw_nonzero().get();
        let spared = settled_stance(first)? == Stance::Spared;
        // Before its children die: it must not act on that.
        container.signal(if spared { Signal::STOP } else { Signal::TERM })?;
        for pid in hierarchies.processes(group).into_iter().filter(|pid| *pid != first) {
            // It may have ended meanwhile.
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::TERM));
        }
        Ok(if spared { Self::Stopped } else { Self::Unasked })
    }

    /// Kills a first process that is stopped, once it is alone.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub(crate) fn look(
        self,
        container: &Container,
        hierarchies: &Hierarchies,
        group: &Path,
    ) -> io::Result<Self> {
        let first = container.pid.as_raw_nonzero().get();
        if self != Self::Stopped || hierarchies.processes(group).iter().any(|pid| *pid != first) {
            return Ok(self);
        }
        container.signal(Signal::KILL)?;
        Ok(Self::StoodIn)
    }

    /// When to look at the latest.
    pub(crate) fn deadline(self) -> Option<Instant> {
        (self == Self::Stopped).then(|| Instant::now() + LOOK_INTERVAL)
    }

    /// How the run ended, where the kernel says `seen`.
    pub(crate) fn outcome(self, seen: Outcome) -> Outcome {
        let killed = Outcome::Signaled { signal: Signal::KILL.as_raw() };
        if self == Self::StoodIn && seen == killed {
            return Outcome::Signaled { signal: Signal::TERM.as_raw() };
        }
        seen
    }
}

/// What a first process does about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stance {
    /// It catches or ignores it.
    Heeds,
    /// It takes it in its own way, or will in a moment: shells block signals while they fork.
    Blocks,
    /// Nothing: the kernel keeps it from the process.
    Spared,
}

/// The stance of a process once it does not just fork.
fn settled_stance(pid: i32) -> io::Result<Stance> {
    for _ in 1..MAX_STANCE_LOOKS {
        let stance = stance(&fs::read_to_string(format!("/proc/{pid}/status"))?, Signal::TERM);
        if stance != Stance::Blocks {
            return Ok(stance);
        }
        thread::sleep(STANCE_PAUSE);
    }
    Ok(Stance::Blocks)
}

/// The stance of a process with this `/proc/<pid>/status`.
fn stance(status: &str, signal: Signal) -> Stance {
    let bit = 1_u64 << (signal.as_raw() - 1);
    let is_in = |set: &str| {
        let digits = status.lines().find_map(|line| line.strip_prefix(set)).map(str::trim);
        // What is not understood is taken for heeded: then nothing is done beyond the signal.
        digits
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .is_none_or(|set| set & bit > 0)
    };
    if is_in("SigIgn:") || is_in("SigCgt:") {
        Stance::Heeds
    } else if is_in("SigBlk:") {
        Stance::Blocks
    } else {
        Stance::Spared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_process_that_neither_catches_ignores_nor_blocks_a_signal_is_spared() {
        let status = |blocked: &str, ignored: &str, caught: &str| {
            format!("Name:\tsh\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\nSigCgt:\t{caught}\n")
        };
        let (none, term, all_but) = ("0000000000000000", "0000000000004000", "ffffffffffffbfff");
        let term_is = |status: String| stance(&status, Signal::TERM);
        assert_eq!(term_is(status(none, none, none)), Stance::Spared);
        assert_eq!(term_is(status(all_but, all_but, all_but)), Stance::Spared);
        assert_eq!(term_is(status(term, none, none)), Stance::Blocks);
        assert_eq!(term_is(status(term, term, none)), Stance::Heeds);
        assert_eq!(term_is(status(none, none, term)), Stance::Heeds);
        assert_eq!(term_is("Name:\tsh\n".to_owned()), Stance::Heeds);
    }

    #[test]
    fn only_a_kill_in_its_stead_counts_as_an_end_by_sigterm() {
        let (killed, asked) = (Outcome::Signaled { signal: 9 }, Outcome::Signaled { signal: 15 });
        assert_eq!(Ending::StoodIn.outcome(killed.clone()), asked);
        assert_eq!(
            Ending::StoodIn.outcome(Outcome::Exited { code: 0 }),
            Outcome::Exited { code: 0 }
        );
        assert_eq!(Ending::Stopped.outcome(killed.clone()), killed);
    }
}
