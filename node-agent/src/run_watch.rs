//! Tells when the files of a run change: the shim replaces them by renames, inotify says so.
//!
//! One inotify instance for all runs. Where the kernel gives no more watches the run is looked at
//! every so often instead: slower, and nothing is missed.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::sync::Notify;

use crate::readable::Readable;

/// Time between two looks at a run that cannot be watched.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Room for the events of one read; names in runs are short.
const BUFFER_BYTES: usize = 4096;

/// Watches the directories of all runs.
#[derive(Clone, Debug)]
pub(crate) struct RunWatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inotify: Readable,
    watched: Mutex<HashMap<i32, Arc<Notify>>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Arc<Notify>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One watched directory; not watched any more when dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    changed: Arc<Notify>,
    /// `None` where the directory is polled.
    watch: Option<(i32, Arc<Shared>)>,
}

impl RunWatch {
    /// # Errors
    /// The kernel has no instance left for this user.
    pub(crate) fn new() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let inotify = Readable::new(fd)?;
        Ok(Self(Arc::new(Shared { inotify, watched: Mutex::default() })))
    }

    /// Watches the directory of a run. What changed before is not told of: look after this.
    pub(crate) fn watch(&self, directory: &Path) -> Watched {
        let changed = Arc::new(Notify::new());
        // Held over both steps, so that an event finds its watch.
        let mut watched = self.0.lock();
        let added = inotify::add_watch(&self.0.inotify, directory, WatchFlags::MOVED_TO);
        let watch = match added {
            Ok(watch) => {
                watched.insert(watch, Arc::clone(&changed));
                Some((watch, Arc::clone(&self.0)))
            }
            Err(err) => {
                let error = &io::Error::from(err) as &dyn std::error::Error;
                tracing::warn!(error, ?directory, "a run is polled instead of watched");
                None
            }
        };
        Watched { changed, watch }
    }

    /// Hands on what the kernel tells, until dropped.
    ///
    /// # Errors
    /// The kernel refused to tell.
    pub(crate) async fn run(&self) -> io::Result<()> {
        loop {
            self.0.inotify.when_readable(|fd| self.read_events(fd)).await?;
        }
    }

    fn read_events(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut events = inotify::Reader::new(fd, &mut buffer);
        loop {
            match events.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    for changed in self.0.lock().values() {
                        changed.notify_one();
                    }
                }
                Ok(event) => {
                    if let Some(changed) = self.0.lock().get(&event.wd()) {
                        changed.notify_one();
                    }
                }
                Err(Errno::WOULDBLOCK) => return Ok(()),
                Err(err) => return Err(err.into()),
            }
        }
    }
}

impl Watched {
    /// Waits until something may have changed since the last call. Dropping the future loses nothing.
    pub(crate) async fn changed(&self) {
        if self.watch.is_some() {
            self.changed.notified().await;
        } else {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some((watch, shared)) = &self.watch {
            shared.lock().remove(watch);
            // The directory may be gone already, and its watch with it.
            let _ = inotify::remove_watch(&shared.inotify, *watch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replaced_file_is_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let watch = RunWatch::new().unwrap();
        let watched = watch.watch(directory.path());
        let elsewhere = tempfile::tempdir().unwrap();
        let other = watch.watch(elsewhere.path());
        let changes = async {
            let path = directory.path().join("exit.json");
            meseta_shim_api::write(&path, &1).unwrap();
            watched.changed().await;
        };
        tokio::select! {
            ended = watch.run() => ended.unwrap(),
            () = other.changed() => panic!("nothing changed there"),
            changed = tokio::time::timeout(Duration::from_secs(30), changes) => changed.unwrap(),
        }
    }
}
