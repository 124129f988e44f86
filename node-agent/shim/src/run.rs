//! The life of one run, from the first checkpoint to the last.
//!
//! ```text
//! Preparing ─► make the container ─► Created ─► start ─► Running ─► wait ┐
//!     └─────────────┴── cannot ─────────┴─────────┘                      │
//!                          │                                             ▼
//!                          └───────────► drain output ─► exit.json ─► remove everything ─► Ended
//!                                                                                            │
//!                                                 leave ◄── acknowledged, or nobody cares ◄──┘
//! ```
//!
//! SIGTERM to the shim ends its container at once, with SIGKILL, and then the shim without waiting
//! for an acknowledgement: whoever stops a shim by hand, or with the machine, gets the same record
//! on disk and the same cleaning up as always.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use meseta_shim_api::{Answer, Command, Exit, Outcome, RunRequest};
use rustix::process::Signal;

use crate::causes::Causes;
use crate::cgroup::Hierarchies;
use crate::check::{check_request, check_sources};
use crate::container::{Container, Maker, kill_children};
use crate::control::Control;
use crate::ending::Ending;
use crate::error::{Context as _, Error};
use crate::journal::Journal;
use crate::launch::{Ready, forget_the_launcher};
use crate::layout::Layout;
use crate::process::HostProc;
use crate::record::{Records, unix_millis};
use crate::root;
use crate::supervise::Supervisor;

/// How long the shim of an ended run stays for its acknowledgement. Everything is on disk by then;
/// it stays only so that an agent that restarts finds somebody to answer, and no longer, for it
/// holds memory.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Name of the control group for shims, beside those of their containers.
const SHIMS_GROUP: &str = "shims";

/// Runs what the run directory asks for; returns when the run has ended.
pub(crate) fn run(directory: &Path, ready: Ready) -> ExitCode {
    match Run::begin(directory) {
        Ok(run) => {
            ready.done();
            run.finish()
        }
        Err(error) => {
            ready.failed(&error);
            ExitCode::FAILURE
        }
    }
}

struct Run {
    request: RunRequest,
    layout: Layout,
    hierarchies: Hierarchies,
    host: HostProc,
    causes: Causes,
    records: Records,
    journal: Journal,
    supervisor: Supervisor,
    started_unix_millis: Option<i64>,
    /// Whether the shim was asked to end.
    terminated: bool,
}

impl Run {
    /// Becomes the run's shim. Until this has succeeded there is nothing to clean up but files.
    fn begin(directory: &Path) -> Result<Self, Error> {
        let layout = Layout::new(directory)?;
        forget_the_launcher()?;
        let host = HostProc::open()?;
        let request: RunRequest = meseta_shim_api::read(&layout.request())
            .map_err(|error| Error::Refused(error.to_string()))?
            .ok_or_else(|| Error::Refused("there is no run.json".to_owned()))?;
        check_request(&request)?;
        layout.claim()?;
        Self::record_intent(request, layout.clone(), host).inspect_err(|_| layout.give_back())
    }

    /// Prepares what the loop needs, and writes the first checkpoint.
    fn record_intent(request: RunRequest, layout: Layout, host: HostProc) -> Result<Self, Error> {
        let journal = Journal::open(&layout.log());
        let hierarchies = Hierarchies::find()?;
        hierarchies.join(&request.cgroup.with_file_name(SHIMS_GROUP))?;
        let supervisor = Supervisor::new(Control::open(&layout)?)?;
        let causes = Causes::listen()?;
        let records = Records::begin(&layout, &request.id, host.this_process()?)?;
        Ok(Self {
            request,
            layout,
            hierarchies,
            host,
            causes,
            records,
            journal,
            supervisor,
            started_unix_millis: None,
            terminated: false,
        })
    }

