//! One owner per task: from its acceptance until nothing of it is left, or only its sandbox.
//!
//! ```text
//!              record ──┐                                 ┌──► status, finalizer
//!                       ▼                                 │
//!  accept ─► drive ─► life (pure) ─► effects ─► conclude ─┴──► kept: sandbox and output
//!  adopt ──►   ▲                                          └──► gone: nothing
//!              └── shim's files, its end, time
//! ```
//!
//! - [`life`] decides; [`drive`] carries out and watches; [`conclude`] reports the end, cleans up and
//!   lets the record go.
//! - After a death of the agent, [`recover`] reads from the disk where a life stands.
//! - A task inside an executor has no container: [`crate::mesos::owner`] owns it.
//! - An owner that is dropped anywhere is the same as an agent that was killed there.
//!
//! **Absence never kills:** a record that is missing ends nothing. A container ends by itself, by its
//! deadline, or because a record says so: one that is being deleted, or one that has been given up
//! as lost.

pub(crate) mod conclude;
pub(crate) mod drive;
pub(crate) mod life;
pub(crate) mod outcome;
mod progress;
pub(crate) mod recover;
pub(crate) mod request;
pub(crate) mod run;
mod stage;
pub(crate) mod wish;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use meseta_crds::Task;
use meseta_crds::task::reason;
use tokio::sync::watch;

use crate::checkpoint::{Accepted, Outcome};
use crate::images::Pin;
use crate::logs::Growing;
use crate::mesos::registry::{ExecutorHold, InnerHold};
use crate::mesos::{self, HoldError};
use crate::node::{Node, unix_millis};
use crate::report::{self, Backoff, Mirror, Record};
use life::{Effect, Event, Life, State};
use recover::Recovered;

/// How an owner begins.
#[derive(Debug)]
pub(crate) enum Begin {
    /// A task that was just placed here and has room.
    Accept(Accepted),
    /// A task whose directory was found.
    Adopt(Accepted),
    /// A task that will not be run, or that nothing is here of: it only gets its end.
    Refuse(Accepted, Outcome),
}

/// What is left when an owner ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The sandbox, for as long as the record exists.
    Sandbox,
    /// Nothing.
    Nothing,
}

/// Shared between an owner and the agent.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Whether the task's resources are in use, or about to be.
    uses_resources: AtomicBool,
}

impl Standing {
    pub(crate) fn new(begin: &Begin) -> Self {
        let uses = !matches!(begin, Begin::Refuse(..));
        Self { uses_resources: AtomicBool::new(uses) }
    }

    /// Whether the task counts against the agent's capacity.
    pub(crate) fn uses_resources(&self) -> bool {
        self.uses_resources.load(Ordering::Acquire)
    }

    fn ended(&self) {
        self.uses_resources.store(false, Ordering::Release);
    }
}

/// What an owner holds from the moment it is decided on: for others that look at the same things.
#[derive(Debug)]
pub(crate) struct Holds {
    /// Whoever follows the output waits for its end.
    output: Option<Growing>,
    /// The layers of a container that may run are not collected.
    image: Option<Pin>,
    /// An executor can be found by its tasks.
    executor: Option<ExecutorHold>,
    /// A task inside an executor can be found by the executor API.
    inner: Option<Result<InnerHold, HoldError>>,
}

impl Holds {
    /// Takes hold of what a task uses already.
    pub(crate) fn take(node: &Node, begin: &Begin, accepted: &Accepted) -> Self {
        let refused = matches!(begin, Begin::Refuse(..));
        let is_inner = accepted.spec.executor_name.is_some();
        let is_executor = accepted.spec.executor.is_some();
        Self {
            output: (!is_inner).then(|| node.outputs.open(&accepted.uid)),
            image: stage::pin(node, accepted),
            executor: (is_executor && !refused).then(|| node.mesos.hold_executor(accepted)),
            inner: (is_inner && !refused).then(|| node.mesos.hold_task(accepted)),
        }
    }
}

