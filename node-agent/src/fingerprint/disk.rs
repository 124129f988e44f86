//! The disk that the agent's directory is on: how large, and whether it is full.

use std::path::Path;

use meseta_crds::Quantity;
use rustix::fs::{StatVfs, statvfs};

/// Of a file system so many hundredths are for tasks; the rest is what file systems and people need.
const SHARE_FOR_TASKS: u64 = 90;
/// A disk is full when less than this fraction of it is free…
const FULL_FRACTION: u64 = 20;
/// …or less than this, where the fraction is more: a sandbox and some output still fit.
const FULL_BYTES: u64 = 1024 * 1024 * 1024;
/// The same for inodes.
const FULL_INODES_FRACTION: u64 = 50;
/// Amounts are rounded down to it, so that they are short.
const GRAIN_BYTES: u64 = 1024 * 1024;

/// Bytes of the disk at `path` that tasks can be given.
pub(super) fn bytes(path: &Path) -> Option<i64> {
    let size = statvfs(path).ok().map(|found| size(&found))?;
    let share = size / 100 * SHARE_FOR_TASKS;
    i64::try_from(share - share % GRAIN_BYTES).ok()
}

fn size(found: &StatVfs) -> u64 {
    found.f_blocks.saturating_mul(found.f_frsize)
}

/// Whether the agent's disk has room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// It has.
    Available,
    /// It has not; a sentence that says so.
    Full(String),
}

impl Disk {
    /// Looks at the disk at `path`; one that cannot be looked at is not called full.
    pub(crate) fn look(path: &Path) -> Self {
        let Ok(found) = statvfs(path) else { return Self::Available };
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let needed = (size(&found) / FULL_FRACTION).min(FULL_BYTES);
        let path = path.display();
        if free < needed {
            // No exact number: it changes all the time, and each change would be written.
            return Self::Full(format!("{path} has less than {} free", amount(needed)));
        }
        // A file system without a fixed number of inodes says zero.
        if found.f_files > 0 && found.f_favail < found.f_files / FULL_INODES_FRACTION {
            return Self::Full(format!("{path} has room for few more files only"));
        }
        Self::Available
    }
}

/// Whole mebibytes, if there is one: the number is not for counting.
fn amount(bytes: u64) -> Quantity {
    let rounded = if bytes < GRAIN_BYTES { bytes } else { bytes - bytes % GRAIN_BYTES };
    Quantity::from_bytes(i64::try_from(rounded).unwrap_or(i64::MAX))
}
