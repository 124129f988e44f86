//! The upper directory of an image's overlay, prepared so that no link of the image leads astray.
//!
//! Before the container has its own root, the runtime makes devices and links in its `/dev` by
//! plain paths: with an image whose `dev` is a link to `/victim`, on the host (youki 0.7.0, runc
//! CVE-2026-41579). A real directory in the upper layer hides the link below it. So `dev`, `proc`,
//! `sys`, `etc` and all directories above a mount are made real here.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::beneath::{Dir, Inside, Metadata, is_kind, is_whiteout};
use crate::directory::make_private;

/// Mount points of the container's own, whose namesakes in the image are not shown.
const OPAQUE: [&str; 3] = ["dev", "proc", "sys"];
/// Mode of a directory that no layer has.
const NEW_MODE: u32 = 0o755;

/// What the image has at a path.
enum Below {
    Directory(Metadata),
    Nothing,
    /// A link or a file.
    Other,
}

/// Makes `upper` and `work` in `run`, for an overlay over `layers` (top to bottom) that gets mounts
/// at `targets` and whose program begins in `working_dir`.
///
/// # Errors
/// The file system refused, or a path is none.
pub(crate) fn prepare_upper(
    run: &Path,
    layers: &[PathBuf],
    targets: &[&Path],
    working_dir: &Path,
) -> io::Result<(PathBuf, PathBuf)> {
    let (upper, work) = (run.join("upper"), run.join("work"));
    make_private(&upper)?;
    make_private(&work)?;
    let layers: Vec<Dir> =
        layers.iter().map(|layer| Dir::open(layer)).collect::<io::Result<_>>()?;
    let root = Dir::open(&upper)?;
    root.set_metadata(new_directory())?;
    for name in OPAQUE {
        root.make_directory(name.as_ref(), NEW_MODE)?.set_opaque()?;
    }
    make_real(&root, &layers, &Inside::parse(b"etc").expect("a name"))?;
    for target in targets {
        if let Some((parent, _)) = inside(target)?.split() {
            make_real(&root, &layers, &parent)?;
        }
    }
    make_missing(&root, &layers, &inside(working_dir)?)?;
    Ok((upper, work))
}

fn inside(path: &Path) -> io::Result<Inside> {
    Inside::beneath_root(path.as_os_str().as_bytes())
        .map_err(|err| io::Error::new(io::ErrorKind::InvalidInput, err))
}

fn new_directory() -> Metadata {
    Metadata { uid: 0, gid: 0, mode: NEW_MODE, mtime: 0 }
}

/// Makes every directory on `path` a real one, with owner and mode as the image has it.
fn make_real(root: &Dir, layers: &[Dir], path: &Inside) -> io::Result<()> {
    let mut directory = root.try_clone()?;
    for step in steps(path) {
        let Some((_, name)) = step.split() else { continue };
        let existed = directory.look(name)?.is_some();
        let made = directory.make_directory(name, NEW_MODE)?;
        if !existed {
            match below(layers, &step)? {
                Below::Directory(metadata) => made.set_metadata(metadata)?,
                Below::Nothing | Below::Other => made.set_metadata(new_directory())?,
            }
        }
        directory = made;
    }
    Ok(())
}

/// Makes `path` where the image lacks it, as other runtimes do; links of the image are left alone,
/// the container follows them within its own root.
fn make_missing(root: &Dir, layers: &[Dir], path: &Inside) -> io::Result<()> {
    for step in steps(path) {
        match below(layers, &step)? {
            Below::Directory(_) => {}
            Below::Nothing => return make_real(root, layers, path),
            Below::Other => return Ok(()),
        }
    }
    Ok(())
}

/// `a`, `a/b`, `a/b/c`.
fn steps(path: &Inside) -> Vec<Inside> {
    let mut steps = Vec::new();
    let mut current = path.clone();
    while let Some((parent, _)) = current.split() {
        steps.push(current);
        current = parent;
    }
    steps.reverse();
    steps
}

/// What the topmost layer that says anything about `path` has there.
fn below(layers: &[Dir], path: &Inside) -> io::Result<Below> {
    let Some((parent, name)) = path.split() else {
        return Ok(Below::Directory(new_directory()));
    };
    for layer in layers {
        let directory = match layer.directory(&parent) {
            Ok(Some(directory)) => directory,
            Ok(None) => continue,
            // Something else than a directory is on the way.
            Err(_) => return Ok(Below::Other),
        };
        match directory.look(name)? {
            None => {}
            Some(stat) if is_whiteout(&stat) => return Ok(Below::Nothing),
            Some(stat) if is_kind(&stat, FileType::Directory) => {
                return Ok(Below::Directory(Metadata::of(&stat)));
            }
            Some(_) => return Ok(Below::Other),
        }
    }
    Ok(Below::Nothing)
}
