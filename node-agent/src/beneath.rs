//! Every path that a workload can influence is opened here, beneath a root.
//!
//! What a workload wrote into its sandbox, and what an image holds, may contain links that lead
//! anywhere. Nothing here follows one: a [`Dir`] is an open directory, a path beneath it is an
//! [`Inside`], which cannot climb by its text, and the kernel resolves it (`openat2` with
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`), so there is no moment between a check and a use.
//!
//! **Invariant:** no function of this module touches anything outside the directory it is given.

mod remove;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    self, AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::io::Errno;

/// The longest path, as the kernel's.
const MAX_PATH_BYTES: usize = 4096;
/// The deepest path; no file system that people made comes near.
const MAX_DEPTH: usize = 256;

/// No link is followed, `..` does not leave, and `/proc` has no way out.
const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A relative path without `..`: it stays beneath where it begins as long as no link is followed.
/// Empty for the beginning itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Inside(PathBuf);

/// Why a text is not a path that stays inside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotInside {
    /// It begins at the root.
    #[error("the path is absolute")]
    Absolute,
    /// It has a `..`.
    #[error("the path climbs with `..`")]
    Climbs,
    /// It has a NUL.
    #[error("the path has a NUL character")]
    Nul,
    /// It is longer or deeper than any path needs.
    #[error("the path is longer than {MAX_PATH_BYTES} bytes or deeper than {MAX_DEPTH}")]
    TooLong,
}

impl Inside {
    /// Reads a path as an archive has it: `.` and doubled slashes mean nothing.
    ///
    /// # Errors
    /// It would leave, or is too long.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, NotInside> {
        if text.starts_with(b"/") {
            return Err(NotInside::Absolute);
        }
        Self::beneath_root(text)
    }

    /// Reads an absolute path of a container as a path beneath its root.
    ///
    /// # Errors
    /// It would leave, or is too long.
    pub(crate) fn beneath_root(text: &[u8]) -> Result<Self, NotInside> {
        if text.len() > MAX_PATH_BYTES {
            return Err(NotInside::TooLong);
        }
        if text.contains(&0) {
            return Err(NotInside::Nul);
        }
        let mut path = PathBuf::new();
        let mut depth = 0;
        for part in text.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(NotInside::Climbs),
                name => {
                    depth += 1;
                    path.push(OsStr::from_bytes(name));
                }
            }
        }
        if depth > MAX_DEPTH { Err(NotInside::TooLong) } else { Ok(Self(path)) }
    }

    /// Whether it is the beginning itself.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_os_str().is_empty()
    }

    /// The directory it is in, and its last name; `None` for the beginning itself.
    pub(crate) fn split(&self) -> Option<(Self, &OsStr)> {
        let name = self.0.file_name()?;
        Some((Self(self.0.parent().unwrap_or_else(|| Path::new("")).to_owned()), name))
    }

    /// The names it consists of.
    pub(crate) fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.0.iter()
    }

    /// The path as text.
    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir(OwnedFd);

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Dir {
    /// Opens a directory of the agent's own; links in `path` are followed.
    ///
    /// # Errors
    /// It is not there, or not a directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        Ok(Self(fs::openat(CWD, path, flags, Mode::empty())?))
    }

    /// Another handle of the same directory.
    ///
    /// # Errors
    /// The process has too many files open.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// The directory at `path`; `None` where nothing is there.
    ///
    /// # Errors
    /// Something else is there, or a link is on the way.
    pub(crate) fn directory(&self, path: &Inside) -> io::Result<Option<Self>> {
        if path.is_empty() {
            return self.try_clone().map(Some);
        }
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        match fs::openat2(self, path.as_path(), flags, Mode::empty(), RESOLVE) {
            Ok(fd) => Ok(Some(Self(fd))),
            Err(Errno::NOENT) => Ok(None),
            Err(err) => Err(err.into()),
        }
    }

    /// The regular file at `path`, for reading; `None` where nothing is there.
    ///
    /// # Errors
    /// Something else is there, or a link is on the way.
    pub(crate) fn file(&self, path: &Inside) -> io::Result<Option<File>> {
        // Opening a fifo would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = match fs::openat2(self, path.as_path(), flags, Mode::empty(), RESOLVE) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(err) => return Err(err.into()),
        };
        let file = File::from(fd);
        if file.metadata()?.is_file() {
            Ok(Some(file))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
        }
    }

    /// What is called `name` here, itself and not what it may point to.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn look(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(err) => Err(err.into()),
        }
    }

    /// The directory called `name`, made where there is none; anything else of that name is
    /// replaced. A new directory has exactly `mode`.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn make_directory(&self, name: &OsStr, mode: u32) -> io::Result<Self> {
        let existing = self.look(name)?;
        if existing.is_some_and(|stat| !is_kind(&stat, FileType::Directory)) {
            self.remove(name)?;
        }
        let made = match fs::mkdirat(self, name, Mode::from_raw_mode(mode)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(err) => return Err(err.into()),
        };
        let inside = Inside(PathBuf::from(name));
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the directory has gone");
        let directory = self.directory(&inside)?.ok_or_else(gone)?;
        if made {
            fs::fchmod(&directory, Mode::from_raw_mode(mode))?;
        }
        Ok(directory)
    }

    /// A new, empty file called `name`, for its owner alone; anything of that name is replaced.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn create_file(&self, name: &OsStr) -> io::Result<File> {
        self.remove(name)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(File::from(fs::openat(self, name, flags | OFlags::NOFOLLOW, mode)?))
    }

    /// A symbolic link with any text as its target: nobody here follows it.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn symlink(&self, target: &OsStr, name: &OsStr) -> io::Result<()> {
        self.remove(name)?;
        Ok(fs::symlinkat(target, self, name)?)
    }

    /// A second name for what `from` calls `source`, itself and not what it may point to.
    ///
    /// # Errors
    /// The file system refused; a directory has one name only.
    pub(crate) fn hard_link(&self, from: &Self, source: &OsStr, name: &OsStr) -> io::Result<()> {
        self.remove(name)?;
        Ok(fs::linkat(from, source, self, name, AtFlags::empty())?)
    }

    /// A fifo.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn fifo(&self, name: &OsStr) -> io::Result<()> {
        self.remove(name)?;
        Ok(fs::mknodat(self, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
    }

    /// Overlay's mark that `name` is not there, whatever the layers below hold.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn whiteout(&self, name: &OsStr) -> io::Result<()> {
        self.remove(name)?;
        Ok(fs::mknodat(self, name, FileType::CharacterDevice, Mode::empty(), 0)?)
    }

    /// Overlay's mark that this directory hides all of its namesakes below.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn set_opaque(&self) -> io::Result<()> {
        Ok(fs::fsetxattr(self, "trusted.overlay.opaque", b"y", XattrFlags::empty())?)
    }

    /// Owner, mode and time of the directory itself.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn set_metadata(&self, metadata: Metadata) -> io::Result<()> {
        metadata.apply(self.as_fd())
    }

    /// Owner, mode and time of what is called `name`; a link's own, and of a link no mode.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn set_metadata_of(&self, name: &OsStr, metadata: Metadata) -> io::Result<()> {
        let no_follow = AtFlags::SYMLINK_NOFOLLOW;
        let (owner, group) = metadata.owner();
        fs::chownat(self, name, Some(owner), Some(group), no_follow)?;
        let link = self.look(name)?.is_some_and(|stat| is_kind(&stat, FileType::Symlink));
        if !link {
            fs::chmodat(self, name, metadata.mode(), AtFlags::empty())?;
        }
        Ok(fs::utimensat(self, name, &metadata.times(), no_follow)?)
    }

    /// Removes whatever is called `name`, with all that is in it; nothing where nothing is.
    ///
    /// # Errors
    /// The file system refused, or something is mounted in it.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        remove::remove(self, name)
    }

    /// The names in this directory, in no order; at most `limit` of them.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn names(&self, limit: usize) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(self)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name.to_vec()));
                if names.len() == limit {
                    break;
                }
            }
        }
        Ok(names)
    }

    /// Everything written to the file system of this directory is on the disk after this.
    ///
    /// # Errors
    /// The disk refused.
    pub(crate) fn sync_file_system(&self) -> io::Result<()> {
        Ok(fs::syncfs(self)?)
    }
}

/// Owner, permissions and time of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
    /// Permission bits, set-uid and sticky included.
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
}

impl Metadata {
    /// Those of an existing file.
    pub(crate) fn of(stat: &Stat) -> Self {
        let mode = stat.st_mode & 0o7777;
        Self { uid: stat.st_uid, gid: stat.st_gid, mode, mtime: stat.st_mtime }
    }

    /// Gives them to an open file.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn apply(self, file: BorrowedFd<'_>) -> io::Result<()> {
        let (owner, group) = self.owner();
        // A change of owner clears set-uid bits, so the mode comes after it.
        fs::fchown(file, Some(owner), Some(group))?;
        fs::fchmod(file, self.mode())?;
        Ok(fs::futimens(file, &self.times())?)
    }

    fn owner(self) -> (Uid, Gid) {
        (Uid::from_raw(self.uid), Gid::from_raw(self.gid))
    }

    fn mode(self) -> Mode {
        Mode::from_raw_mode(self.mode & 0o7777)
    }

    fn times(self) -> Timestamps {
        let time = Timespec { tv_sec: self.mtime, tv_nsec: 0 };
        Timestamps { last_access: time, last_modification: time }
    }
}

/// Sets an extended attribute of an open file.
///
/// # Errors
/// The file system refused.
pub(crate) fn set_attribute(file: impl AsFd, name: &str, value: &[u8]) -> io::Result<()> {
    Ok(fs::fsetxattr(file, name, value, XattrFlags::empty())?)
}

/// Whether a file is of this kind.
pub(crate) fn is_kind(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

/// Whether it is overlay's mark for a removed name.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    is_kind(stat, FileType::CharacterDevice) && stat.st_rdev == 0
}

/// Removes what is at `path`, which is the agent's own; nothing where nothing is.
///
/// # Errors
/// The file system refused, or something is mounted in it.
pub(crate) fn remove_at(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a path with a name"));
    };
    match Dir::open(parent) {
        Ok(parent) => parent.remove(name),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests;
