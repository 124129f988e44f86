//! A task's sandbox: the directory it may write to, and its output beside it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};

use crate::directory::{Stream, TaskDirectory, make_private};

/// Mode of the working directory: its owner is the task's user.
const WORK_MODE: u32 = 0o750;
/// Mode of the output files: only agent and shim open them.
const OUTPUT_MODE: u32 = 0o600;

/// Makes the sandbox of a task for the user of its container; what is there from an earlier run
/// stays.
///
/// # Errors
/// The file system refused.
pub(crate) fn prepare(task: &TaskDirectory, uid: u32, gid: u32) -> io::Result<()> {
    make_private(&task.sandbox())?;
    let work = task.work();
    make_private(&work)?;
    chown(&work, Some(uid), Some(gid))?;
    fs::set_permissions(&work, Permissions::from_mode(WORK_MODE))?;
    for stream in [Stream::Stdout, Stream::Stderr] {
        open_output(task, stream)?;
    }
    Ok(())
}

/// Makes an output file where there is none, so that whoever follows it finds it.
fn open_output(task: &TaskDirectory, stream: Stream) -> io::Result<File> {
    File::options().create(true).append(true).mode(OUTPUT_MODE).open(task.output(stream))
}
