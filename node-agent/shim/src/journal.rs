//! `shim.log`: the shim's own words, bounded, and never a reason to fail.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use crate::record::unix_millis;

/// Bytes after which nothing more is written. A healthy run writes a few hundred; the rest is for
/// the errors of libcontainer's processes.
const MAX_BYTES: usize = 64 * 1024;

/// Writes lines with the time in front, until the file is full or the disk is.
pub(crate) struct Journal {
    file: Option<File>,
    left: usize,
}

impl Journal {
    /// Appends to the file at `path`. If it cannot be opened, nothing is written.
    pub(crate) fn open(path: &Path) -> Self {
        let file = File::options().append(true).create(true).open(path).ok();
        Self { file, left: MAX_BYTES }
    }

    /// Writes one line.
    pub(crate) fn note(&mut self, text: &str) {
        let line = format!("{} {}\n", unix_millis(), text.trim_end().replace('\n', " | "));
        if line.len() > self.left {
            self.left = 0;
            return;
        }
        self.left -= line.len();
        if let Some(file) = &mut self.file {
            // There is no better place to complain.
            let _ = file.write_all(line.as_bytes());
        }
    }
}
