//! The body of a watch: lines for its initial state and its changes, bookmarks, the end.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use meseta_store::Version;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{error_line, stream_answer};
use crate::answer::{Body, BoxError, Response};
use crate::cache::{Change, Delivery, Form, Subscription, line};
use crate::object::Object;
use crate::registry::Kind;
use crate::request::params::WatchOptions;
use crate::status::Failure;
use crate::table;

/// How long a watch lasts at least where the client says nothing; up to twice that, at random, so
/// that not all come back at once. As kube-apiserver's.
const MIN_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Time between two bookmarks, as kube-apiserver's.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// How long before the end of the watch the last bookmark is sent.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// Bytes that are sent at once while more is waiting.
const CHUNK_BYTES: usize = 64 * 1024;
/// Says that a bookmark ends the initial state.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// What a watch follows after its initial state.
pub(crate) trait Changes: Send + 'static {
    /// The next change; `None` at the end, also when asked again. May be dropped and called again
    /// without loss.
    fn next(&mut self) -> impl Future<Output = Option<Delivery>> + Send;

    /// The next change, if it is there already.
    fn try_next(&mut self) -> Option<Delivery>;

    /// The version of what was given last; at first, what the watch begins with.
    fn version(&self) -> Version;

    /// The version up to which everything that concerns the watch was given; `None` while something
    /// waits to be.
    fn bookmark(&mut self) -> Option<Version>;

    /// Why the watch cannot go on, where that is to be said; once.
    fn last_words(&mut self) -> Option<Failure>;
}

impl Changes for Subscription {
    fn next(&mut self) -> impl Future<Output = Option<Delivery>> + Send {
        Self::next(self)
    }

    fn try_next(&mut self) -> Option<Delivery> {
        Self::try_next(self)
    }

    fn version(&self) -> Version {
        Self::version(self)
    }

    fn bookmark(&mut self) -> Option<Version> {
        Self::bookmark(self)
    }

    /// Whoever is cut comes back to the ring, or hears there that it is too late.
    fn last_words(&mut self) -> Option<Failure> {
        None
    }
}

/// What a watch begins with.
pub(crate) struct Initial {
    pub(crate) objects: Vec<Arc<Object>>,
    /// Whether a bookmark is due after them.
    pub(crate) ends: bool,
}

/// The answer to a watch: `initial`, then `changes`. It holds its `room` until it ends.
pub(crate) fn begin(
    kind: Arc<Kind>,
    form: Form,
    options: &WatchOptions,
    initial: Initial,
    changes: impl Changes,
    room: OwnedSemaphorePermit,
) -> Response {
    let now = Instant::now();
    let end = now + options.timeout.unwrap_or_else(default_timeout);
    let next_bookmark = options.bookmarks.then(|| first_bookmark(now, end));
    let stream = Stream {
        kind,
        form,
        initial: initial.objects.into_iter(),
        ends_initial: initial.ends,
        changes,
        first: true,
        end,
        next_bookmark,
        timer: Box::pin(sleep_until(next_bookmark.unwrap_or(end).min(end))),
        _room: room,
    };
    let lines = futures::stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next_chunk().await?;
        Some((Ok::<_, BoxError>(chunk), stream))
    });
    stream_answer(Body::stream(lines))
}

fn default_timeout() -> Duration {
    let random = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    MIN_TIMEOUT + MIN_TIMEOUT * random / u32::from(u8::MAX)
}

fn first_bookmark(now: Instant, end: Instant) -> Instant {
    let last = end.checked_sub(LAST_BOOKMARK).filter(|last| *last > now);
    (now + BOOKMARK_INTERVAL).min(last.unwrap_or(end))
}

/// One open watch.
struct Stream<C> {
    kind: Arc<Kind>,
    form: Form,
    initial: std::vec::IntoIter<Arc<Object>>,
    /// Whether a bookmark is due after the initial state.
    ends_initial: bool,
    changes: C,
    /// Whether nothing was sent yet.
    first: bool,
    end: Instant,
    next_bookmark: Option<Instant>,
    /// Set to the next bookmark or the end.
    timer: Pin<Box<Sleep>>,
    _room: OwnedSemaphorePermit,
}

impl<C: Changes> Stream<C> {
    /// The next bytes to send; `None` at the end.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        if let Some(chunk) = self.initial_chunk() {
            return Some(chunk);
        }
        loop {
            tokio::select! {
                biased;
                () = &mut self.timer => {
                    if Instant::now() >= self.end {
                        return None;
                    }
                    let bookmark = self.timed_bookmark();
                    if bookmark.is_some() {
                        return bookmark;
                    }
                }
                delivery = self.changes.next() => return match delivery {
                    Some(delivery) => Some(self.lines(&delivery)),
                    None => self.changes.last_words().as_ref().map(error_line),
                },
            }
        }
    }

    /// A part of the initial state, and the bookmark that ends it.
    fn initial_chunk(&mut self) -> Option<Bytes> {
        let mut chunk = BytesMut::new();
        while chunk.len() < CHUNK_BYTES {
            let Some(object) = self.initial.next() else { break };
            let (body, version) = (object.body(), object.version());
            let line = line(&self.kind, Change::Added, body, version, self.form, self.first);
            self.first = false;
            chunk.extend_from_slice(&line);
        }
        if self.ends_initial && self.initial.len() == 0 {
            self.ends_initial = false;
            let version = self.changes.version();
            chunk.extend_from_slice(&self.bookmark(version, true));
        }
        (!chunk.is_empty()).then(|| chunk.freeze())
    }

    /// The lines of a change and of those that wait behind it.
    fn lines(&mut self, first: &Delivery) -> Bytes {
        let line = self.change(first);
        let Some(second) = self.changes.try_next() else { return line };
        let mut chunk = BytesMut::from(line);
        let mut next = Some(second);
        while let Some(delivery) = next {
            chunk.extend_from_slice(&self.change(&delivery));
            next = (chunk.len() < CHUNK_BYTES).then(|| self.changes.try_next()).flatten();
        }
        chunk.freeze()
    }

    fn change(&mut self, delivery: &Delivery) -> Bytes {
        let Delivery { event, change } = delivery;
        if std::mem::take(&mut self.first) {
            event.first_line(&self.kind, *change, self.form)
        } else {
            event.line(&self.kind, *change, self.form)
        }
    }

    /// The bookmark that is due now, unless changes wait to be sent: the next one will do.
    fn timed_bookmark(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        let due = self.next_bookmark.is_some_and(|due| due <= now);
        let next = first_bookmark(now, self.end);
        self.next_bookmark = self.next_bookmark.map(|_| next);
        self.timer.as_mut().reset(self.next_bookmark.unwrap_or(self.end).min(self.end));
        let version = if due { self.changes.bookmark() } else { None };
        version.map(|version| self.bookmark(version, false))
    }

    fn bookmark(&self, version: Version, ends_initial: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if ends_initial {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let object = json!({
            "kind": self.kind.kind,
            "apiVersion": self.kind.api_version(),
            "metadata": metadata,
        });
        let object = match self.form {
            Form::Object => object,
            Form::Metadata { beta } => crate::cache::metadata(&object, beta),
            Form::Table(include) => {
                let row = table::table_row(&self.kind, &object, include, jiff::Timestamp::now());
                json!({
                    "kind": "Table",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"resourceVersion": version.to_string()},
                    "columnDefinitions": Value::Null,
                    "rows": [row],
                })
            }
        };
        Bytes::from(format!("{}\n", json!({"type": "BOOKMARK", "object": object})))
    }
}