    fn finish(mut self) -> ExitCode {
        let outcome = self.make_and_watch().unwrap_or_else(|error| self.give_up(&error));
        let recorded = self.record(outcome);
        self.remove_everything();
        if let Err(error) = self.records.ended() {
            self.journal.note(&format!("cannot write shim.json: {error}"));
        }
        if recorded && !self.terminated {
            self.await_acknowledgement();
        }
        if let Err(error) = self.supervisor.close() {
            self.journal.note(&format!("cannot remove the socket: {error}"));
        }
        if recorded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn make_and_watch(&mut self) -> Result<Outcome, Error> {
        check_sources(&self.request)?;
        let maker = Maker {
            request: &self.request,
            layout: &self.layout,
            hierarchies: &self.hierarchies,
            host: &self.host,
            causes: &self.causes,
        };
        let (mut container, streams) = maker.make()?;
        self.supervisor.copy(streams);
        self.records.created(container.process)?;
        container.start(&self.causes)?;
        self.watch(&container)
    }

    /// Ends what is there of the container.
    fn give_up(&mut self, error: &Error) -> Outcome {
        kill_children();
        if self.started_unix_millis.is_none() {
            return Outcome::NotStarted { cause: error.cause(), message: error.message() };
        }
        // The machine cannot even wait any more.
        self.journal.note(&format!("killed the container: {}", error.message()));
        Outcome::Signaled { signal: Signal::KILL.as_raw() }
    }

    /// Watches a container from its start to its end.
    fn watch(&mut self, container: &Container) -> Result<Outcome, Error> {
        let mut starting = true;
        let mut failure = None;
        let mut ending = Ending::default();
        loop {
            let mut extra: Vec<BorrowedFd<'_>> = vec![container.pidfd.as_fd()];
            if starting {
                extra.push(container.report.descriptor().as_fd());
            }
            let (request, hierarchies) = (&self.request, &self.hierarchies);
            let group = &request.cgroup;
            let deadline = ending.deadline();
            let mut act = |command: &Command| match command {
                // Before it runs there is no program that could die of it.
                Command::Signal { signal: libc::SIGTERM, to_all: true } if !starting => {
                    match ending.ask(container, hierarchies, group) {
                        Ok(asked) => ending = asked,
                        Err(error) => return failed(format!("cannot ask it to end: {error}")),
                    }
                    Answer::Ok
                }
                Command::Signal { signal, .. } => {
                    if *signal == libc::SIGKILL {
                        ending = Ending::Unasked;
                    }
                    deliver(*signal, container, group, hierarchies)
                }
                Command::Acknowledge => failed("the container has not ended"),
            };
            let turn = self.supervisor.turn(&extra, deadline, &mut act)?;
            let ended = turn.ready[0];
            if starting && let Some(outcome) = container.report.outcome() {
                starting = false;
                match outcome {
                    Ok(()) => self.note_start(ended),
                    Err(error) => failure = Some(error),
                }
            }
            if turn.terminate && !self.terminated {
                self.terminated = true;
                ending = Ending::Unasked;
                self.journal.note("asked to end: killing the container");
                container.signal(Signal::KILL).context(|| "kill the container")?;
            }
            if ended {
                let outcome = ending.outcome(container.wait()?);
                return failure.map_or(Ok(outcome), Err);
            }
            ending = ending
                .look(container, &self.hierarchies, &self.request.cgroup)
                .context(|| "kill the first process")?;
        }
    }

    /// The program runs. If it has `ended` already, `exit.json` will say all of it.
    fn note_start(&mut self, ended: bool) {
        let now = unix_millis();
        self.started_unix_millis = Some(now);
        if ended {
            return;
        }
        if let Err(error) = self.records.running(now) {
            self.journal.note(&format!("cannot write shim.json: {error}"));
        }
    }

    /// Writes how it ended, with everything that must be known before the container is removed.
    fn record(&mut self, outcome: Outcome) -> bool {
        if let Err(error) = self.supervisor.drain() {
            self.journal.note(&error.message());
        }
        for loss in self.supervisor.losses() {
            self.journal.note(loss);
        }
        let said = self.causes.take();
        if !said.is_empty() {
            self.journal.note(&format!("libcontainer: {said}"));
        }
        let exit = Exit {
            outcome,
            started_unix_millis: self.started_unix_millis,
            finished_unix_millis: unix_millis(),
            oom_kills: self.hierarchies.oom_kills(&self.request.cgroup),
        };
        self.journal.note(&format!("ended: {:?}", exit.outcome));
        match self.records.exit(&exit) {
            Ok(()) => true,
            Err(error) => {
                self.journal.note(&format!("cannot write exit.json: {error}"));
                false
            }
        }
    }

    fn remove_everything(&mut self) {
        let mut problems = self.hierarchies.remove(&self.request.cgroup);
        if let Err(error) = root::release(&self.layout.state()) {
            problems.push(error.message());
        }
        if let Err(error) = self.layout.remove_state() {
            problems.push(format!("cannot remove {}: {error}", self.layout.state().display()));
        }
        for problem in problems {
            self.journal.note(&problem);
        }
    }

    fn await_acknowledgement(&mut self) {
        let deadline = Instant::now() + ACKNOWLEDGE_TIMEOUT;
        let mut acknowledged = false;
        while !acknowledged && Instant::now() < deadline {
            let mut act = |command: &Command| match command {
                Command::Signal { .. } => failed("the container has ended"),
                Command::Acknowledge => {
                    acknowledged = true;
                    Answer::Ok
                }
            };
            match self.supervisor.turn(&[], Some(deadline), &mut act) {
                Ok(turn) if turn.terminate => return,
                Ok(_) => {}
                Err(error) => return self.journal.note(&error.message()),
            }
        }
    }
}

fn deliver(number: i32, container: &Container, group: &Path, hierarchies: &Hierarchies) -> Answer {
    let Some(signal) = Signal::from_named_raw(number) else {
        return failed(format!("{number} is not a signal that can be sent"));
    };
    if let Err(error) = container.signal(signal) {
        return failed(format!("cannot send signal {number}: {error}"));
    }
    if signal == Signal::KILL {
        // All of it is in the container's pid namespace and dies with the first process. This is
        // for what a later feature puts beside it.
        hierarchies.kill(group);
    }
    Answer::Ok
}

fn failed(message: impl Into<String>) -> Answer {
    Answer::Failed { message: message.into() }
}
