//! What waits for an executor: launches that were not handed over, and messages.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Out;
use crate::backend::{Launch, Undelivered};

/// Messages of the scheduler that wait for an executor.
const MAX_MESSAGES: usize = 256;

/// Their bytes together, but for a single one that is larger.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// The tasks of one launch or one group.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) tasks: Vec<Launch>,
    group: bool,
}

impl Batch {
    pub(super) fn uids(self) -> Vec<String> {
        self.tasks.into_iter().map(|task| task.uid).collect()
    }

    pub(super) fn event(self) -> Out {
        let mut tasks: Vec<_> = self.tasks.into_iter().map(|each| each.task).collect();
        match tasks.pop() {
            Some(task) if !self.group => Out::Launch(Box::new(task)),
            last => {
                tasks.extend(last);
                Out::LaunchGroup(tasks)
            }
        }
    }
}

/// Launches in the order they go out: as a Mesos agent sends them, single tasks before groups.
///
/// **Invariant:** at most the first one is being handed over, and no other becomes the first
/// meanwhile.
#[derive(Debug, Default)]
pub(super) struct Queue {
    first: Option<Batch>,
    tasks: VecDeque<Batch>,
    groups: VecDeque<Batch>,
}

impl Queue {
    pub(super) fn push(&mut self, tasks: Vec<Launch>, group: bool) {
        let queue = if group { &mut self.groups } else { &mut self.tasks };
        queue.push_back(Batch { tasks, group });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.tasks.is_empty() && self.groups.is_empty()
    }

    /// Begins to hand over the next one, if there is one: the uids of its tasks.
    pub(super) fn hand_over(&mut self) -> Option<Vec<String>> {
        self.interrupted();
        self.first = self.tasks.pop_front().or_else(|| self.groups.pop_front());
        let batch = self.first.as_ref()?;
        Some(batch.tasks.iter().map(|task| task.uid.clone()).collect())
    }

    /// The one that was being handed over, if it is still wanted.
    pub(super) fn handed_over(&mut self) -> Option<Batch> {
        self.first.take()
    }

    /// What was being handed over was not.
    pub(super) fn interrupted(&mut self) {
        if let Some(batch) = self.first.take() {
            let queue = if batch.group { &mut self.groups } else { &mut self.tasks };
            queue.push_front(batch);
        }
    }

    /// Takes out the launch that a task belongs to.
    pub(super) fn take(&mut self, uid: &str) -> Option<Batch> {
        let has = |batch: &Batch| batch.tasks.iter().any(|task| task.uid == uid);
        if self.first.as_ref().is_some_and(has) {
            return self.first.take();
        }
        for queue in [&mut self.tasks, &mut self.groups] {
            if let Some(at) = queue.iter().position(has) {
                return queue.remove(at);
            }
        }
        None
    }

    /// Takes out one task; the others of its group stay.
    pub(super) fn remove(&mut self, uid: &str) {
        let Some(mut batch) = self.take(uid) else { return };
        batch.tasks.retain(|task| task.uid != uid);
        if !batch.tasks.is_empty() {
            self.groups.push_back(batch);
        }
    }

    /// Takes out everything: the uids.
    pub(super) fn drain(&mut self) -> Vec<String> {
        let batches = self.first.take().into_iter();
        let batches = batches.chain(self.tasks.drain(..)).chain(self.groups.drain(..));
        batches.flat_map(Batch::uids).collect()
    }
}

/// Messages on their way to the executor.
#[derive(Debug, Default)]
pub(super) struct Messages {
    waiting: VecDeque<Bytes>,
    bytes: usize,
}

impl Messages {
    pub(super) fn push(&mut self, data: Bytes) -> Result<(), Undelivered> {
        let bytes = self.bytes + data.len();
        let full = self.waiting.len() == MAX_MESSAGES || bytes > MAX_MESSAGE_BYTES;
        if full && !self.waiting.is_empty() {
            return Err(Undelivered::Full);
        }
        self.bytes = bytes;
        self.waiting.push_back(data);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let data = self.waiting.pop_front()?;
        self.bytes -= data.len();
        Some(data)
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }
}
