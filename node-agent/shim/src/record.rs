//! What is on disk at every moment of a run: the checkpoint, then how it ended.
//!
//! **Invariant:** a checkpoint is on disk before anything of a container exists, and how the run
//! ended is on disk before anything of it is removed.
//!
//! Only these two are synced. What the checkpoint says in between must outlive the shim and its
//! agent, for which a rename is enough; when the machine stops, so does the container, and the boot
//! id in any checkpoint tells that.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use meseta_shim_api::{Checkpoint, Exit, Phase, Process};
use rustix::fs::{FallocateFlags, fallocate};

use crate::error::{Context as _, Error, MAX_MESSAGE_BYTES};
use crate::layout::Layout;

/// Room kept for `exit.json`, in bytes: the longest message with every character escaped, and the
/// rest of the record.
const EXIT_ROOM_BYTES: u64 = 2 * MAX_MESSAGE_BYTES as u64 + 1024;

/// Milliseconds since 1970, by the machine's clock.
pub(crate) fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Writes `shim.json` and `exit.json`.
pub(crate) struct Records {
    layout: Layout,
    checkpoint: Checkpoint,
    /// `exit.json` before it has its name, with its room already allocated.
    exit: Reserved,
}

struct Reserved {
    path: PathBuf,
    file: File,
}

impl Records {
    /// Writes the first checkpoint, and keeps room for the last record.
    pub(crate) fn begin(layout: &Layout, id: &str, shim: Process) -> Result<Self, Error> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .context(|| "read the boot id")?
            .trim()
            .to_owned();
        let exit = reserve(layout).context(|| "keep room on the disk for exit.json")?;
        let checkpoint = Checkpoint {
            id: id.to_owned(),
            phase: Phase::Preparing,
            boot_id,
            shim,
            container: None,
            started_unix_millis: None,
        };
        meseta_shim_api::write(&layout.checkpoint(), &checkpoint).context(|| "write shim.json")?;
        Ok(Self { layout: layout.clone(), checkpoint, exit })
    }

    /// The container waits for its start.
    pub(crate) fn created(&mut self, container: Process) -> Result<(), Error> {
        self.checkpoint.phase = Phase::Created;
        self.checkpoint.container = Some(container);
        self.save().context(|| "write shim.json")
    }

    /// The program was started at `unix_millis`. Only the record on disk can fail.
    pub(crate) fn running(&mut self, unix_millis: i64) -> io::Result<()> {
        self.checkpoint.phase = Phase::Running;
        self.checkpoint.started_unix_millis = Some(unix_millis);
        self.save()
    }

    /// Writes `exit.json`, for which a full disk has room.
    pub(crate) fn exit(&mut self, exit: &Exit) -> io::Result<()> {
        let bytes = serde_json::to_vec(exit)?;
        let Reserved { path, file } = &mut self.exit;
        file.write_all(&bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()?;
        fs::rename(path, self.layout.exit())?;
        File::open(self.layout.directory())?.sync_all()
    }

    /// Nothing is left to clean up.
    pub(crate) fn ended(&mut self) -> io::Result<()> {
        self.checkpoint.phase = Phase::Ended;
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        let path = self.layout.checkpoint();
        let temporary = path.with_extension("tmp");
        fs::write(&temporary, serde_json::to_vec(&self.checkpoint)?)?;
        fs::rename(temporary, path)
    }
}

fn reserve(layout: &Layout) -> io::Result<Reserved> {
    let path = layout.reserved_exit();
    let file = File::create_new(&path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, EXIT_ROOM_BYTES) {
        // A file system that cannot promise room has to do without.
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(Reserved { path, file }),
        Err(error) => Err(error.into()),
    }
}
