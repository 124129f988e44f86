//! Why bytes are not a message, and where in it.

use std::fmt;

/// Why bytes are not a message. Says for people what is wrong, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON.
    #[error("not JSON: {what} at byte {at}")]
    Syntax {
        /// What was found, or missing.
        what: &'static str,
        /// Bytes before it.
        at: usize,
    },
    /// Not protobuf.
    #[error("not a protobuf message: {0}")]
    Protobuf(prost::DecodeError),
    /// A required field is not there, or is an enum of a value nobody knows.
    #[error("missing required field `{path}`")]
    Missing {
        /// From the outermost message, as `accept.operations[0].launch.task_infos[2].name`.
        path: String,
    },
    /// A field has a value of a type or form that it cannot have.
    #[error("{} {what}", if path.is_empty() { "the message".to_owned() } else { format!("field `{path}`") })]
    Value {
        /// As of [`DecodeError::Missing`]; empty for the message itself.
        path: String,
        /// What it must be.
        what: &'static str,
    },
    /// Objects, arrays or messages within each other beyond the limit.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// Levels.
        limit: usize,
    },
    /// Few bytes that would become very many in memory.
    #[error("needs more than {limit} bytes in memory")]
    TooLarge {
        /// Bytes.
        limit: usize,
    },
}

/// Where in a message something stands: a list from the inside out, on the stack.
#[derive(Clone, Copy)]
pub struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'static str),
    Index(usize),
    Key(&'a str),
}

impl<'a> At<'a> {
    pub(crate) const ROOT: At<'static> = At { parent: None, step: Step::Root };

    pub(crate) fn field(&'a self, name: &'static str) -> Self {
        At { parent: Some(self), step: Step::Field(name) }
    }

    pub(crate) fn index(&'a self, index: usize) -> Self {
        At { parent: Some(self), step: Step::Index(index) }
    }

    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        At { parent: Some(self), step: Step::Key(key) }
    }

    /// The error that the field here has a value it cannot have.
    pub(crate) fn wrong(&self, what: &'static str) -> DecodeError {
        DecodeError::Value { path: self.to_string(), what }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let inner = self.parent.is_some_and(|parent| parent.parent.is_some());
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) if inner => write!(f, ".{name}"),
            Step::Field(name) => f.write_str(name),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key:?}]"),
        }
    }
}

/// How much memory a message may still take while it is read. What is counted are the elements of
/// lists and maps, and what lies in boxes; all else is a part of those.
pub(crate) struct Budget {
    left: usize,
}

/// What the elements of one message may take in memory, in bytes, without the contents of strings: an
/// element of a few bytes can be a struct of a thousand.
pub(crate) const MAX_MEMORY_BYTES: usize = 64 << 20;

impl Budget {
    pub(crate) const fn new() -> Self {
        Self { left: MAX_MEMORY_BYTES }
    }

    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), DecodeError> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or(DecodeError::TooLarge { limit: MAX_MEMORY_BYTES })?;
        Ok(())
    }
}
