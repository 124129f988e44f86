//! How the agent's child becomes a shim that the agent's death does not touch.
//!
//! ```text
//! agent ──spawn──► launcher ──fork──► shim: own session, own pid namespace, nobody's child
//!                     │ ◄── ready ─────┘
//!                  exits at once: 0 = the shim has its socket and its checkpoint
//! ```
//!
//! The shim is the first process of a pid namespace, and its container is in a namespace below.
//! So the kernel itself kills everything of the container when the shim dies, at any instruction of
//! either, whatever the container does to its own processes; a parent-death signal is forgotten when
//! a program changes its user, and leaves a window while the container is being made.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{Context as _, Error};
use crate::sys::{self, Fork};

/// What the shim sends when it is ready. Anything else is why it could not become so.
const READY: &[u8] = b"ready\n";
/// The longest answer that the launcher reads, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// The two processes that [`detach`] returns in.
pub(crate) enum Side {
    /// The agent's child, with the shim's answer to come.
    Launcher(Answer),
    /// The shim, with the duty to answer.
    Shim(Ready),
}

/// What the launcher waits for.
pub(crate) struct Answer(OwnedFd);

/// The shim's way to tell the launcher how it went.
pub(crate) struct Ready(OwnedFd);

/// Forks the shim into its own pid namespace.
pub(crate) fn detach() -> Result<Side, Error> {
    let (reader, writer) =
        pipe_with(PipeFlags::CLOEXEC).context(|| "make a pipe between launcher and shim")?;
    sys::unshare(libc::CLONE_NEWPID).context(|| "make a pid namespace (is this root?)")?;
    match sys::fork().context(|| "fork the shim")? {
        Fork::Parent => Ok(Side::Launcher(Answer(reader))),
        Fork::Child => Ok(Side::Shim(Ready(writer))),
    }
}

impl Answer {
    /// Waits until the shim is ready, or dead.
    pub(crate) fn wait(self) -> Result<(), Error> {
        let mut answer = Vec::new();
        File::from(self.0)
            .take(MAX_ANSWER_BYTES)
            .read_to_end(&mut answer)
            .context(|| "wait for the shim")?;
        match answer.as_slice() {
            READY => Ok(()),
            [] => Err(Error::Refused("the shim died while it was starting".to_owned())),
            reason => Err(Error::Refused(String::from_utf8_lossy(reason).into_owned())),
        }
    }
}

impl Ready {
    /// Lets the launcher leave: from here on the run directory says everything.
    pub(crate) fn done(self) {
        self.send(READY);
    }

    /// Tells why nothing was started.
    pub(crate) fn failed(self, error: &Error) {
        self.send(error.message().as_bytes());
    }

    fn send(self, answer: &[u8]) {
        // A launcher that was killed meanwhile does not need the answer.
        let _ = File::from(self.0).write_all(answer);
    }
}

/// Cuts what ties the shim to whoever started it: session, terminal, directory, environment, stdio.
pub(crate) fn forget_the_launcher() -> Result<(), Error> {
    rustix::process::setsid().context(|| "begin a session")?;
    std::env::set_current_dir("/").context(|| "change to /")?;
    // Directories and devices of the container are made with it; secrets are given their mode.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    sys::clear_environment();
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.context(|| "open /dev/null")?;
    for number in 0..=2 {
        sys::replace(number, null.as_fd()).context(|| "replace standard input and output")?;
    }
    Ok(())
}

/// Prints why nothing was started, for the agent that keeps its child's stderr.
pub(crate) fn complain(error: &Error) {
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(io::stderr(), "meseta-shim: {}", error.message());
}
