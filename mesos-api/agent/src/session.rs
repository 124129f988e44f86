//! What one executor was told, and what it is told next. Pure: time is an argument.
//!
//! ```text
//!             SUBSCRIBE                          shutdown, or nothing left to do
//!  Expected ───────────► Subscribed ────────────────────────► ShuttingDown
//!     │ overdue, shutdown                                          ▲
//!     └────────────────────────────────────────────────────────────┘
//!
//!  stream:   Closed ─► Recovering ─► Greeting ─► Open ─► Closed      (each SUBSCRIBE begins anew)
//!            its updates are stored   SUBSCRIBED   events
//!                          └► Refusing: SHUTDOWN, end                (while ShuttingDown)
//!
//!  task:     Waiting ─► Handed ─► Answered ─► Over
//!                          └► Over, lost: the executor says it does not have it
//! ```
//!
//! The stream pulls: [`Session::next`] says what goes out now, so that what an executor does not
//! read stays here, as few bytes as the facts need, and a newer stream takes it up.

mod acknowledgements;
mod queue;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use meseta_mesos_wire::v1;

use crate::backend::{Killed, Launch, Progress, Refused, Standing, Stored, Undelivered};
pub(crate) use acknowledgements::Acknowledgement;
use acknowledgements::Acknowledgements;
use queue::{Batch, Messages, Queue};
use stream::Stream;
pub(crate) use stream::{Out, Step};

/// One executor.
#[derive(Debug)]
pub(crate) struct Session {
    phase: Phase,
    /// Number of the newest stream, from 1; 0 before the first.
    number: u64,
    stream: Stream,
    /// By uid.
    tasks: BTreeMap<String, Task>,
    /// Uid of the newest task of each Mesos id.
    ids: BTreeMap<String, String>,
    queue: Queue,
    acknowledgements: Acknowledgements,
    messages: Messages,
    /// Whether any task was ever handed over.
    used: bool,
    /// Whether any task was killed before it was handed over.
    killed_early: bool,
    subscribed: bool,
    overdue: bool,
    unneeded: bool,
    grace_over: bool,
    lost: BTreeSet<String>,
    /// Whether it sent an update of a task that it was not given.
    strayed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has to subscribe until then.
    Expected(Duration),
    Subscribed,
    /// It has to be gone until then, if that was said.
    ShuttingDown(Option<Duration>),
}

#[derive(Debug)]
struct Task {
    /// Mesos' id.
    id: String,
    state: State,
    kill: Option<Kill>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Handed,
    Answered,
    Over,
}

#[derive(Debug)]
struct Kill {
    policy: Option<v1::KillPolicy>,
    /// Times it was asked for again.
    repeats: i64,
    /// The stream it went out on; 0 for none.
    sent_on: u64,
}

impl Session {
    /// An executor that has to subscribe until `deadline`.
    pub(crate) fn new(deadline: Duration) -> Self {
        Self {
            phase: Phase::Expected(deadline),
            number: 0,
            stream: Stream::Closed,
            tasks: BTreeMap::new(),
            ids: BTreeMap::new(),
            queue: Queue::default(),
            acknowledgements: Acknowledgements::default(),
            messages: Messages::default(),
            used: false,
            killed_early: false,
            subscribed: false,
            overdue: false,
            unneeded: false,
            grace_over: false,
            lost: BTreeSet::new(),
            strayed: false,
        }
    }

