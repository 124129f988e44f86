//! `meseta-shim <run directory>`: the parent of one container.
//!
//! A small program with one thread. It makes one container through libcontainer, keeps its output,
//! its exit status and its checkpoint on disk, and obeys a control socket. The agent that started it
//! may die and come back. What both agree on is in `meseta-shim-api`.
//!
//! ```text
//!  launch ─► run ─┬► check      what can be known to be wrong
//!                 ├► record     shim.json, exit.json
//!                 ├► container  root, spec, executor: what libcontainer is given
//!                 ├► supervise  the loop: output, control, signals, the end
//!                 ├► ending     SIGTERM to all of it
//!                 └► cgroup     OOM kills, killing, removing
//! ```
//!
//! Invariants:
//! - One thread: libcontainer forks without executing, and changes this process as it goes.
//! - The container cannot outlive the shim: the shim is the first process of a pid namespace that
//!   contains the container's.
//! - Nothing is left behind by a run that ended, but `exit.json`, `shim.json`, `run.json`, the log
//!   and the output.
//!
//! It exits with 0 once the shim is ready, in its launcher, and otherwise with 1 and the reason on
//! stderr; then nothing was started.

mod causes;
mod cgroup;
mod check;
mod container;
mod control;
mod ending;
mod error;
mod executor;
mod journal;
mod launch;
mod layout;
mod output;
mod process;
mod record;
mod root;
mod run;
mod spec;
mod supervise;
mod sys;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::error::Error;
use crate::launch::{Side, complain, detach};

fn main() -> ExitCode {
    // A panic in a forked child must not unwind into the parent's logic.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    let result = directory(std::env::args_os().skip(1)).and_then(|directory| {
        Ok(match detach()? {
            Side::Shim(ready) => run::run(&directory, ready),
            Side::Launcher(answer) => answer.wait().map(|()| ExitCode::SUCCESS)?,
        })
    });
    result.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

fn directory(mut arguments: impl Iterator<Item = OsString>) -> Result<PathBuf, Error> {
    match (arguments.next(), arguments.next()) {
        (Some(directory), None) => Ok(directory.into()),
        _ => Err(Error::Refused("usage: meseta-shim <run directory>".to_owned())),
    }
}
