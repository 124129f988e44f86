//! The shim's loop: one `poll` over everything that can happen.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use meseta_shim_api::{Answer, Command};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::control::Control;
use crate::error::{Context as _, Error};
use crate::output::{CHUNK_BYTES, Copied, Stream};
use crate::sys;

/// How long output is still read after the container has ended. All of its processes are gone then,
/// so this is for a pipe end that got out, by way of a socket to another container for example.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// What the shim waits on, from its first moment to its last.
pub(crate) struct Supervisor {
    signals: OwnedFd,
    control: Control,
    streams: Vec<Stream>,
    /// Made when there is output: a silent container costs no memory for it.
    buffer: Vec<u8>,
    /// What was lost of streams that have ended.
    losses: Vec<String>,
}

/// What happened in one [`Supervisor::turn`].
pub(crate) struct Turn {
    /// The shim was asked to end.
    pub(crate) terminate: bool,
    /// Which of the extra descriptors are ready, in their order.
    pub(crate) ready: Vec<bool>,
}

impl Supervisor {
    /// Begins to collect signals and connections.
    pub(crate) fn new(control: Control) -> Result<Self, Error> {
        let signals = sys::signal_descriptor(&[libc::SIGTERM, libc::SIGINT])
            .context(|| "prepare for signals")?;
        Ok(Self { signals, control, streams: Vec::new(), buffer: Vec::new(), losses: Vec::new() })
    }

    /// Begins to copy output.
    pub(crate) fn copy(&mut self, streams: impl IntoIterator<Item = Stream>) {
        self.streams.extend(streams);
    }

    /// Waits until something happens, or until `deadline`; copies output and answers commands.
    pub(crate) fn turn(
        &mut self,
        extra: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
        act: &mut dyn FnMut(&Command) -> Answer,
    ) -> Result<Turn, Error> {
        let deadline = [deadline, self.control.deadline()].into_iter().flatten().min();
        let ready = wait(
            std::iter::once(self.signals.as_fd())
                .chain(extra.iter().copied())
                .chain(self.streams.iter().map(Stream::as_fd))
                .chain(self.control.descriptors()),
            deadline,
        )?;
        let (signals, rest) = ready.split_at(1);
        let (extra, rest) = rest.split_at(extra.len());
        let (streams, control) = rest.split_at(self.streams.len());
        let terminate = signals[0];
        if terminate {
            // All of them mean the same; one that stays would be there at every turn.
            let mut taken = [0; 1024];
            while rustix::io::read(&self.signals, &mut taken).is_ok() {}
        }
        self.copy_ready(streams);
        self.control.serve(control, act);
        Ok(Turn { terminate, ready: extra.to_vec() })
    }

    /// Copies what is left in the pipes of a container that has ended.
    pub(crate) fn drain(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        while !self.streams.is_empty() && Instant::now() < deadline {
            let ready = wait(self.streams.iter().map(Stream::as_fd), Some(deadline))?;
            self.copy_ready(&ready);
        }
        self.losses.extend(self.streams.drain(..).filter_map(|stream| stream.loss()));
        self.buffer = Vec::new();
        Ok(())
    }

    /// What output was lost, once [`Supervisor::drain`] is done.
    pub(crate) fn losses(&self) -> &[String] {
        &self.losses
    }

    /// Stops listening.
    pub(crate) fn close(self) -> std::io::Result<()> {
        self.control.close()
    }

    fn copy_ready(&mut self, ready: &[bool]) {
        let (buffer, losses) = (&mut self.buffer, &mut self.losses);
        let mut ready = ready.iter();
        self.streams.retain_mut(|stream| {
            if !ready.next().is_some_and(|&ready| ready) {
                return true;
            }
            if buffer.is_empty() {
                *buffer = vec![0; CHUNK_BYTES];
            }
            let ended = stream.copy(buffer) == Copied::End;
            if ended {
                losses.extend(stream.loss());
            }
            !ended
        });
    }
}

/// Polls for input, hang-up and errors alike; says which descriptors have something.
fn wait<'fd>(
    descriptors: impl Iterator<Item = BorrowedFd<'fd>>,
    deadline: Option<Instant>,
) -> Result<Vec<bool>, Error> {
    let mut polled: Vec<PollFd<'_>> =
        descriptors.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut polled, timeout.as_ref()) {
            Err(Errno::INTR) => {}
            result => {
                result.context(|| "wait for something to happen")?;
                return Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect());
            }
        }
    }
}
