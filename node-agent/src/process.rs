//! Processes that cannot be mistaken for later ones with the same pid.
//!
//! A pid alone names whoever has it now. A [`Process`] has the time of its start as well, which is
//! compared *after* a pidfd was opened: from then on the pidfd is that process and no other.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use meseta_shim_api::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::readable::Readable;

/// The kernel's name for the time between two starts of the machine.
///
/// # Errors
/// There is no `/proc`.
pub(crate) fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned())
}

/// A process that was there when it was opened.
#[derive(Debug)]
pub(crate) struct Handle(OwnedFd);

/// Opens `process`; `None` where it has ended, be its pid in use again or not yet free.
///
/// # Errors
/// The kernel refused for another cause, such as too many open files.
pub(crate) fn open(process: Process) -> io::Result<Option<Handle>> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(None) };
    let fd = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(fd) => fd,
        Err(Errno::SRCH) => return Ok(None),
        Err(err) => return Err(err.into()),
    };
    let same = start_ticks(process.pid)? == Some(process.start_ticks);
    Ok((same && !has_ended(&fd)?).then_some(Handle(fd)))
}

/// Whether only its parent's interest is left of it.
fn has_ended(pidfd: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    // A signal to this process, such as the end of a child, says nothing about the other.
    Ok(retry_on_intr(|| poll(&mut fds, Some(&Timespec::default())))? > 0)
}

/// Field 22 of `/proc/<pid>/stat`; `None` where there is no such process.
fn start_ticks(pid: i32) -> io::Result<Option<u64>> {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) if err.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => return Ok(None),
        Err(err) => return Err(err),
    };
    Ok(ticks_in(&stat))
}

fn ticks_in(stat: &str) -> Option<u64> {
    /// Fields after the name, which is in parentheses and may hold anything: the first is the third.
    const START_TIME: usize = 22 - 3;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(START_TIME)?.parse().ok()
}

impl Handle {
    /// Sends a signal; nothing happens where the process has ended.
    ///
    /// # Errors
    /// The kernel refused.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.0, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(err) => Err(err.into()),
        }
    }

    /// Something that tells when the process ends.
    ///
    /// # Errors
    /// The process has too many files open.
    pub(crate) fn watch(&self) -> io::Result<Watch> {
        Ok(Watch(Readable::new(self.0.try_clone()?)?))
    }
}

/// Tells when a process ends.
#[derive(Debug)]
pub(crate) struct Watch(Readable);

impl Watch {
    /// Waits for the end. Dropping the future loses nothing.
    pub(crate) async fn ended(&self) {
        self.0.readable().await;
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_not_in_the_way() {
        let fields: Vec<String> = (3..30).map(|field| field.to_string()).collect();
        let stat = format!("7 (a ) b) {}", fields.join(" "));
        assert_eq!(ticks_in(&stat), Some(22));
        assert_eq!(ticks_in("nonsense"), None);
    }

    #[tokio::test]
    async fn a_process_is_itself_and_not_another_with_its_pid() {
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let start_ticks = start_ticks(pid).unwrap().unwrap();
        let process = Process { pid, start_ticks };
        assert!(open(Process { start_ticks: start_ticks + 1, ..process }).unwrap().is_none());
        let handle = open(process).unwrap().unwrap();
        let watch = handle.watch().unwrap();
        handle.signal(Signal::KILL).unwrap();
        watch.ended().await;
        assert!(open(process).unwrap().is_none(), "its pid is not free yet");
        child.wait().unwrap();
        assert!(open(process).unwrap().is_none());
        handle.signal(Signal::KILL).unwrap();
    }
}
