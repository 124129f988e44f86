//! Removal of a tree that a workload made: of any depth, size, owner and mode.
//!
//! One directory is open at a time, whatever the depth: the way back up is `..`, and what is found
//! there must be the directory that the way down came through.

use std::ffi::{OsStr, OsString};
use std::io;

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Dir, RESOLVE};

/// Names read at a time: a directory of millions is not held in memory.
const BATCH: usize = 128;

/// A directory on the way down: its name, and device and inode of the one it is in.
struct Step {
    name: OsString,
    parent: (u64, u64),
}

pub(super) fn remove(parent: &Dir, name: &OsStr) -> io::Result<()> {
    if unlink(parent, name)? {
        return Ok(());
    }
    let mut current = open(parent, name)?;
    let mut way: Vec<Step> = Vec::new();
    loop {
        if let Some(child) = unlink_up_to_a_directory(&current)? {
            let opened = open(&current, &child)?;
            way.push(Step { name: child, parent: identity(&current)? });
            current = opened;
            continue;
        }
        let Some(step) = way.pop() else { break };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY | OFlags::NOFOLLOW;
        current = Dir(fs::openat(&current, "..", flags, Mode::empty())?);
        if identity(&current)? != step.parent {
            return Err(io::Error::other("a directory was moved while its tree was removed"));
        }
        remove_directory(&current, &step.name)?;
    }
    remove_directory(parent, name)
}

/// Removes what is in `directory` until a directory comes; that one's name.
fn unlink_up_to_a_directory(directory: &Dir) -> io::Result<Option<OsString>> {
    loop {
        let names = directory.names(BATCH)?;
        if names.is_empty() {
            return Ok(None);
        }
        for name in names {
            if !unlink(directory, &name)? {
                return Ok(Some(name));
            }
        }
    }
}

/// Removes a name unless it is a directory's; whether it is gone.
fn unlink(directory: &Dir, name: &OsStr) -> io::Result<bool> {
    match fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(err) => Err(err.into()),
    }
}

/// The directory called `name`, unless something is mounted there.
fn open(parent: &Dir, name: &OsStr) -> io::Result<Dir> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let resolve = RESOLVE | ResolveFlags::NO_XDEV;
    Ok(Dir(fs::openat2(parent, name, flags, Mode::empty(), resolve)?))
}

fn remove_directory(parent: &Dir, name: &OsStr) -> io::Result<()> {
    match fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(err) => Err(err.into()),
    }
}

fn identity(directory: &Dir) -> io::Result<(u64, u64)> {
    let stat = fs::fstat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}
