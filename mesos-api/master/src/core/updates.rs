//! How the status updates of one task reach its scheduler: at least once, in order, one at a time.
//!
//! The agent appends updates to the record; this decides what the gateway does about them.
//!
//! ```text
//!   record ──updates──► first not acknowledged ──send──► in flight ──ACKNOWLEDGE──► next
//!                              ▲                            │
//!                              └── back-off, new stream ────┘
//!
//!   before a terminal one is sent    what is acknowledged before it is stored
//!   eight acknowledged, not stored   stored, and the agent drops them from the record; fewer, where
//!                                     they are large
//!   the terminal one acknowledged    the record is freed
//!   nobody but us knows of the state  (Unreachable, back from it, Lost, Dropped, an agent that let
//!                                     go): told without uuid, as a Mesos master does
//! ```
//!
//! [`Delivery`] is the memory of one task; it is lost with the leader, and nothing but the record is
//! needed to begin again. The caller feeds it whatever happens (the record changed, the stream
//! changed, the time has come) through [`Delivery::step`], and carries out the returned [`Step`].
//!
//! **Invariants**
//! - An update is sent only when all before it were acknowledged, and a terminal one only when that
//!   is stored: so after the memory is lost, none that precedes a terminal update follows it.
//! - Nothing is sent after a terminal update, and the record is freed only by its acknowledgement.
//! - Memory is bounded: one uuid, two marks.

use meseta_crds::TaskState;
use meseta_crds::task::MesosUpdate;
use meseta_mesos_wire::v1;

use super::rows::TaskRow;
use super::statuses;

/// Milliseconds until an update that nobody acknowledged is sent again; doubled each time.
pub const RESEND_FIRST_MS: i64 = 10_000;
/// The longest of these waits.
pub const RESEND_MAX_MS: i64 = 600_000;
/// Acknowledged updates that may be known to this process only.
pub const MAX_UNSTORED: usize = 8;
/// Their bytes: what is large is not rewritten with each update that follows. The agent gives
/// [`MAX_UNSTORED`] updates room whatever they say.
pub const MAX_UNSTORED_BYTES: usize = 32 * 1024;
/// How long a stream must hold after a status without uuid was sent on it, before that is taken for
/// delivered: longer than it takes to notice that a stream broke.
pub const SETTLE_MS: i64 = 5_000;

/// What to do now; everything that is not set is not to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Send this on the stream that was given.
    pub send: Option<Send>,
    /// Write this uuid to `status.mesos.acknowledged`, then look again. Said once; see
    /// [`Delivery::write_failed`].
    pub store: Option<String>,
    /// Take [`meseta_crds::SCHEDULER_FINALIZER`] off the record. Said once; see [`Delivery::write_failed`].
    pub free: bool,
    /// Look again at this time, if nothing happens before.
    pub look_again: Option<i64>,
}

/// A status to send.
#[derive(Clone, Debug, PartialEq)]
pub enum Send {
    /// An update of the record, as the agent or the executor made it; see [`statuses::shown`].
    Update(Box<v1::TaskStatus>),
    /// One that the gateway makes; see [`statuses::own`].
    Own(Own),
}

/// What the gateway tells of its own, without uuid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// The agent is silent.
    Unreachable,
    /// The agent is heard of again, and so is the task.
    Returned,
    /// The task ended, and no update says so.
    Ended,
    /// Nothing of the task is left on its agent, and nobody said how it ended.
    Vanished,
}

impl Own {
    fn ends(self) -> bool {
        matches!(self, Self::Ended | Self::Vanished)
    }
}

/// What the gateway remembers of the updates of one task.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// The last update that was acknowledged here.
    acknowledged: Option<String>,
    /// The update that waits for its acknowledgement.
    flight: Option<Flight>,
    /// What was told without uuid, and when, and on which stream.
    told: Option<(Own, u64, i64)>,
    /// What was asked to be stored.
    storing: Option<String>,
    freeing: bool,
    /// State of the newest update that was sent.
    forwarded: Option<v1::TaskState>,
}

#[derive(Clone, Debug)]
struct Flight {
    uuid: String,
    stream: u64,
    wait: i64,
    again: i64,
}

/// Where a record's list stands.
struct Front<'a> {
    /// Updates before this position are acknowledged.
    next: usize,
    /// The update at this position, unless there is none or one before it is terminal.
    update: Option<(&'a MesosUpdate, v1::TaskStatus)>,
    /// Those before it that are not stored.
    unstored: &'a [MesosUpdate],
    /// Whether one before it is terminal: nothing follows.
    ended: bool,
}

impl Delivery {
    /// Says what to do at `now`, in milliseconds of a clock that nobody can set. `stream` is the number
    /// of the scheduler's stream, another for each subscription, or `None` while there is none.
    pub fn step(&mut self, row: &TaskRow, stream: Option<u64>, now: i64) -> Step {
        if !row.held_by_scheduler {
            return Step::default();
        }
        let front = self.front(row);
        let mut step = Step::default();
        let terminal = front.update.as_ref().is_some_and(|(_, s)| statuses::is_terminal(s.state()));
        let must_store = terminal && !front.unstored.is_empty();
        if must_store || are_many(front.unstored) {
            step.store = self.store(row, &front);
        }
        if must_store {
            return step;
        }
        match front.update {
            Some((update, status)) => self.send(update, status, stream, now, &mut step),
            None if front.ended => step.free = self.free(),
            None => self.tell(row, stream, now, &mut step),
        }
        step
    }

