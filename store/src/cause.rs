//! One cause that many callers are told of: those whose writes shared a commit.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A cause that can be given to several errors; it looks like the cause itself.
#[derive(Debug)]
pub(crate) struct Cause<E>(Arc<E>);

impl<E> Cause<E> {
    /// Makes it shareable.
    pub(crate) fn new(cause: E) -> Self {
        Self(Arc::new(cause))
    }
}

impl<E> Clone for Cause<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: fmt::Display> fmt::Display for Cause<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Error> Error for Cause<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
