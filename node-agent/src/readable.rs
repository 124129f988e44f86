//! A file descriptor of the kernel's (inotify, pidfd) that can be waited for.
//!
//! The only module of the agent with `unsafe`: tokio asks for a promise about the descriptor that
//! this type keeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that becomes readable. It does not block when it is read.
#[derive(Debug)]
pub(crate) struct Readable(AsyncFd<OwnedFd>);

impl AsFd for Readable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

impl Readable {
    /// Registers `fd` with the runtime.
    ///
    /// # Errors
    /// The kernel has no room for it, or cannot wait for such a descriptor.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "tokio cannot check that the descriptor stays what it is")]
        // SAFETY: an `OwnedFd` is open and the same file until it is dropped, and nothing takes it
        // out of the `AsyncFd`, which drops it after its registration.
        let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        Ok(Self(registered?))
    }

    /// Waits until it is readable, and calls `read`; what `read` leaves unread makes it readable
    /// again. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Those of `read`, or the runtime is shutting down.
    pub(crate) async fn when_readable<T>(
        &self,
        read: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut ready = self.0.readable().await?;
        // Before the read: whatever arrives during it is told again.
        ready.clear_ready();
        read(self.as_fd())
    }

    /// Waits until it is readable, for descriptors that then stay so. Dropping the future loses
    /// nothing.
    pub(crate) async fn readable(&self) {
        // An error means that the runtime is shutting down, and then nobody listens.
        drop(self.0.readable().await);
    }
}