    /// Takes in an ACKNOWLEDGE and says whether it was that of the update whose turn it is. Any
    /// other is ignored, as Mesos does: repeated, late, or of an update that was not sent.
    pub fn acknowledge(&mut self, row: &TaskRow, uuid: &str) -> bool {
        let front = self.front(row);
        let taken = front.update.is_some_and(|(update, _)| update.uuid == uuid);
        if taken {
            self.acknowledged = Some(uuid.to_owned());
            self.flight = None;
        }
        taken
    }

    /// A write that a step asked for failed, or it is not known whether it did: the next step asks
    /// again. Both writes may be repeated.
    pub fn write_failed(&mut self) {
        self.storing = None;
        self.freeing = false;
    }

    /// State of the newest update that this gateway sent, acknowledged or not.
    #[must_use]
    pub fn forwarded(&self) -> Option<v1::TaskState> {
        self.forwarded
    }

    /// How the task ended, where no update tells and all there are were acknowledged.
    #[must_use]
    pub fn untold_end(&self, row: &TaskRow) -> Option<Own> {
        let front = self.front(row);
        let silent = front.update.is_none() && !front.ended;
        owed(row, false).filter(|own| silent && own.ends())
    }

    /// The update whose turn it is, and the one before it where the record still has it.
    #[must_use]
    pub fn around<'a>(
        &self,
        row: &'a TaskRow,
    ) -> (Option<&'a MesosUpdate>, Option<&'a MesosUpdate>) {
        let front = self.front(row);
        let before = front.next.checked_sub(1).and_then(|index| row.updates.get(index));
        (before, front.update.map(|(update, _)| update))
    }

    fn front<'a>(&self, row: &'a TaskRow) -> Front<'a> {
        let after = |position: Option<usize>| position.map_or(0, |position| position + 1);
        let stored = after(position(row, row.acknowledged.as_deref()));
        let mut next = stored.max(after(position(row, self.acknowledged.as_deref())));
        let mut update = None;
        let ended = row.updates[..next]
            .iter()
            .filter(|update| statuses::names_terminal(update))
            .any(|update| statuses::parse(update).is_some());
        // What cannot be read cannot be sent, and must not keep back what follows.
        while let Some(candidate) = row.updates.get(next).filter(|_| !ended) {
            if let Some(status) = statuses::parse(candidate) {
                update = Some((candidate, status));
                break;
            }
            next += 1;
        }
        Front { next, update, unstored: &row.updates[stored..next], ended }
    }

    fn store(&mut self, row: &TaskRow, front: &Front<'_>) -> Option<String> {
        let last = row.updates.get(front.next.checked_sub(1)?)?;
        if self.storing.as_deref() == Some(&last.uuid) {
            return None;
        }
        self.storing = Some(last.uuid.clone());
        self.storing.clone()
    }

    fn free(&mut self) -> bool {
        !std::mem::replace(&mut self.freeing, true)
    }

    fn send(
        &mut self,
        update: &MesosUpdate,
        status: v1::TaskStatus,
        stream: Option<u64>,
        now: i64,
        step: &mut Step,
    ) {
        let Some(stream) = stream else {
            self.flight = None;
            return;
        };
        let flight = self.flight.take().filter(|f| f.uuid == update.uuid && f.stream == stream);
        let flight = match flight {
            Some(flight) if now < flight.again => flight,
            earlier => {
                let wait =
                    earlier.map_or(RESEND_FIRST_MS, |flight| (flight.wait * 2).min(RESEND_MAX_MS));
                self.forwarded = Some(status.state());
                step.send = Some(Send::Update(Box::new(status)));
                let again = now.saturating_add(wait);
                Flight { uuid: update.uuid.clone(), stream, wait, again }
            }
        };
        step.look_again = Some(flight.again);
        self.flight = Some(flight);
    }

    /// Tells what no update tells.
    fn tell(&mut self, row: &TaskRow, stream: Option<u64>, now: i64, step: &mut Step) {
        let was_unreachable = matches!(self.told, Some((Own::Unreachable, _, _)));
        let Some(own) = owed(row, was_unreachable) else { return };
        let Some(stream) = stream else { return };
        let since = match self.told {
            Some((told, on, since)) if told == own && on == stream => since,
            _ => {
                step.send = Some(Send::Own(own));
                self.told = Some((own, stream, now));
                now
            }
        };
        if own.ends() {
            let settled = since.saturating_add(SETTLE_MS);
            if now >= settled {
                step.free = self.free();
            } else {
                step.look_again = Some(settled);
            }
        }
        if own == Own::Returned {
            self.told = None;
        }
    }
}

/// Whether updates take so much of the record that the agent should leave them out.
fn are_many(unstored: &[MesosUpdate]) -> bool {
    let bytes = || unstored.iter().map(|update| update.status.to_string().len()).sum::<usize>();
    unstored.len() >= MAX_UNSTORED || bytes() >= MAX_UNSTORED_BYTES
}

fn position(row: &TaskRow, uuid: Option<&str>) -> Option<usize> {
    let uuid = uuid?;
    row.updates.iter().position(|update| update.uuid == uuid)
}

/// What the scheduler must be told when all updates of the record are acknowledged.
fn owed(row: &TaskRow, was_unreachable: bool) -> Option<Own> {
    if row.has_vanished() {
        return Some(Own::Vanished);
    }
    let never = row.updates.is_empty() && row.acknowledged.is_none();
    match row.state {
        TaskState::Unreachable => Some(Own::Unreachable),
        // The agent makes an update of it, with the state; unless there never was one, or it has let
        // go, or was made to.
        TaskState::Finished
        | TaskState::Failed
        | TaskState::Killed
        | TaskState::Dropped
        | TaskState::Lost => (never || !row.held_by_agent).then_some(Own::Ended),
        TaskState::Pending
        | TaskState::Staging
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Killing => was_unreachable.then_some(Own::Returned),
    }
}

#[cfg(test)]
mod tests;
