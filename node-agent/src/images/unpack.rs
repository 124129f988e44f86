//! Writes the entries of a layer, beneath one directory, whatever they are called.
//!
//! - A directory on the way to an entry is made, and replaces whatever else has its name: nothing
//!   is ever written through a link.
//! - Whiteouts become overlay's: `.wh.x` a device 0:0 called `x`, `.wh..wh..opq` an attribute of its
//!   directory. They are about the layers below only.
//! - A hard link to something of a layer below becomes a copy of it.
//! - Attributes that overlay reads itself are dropped, and so are devices.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{FileType, Stat, fgetxattr};
use rustix::io::Errno;

use super::entries::{Entry, Kind, shown};
use super::layer::{Error, read_error};
use crate::beneath::{self, Dir, Inside, Metadata, is_kind, is_whiteout};

/// Bytes copied at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// Mode of a directory that the archive does not have itself.
const IMPLIED_MODE: u32 = 0o755;
/// What marks a removed name, by the image specification.
const WHITEOUT: &[u8] = b".wh.";
/// What marks marks.
const WHITEOUT_OF_WHITEOUTS: &[u8] = b".wh..wh.";
/// What marks a directory that hides its namesakes below.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The attribute that gives a program rights of its own.
const CAPABILITY: &str = "security.capability";
/// The longest value of [`CAPABILITY`].
const MAX_CAPABILITY_BYTES: usize = 64;

