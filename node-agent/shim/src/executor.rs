//! The last steps of the container's first process: find the program, execute it, say why not.
//!
//! libcontainer's own executor wants `PATH` to be set and everybody to be allowed to execute the
//! program, gives the program the shim's signal mask, and cannot say why `execve` failed. This one
//! sends the reason through a pipe that closes by itself when the program runs.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use meseta_shim_api::{RunRequest, StartFailure};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error, is_disk_full};
use crate::sys;

/// Where programs are looked for if the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The longest first line of a script that is looked at, as in the kernel.
const MAX_INTERPRETER_BYTES: u64 = 256;
/// The longest reason, in bytes: a pipe takes that in one piece.
const MAX_REASON_BYTES: usize = 4096;
/// Exit status of a program that was not found, as in shells. Nobody sees it but the shim.
const NOT_FOUND: i32 = 127;

/// Executes the program of one run.
#[derive(Clone)]
pub(crate) struct Program {
    arguments: Vec<CString>,
    environment: Vec<CString>,
    search: Vec<PathBuf>,
    report: Rc<OwnedFd>,
}

/// The other end: ends without a word when the program runs.
pub(crate) struct Report(OwnedFd);

/// Why the program does not run, as sent from the container to the shim.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reason {
    cause: StartFailure,
    message: String,
}

impl Program {
    /// Prepares everything that can be prepared outside of the container.
    pub(crate) fn new(request: &RunRequest) -> Result<(Self, Report), Error> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .context(|| "make a pipe for the program's start")?;
        let arguments = request.args.iter().map(c_string).collect();
        let environment =
            request.env.iter().map(|(name, value)| c_string(format!("{name}={value}"))).collect();
        let path = request.env.iter().rev().find(|(name, _)| name == "PATH");
        let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
        let program = Self {
            arguments: arguments_ok(arguments)?,
            environment: arguments_ok(environment)?,
            search: path.split(':').map(PathBuf::from).collect(),
            report: Rc::new(writer),
        };
        Ok((program, Report(reader)))
    }

    /// The file to execute: the name itself if it has a slash, else the first match in the path.
    fn find(&self) -> Result<PathBuf, Reason> {
        let name = self.arguments.first().map(|name| OsStr::from_bytes(name.as_bytes()));
        let name = Path::new(name.unwrap_or_default());
        if name.as_os_str().as_bytes().contains(&b'/') {
            return match executable(name) {
                Ok(()) => Ok(name.to_owned()),
                Err(error) => Err(Reason::of(name, &error.into())),
            };
        }
        let mut refused = None;
        for candidate in self.search.iter().map(|directory| directory.join(name)) {
            match executable(&candidate) {
                Ok(()) => return Ok(candidate),
                Err(Errno::ACCESS) => {
                    refused.get_or_insert_with(|| Reason::of(&candidate, &Errno::ACCESS.into()));
                }
                Err(_) => {}
            }
        }
        Err(refused.unwrap_or_else(|| self.not_in_path(name)))
    }

    fn not_in_path(&self, name: &Path) -> Reason {
        let path: Vec<_> =
            self.search.iter().map(|directory| directory.to_string_lossy()).collect();
        let message = format!("command `{}` not found in {}", name.display(), path.join(":"));
        Reason { cause: StartFailure::CommandNotFound, message }
    }

    fn send(&self, reason: &Reason) {
        let Ok(mut bytes) = serde_json::to_vec(reason) else { return };
        bytes.truncate(MAX_REASON_BYTES);
        // Without the reason the shim still sees that the program did not run.
        let _ = rustix::io::write(&*self.report, &bytes);
    }
}

impl Executor for Program {
    /// Runs in the container, before it counts as created.
    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        self.find().map(drop).map_err(|reason| {
            self.send(&reason);
            ExecutorValidationError::ArgValidationError(reason.message)
        })
    }

    /// The environment goes to `execve` as it was asked for, in order.
    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }

    /// Runs in the container, once it was started; never returns.
    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        sys::reset_signals();
        let reason = self.find().map_or_else(
            |reason| reason,
            |path| match c_string(OsStr::as_bytes(path.as_os_str())) {
                Some(file) => {
                    Reason::of(&path, &sys::execve(&file, &self.arguments, &self.environment))
                }
                None => Reason::of(&path, &Errno::INVAL.into()),
            },
        );
        self.send(&reason);
        sys::exit_now(NOT_FOUND)
    }
}

impl Report {
    /// To be polled: readable when the program runs, or cannot.
    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.0
    }

    /// `None` while the program is being started.
    pub(crate) fn outcome(&self) -> Option<Result<(), Error>> {
        let mut bytes = vec![0; MAX_REASON_BYTES];
        match rustix::io::read(&self.0, &mut bytes) {
            Err(Errno::AGAIN | Errno::INTR) => None,
            Ok(0) => Some(Ok(())),
            Ok(length) => {
                let reason = serde_json::from_slice(&bytes[..length]).unwrap_or_else(|_| Reason {
                    cause: StartFailure::Other,
                    message: String::from_utf8_lossy(&bytes[..length]).into_owned(),
                });
                let Reason { cause, message } = reason;
                Some(Err(Error::Program { cause, message }))
            }
            Err(error) => Some(Err(error).context(|| "learn whether the program was started")),
        }
    }
}

impl Reason {
    /// Explains why `path` could not be executed.
    fn of(path: &Path, error: &io::Error) -> Self {
        let shown = path.display();
        let not_found = StartFailure::CommandNotFound;
        let (cause, message) = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => match interpreter(path) {
                Some(name) => {
                    (not_found, format!("`{shown}` needs `{name}`, which does not exist"))
                }
                None if path.exists() => {
                    (not_found, format!("`{shown}` needs a program loader that does not exist"))
                }
                None => (not_found, format!("command `{shown}` not found")),
            },
            Some(Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => {
                (not_found, format!("command `{shown}` not found: {error}"))
            }
            Some(Errno::ACCESS | Errno::PERM | Errno::ISDIR) => {
                (not_found, format!("`{shown}` is not executable for this user: {error}"))
            }
            Some(Errno::NOEXEC) => (
                not_found,
                format!("`{shown}` is neither a program for this machine nor a script with `#!`"),
            ),
            _ if is_disk_full(error) => {
                (StartFailure::DiskFull, format!("cannot execute `{shown}`: {error}"))
            }
            _ => (StartFailure::Other, format!("cannot execute `{shown}`: {error}")),
        };
        Self { cause, message }
    }
}

/// Whether this process may execute the file.
fn executable(path: &Path) -> Result<(), Errno> {
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?;
    // Directories have the permission too.
    if path.is_dir() { Err(Errno::ACCESS) } else { Ok(()) }
}

/// The interpreter that a script names in its first line.
fn interpreter(path: &Path) -> Option<String> {
    let mut line = Vec::new();
    BufReader::new(File::open(path).ok()?.take(MAX_INTERPRETER_BYTES))
        .read_until(b'\n', &mut line)
        .ok()?;
    let line = String::from_utf8_lossy(&line);
    line.strip_prefix("#!")?.split_whitespace().next().map(str::to_owned)
}

fn c_string(text: impl AsRef<[u8]>) -> Option<CString> {
    CString::new(text.as_ref()).ok()
}

fn arguments_ok(strings: Option<Vec<CString>>) -> Result<Vec<CString>, Error> {
    strings.ok_or_else(|| Error::Refused("arguments and environment must not contain NUL".into()))
}

#[cfg(test)]
mod tests;
