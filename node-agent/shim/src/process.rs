//! Processes as the agent knows them: by the host's pid and their start time.
//!
//! The shim lives in a pid namespace, where it is number 1; [`HostProc`] is the `/proc` of whoever
//! started it, kept open, and tells the pids that mean something outside.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use meseta_shim_api::Process;
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::error::{Context as _, Error};

/// The longest `/proc` file that is read here, in bytes; all of them are shorter.
const MAX_PROC_BYTES: u64 = 16 * 1024;

/// `/proc` as it was before the shim mounted its own.
pub(crate) struct HostProc(OwnedFd);

impl HostProc {
    /// Keeps the present `/proc` open.
    pub(crate) fn open() -> Result<Self, Error> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, "/proc", flags, Mode::empty()).context(|| "open /proc")?))
    }

    /// This process.
    pub(crate) fn this_process(&self) -> Result<Process, Error> {
        self.process("self")
    }

    /// The process behind a pidfd, which must not have been reaped.
    pub(crate) fn process_of(&self, pidfd: BorrowedFd<'_>) -> Result<Process, Error> {
        let information = format!("self/fdinfo/{}", pidfd.as_raw_fd());
        let text = self.read(&information).context(|| format!("read /proc/{information}"))?;
        let pid = text
            .lines()
            .find_map(|line| line.strip_prefix("Pid:"))
            .map(str::trim)
            .ok_or_else(|| Error::Refused(format!("/proc/{information} tells no pid")))?;
        self.process(pid)
    }

    fn process(&self, pid: &str) -> Result<Process, Error> {
        let text =
            self.read(&format!("{pid}/stat")).context(|| format!("read /proc/{pid}/stat"))?;
        parse_stat(&text)
            .ok_or_else(|| Error::Refused(format!("/proc/{pid}/stat is not understood: {text}")))
    }

    fn read(&self, path: &str) -> io::Result<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(self.0.as_fd(), path, flags, Mode::empty())?;
        let mut text = String::new();
        File::from(file).take(MAX_PROC_BYTES).read_to_string(&mut text)?;
        Ok(text)
    }
}

/// Fields 1 and 22. Field 2 is the program's name in parentheses and may contain anything.
fn parse_stat(text: &str) -> Option<Process> {
    let (pid, rest) = text.split_once(' ')?;
    let (_name, rest) = rest.rsplit_once(") ")?;
    // `rest` begins with field 3.
    let start_ticks = rest.split(' ').nth(22 - 3)?;
    Some(Process { pid: pid.parse().ok()?, start_ticks: start_ticks.parse().ok()? })
}

#[cfg(test)]
mod tests;
