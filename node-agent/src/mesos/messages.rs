//! Messages of executors on their way to the schedulers: to whoever listens, or nowhere.
//!
//! Best effort, as in Mesos: the newest listener gets them, a slow one loses what does not fit, and
//! what nobody listens to is lost.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use meseta_mesos_wire::recordio;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Messages that wait for a listener.
const MAX_WAITING: usize = 256;
/// Their bytes together, as they are sent.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// Bytes of a message; a longer one is lost.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Where messages go.
#[derive(Debug, Default)]
pub(crate) struct Messages(Mutex<Option<Listener>>);

#[derive(Debug)]
struct Listener {
    sender: mpsc::Sender<(Bytes, OwnedSemaphorePermit)>,
    /// A permit for each byte that does not wait.
    room: Arc<Semaphore>,
}

/// What waits for one listener.
#[derive(Debug)]
pub(crate) struct Waiting(mpsc::Receiver<(Bytes, OwnedSemaphorePermit)>);

impl Waiting {
    /// The next record; nothing after the end.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.0.recv().await.map(|(record, _)| record)
    }
}

impl Messages {
    /// Takes the place of an older listener, whose stream ends. Each item is one record in RecordIO:
    /// `{"executor": <uid of its record>, "data": <base64>}`.
    pub(crate) fn listen(&self) -> Waiting {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let room = Arc::new(Semaphore::new(MAX_WAITING_BYTES));
        let listener = Listener { sender, room };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
        Waiting(receiver)
    }

    /// Hands a message to whoever listens.
    pub(crate) fn send(&self, executor: &str, data: &[u8]) {
        let listener = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = match &*listener {
            _ if data.len() > MAX_MESSAGE_BYTES => "it is too long",
            Some(listener) => {
                let record = json!({"executor": executor, "data": STANDARD.encode(data)});
                match listener.send(recordio::frame(record.to_string().as_bytes()).into()) {
                    Ok(()) => return,
                    Err(why) => why,
                }
            }
            None => "nobody listens",
        };
        tracing::info!(executor, why = lost, "a message of an executor is lost");
    }
}

impl Listener {
    /// Has a record wait; why not, otherwise.
    fn send(&self, record: Bytes) -> Result<(), &'static str> {
        let bytes = u32::try_from(record.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes);
        let room = room.map_err(|_| "too many bytes wait")?;
        self.sender.try_send((record, room)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => "too many wait",
            mpsc::error::TrySendError::Closed(_) => "nobody listens any more",
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    /// All records that wait.
    fn taken(waiting: &mut Waiting) -> Vec<Bytes> {
        std::iter::from_fn(|| waiting.next().now_or_never().flatten()).collect()
    }

    #[test]
    fn the_newest_listener_gets_what_is_said() {
        let messages = Messages::default();
        messages.send("e", b"lost");
        let mut older = messages.listen();
        messages.send("e", b"one");
        let mut newer = messages.listen();
        messages.send("e", b"two");
        assert_eq!(taken(&mut older), [&b"30\n{\"executor\":\"e\",\"data\":\"b25l\"}"[..]]);
        assert_eq!(taken(&mut newer), [&b"30\n{\"executor\":\"e\",\"data\":\"dHdv\"}"[..]]);
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_bytes() {
        let messages = Messages::default();
        let mut waiting = messages.listen();
        for _ in 0..2 {
            for _ in 0..=MAX_WAITING {
                messages.send("e", b"more");
            }
            assert_eq!(taken(&mut waiting).len(), MAX_WAITING);
            for _ in 0..MAX_WAITING {
                messages.send("e", &vec![0; MAX_MESSAGE_BYTES]);
            }
            let bytes: usize = taken(&mut waiting).iter().map(Bytes::len).sum();
            assert!((MAX_WAITING_BYTES / 2..=MAX_WAITING_BYTES).contains(&bytes), "{bytes}");
        }
        messages.send("e", &vec![0; MAX_MESSAGE_BYTES + 1]);
        assert!(taken(&mut waiting).is_empty());
    }
}
