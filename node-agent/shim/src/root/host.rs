//! The host's tree as a container's root: the same files, read-only, less what is not its business.
//!
//! ```text
//! /              clone of the host's tree with its mounts: read-only, no set-user-id, no devices
//! /proc /sys /dev    taken out of the clone; the container gets its own
//! /mnt           empty: room for the container's volumes
//! /run           empty but for /run/meseta, room again; the host has its services' sockets there
//! <hidden>       empty
//! ```
//!
//! The host's resolver configuration is kept where it is a link into `/run`.

use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use meseta_shim_api::Bind;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, UnmountFlags, unmount};

use super::{attach, copy_mount, new_mount, open_beneath, seal};
use crate::error::{Context as _, Error};

/// Where other file systems go than the host's.
const REPLACED: [&str; 5] = ["proc", "sys", "dev", "run", "mnt"];
/// The directory in `/run` with room for mounts.
const ROOM_IN_RUN: &str = "meseta";
/// What programs read to find a name server.
const RESOLVER: &str = "/etc/resolv.conf";
/// Room for mount points only, which take none: one page for each file system.
const EMPTY_OPTIONS: [(&str, &str); 2] = [("size", "4k"), ("mode", "755")];

/// Mounts the tree at `mount_point`, with a mount point for each of `binds`.
pub(super) fn mount(mount_point: &Path, hidden: &[PathBuf], binds: &[Bind]) -> Result<(), Error> {
    let root = clone_tree(mount_point)?;
    for path in hidden {
        hide(root.as_fd(), path)?;
    }
    make_room(root.as_fd(), "/mnt", &[], binds)?;
    let resolver = fs::canonicalize(RESOLVER).ok();
    let resolver = resolver.filter(|path| path.starts_with("/run"));
    make_room(root.as_fd(), "/run", resolver.as_slice(), binds)?;
    if let Some(path) = resolver {
        let file = copy_mount(&path, OpenTreeFlags::empty())
            .context(|| format!("copy the mount of {}", path.display()))?;
        seal(file.as_fd(), false)?;
        open_beneath(root.as_fd(), &path)
            .and_then(|target| attach(file.as_fd(), target.as_fd(), ""))
            .context(|| format!("mount {}", path.display()))?;
    }
    Ok(())
}

/// Clones the host's tree to `mount_point`, and opens it.
fn clone_tree(mount_point: &Path) -> Result<OwnedFd, Error> {
    let tree = copy_mount(Path::new("/"), OpenTreeFlags::AT_RECURSIVE)
        .context(|| "clone the host's tree")?;
    seal(tree.as_fd(), true)?;
    attach(tree.as_fd(), CWD, mount_point)
        .context(|| format!("mount the host's tree at {}", mount_point.display()))?;
    for name in REPLACED {
        // A host without that mount has nothing to take out.
        match unmount(mount_point.join(name), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(error) => return Err(error).context(|| format!("take /{name} out of the clone")),
        }
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, mount_point, flags, Mode::empty()).context(|| "open the host's tree")
}

/// Mounts something empty over `path`. What does not exist needs no hiding.
fn hide(root: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
    let target = match open_beneath(root, path) {
        Ok(target) => target,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(error).context(|| format!("open {}", path.display())),
    };
    let status = fstat(&target).context(|| format!("look at {}", path.display()))?;
    let cover = if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        let directory = empty()?;
        seal(directory.as_fd(), false)?;
        directory
    } else {
        copy_mount(Path::new("/dev/null"), OpenTreeFlags::empty()).context(|| "copy /dev/null")?
    };
    attach(cover.as_fd(), target.as_fd(), "").context(|| format!("hide {}", path.display()))
}

/// Mounts an empty directory at `place`, with mount points for those of `binds` and `files` that lie
/// in it and not in each other.
fn make_room(
    root: BorrowedFd<'_>,
    place: &str,
    files: &[PathBuf],
    binds: &[Bind],
) -> Result<(), Error> {
    let target = match open_beneath(root, Path::new(place)) {
        Ok(target) => target,
        // A host without that directory has no room, which matters only where room is needed.
        Err(Errno::NOENT) if !binds.iter().any(|bind| bind.target.starts_with(place)) => {
            return Ok(());
        }
        Err(error) => return Err(error).context(|| format!("open {place} for volumes")),
    };
    let room = empty()?;
    if place == "/run" {
        directory_at(room.as_fd(), Path::new(ROOM_IN_RUN))?;
    }
    for path in files.iter().filter_map(|path| path.strip_prefix(place).ok()) {
        file_at(room.as_fd(), path)?;
    }
    for (index, bind) in binds.iter().enumerate() {
        let Ok(path) = bind.target.strip_prefix(place) else { continue };
        // That mount point is in the other volume; libcontainer makes it there if it may.
        if binds[..index].iter().any(|other| bind.target.starts_with(&other.target)) {
            continue;
        }
        if bind.source.is_dir() {
            directory_at(room.as_fd(), path)?;
        } else {
            file_at(room.as_fd(), path)?;
        }
    }
    seal(room.as_fd(), false)?;
    attach(room.as_fd(), target.as_fd(), "").context(|| format!("make room at {place}"))
}

fn empty() -> Result<OwnedFd, Error> {
    new_mount("tmpfs", &EMPTY_OPTIONS, MountAttrFlags::MOUNT_ATTR_NOEXEC)
        .context(|| "make an empty directory")
}

/// Makes the directory `path` and its parents in a file system that nobody else sees yet.
fn directory_at(room: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
    for ancestor in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
        if ancestor.as_os_str().is_empty() {
            continue;
        }
        match mkdirat(room, ancestor, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).context(|| format!("make a mount point for {path:?}")),
        }
    }
    Ok(())
}

/// Makes the empty file `path` and its parents, as [`directory_at`].
fn file_at(room: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
    directory_at(room, path.parent().unwrap_or_else(|| Path::new("")))?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(room, path, flags, Mode::from_raw_mode(0o644))
        .map(drop)
        .context(|| format!("make a mount point for {path:?}"))
}
