//! Acknowledgements on their way to the executor, and those of not long ago.

use std::collections::VecDeque;

/// Acknowledgements that wait for an executor that does not read. The oldest go first: the executor
/// sends those updates again when it subscribes again.
const MAX_WAITING: usize = 1024;

/// Updates that were stored most recently, and are known without asking. It matters where a Mesos id
/// was used again: an old update that is repeated is not about the new task.
const MAX_REMEMBERED: usize = 1024;

/// That an update is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    /// Mesos' id of the task.
    pub(crate) task_id: String,
    /// 16 bytes.
    pub(crate) uuid: Vec<u8>,
}

/// Of one executor.
#[derive(Debug, Default)]
pub(super) struct Acknowledgements {
    waiting: VecDeque<Acknowledgement>,
    remembered: VecDeque<Acknowledgement>,
}

impl Acknowledgements {
    /// An update was stored: acknowledges and remembers it.
    pub(super) fn stored(&mut self, acknowledgement: Acknowledgement) {
        self.remember(acknowledgement.clone());
        self.push(acknowledgement);
    }

    /// Remembers an update that was stored before.
    pub(super) fn remember(&mut self, acknowledgement: Acknowledgement) {
        if self.remembered.len() == MAX_REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(acknowledgement);
    }

    /// Acknowledges an update again if it is remembered.
    pub(super) fn repeated(&mut self, acknowledgement: &Acknowledgement) -> bool {
        let repeated = self.remembered.contains(acknowledgement);
        if repeated {
            self.push(acknowledgement.clone());
        }
        repeated
    }

    /// Acknowledges an update of a task of which an update is remembered.
    pub(super) fn late(&mut self, acknowledgement: &Acknowledgement) -> bool {
        let late = self.remembered.iter().any(|known| known.task_id == acknowledgement.task_id);
        if late {
            self.push(acknowledgement.clone());
        }
        late
    }

    /// The next one to send.
    pub(super) fn pop(&mut self) -> Option<Acknowledgement> {
        self.waiting.pop_front()
    }

    fn push(&mut self, acknowledgement: Acknowledgement) {
        if self.waiting.contains(&acknowledgement) {
            return;
        }
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(acknowledgement);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_not_read_are_bounded() {
        let mut acknowledgements = Acknowledgements::default();
        for uuid in 0..2000_u32 {
            let uuid = uuid.to_be_bytes().to_vec();
            acknowledgements.stored(Acknowledgement { task_id: "a".to_owned(), uuid });
        }
        let sent: Vec<_> = std::iter::from_fn(|| acknowledgements.pop()).collect();
        assert_eq!(sent.len(), MAX_WAITING);
        assert_eq!(sent.last().unwrap().uuid, 1999_u32.to_be_bytes());
        assert_eq!(acknowledgements.remembered.len(), MAX_REMEMBERED);
    }
}
