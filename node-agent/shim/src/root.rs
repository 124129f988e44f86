//! The container's root, mounted where only the shim and its container see it.
//!
//! The shim has a mount namespace of its own: what is mounted here is invisible to the host, keeps
//! the host's mount table short, and is gone when the shim is, however it ends.

mod host;
mod layers;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use libcontainer::syscall::linux::{
    AT_EMPTY_PATH, AT_RECURSIVE, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MountAttr,
};
use libcontainer::syscall::syscall::create_syscall;
use meseta_shim_api::{Root, RunRequest};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    mount_change, move_mount, open_tree, unmount,
};

use crate::error::{Context as _, Error};
use crate::sys;

/// Room for libcontainer's state and the spec: some kilobytes, unless the environment is long.
const STATE_BYTES: &str = "16m";

/// Begins the shim's own mount namespace, with a `/proc` that shows the shim's pid namespace.
///
/// The host's unmounts still arrive, so that a running container keeps no disk of the host busy
/// longer than its own root does; what is mounted here goes nowhere.
pub(crate) fn enter_namespace() -> Result<(), Error> {
    sys::unshare(libc::CLONE_NEWNS).context(|| "make a mount namespace")?;
    let down = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", down).context(|| "stop mounts from reaching the host")?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let proc = new_mount("proc", &[], flags).context(|| "make a /proc")?;
    // The host's would stay below, also in a clone of the tree.
    release(Path::new("/proc"))?;
    attach(proc.as_fd(), CWD, "/proc").context(|| "mount /proc")
}

/// Mounts the container's root at `mount_point`.
pub(crate) fn mount(request: &RunRequest, mount_point: &Path) -> Result<(), Error> {
    match &request.root {
        Root::Host => host::mount(mount_point, &request.hidden, &request.binds),
        Root::Layers { lower, upper, work } => layers::mount(mount_point, lower, upper, work),
    }
}

/// Begins a file system in memory at `path`. It stays out of copies of the tree around it, so that
/// a container on the host's files does not find its own spec.
pub(crate) fn keep_in_memory(path: &Path) -> Result<(), Error> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    new_mount("tmpfs", &[("size", STATE_BYTES), ("mode", "700")], flags)
        .and_then(|memory| attach(memory.as_fd(), CWD, path))
        .and_then(|()| mount_change(path, MountPropagationFlags::UNBINDABLE))
        .context(|| format!("keep {} in memory", path.display()))
}

/// Unmounts what is at `path` and below. Nothing being there is fine.
pub(crate) fn release(path: &Path) -> Result<(), Error> {
    match unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(error) => Err(error).context(|| format!("unmount {}", path.display())),
    }
}

/// A new file system that is not attached anywhere yet.
fn new_mount(
    kind: &str,
    options: &[(&str, &str)],
    flags: MountAttrFlags,
) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for &(key, value) in options {
        fsconfig_set_string(&context, key, value)?;
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

/// A copy of the mount at `path`, with everything below it if asked, that is not attached yet.
fn copy_mount(path: &Path, flags: OpenTreeFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, path, flags)
}

/// Attaches a mount at `path` below `directory`, which must be an ordinary path or empty.
fn attach(
    mount: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    path: impl rustix::path::Arg,
) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", directory, path, flags)
}

/// Makes a mount, or it and all below it, private and read-only, and disarms set-user-id programs
/// and device files on it.
fn seal(mount: BorrowedFd<'_>, recursive: bool) -> Result<(), Error> {
    let attributes = MountAttr {
        attr_set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // libcontainer has the only safe wrapper in reach.
    create_syscall()
        .mount_setattr(mount, Path::new(""), flags, &attributes, size_of::<MountAttr>())
        .map_err(|error| Error::Refused(format!("cannot make a mount read-only: {error}")))
}

/// Opens `path` in `root` as a process whose root that is would find it: links cannot lead out.
fn open_beneath(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    openat2(
        root,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}
