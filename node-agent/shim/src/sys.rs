//! The system calls that neither std nor rustix offers as safe functions.
//!
//! **Invariant:** all `unsafe` of this program is in this file, and this program has one thread.

#![expect(unsafe_code, reason = "fork, signal masks, execve and _exit have no safe wrapper")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

/// The two sides of a [`fork`].
pub(crate) enum Fork {
    /// The process that called.
    Parent,
    /// The new one.
    Child,
}

/// Forks this process.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: there is one thread, so no lock is held by a thread that the child does not have.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        _ => Ok(Fork::Parent),
    }
}

/// Begins a private mount namespace, or lets the next child begin a pid namespace.
pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: takes no pointers; namespaces do not touch memory or descriptors of this process.
    checked(unsafe { libc::unshare(flags) })
}

/// Makes `number` refer to what `fd` refers to.
pub(crate) fn replace(number: RawFd, fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes no pointers; the caller replaces only standard input, output and error.
    checked(unsafe { libc::dup2(fd.as_raw_fd(), number) })
}

/// Forgets every environment variable.
pub(crate) fn clear_environment() {
    // SAFETY: there is one thread, and nothing keeps a pointer into the environment.
    unsafe { libc::clearenv() };
}

/// Blocks `signals` and returns a descriptor that becomes readable when one of them arrives.
pub(crate) fn signal_descriptor(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    let mut set = empty_set();
    for &signal in signals {
        // SAFETY: `set` is initialised and outlives the call.
        checked(unsafe { libc::sigaddset(&raw mut set, signal) })?;
    }
    // SAFETY: `set` is initialised; the former mask is not asked for.
    checked(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) })?;
    // SAFETY: `set` is initialised; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    checked(fd)?;
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives every signal its default meaning and blocks none: what a new program expects.
pub(crate) fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: installs no handler. Numbers that may not be changed give an error, which is right.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let set = empty_set();
    // SAFETY: `set` is initialised; the former mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) };
}

/// Replaces this process's program; returns only if that failed.
pub(crate) fn execve(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: strings and both arrays end with a nul and live until the call returns.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// The user at the other end of a Unix socket. rustix cannot tell: it takes the pid for never 0, and
/// that is what a peer outside of our pid namespace has.
pub(crate) fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or(0);
    // SAFETY: `peer` and `length` outlive the call, and `length` is the size of `peer`.
    checked(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    })?;
    Ok(peer.uid)
}

/// Ends this process without running anything else of it.
pub(crate) fn exit_now(code: libc::c_int) -> ! {
    // SAFETY: `_exit` runs no handlers; nothing of this process is used afterwards.
    unsafe { libc::_exit(code) }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: `sigset_t` is plain data for which all zeroes is a value.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` outlives the call.
    unsafe { libc::sigemptyset(&raw mut set) };
    set
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
