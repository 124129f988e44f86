//! What libcontainer's processes say when they fail.
//!
//! Its errors cross process borders as the text of the outermost error; the causes exist only as
//! `tracing` events of the forked children. Those go into a pipe of their own, because the children's
//! standard error is the container's already. The pipe never blocks: what does not fit is lost.

use std::fmt::{self, Write as _};
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::error::{Context as _, Error, cut};

/// How much of what was said goes into a message, in bytes: the last of it is closest to the cause.
const KEPT_BYTES: usize = 2048;
/// The longest line, in bytes; shorter than what a pipe takes in one piece.
const MAX_LINE_BYTES: usize = 1024;

/// The reading end.
pub(crate) struct Causes(OwnedFd);

impl Causes {
    /// Sends errors of this process and its children here, from now on.
    pub(crate) fn listen() -> Result<Self, Error> {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (reader, writer) = pipe_with(flags).context(|| "make a pipe for errors")?;
        tracing::subscriber::set_global_default(ErrorsTo(writer))
            .map_err(|error| Error::Refused(format!("cannot listen to libcontainer: {error}")))?;
        Ok(Self(reader))
    }

    /// What was said since the last call, its last [`KEPT_BYTES`].
    pub(crate) fn take(&self) -> String {
        let mut said = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = rustix::io::read(&self.0, &mut chunk) {
            said.extend_from_slice(&chunk[..length]);
        }
        let begin = said.len().saturating_sub(KEPT_BYTES);
        String::from_utf8_lossy(&said[begin..]).trim().replace('\n', "; ")
    }
}

/// A `tracing` subscriber that writes the fields of ERROR events, one line each.
struct ErrorsTo(OwnedFd);

impl Subscriber for ErrorsTo {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let mut text = line.0;
        cut(&mut text, MAX_LINE_BYTES);
        text.push('\n');
        // A full pipe means more errors than anybody reads.
        let _: Result<usize, io::Error> =
            rustix::io::write(&self.0, text.as_bytes()).map_err(Into::into);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        // Writing to a `String` cannot fail.
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, "{}={value:?}", field.name())
        };
    }
}