/// Owns a task until nothing is to be done about it.
///
/// Dropping the future stops nothing that runs; another owner can adopt the task.
///
/// # Errors
/// The agent's directory cannot be read.
pub(crate) async fn own(
    node: Arc<Node>,
    begin: Begin,
    holds: Holds,
    inbox: watch::Receiver<Record>,
    standing: Arc<Standing>,
) -> io::Result<Left> {
    let mut mirror = Mirror::new(inbox);
    let Holds { output, image, executor, inner } = holds;
    if let Some(inner) = inner {
        return Box::pin(own_inner(&node, begin, inner, mirror, &standing)).await;
    }
    let recovered = match begin {
        Begin::Refuse(accepted, outcome) => {
            let life = Life::of(accepted, State::Ended(outcome));
            return Ok(conclude::conclude(&node, life, mirror).await);
        }
        Begin::Accept(accepted) => {
            hold(&node, &mut mirror).await;
            let written = node.directory.task(&accepted.uid).write_accepted(&accepted);
            let life = Life::begin(accepted);
            match written {
                Ok(()) => Recovered { life, effects: vec![Effect::Stage], events: Vec::new() },
                Err(err) => {
                    let failure = stage::io_failure("cannot write what was accepted", &err);
                    let events = vec![Event::NotStaged(failure)];
                    Recovered { life, effects: Vec::new(), events }
                }
            }
        }
        Begin::Adopt(accepted) => adopt(&node, accepted).await?,
    };
    let registered = executor.as_ref().map(|hold| Arc::clone(&hold.executor));
    let driving = drive::drive(&node, recovered, image, registered, &mut mirror);
    let life = Box::pin(driving).await?;
    standing.ended();
    if let (Some(hold), Some(outcome)) = (&executor, life.outcome()) {
        node.mesos.executor_ended(&hold.executor, outcome);
    }
    drop(output);
    Ok(conclude::conclude(&node, life, mirror).await)
}

/// Owns a task that an executor runs.
async fn own_inner(
    node: &Arc<Node>,
    begin: Begin,
    held: Result<InnerHold, HoldError>,
    mut mirror: Mirror,
    standing: &Standing,
) -> io::Result<Left> {
    let (accepted, new) = match begin {
        Begin::Accept(accepted) => (accepted, true),
        Begin::Adopt(accepted) | Begin::Refuse(accepted, _) => (accepted, false),
    };
    if new {
        hold(node, &mut mirror).await;
    }
    let directory = node.directory.task(&accepted.uid);
    let written = if new { directory.write_accepted(&accepted) } else { Ok(()) };
    let outcome = match (held, written) {
        (Ok(held), Ok(())) => {
            let over = || standing.ended();
            Box::pin(mesos::owner::own(node, &accepted, &held.task, &mut mirror, over)).await?
        }
        (Err(HoldError::Io(err)), _) => return Err(err),
        (Err(HoldError::Invalid(message)), _) => {
            let failure = outcome::Failure::new(reason::INVALID_SPEC, message);
            outcome::never_started(&accepted, failure, unix_millis())
        }
        (Ok(_), Err(err)) => {
            let failure = stage::io_failure("cannot write what was accepted", &err);
            outcome::never_started(&accepted, failure, unix_millis())
        }
    };
    standing.ended();
    let life = Life::of(accepted, State::Ended(outcome));
    Ok(conclude::conclude(node, life, mirror).await)
}

/// Reads where the task stands. A run whose shim was asked for and did not come is abandoned.
async fn adopt(node: &Arc<Node>, mut accepted: Accepted) -> io::Result<Recovered> {
    let directory = node.directory.task(&accepted.uid);
    let checkpoint = directory.read()?;
    run::finish_abandoning(&directory, accepted.run)?;
    loop {
        let run = directory.run(accepted.run);
        let mut seen = recover::look(&run, &node.boot_id)?;
        if checkpoint.outcome.is_none() && seen == recover::Seen::Unclaimed {
            match run::abandon(node, &accepted)? {
                run::Abandoned::Nothing => {
                    accepted.run += 1;
                    directory.write_accepted(&accepted)?;
                    seen = recover::Seen::NotBegun;
                }
                run::Abandoned::Claimed => continue,
            }
        }
        if checkpoint.outcome.is_none() && seen == recover::Seen::Dead {
            node.destroy_cgroup(&accepted.uid, accepted.run).await?;
        }
        return Ok(recover::recover(accepted, &checkpoint, seen, unix_millis()));
    }
}

/// Puts the agent's finalizer on the record, where whoever placed the task has not: a task that was
/// placed by hand. Without it the record could go while the container runs.
async fn hold(node: &Node, mirror: &mut Mirror) {
    let mut backoff = Backoff::default();
    while let Record::Present(task) = mirror.current() {
        if report::is_held(&task) || report::is_deleting(&task) {
            return;
        }
        match report::write_finalizer(node, &task, true).await {
            Ok(task) => return mirror.wrote(task),
            Err(err) => {
                tracing::debug!(
                    error = run::chain(&err),
                    task = task.metadata.name,
                    "not held yet"
                );
                if mirror.after(node, &task, &err).await {
                    continue;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            () = mirror.changed() => {}
        }
    }
}

/// What is accepted of a record; `executor_uid` is that of the executor that is to run it, if any.
pub(crate) fn accepted(task: &Task, executor_uid: Option<String>) -> Accepted {
    Accepted {
        namespace: task.metadata.namespace.clone().unwrap_or_default(),
        name: task.metadata.name.clone().unwrap_or_default(),
        uid: task.metadata.uid.clone().unwrap_or_default(),
        spec: task.spec.clone(),
        executor_uid,
        run: 0,
        restarts: 0,
        restarts_in_a_row: 0,
        first_started_unix_millis: None,
        last: None,
    }
}
