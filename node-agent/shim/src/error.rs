//! Why a container could not be started, with what people need to put it right.

use std::error::Error as _;
use std::fmt::Display;
use std::io;

use libcontainer::error::LibcontainerError;
use meseta_shim_api::StartFailure;

/// The longest message that is stored, in bytes: it must fit the room kept for `exit.json`.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4096;

/// What kept a container from running.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A step failed in the kernel.
    #[error("{step}")]
    Io {
        /// What was being done.
        step: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The request asks for something that cannot be.
    #[error("{0}")]
    Refused(String),
    /// The container is there, and its program could not be executed.
    #[error("{message}")]
    Program {
        /// What kind of failure.
        cause: StartFailure,
        /// Which program, and why.
        message: String,
    },
    /// libcontainer failed.
    #[error("{explanation}cannot create the container")]
    Runtime {
        /// A sentence and a separator where we know what it means, or nothing.
        explanation: String,
        /// Its own error, of which only the outermost text is left.
        #[source]
        source: Box<LibcontainerError>,
        /// What its processes said before they ended.
        said: String,
    },
}

/// Adds the step to an error of the kernel.
pub(crate) trait Context<T> {
    /// Says what was being done.
    fn context<D: Display>(self, step: impl FnOnce() -> D) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context<D: Display>(self, step: impl FnOnce() -> D) -> Result<T, Error> {
        self.map_err(|error| Error::Io { step: step().to_string(), source: error.into() })
    }
}

impl Error {
    /// What kind of failure this is.
    pub(crate) fn cause(&self) -> StartFailure {
        match self {
            Self::Io { source, .. } if is_disk_full(source) => StartFailure::DiskFull,
            Self::Io { .. } | Self::Refused(_) => StartFailure::Other,
            Self::Program { cause, .. } => *cause,
            Self::Runtime { .. } => {
                // Its errors cross process borders as text. A v1 cpuset says ENOSPC too.
                let message = self.message();
                let full = message.contains("No space left on device")
                    || message.contains("ENOSPC")
                    || message.contains("EDQUOT");
                if full && !message.contains("cgroup") {
                    StartFailure::DiskFull
                } else {
                    StartFailure::Other
                }
            }
        }
    }

    /// The whole chain on one line, at most [`MAX_MESSAGE_BYTES`] long.
    pub(crate) fn message(&self) -> String {
        let mut message = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            message.push_str(": ");
            message.push_str(&error.to_string());
            source = error.source();
        }
        if let Self::Runtime { said, .. } = self
            && !said.is_empty()
        {
            message.push_str("; it said: ");
            message.push_str(said);
        }
        bounded_line(&message)
    }
}

/// Whether a file could not be written for want of room.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Shortens `text` to at most `max_bytes`, between two characters.
pub(crate) fn cut(text: &mut String, max_bytes: usize) {
    let mut end = max_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// `text` without control characters, cut at the end if too long.
fn bounded_line(text: &str) -> String {
    let mut line: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(&mut line, MAX_MESSAGE_BYTES);
    line
}

#[cfg(test)]
mod tests;
