//! The changes of a live collection, as a watch follows them.

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt as _};
use futures::{FutureExt as _, Stream};
use meseta_store::Version;
use tokio_util::sync::CancellationToken;

use super::source::{LiveEvent, LiveObject};
use crate::cache::{Delivery, Event, Selection};
use crate::handlers::watch::stream::Changes;
use crate::object::Object;
use crate::registry::Kind;
use crate::status::Failure;

/// See the module. What does not concern the watch only moves its version.
pub(super) struct LiveChanges {
    kind: Arc<Kind>,
    selection: Selection,
    events: BoxStream<'static, LiveEvent>,
    /// Found by [`Changes::bookmark`], and to be given next.
    waiting: Option<Delivery>,
    version: Version,
    /// Whether its end has been told.
    told: bool,
}

impl LiveChanges {
    /// Follows `events`, which come after `version`, until they end or the server stops.
    pub(super) fn new(
        kind: Arc<Kind>,
        selection: Selection,
        events: impl Stream<Item = LiveEvent> + Send + 'static,
        version: Version,
        shutdown: CancellationToken,
    ) -> Self {
        let events = events.take_until(shutdown.cancelled_owned()).fuse().boxed();
        Self { kind, selection, events, waiting: None, version, told: false }
    }

    /// Takes in an event; what it is to the watch, if it concerns it.
    fn take_in(&mut self, event: LiveEvent) -> Option<Delivery> {
        let object = |LiveObject { version, value }| {
            let version = Version(version);
            (version, Some(Arc::new(Object::live(&self.kind, version, value))))
        };
        let event = match event {
            LiveEvent::Added(added) => {
                let (version, object) = object(added);
                Event::new(version, object, None)
            }
            LiveEvent::Deleted(deleted) => {
                let (version, previous) = object(deleted);
                Event::new(version, None, previous)
            }
        };
        self.version = event.version;
        let change = event.change(&self.selection)?;
        Some(Delivery { event: Arc::new(event), change })
    }
}

impl Changes for LiveChanges {
    async fn next(&mut self) -> Option<Delivery> {
        if let Some(waiting) = self.waiting.take() {
            return Some(waiting);
        }
        loop {
            let event = self.events.next().await?;
            if let Some(delivery) = self.take_in(event) {
                return Some(delivery);
            }
        }
    }

    fn try_next(&mut self) -> Option<Delivery> {
        self.next().now_or_never().flatten()
    }

    fn version(&self) -> Version {
        self.version
    }

    fn bookmark(&mut self) -> Option<Version> {
        self.waiting = self.try_next();
        self.waiting.is_none().then_some(self.version)
    }

    fn last_words(&mut self) -> Option<Failure> {
        let first = !std::mem::replace(&mut self.told, true);
        first.then(|| Failure::expired(MOVED, None))
    }
}

/// Said at the end of a watch: what comes next is not known here.
pub(super) const MOVED: &str =
    "too old resource version: the leading control plane has changed, or the watch fell behind";
