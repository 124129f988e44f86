//! Messages of executors on their way to the schedulers: to whoever listens, or nowhere.
//!
//! Best effort, as in Mesos: the newest listener gets them, a slow one loses what does not fit, and
//! what nobody listens to is lost.

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use meseta_mesos_wire::recordio;
use serde_json::json;
use tokio::sync::mpsc;

/// Messages that wait for a listener.
const MAX_WAITING: usize = 256;
/// Bytes of a message; a longer one is lost.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Where messages go.
#[derive(Debug, Default)]
pub(crate) struct Messages(Mutex<Option<mpsc::Sender<Bytes>>>);

impl Messages {
    /// Takes the place of an older listener, whose stream ends. Each item is one record in RecordIO:
    /// `{"executor": <uid of its record>, "data": <base64>}`.
    pub(crate) fn listen(&self) -> mpsc::Receiver<Bytes> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// Hands a message to whoever listens.
    pub(crate) fn send(&self, executor: &str, data: &[u8]) {
        let listener = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = match &*listener {
            _ if data.len() > MAX_MESSAGE_BYTES => "it is too long",
            Some(listener) => {
                let record = json!({"executor": executor, "data": STANDARD.encode(data)});
                let record = recordio::frame(record.to_string().as_bytes());
                match listener.try_send(record.into()) {
                    Ok(()) => return,
                    Err(mpsc::error::TrySendError::Full(_)) => "too many wait",
                    Err(mpsc::error::TrySendError::Closed(_)) => "nobody listens any more",
                }
            }
            None => "nobody listens",
        };
        tracing::info!(executor, why = lost, "a message of an executor is lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_listener_gets_what_is_said() {
        let messages = Messages::default();
        messages.send("e", b"lost");
        let mut older = messages.listen();
        messages.send("e", b"one");
        let mut newer = messages.listen();
        messages.send("e", b"two");
        assert_eq!(older.try_recv().unwrap(), &b"30\n{\"executor\":\"e\",\"data\":\"b25l\"}"[..]);
        older.try_recv().unwrap_err();
        assert_eq!(newer.try_recv().unwrap(), &b"30\n{\"executor\":\"e\",\"data\":\"dHdv\"}"[..]);
        for _ in 0..MAX_WAITING + 1 {
            messages.send("e", b"more");
        }
        assert_eq!(newer.len(), MAX_WAITING);
    }
}
