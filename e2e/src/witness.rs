//! What tasks say about themselves, past Meseta's back.
//!
//! A host path volume is read-only, but a FIFO in it can be written to: it is not the file system that
//! changes. So every start of a program can be counted even if Meseta lost its output or its record.
//! The other way round, a task can wait for a file in the same directory.
//!
//! ```text
//!   container:  echo "start a" > /mnt/witness/lines       test:  heard("start a") == 1
//!               until [ -e /mnt/witness/go ]; …           test:  release("go")
//! ```

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::Result;
use rustix::fs::{CWD, FileType, Mode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Where tasks see the directory.
const MOUNT_PATH: &str = "/mnt/witness";
/// Name of the FIFO.
const FIFO: &str = "lines";
/// Ends the reader; no task says it.
const END: &str = "\u{4}";

type Lines = Arc<Mutex<Vec<String>>>;

/// A directory with a FIFO, and every line that came out of it.
#[derive(Debug)]
pub struct Witness {
    /// Apart from the agents' directories, which tasks are not given.
    directory: TempDir,
    lines: Lines,
    reader: Option<JoinHandle<()>>,
}

impl Witness {
    /// Makes a directory and begins to listen.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("e2e-").tempdir_in("/tmp")?;
        let fifo = directory.path().join(FIFO);
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o666), 0)?;
        // Open for writing too, so that it does not end with the first task.
        let file = OpenOptions::new().read(true).write(true).open(&fifo)?;
        let lines = Lines::default();
        let heard = lines.clone();
        let reader = thread::spawn(move || listen(file, &heard));
        Ok(Self { directory, lines, reader: Some(reader) })
    }

    /// Gives the only container of a task, or of a template, this witness.
    pub fn add_to(&self, spec: &mut Value) {
        append(
            &mut spec["volumes"],
            json!({"name": "witness", "hostPath": {"path": self.directory.path()}}),
        );
        append(
            &mut spec["containers"][0]["volumeMounts"],
            json!({"name": "witness", "mountPath": MOUNT_PATH}),
        );
    }

    /// A line of shell that says `words`; they are expanded by the shell.
    #[must_use]
    pub fn say(words: &str) -> String {
        format!("echo \"{words}\" > {MOUNT_PATH}/{FIFO}")
    }

    /// The FIFO itself, for programs that have no volumes: the host's files are read-only to them, but
    /// a FIFO can be written to.
    #[must_use]
    pub fn fifo(&self) -> PathBuf {
        self.directory.path().join(FIFO)
    }

    /// A line of shell that waits until the test has called [`release`](Self::release).
    #[must_use]
    pub fn wait_for(gate: &str) -> String {
        format!("until [ -e {MOUNT_PATH}/{gate} ]; do sleep 0.05; done")
    }

    /// Lets go who waits for `gate`.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn release(&self, gate: &str) -> Result<()> {
        Ok(std::fs::write(self.directory.path().join(gate), "")?)
    }

    /// How often a line was heard.
    #[must_use]
    pub fn heard(&self, line: &str) -> usize {
        self.lines().iter().filter(|heard| *heard == line).count()
    }

    /// All lines so far, in order.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let told = OpenOptions::new()
            .write(true)
            .open(self.directory.path().join(FIFO))
            .and_then(|mut fifo| writeln!(fifo, "{END}"));
        if let (Ok(()), Some(reader)) = (told, self.reader.take()) {
            drop(reader.join());
        }
    }
}

fn listen(file: File, heard: &Lines) {
    for line in BufReader::new(file).lines() {
        match line {
            Ok(line) if line != END => {
                let mut lines = heard.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push(line);
            }
            _ => return,
        }
    }
}

fn append(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = json!([item]),
    }
}
