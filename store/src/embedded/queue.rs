//! What waits for the writer.

use std::collections::VecDeque;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{MAX_GROUP_BYTES, MAX_GROUP_WRITES, unavailable};
use crate::room::{self, Room, Taken};
use crate::{Change, Error, Expect, LeaseId, Version};

/// What the writer can be asked for; each is what the method of [`crate::Store`] says.
#[derive(Debug)]
pub(super) enum Command {
    Write { key: String, expect: Expect, change: Change },
    Compact { version: Version },
    Grant { ttl_seconds: i64 },
    Renew { lease: LeaseId },
    Revoke { lease: LeaseId },
}

/// What a command came to; each kind fills in what it speaks of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Of a write.
    pub(super) version: Version,
    /// Of a grant.
    pub(super) lease: LeaseId,
}

/// How a command is answered.
pub(super) type Answer = Result<Done, Error>;

impl Command {
    fn value_bytes(&self) -> usize {
        match self {
            Self::Write { change, .. } => room::value_bytes(change),
            Self::Compact { .. }
            | Self::Grant { .. }
            | Self::Renew { .. }
            | Self::Revoke { .. } => 0,
        }
    }
}

/// A command whose caller waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) command: Command,
    reply: oneshot::Sender<Answer>,
    /// Given back when it is answered.
    _room: Taken,
}

impl Waiting {
    /// Answers it.
    pub(super) fn settle(self, answer: Answer) {
        // Who has dropped the future does not want to know.
        let _gone = self.reply.send(answer);
    }
}

/// The callers' end.
#[derive(Debug)]
pub(super) struct Queue {
    /// `None` once closed.
    sender: Option<mpsc::Sender<Waiting>>,
    room: Room,
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct Commands(mpsc::Receiver<Waiting>);

impl Queue {
    pub(super) fn new() -> (Self, Commands) {
        let (sender, receiver) = mpsc::channel();
        (Self { sender: Some(sender), room: Room::new() }, Commands(receiver))
    }

    /// Waits for room, leaves the command there and waits for its answer.
    pub(super) async fn ask(&self, command: Command) -> Answer {
        let room = self.room.take(command.value_bytes()).await;
        let (reply, answer) = oneshot::channel();
        let sender = self.sender.as_ref().expect("the queue is closed only with its store");
        // Not what could not be sent as the cause: errors are logged, values are not.
        sender
            .send(Waiting { command, reply, _room: room })
            .map_err(|_ended| unavailable(mpsc::SendError(())))?;
        answer.await.map_err(unavailable)?
    }

    /// Lets the writer end once it has answered what waits.
    pub(super) fn close(&mut self) {
        self.sender = None;
    }
}

impl Commands {
    /// What waits, up to a full group. Waits at most `patience` for the first command, and returns
    /// nothing when that is over; without patience as long as it takes. `None` once the queue is
    /// closed and empty.
    pub(super) fn next_group(&self, patience: Option<Duration>) -> Option<VecDeque<Waiting>> {
        let first = match patience {
            None => self.0.recv().ok()?,
            Some(patience) => match self.0.recv_timeout(patience) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => return Some(VecDeque::new()),
                Err(RecvTimeoutError::Disconnected) => return None,
            },
        };
        let mut bytes = first.command.value_bytes();
        let mut group = VecDeque::from([first]);
        while group.len() < MAX_GROUP_WRITES
            && bytes < MAX_GROUP_BYTES
            && let Ok(next) = self.0.try_recv()
        {
            bytes += next.command.value_bytes();
            group.push_back(next);
        }
        Some(group)
    }
}
