//! The side of a session that its streams pull at.

use std::collections::BTreeSet;

use bytes::Bytes;
use meseta_mesos_wire::v1;

use super::{Acknowledgement, Phase, Session, State};

/// What a stream does next.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Send this.
    Send(Out),
    /// Have it written that these tasks are handed over, then call [`Session::handed_over`].
    HandOver(Vec<String>),
    /// Nothing until something changes.
    Wait,
    /// End the stream.
    End,
}

/// An event, short of the facts that never change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Out {
    Subscribed,
    Launch(Box<v1::TaskInfo>),
    LaunchGroup(Vec<v1::TaskInfo>),
    Kill { task_id: String, policy: Option<v1::KillPolicy> },
    Acknowledged(Acknowledgement),
    Message(Bytes),
    Shutdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Closed,
    /// What the executor brought with its SUBSCRIBE is being looked at.
    Recovering,
    /// SUBSCRIBED is next.
    Greeting,
    Open {
        /// Whether SHUTDOWN went out on it.
        shut_down: bool,
    },
    /// SHUTDOWN is next, and the end.
    Refusing,
}

impl Session {
    /// A SUBSCRIBE came: the number of its stream. The older stream has ended.
    pub(crate) fn subscribe(&mut self) -> u64 {
        self.number += 1;
        self.stream = Stream::Recovering;
        self.queue.interrupted();
        self.messages.clear();
        if let Phase::Expected(_) = self.phase {
            self.phase = Phase::Subscribed;
        }
        self.subscribed |= self.phase == Phase::Subscribed;
        self.number
    }

    /// The updates that came with the SUBSCRIBE were looked at; `listed` are the Mesos ids of the
    /// tasks the executor says it has. What was handed over and is neither answered nor listed is
    /// lost: how many tasks.
    pub(crate) fn recovered(&mut self, number: u64, listed: &BTreeSet<String>) -> usize {
        if number != self.number || self.stream != Stream::Recovering {
            return 0;
        }
        let before = self.lost.len();
        for (uid, task) in &mut self.tasks {
            if task.state == State::Handed && !listed.contains(&task.id) {
                task.state = State::Over;
                self.lost.insert(uid.clone());
            }
        }
        self.check_whether_needed();
        self.stream = match self.phase {
            Phase::ShuttingDown(_) => Stream::Refusing,
            Phase::Expected(_) | Phase::Subscribed => Stream::Greeting,
        };
        self.lost.len() - before
    }

    /// The stream ended by itself.
    pub(crate) fn disconnected(&mut self, number: u64) {
        if number == self.number {
            self.stream = Stream::Closed;
            self.queue.interrupted();
            self.messages.clear();
        }
    }

    /// The executor is gone: whatever stream there is ends.
    pub(crate) fn close(&mut self) {
        self.number += 1;
        self.stream = Stream::Closed;
    }

    /// What the stream of this number does now.
    pub(crate) fn next(&mut self, number: u64) -> Step {
        if number != self.number {
            return Step::End;
        }
        match self.stream {
            Stream::Closed => Step::End,
            Stream::Recovering => Step::Wait,
            Stream::Refusing => {
                self.stream = Stream::Closed;
                Step::Send(Out::Shutdown)
            }
            Stream::Greeting => {
                self.stream = Stream::Open { shut_down: false };
                Step::Send(Out::Subscribed)
            }
            Stream::Open { shut_down } => self.next_event(shut_down),
        }
    }

    fn next_event(&mut self, shut_down: bool) -> Step {
        if let Some(acknowledgement) = self.acknowledgements.pop() {
            return Step::Send(Out::Acknowledged(acknowledgement));
        }
        if let Phase::ShuttingDown(_) = self.phase {
            self.stream = Stream::Open { shut_down: true };
            return if shut_down { Step::Wait } else { Step::Send(Out::Shutdown) };
        }
        if let Some(uids) = self.queue.hand_over() {
            return Step::HandOver(uids);
        }
        for task in self.tasks.values_mut() {
            if let Some(kill) = &mut task.kill
                && kill.sent_on != self.number
            {
                kill.sent_on = self.number;
                let (task_id, policy) = (task.id.clone(), kill.policy);
                return Step::Send(Out::Kill { task_id, policy });
            }
        }
        self.messages.pop().map_or(Step::Wait, |data| Step::Send(Out::Message(data)))
    }

    /// The last [`Step::HandOver`] of this stream was carried out: the event to send now. `None` if
    /// it must not be sent, since something came between.
    pub(crate) fn handed_over(&mut self, number: u64) -> Option<Out> {
        if number != self.number {
            return None;
        }
        let batch = self.queue.handed_over()?;
        self.used = true;
        for task in &batch.tasks {
            if let Some(task) = self.tasks.get_mut(&task.uid) {
                task.state = State::Handed;
            }
        }
        Some(batch.event())
    }

    /// The last [`Step::HandOver`] of this stream failed; it comes again.
    pub(crate) fn not_handed_over(&mut self, number: u64) {
        if number == self.number {
            self.queue.interrupted();
        }
    }
}