    /// What the agent is told.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            subscribed: self.subscribed,
            connected: self.connected(),
            overdue: self.overdue,
            unneeded: self.unneeded,
            grace_over: self.grace_over,
            lost: self.lost.clone(),
        }
    }

    /// Whether the executor has a stream.
    pub(crate) fn connected(&self) -> bool {
        !matches!(self.stream, Stream::Closed | Stream::Refusing)
    }

    /// Whether calls other than SUBSCRIBE are taken: what an executor kept for the agent while that
    /// was away comes with its SUBSCRIBE, and before anything newer.
    pub(crate) fn takes_calls(&self) -> bool {
        self.number > 0
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self.phase {
            Phase::Expected(deadline) => Some(deadline),
            Phase::ShuttingDown(deadline) if !self.grace_over => deadline,
            Phase::Subscribed | Phase::ShuttingDown(_) => None,
        }
    }

    /// Looks at the deadlines.
    pub(crate) fn tick(&mut self, now: Duration) {
        match self.phase {
            Phase::Expected(deadline) if now >= deadline => {
                self.overdue = true;
                self.phase = Phase::ShuttingDown(None);
            }
            Phase::ShuttingDown(Some(deadline)) if now >= deadline => self.grace_over = true,
            Phase::Expected(_) | Phase::Subscribed | Phase::ShuttingDown(_) => {}
        }
    }

    /// Takes the tasks of one launch, or of one group.
    ///
    /// # Errors
    /// Nothing was taken.
    pub(crate) fn launch(&mut self, tasks: Vec<Launch>, group: bool) -> Result<(), Refused> {
        if tasks.iter().any(|each| self.tasks.contains_key(&each.uid)) {
            return Ok(());
        }
        // A group is handed over as one, so one that was not written down as a whole was not sent.
        let answered = tasks.iter().any(|each| each.progress == Progress::Answered);
        let fresh = !answered && tasks.iter().any(|each| each.progress == Progress::New);
        // What it may have is still its own to report on.
        if fresh && matches!(self.phase, Phase::ShuttingDown(_)) {
            return Err(Refused::ShuttingDown);
        }
        let mut ids = BTreeSet::new();
        for each in &tasks {
            let id = &each.task.task_id.value;
            let live = self.ids.get(id).and_then(|uid| self.tasks.get(uid));
            if !ids.insert(id) || live.is_some_and(|task| task.state != State::Over) {
                return Err(Refused::IdInUse);
            }
        }
        for each in &tasks {
            let state = match each.progress {
                _ if fresh => State::Waiting,
                Progress::New | Progress::HandedOver => State::Handed,
                Progress::Answered => State::Answered,
            };
            let id = each.task.task_id.value.clone();
            self.ids.insert(id.clone(), each.uid.clone());
            self.tasks.insert(each.uid.clone(), Task { id, state, kill: None });
        }
        if fresh {
            self.queue.push(tasks, group);
        } else {
            self.used |= !tasks.is_empty();
        }
        Ok(())
    }

    /// Takes the wish that a task ends, asked for again so often.
    pub(crate) fn kill(
        &mut self,
        uid: &str,
        policy: Option<v1::KillPolicy>,
        repeats: i64,
    ) -> Killed {
        let Some(task) = self.tasks.get_mut(uid) else { return Killed::NotHere };
        match task.state {
            State::Over => Killed::NotHere,
            State::Waiting => {
                let uids = self.queue.take(uid).map_or_else(|| vec![uid.to_owned()], Batch::uids);
                self.over(&uids);
                self.killed_early = true;
                self.check_whether_needed();
                Killed::BeforeHandover(uids)
            }
            State::Handed | State::Answered => {
                let is_same = |kill: &Kill| kill.policy == policy && kill.repeats == repeats;
                if !task.kill.as_ref().is_some_and(is_same) {
                    task.kill = Some(Kill { policy, repeats, sent_on: 0 });
                }
                Killed::Told
            }
        }
    }

    /// Takes the wish that the executor ends until `deadline`; an earlier one stays. The uids of the
    /// tasks that were not handed over.
    pub(crate) fn shutdown(&mut self, deadline: Duration) -> Vec<String> {
        let earlier = match self.phase {
            Phase::ShuttingDown(Some(earlier)) => earlier.min(deadline),
            Phase::Expected(_) | Phase::Subscribed | Phase::ShuttingDown(None) => deadline,
        };
        self.phase = Phase::ShuttingDown(Some(earlier));
        let uids = self.queue.drain();
        self.over(&uids);
        self.messages.clear();
        uids
    }

    /// Takes a message for the executor.
    ///
    /// # Errors
    /// It was not taken.
    pub(crate) fn message(&mut self, data: Bytes) -> Result<(), Undelivered> {
        if !self.connected() || matches!(self.phase, Phase::ShuttingDown(_)) {
            return Err(Undelivered::NotConnected);
        }
        self.messages.push(data)
    }

    /// Forgets a task that is over for the agent.
    pub(crate) fn ended(&mut self, uid: &str) {
        self.lost.remove(uid);
        self.queue.remove(uid);
        if let Some(task) = self.tasks.remove(uid)
            && self.ids.get(&task.id).is_some_and(|newest| newest == uid)
        {
            self.ids.remove(&task.id);
        }
    }

    /// Uid of the task that an update with this Mesos id is about, if the executor was given it.
    pub(crate) fn task_of(&self, id: &str) -> Option<&str> {
        let uid = self.ids.get(id)?;
        self.tasks.get(uid).filter(|task| task.state != State::Waiting)?;
        Some(uid)
    }

    /// An update of the task is with the agent.
    pub(crate) fn stored(
        &mut self,
        uid: &str,
        acknowledgement: Acknowledgement,
        terminal: bool,
        stored: Stored,
    ) {
        if let Some(task) = self.tasks.get_mut(uid) {
            let over = terminal || stored == Stored::AfterEnd;
            // An update of a task that seemed lost, and that nobody has ended yet: it was not.
            let found = stored != Stored::AfterEnd && self.lost.remove(uid);
            if over {
                task.state = State::Over;
            } else if found || task.state == State::Handed {
                task.state = State::Answered;
            }
            if task.state == State::Over {
                task.kill = None;
            }
        }
        self.acknowledgements.stored(acknowledgement);
    }

    /// Acknowledges an update again if it is one that was stored not long ago.
    pub(crate) fn repeated(&mut self, acknowledgement: &Acknowledgement) -> bool {
        self.acknowledgements.repeated(acknowledgement)
    }

    /// Takes note of an update that was stored before the executor was expected.
    pub(crate) fn remember(&mut self, acknowledgement: Acknowledgement) {
        self.acknowledgements.remember(acknowledgement);
    }

    /// Acknowledges an update, though the executor has no task of its id, if it had one not long ago:
    /// nothing follows the end of that.
    pub(crate) fn late(&mut self, acknowledgement: &Acknowledgement) -> bool {
        self.acknowledgements.late(acknowledgement)
    }

    /// Takes note of an update of a task the executor was not given. Whether it is the first.
    pub(crate) fn first_stray(&mut self) -> bool {
        !std::mem::replace(&mut self.strayed, true)
    }

    fn over(&mut self, uids: &[String]) {
        for uid in uids {
            if let Some(task) = self.tasks.get_mut(uid) {
                task.state = State::Over;
            }
        }
    }

    /// An executor that subscribed, and whose tasks were all killed before it got any, has nothing
    /// to wait for.
    fn check_whether_needed(&mut self) {
        let idle = !self.used && self.killed_early && self.queue.is_empty();
        if self.phase == Phase::Subscribed && idle {
            self.unneeded = true;
            self.phase = Phase::ShuttingDown(None);
        }
    }
}
