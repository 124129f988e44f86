//! One output stream of the container: out of a pipe, into a file of bounded size.
//!
//! A file that is full is renamed to `<name>.1`, replacing the one before, and begun anew; so a
//! stream takes twice its limit on the disk at most. A disk that is full costs output, never the
//! container: what cannot be written is dropped and counted.
//!
//! The file may lie in the container's sandbox, so its name is not trusted: the directory is opened
//! once, links are not followed, and nothing that the program may put there makes the shim wait.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat, renameat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{Context as _, Error};

/// Bytes read at once: what a pipe holds by default.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
/// The smallest limit that is respected, in bytes, so that no limit means a rename per line.
const MIN_LIMIT_BYTES: u64 = 4096;

/// What reading a pipe once gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    /// Some bytes; there may be more.
    Some,
    /// Nothing at the moment.
    Nothing,
    /// Nothing, for ever: nobody can write any more.
    End,
}

/// Copies a pipe to a file.
pub(crate) struct Stream {
    pipe: OwnedFd,
    target: Target,
}

impl Stream {
    /// Opens the file at `path` for appending; returns also the end of the pipe for the container.
    pub(crate) fn open(path: &Path, limit_bytes: u64) -> Result<(Self, OwnedFd), Error> {
        let target = Target::open(path, limit_bytes)
            .context(|| format!("open {} for output", path.display()))?;
        let (pipe, writer) = pipe_with(PipeFlags::CLOEXEC).context(|| "make a pipe for output")?;
        // Only our end: programs do not expect a standard output that refuses to wait.
        rustix::io::ioctl_fionbio(&pipe, true).context(|| "prepare a pipe for output")?;
        Ok((Self { pipe, target }, writer))
    }

    /// Reads once, through `buffer`, and writes what was read.
    pub(crate) fn copy(&mut self, buffer: &mut [u8]) -> Copied {
        match rustix::io::read(&self.pipe, &mut *buffer) {
            Ok(0) => Copied::End,
            Ok(length) => {
                self.target.write(&buffer[..length]);
                Copied::Some
            }
            Err(Errno::AGAIN | Errno::INTR) => Copied::Nothing,
            Err(_) => Copied::End,
        }
    }

    /// What was lost, if anything was.
    pub(crate) fn loss(&self) -> Option<String> {
        let Target { path, dropped_bytes, last_error, .. } = &self.target;
        let error = last_error.as_ref()?;
        Some(format!("{}: {dropped_bytes} bytes of output were lost: {error}", path.display()))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// A file that never grows beyond its limit.
struct Target {
    /// For messages; files are found by the two below.
    path: PathBuf,
    directory: OwnedFd,
    name: OsString,
    /// `None` after a rotation that could not open the next file.
    file: Option<File>,
    written_bytes: u64,
    limit_bytes: u64,
    dropped_bytes: u64,
    last_error: Option<io::Error>,
}

impl Target {
    fn open(path: &Path, limit_bytes: u64) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, parent, flags, Mode::empty())?;
        let file = append(&directory, name)?;
        Ok(Self {
            path: path.to_owned(),
            directory,
            name: name.to_owned(),
            written_bytes: file.metadata()?.len(),
            file: Some(file),
            limit_bytes: limit_bytes.max(MIN_LIMIT_BYTES),
            dropped_bytes: 0,
            last_error: None,
        })
    }

    /// Writes what can be written and drops the rest.
    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.write_some(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.dropped_bytes += bytes.len() as u64;
                    self.last_error = Some(error);
                    return;
                }
            }
        }
    }

    /// Writes up to the limit of the present file, at least one byte.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written_bytes >= self.limit_bytes {
            self.rotate()?;
        }
        let room = usize::try_from(self.limit_bytes - self.written_bytes).unwrap_or(usize::MAX);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(append(&self.directory, &self.name)?),
        };
        let length = file.write(&bytes[..bytes.len().min(room)])?;
        if length == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.written_bytes += length as u64;
        Ok(length)
    }

    fn rotate(&mut self) -> io::Result<()> {
        match renameat(&self.directory, &self.name, &self.directory, former(&self.name)) {
            // The program may remove its own output.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        self.file = None;
        self.written_bytes = 0;
        Ok(())
    }
}

/// `<name>.1`, where the file before the present one is.
fn former(name: &OsStr) -> OsString {
    let mut former = name.to_owned();
    former.push(".1");
    former
}

fn append(directory: &OwnedFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    Ok(File::from(openat(directory, name, flags, Mode::from_raw_mode(0o644))?))
}

#[cfg(test)]
mod tests;
