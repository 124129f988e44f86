//! The directory and the disk it lies on.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use redb::{Builder, Database};

use super::{engine, unavailable};
use crate::Error;

/// The file with the records.
const DATABASE_FILE: &str = "store.redb";
/// The file whose lock says that the directory is in use; it is never removed.
const LOCK_FILE: &str = "lock";
/// What redb may cache, read and written pages together: the layers above keep what they need.
const CACHE_BYTES: usize = 64 << 20;

/// Where the file is; a trait so that tests can let the disk fail.
pub(super) trait Disk: Send + 'static {
    /// Opens the file and repairs it where its last user was killed.
    fn open(&self) -> Result<Database, Error>;

    /// What can still be written.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// A locked directory; the lock goes with it.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

/// Two stores in one directory would each overwrite what the other wrote.
#[derive(Debug, thiserror::Error)]
#[error("the store in `{}` is in use by another process", .0.display())]
struct InUse(PathBuf);

/// The directory is not usable at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the directory `{}`", .path.display())]
struct Unusable {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Directory {
    /// Creates the directory where it is missing and takes its lock.
    pub(super) fn lock(path: &Path) -> Result<Self, Error> {
        let unusable = |source| unavailable(Unusable { path: path.to_owned(), source });
        // Its owner only: records hold secrets.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let lock = File::create(path.join(LOCK_FILE)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(unavailable(InUse(path.to_owned()))),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// Makes the names of the files durable, which a sync of their content does not.
    fn sync_names(&self) -> Result<(), Error> {
        let parent = self.path.canonicalize().map_err(fault)?;
        for directory in [Some(self.path.as_path()), parent.parent()].into_iter().flatten() {
            File::open(directory).and_then(|names| names.sync_all()).map_err(fault)?;
        }
        Ok(())
    }
}

impl Disk for Directory {
    fn open(&self) -> Result<Database, Error> {
        let path = self.path.join(DATABASE_FILE);
        let database = Builder::new().set_cache_size(CACHE_BYTES).create(path).map_err(engine)?;
        self.sync_names()?;
        Ok(database)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.path)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// What a fault of the disk means to the caller.
pub(super) fn fault(cause: io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::NoSpace(Box::new(cause))
        }
        _ => unavailable(cause),
    }
}