/// Writes entries into a layer.
pub(super) struct Writer<'a> {
    root: &'a Dir,
    /// The layers below, top to bottom.
    below: &'a [Dir],
    /// The directory that was written to last: most entries follow their neighbours.
    parent: Option<(Inside, Dir)>,
    /// Directories, whose owner, mode and time are set at the end, when nothing is written to them
    /// any more.
    directories: BTreeMap<Inside, Metadata>,
    chunk: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Writes into the empty directory `root`.
    ///
    /// # Errors
    /// The file system refused.
    pub(super) fn new(root: &'a Dir, below: &'a [Dir]) -> io::Result<Self> {
        root.set_metadata(Metadata { uid: 0, gid: 0, mode: IMPLIED_MODE, mtime: 0 })?;
        let chunk = vec![0; CHUNK_BYTES];
        Ok(Self { root, below, parent: None, directories: BTreeMap::new(), chunk })
    }

    /// Writes one entry.
    ///
    /// # Errors
    /// It is refused, or the file system refused.
    pub(super) fn apply(&mut self, entry: Entry<'_>) -> Result<(), Error> {
        let Some((parent, name)) = entry.path.split() else {
            if entry.kind != Kind::Directory {
                return Err(Error::Refused("its root is not a directory".to_owned()));
            }
            self.directories.insert(entry.path, entry.metadata);
            return Ok(());
        };
        let directory = self.directory(&parent)?;
        if name.as_bytes().starts_with(WHITEOUT) {
            return whiteout(&directory, name, &entry.path);
        }
        if entry.kind == Kind::Directory {
            let made = enter(&directory, name)?;
            self.attributes(&made, &entry.attributes)?;
            self.directories.insert(entry.path, entry.metadata);
            return Ok(());
        }
        let existing = directory.look(name)?;
        if existing.is_some_and(|stat| is_kind(&stat, FileType::Directory)) {
            // The one that is remembered may be in it.
            self.parent = None;
        }
        match &entry.kind {
            Kind::File => {
                let mut file = directory.create_file(name)?;
                copy(entry.content, &mut file, &mut self.chunk)?;
                beneath_metadata(&file, entry.metadata)?;
                self.attributes(&file, &entry.attributes)?;
            }
            Kind::Symlink(target) => {
                directory.symlink(target, name)?;
                directory.set_metadata_of(name, entry.metadata)?;
            }
            Kind::HardLink(target) => self.hard_link(&directory, name, target)?,
            Kind::Fifo => {
                directory.fifo(name)?;
                directory.set_metadata_of(name, entry.metadata)?;
            }
            Kind::Device => {
                tracing::debug!(path = %entry.path.as_path().display(), "a device is left out");
            }
            Kind::Directory => unreachable!("directories were written above"),
        }
        Ok(())
    }

    /// Sets what can be set only when nothing follows.
    ///
    /// # Errors
    /// The file system refused.
    pub(super) fn finish(self) -> io::Result<()> {
        for (path, metadata) in self.directories {
            match self.root.directory(&path) {
                Ok(Some(directory)) => directory.set_metadata(metadata)?,
                // A later entry has replaced it.
                Ok(None) => {}
                Err(err) if is_in_the_way(&err) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    /// The directory at `path`, made where there is none.
    fn directory(&mut self, path: &Inside) -> io::Result<Dir> {
        if let Some((known, directory)) = &self.parent
            && known == path
        {
            return directory.try_clone();
        }
        let mut directory = self.root.try_clone()?;
        for name in path.names() {
            directory = enter(&directory, name)?;
        }
        self.parent = Some((path.clone(), directory.try_clone()?));
        Ok(directory)
    }

    fn hard_link(&mut self, into: &Dir, name: &OsStr, target: &Inside) -> Result<(), Error> {
        let refused = |why: &str| {
            let target = shown(target.as_path().as_os_str().as_bytes());
            Error::Refused(format!("hard link `{}` to `{target}`: {why}", shown(name.as_bytes())))
        };
        let Some((parent, source)) = target.split() else {
            return Err(refused("a directory has one name only"));
        };
        if let Some((directory, stat)) = find(self.root, &parent, source)? {
            if is_kind(&stat, FileType::Directory) || is_whiteout(&stat) {
                return Err(refused("it is not a file"));
            }
            return Ok(into.hard_link(&directory, source, name)?);
        }
        for layer in self.below {
            let Some((directory, stat)) = find(layer, &parent, source)? else { continue };
            if !is_kind(&stat, FileType::RegularFile) {
                return Err(refused("it is not a file"));
            }
            let source =
                Inside::parse(source.as_bytes()).map_err(|err| refused(&err.to_string()))?;
            let file = directory.file(&source)?;
            let mut file = file.ok_or_else(|| refused("it has gone"))?;
            let mut copied = into.create_file(name)?;
            copy(&mut file, &mut copied, &mut self.chunk)?;
            beneath_metadata(&copied, Metadata::of(&stat))?;
            let mut value = [0; MAX_CAPABILITY_BYTES];
            if let Ok(length) = fgetxattr(&file, CAPABILITY, &mut value) {
                beneath::set_attribute(&copied, CAPABILITY, &value[..length])?;
            }
            return Ok(());
        }
        Err(refused("there is no such file in this layer or below"))
    }

    /// Sets the attributes that an image may set.
    fn attributes(
        &self,
        file: &impl std::os::fd::AsFd,
        attributes: &[(String, Vec<u8>)],
    ) -> io::Result<()> {
        for (name, value) in attributes.iter().filter(|(name, _)| is_allowed(name)) {
            match beneath::set_attribute(file, name, value) {
                Ok(()) => {}
                // Not every file system has attributes, and a program runs without them.
                Err(err) if err.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }
}

/// Whether an image may set this attribute: not those that overlay takes for its own.
fn is_allowed(name: &str) -> bool {
    name == CAPABILITY || (name.starts_with("user.") && !name.starts_with("user.overlay."))
}

/// The directory called `name`. In the place of a whiteout of the same layer it hides what is below.
fn enter(directory: &Dir, name: &OsStr) -> io::Result<Dir> {
    let was_removed = directory.look(name)?.is_some_and(|stat| is_whiteout(&stat));
    let made = directory.make_directory(name, IMPLIED_MODE)?;
    if was_removed {
        made.set_opaque()?;
    }
    Ok(made)
}

fn whiteout(directory: &Dir, name: &OsStr, path: &Inside) -> Result<(), Error> {
    let bytes = name.as_bytes();
    if bytes == OPAQUE {
        return Ok(directory.set_opaque()?);
    }
    if bytes.starts_with(WHITEOUT_OF_WHITEOUTS) {
        // Marks of an older union file system, without a meaning here.
        return Ok(());
    }
    let removed = OsStr::from_bytes(&bytes[WHITEOUT.len()..]);
    if matches!(removed.as_bytes(), b"" | b"." | b"..") {
        let path = shown(path.as_path().as_os_str().as_bytes());
        return Err(Error::Refused(format!("entry `{path}`: it removes no name")));
    }
    match directory.look(removed)? {
        None => Ok(directory.whiteout(removed)?),
        // What this layer has itself stays; a directory does not show what is below any more.
        Some(stat) if is_kind(&stat, FileType::Directory) => {
            Ok(enter(directory, removed)?.set_opaque()?)
        }
        Some(_) => Ok(()),
    }
}

/// What `root` has at this path; links on the way are not followed.
fn find(root: &Dir, parent: &Inside, name: &OsStr) -> io::Result<Option<(Dir, Stat)>> {
    let directory = match root.directory(parent) {
        Ok(Some(directory)) => directory,
        Ok(None) => return Ok(None),
        Err(err) if is_in_the_way(&err) => return Ok(None),
        Err(err) => return Err(err),
    };
    Ok(directory.look(name)?.map(|stat| (directory, stat)))
}

/// Whether a path could not be walked because something else than a directory is on it.
fn is_in_the_way(err: &io::Error) -> bool {
    let codes = [Errno::LOOP, Errno::NOTDIR].map(Errno::raw_os_error);
    err.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn beneath_metadata(file: &std::fs::File, metadata: Metadata) -> io::Result<()> {
    use std::os::fd::AsFd as _;
    metadata.apply(file.as_fd())
}

fn copy(from: &mut dyn Read, to: &mut std::fs::File, chunk: &mut [u8]) -> Result<(), Error> {
    loop {
        match from.read(chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(&chunk[..length])?,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(read_error(&err)),
        }
    }
}
