//! Writing to stdout. A reader that goes away (`| head`) is no failure.

use std::fmt;
use std::io::{self, Write as _};

use anyhow::Result;

use crate::failure::Failure;

/// Writes a line.
pub(crate) fn line(text: fmt::Arguments<'_>) -> Result<()> {
    let mut stdout = io::stdout().lock();
    checked(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// Writes bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    checked(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

fn checked(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::NobodyReads.into()),
        result => Ok(result?),
    }
}
