//! Where things are in a run directory, beyond what the agreement with the agent names.
//!
//! ```text
//! <run directory>/state/           in memory, seen in the shim's mount namespace only
//!     bundle/config.json           the container's OCI spec
//!     bundle/root/                 mount point of its root
//!     <container id>/              libcontainer's own
//! ```
//!
//! On the disk `state` is an empty directory, which exists while a shim works. So a full disk cannot
//! hit libcontainer in the middle, and a shim that is killed leaves nothing in it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use meseta_shim_api::{CHECKPOINT_FILE, EXIT_FILE, LOG_FILE, RUN_FILE, SOCKET_FILE, STATE_DIR};

use crate::error::{Context as _, Error};

/// The paths of one run.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// The run in `directory`, which must exist.
    pub(crate) fn new(directory: &Path) -> Result<Self, Error> {
        let directory = fs::canonicalize(directory)
            .context(|| format!("find the run directory {}", directory.display()))?;
        Ok(Self { directory })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn request(&self) -> PathBuf {
        self.directory.join(RUN_FILE)
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.directory.join(CHECKPOINT_FILE)
    }

    pub(crate) fn exit(&self) -> PathBuf {
        self.directory.join(EXIT_FILE)
    }

    /// Where the room for `exit.json` is kept until it has its name.
    pub(crate) fn reserved_exit(&self) -> PathBuf {
        self.exit().with_extension("tmp")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join(LOG_FILE)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join(SOCKET_FILE)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.join(STATE_DIR)
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.state().join("bundle")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.bundle().join("config.json")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.bundle().join("root")
    }

    /// Claims the directory for this run: fails if another shim ever did.
    pub(crate) fn claim(&self) -> Result<(), Error> {
        let used = || Error::Refused("this run directory was used before".to_owned());
        // The checkpoint stays for ever, the state while a shim works, and making it is exclusive.
        match private_directory(&self.state()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(used()),
            result => result.context(|| format!("make {}", self.state().display()))?,
        }
        if self.checkpoint().exists() {
            // An empty directory that nobody else knows of.
            let _ = fs::remove_dir(self.state());
            return Err(used());
        }
        Ok(())
    }

    /// Makes the bundle, once the state is in memory.
    pub(crate) fn make_bundle(&self) -> Result<(), Error> {
        private_directory(&self.bundle())
            .and_then(|()| private_directory(&self.root()))
            .context(|| format!("make {}", self.root().display()))
    }

    /// Removes what was made before the first checkpoint, where that could not be written.
    pub(crate) fn give_back(&self) {
        // There is a better error to report already.
        let _ = self.remove_state();
        for file in [self.reserved_exit(), self.socket(), self.log()] {
            let _ = fs::remove_file(file);
        }
    }

    /// Removes what [`Layout::claim`] made: an empty directory, or this fails.
    pub(crate) fn remove_state(&self) -> io::Result<()> {
        fs::remove_dir(self.state())
    }
}

fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}
