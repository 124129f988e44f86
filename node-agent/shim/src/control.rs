//! The control socket: commands in, answers out, a line each.
//!
//! Nothing here waits: the shim has one thread, and a client that sends half a line or does not read
//! its answer is dropped.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use meseta_shim_api::{Answer, Command, MAX_MESSAGE_BYTES, SOCKET_FILE};

use crate::error::{Context as _, Error};
use crate::layout::Layout;
use crate::sys;

/// Connections kept at once. There is one agent; the rest is for a second one while they change
/// over, and for people. The oldest is closed for a newer one.
const MAX_CLIENTS: usize = 8;
/// How long a begun line may take to be complete.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes read at once.
const CHUNK_BYTES: usize = 4096;

/// Listener and connections.
pub(crate) struct Control {
    listener: UnixListener,
    clients: Vec<Client>,
    path: PathBuf,
}

struct Client {
    stream: UnixStream,
    /// A line that is not complete yet.
    begun: Vec<u8>,
    /// When that line is given up.
    deadline: Option<Instant>,
}

/// Whether a connection is kept.
enum Keep {
    Yes,
    No,
}

impl Control {
    /// Listens in the run directory, for root only.
    pub(crate) fn open(layout: &Layout) -> Result<Self, Error> {
        let path = layout.socket();
        let listener = bind(layout.directory(), SOCKET_FILE)
            .context(|| format!("listen on {}", path.display()))?;
        Ok(Self { listener, clients: Vec::new(), path })
    }

    /// What to wait for; [`Control::serve`] takes the readiness of each in the same order.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let clients = self.clients.iter().map(|client| client.stream.as_fd());
        std::iter::once(self.listener.as_fd()).chain(clients)
    }

    /// When to call [`Control::serve`] at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.clients.iter().filter_map(|client| client.deadline).min()
    }

    /// Answers what has arrived on the ready descriptors, and takes new connections.
    pub(crate) fn serve(&mut self, ready: &[bool], act: &mut dyn FnMut(&Command) -> Answer) {
        let (&listener_ready, clients_ready) = ready.split_first().unwrap_or((&false, &[]));
        let now = Instant::now();
        let mut clients_ready = clients_ready.iter();
        self.clients.retain_mut(|client| {
            let ready = clients_ready.next().is_some_and(|&ready| ready);
            let keep = if ready { client.serve(now, act) } else { Keep::Yes };
            matches!(keep, Keep::Yes) && client.deadline.is_none_or(|deadline| deadline > now)
        });
        if listener_ready {
            self.accept();
        }
    }

    /// Removes the socket: nobody is answered any more.
    pub(crate) fn close(self) -> io::Result<()> {
        fs::remove_file(self.path)
    }

    fn accept(&mut self) {
        // A connection that is gone already is no error of ours.
        let Ok((stream, _)) = self.listener.accept() else { return };
        let root = sys::peer_uid(stream.as_fd()).is_ok_and(|uid| uid == 0);
        if !root || stream.set_nonblocking(true).is_err() {
            return;
        }
        if self.clients.len() == MAX_CLIENTS {
            self.clients.remove(0);
        }
        self.clients.push(Client { stream, begun: Vec::new(), deadline: None });
    }
}

impl Client {
    fn serve(&mut self, now: Instant, act: &mut dyn FnMut(&Command) -> Answer) -> Keep {
        let mut chunk = [0; CHUNK_BYTES];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Keep::No,
            Ok(length) => self.begun.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Keep::Yes,
            Err(_) => return Keep::No,
        }
        while let Some(end) = self.begun.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            if !self.answer(&reply(&line, act)) {
                return Keep::No;
            }
        }
        if self.begun.len() >= MAX_MESSAGE_BYTES {
            return Keep::No;
        }
        self.deadline = match (self.begun.is_empty(), self.deadline) {
            (true, _) => None,
            (false, begun) => Some(begun.unwrap_or(now + LINE_TIMEOUT)),
        };
        Keep::Yes
    }

    /// Whether the whole answer was taken at once.
    fn answer(&mut self, answer: &Answer) -> bool {
        let Ok(mut line) = serde_json::to_vec(answer) else { return false };
        line.push(b'\n');
        self.stream.write_all(&line).is_ok()
    }
}

fn reply(line: &[u8], act: &mut dyn FnMut(&Command) -> Answer) -> Answer {
    match serde_json::from_slice(line) {
        Ok(command) => act(&command),
        Err(error) => Answer::Failed { message: format!("this is not a command: {error}") },
    }
}

/// Binds `name` in `directory`, however long the directory's path is: the address of a socket has
/// room for 107 bytes only.
fn bind(directory: &Path, name: &str) -> io::Result<UnixListener> {
    let directory = File::open(directory)?;
    let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
