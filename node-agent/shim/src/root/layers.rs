//! The layers of an image as a container's root: an overlay of unpacked directories.
//!
//! An image may hold a symbolic link where libcontainer expects `/dev`, `/proc` or `/sys`, and it
//! would follow the first one to the host. So the upper directory gets real ones, which hide
//! whatever the image has there.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, XattrFlags, openat, setxattr};
use rustix::mount::{MountFlags, mount as mount_file_system};

use crate::error::{Context as _, Error};

/// Directories that libcontainer mounts over.
const REAL: [&str; 3] = ["dev", "proc", "sys"];
/// As many layers as other tools accept; their options fit the page that mount(2) takes.
const MAX_LAYERS: usize = 127;

/// Mounts `lower`, top to bottom, below `upper` at `mount_point`.
pub(super) fn mount(
    mount_point: &Path,
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
) -> Result<(), Error> {
    if lower.is_empty() || lower.len() > MAX_LAYERS {
        return Err(Error::Refused(format!(
            "an image needs 1 to {MAX_LAYERS} layers, this one has {}",
            lower.len()
        )));
    }
    prepare(upper)?;
    // By descriptor: a path may be long, or hold what separates options.
    let lower: Vec<OwnedFd> = lower.iter().map(|path| open(path)).collect::<Result<_, _>>()?;
    let (upper, work) = (open(upper)?, open(work)?);
    let mut options = String::from("lowerdir=");
    for (index, layer) in lower.iter().enumerate() {
        let separator = if index == 0 { "" } else { ":" };
        // Writing to a `String` cannot fail.
        let _ = write!(options, "{separator}/proc/self/fd/{}", layer.as_raw_fd());
    }
    let _ = write!(
        options,
        ",upperdir=/proc/self/fd/{},workdir=/proc/self/fd/{},index=off,metacopy=off",
        upper.as_raw_fd(),
        work.as_raw_fd()
    );
    let options = std::ffi::CString::new(options)
        .map_err(|_| Error::Refused("a mount option contains NUL".to_owned()))?;
    mount_file_system("overlay", mount_point, "overlay", MountFlags::empty(), options.as_c_str())
        .context(|| format!("mount {} layers at {}", lower.len(), mount_point.display()))
}

/// Puts real directories into `upper` where the image may have something else.
fn prepare(upper: &Path) -> Result<(), Error> {
    for name in REAL {
        let directory = upper.join(name);
        match DirBuilder::new().mode(0o755).create(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_real(&directory) => {}
            Err(error) => {
                return Err(error).context(|| format!("make {}", directory.display()));
            }
        }
        setxattr(&directory, "trusted.overlay.opaque", b"y", XattrFlags::empty())
            .context(|| format!("hide what the image has in /{name}"))?;
    }
    Ok(())
}

fn is_real(directory: &Path) -> bool {
    fs::symlink_metadata(directory).is_ok_and(|status| status.is_dir())
}

fn open(directory: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, directory, flags, Mode::empty())
        .context(|| format!("open the layer {}", directory.display()))
}
