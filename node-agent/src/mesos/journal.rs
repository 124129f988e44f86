//! The status updates of a task that an executor runs: on the agent's disk first, then in its record.
//!
//! ```text
//! tasks/<task uid>/handed-over        the executor may know the task
//!                  updates/<n>.json   one update, synced, numbered from 1
//! ```
//!
//! The record holds a window of them: what follows the last acknowledgement that is stored, as far as
//! there is room. Its state is that of the last update that ever was in the window, so that a terminal
//! state and its update are written together.
//!
//! **Invariants:** an update is kept before the executor hears that it was taken; one with a known uuid
//! is kept once; nothing follows a terminal one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use meseta_crds::TaskState;
use meseta_crds::task::{MAX_MESOS_UPDATES, MesosStatus, MesosUpdate};
use meseta_mesos_agent::{Progress, Stored};
use meseta_mesos_wire::json;
use meseta_mesos_wire::v1::TaskStatus;
use serde::{Deserialize, Serialize};

use super::room::Room;
use crate::checkpoint::{self, TASK_FILE};
use crate::directory::{TaskDirectory, make_private, names};

const HANDED_OVER_FILE: &str = "handed-over";
const UPDATES_DIR: &str = "updates";

/// Updates that wait for the scheduler of one task; more are refused, except for its end. Whoever tells
/// as much to one that does not listen can wait too.
const MAX_WAITING: usize = 128;
/// Updates that are remembered after they were acknowledged by the scheduler: executors repeat what
/// they heard nothing of, which is much less.
const REMEMBERED: usize = 64;

/// One update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// What the scheduler is told.
    pub(crate) update: MesosUpdate,
    /// Where it leaves the task.
    pub(crate) state: TaskState,
    /// CamelCase cause, for the record.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// One sentence, for the record.
    #[serde(default)]
    pub(crate) message: Option<String>,
    /// When, in milliseconds since 1970.
    pub(crate) at: i64,
}

/// All updates of a task that are remembered, the oldest first.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    entries: Vec<Entry>,
    /// Of each entry, the number of its file.
    numbers: Vec<u64>,
    /// What its record has room for.
    room: Room,
    /// Entries that the record was last seen to be done with.
    done: usize,
    handed_over: bool,
}

/// What is to stand in a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window<'a> {
    /// The updates, in order.
    pub(crate) updates: Vec<MesosUpdate>,
    /// The last update that is, or was, in the record; none before the first.
    pub(crate) last: Option<&'a Entry>,
}

impl Journal {
    /// Whether there are updates of a task, whatever else is known of it.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn is_in(task: &TaskDirectory) -> io::Result<bool> {
        task.path().join(UPDATES_DIR).try_exists()
    }

    /// Reads what is kept of a task; nothing where it is new.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn open(task: &TaskDirectory, room: Room) -> io::Result<Self> {
        let directory = task.path().to_owned();
        let handed_over = directory.join(HANDED_OVER_FILE).try_exists()?;
        let updates = directory.join(UPDATES_DIR);
        let mut found: Vec<u64> = names(&updates)?.iter().filter_map(|n| number(n)).collect();
        found.sort_unstable();
        let (mut entries, mut numbers) = (Vec::new(), Vec::new());
        for number in found {
            // Each is synced before it counts: a damaged one was never said to be kept.
            if let Some(entry) = checkpoint::read::<Entry>(&file(&updates, number))? {
                entries.push(entry);
                numbers.push(number);
            }
        }
        Ok(Self { directory, entries, numbers, room, done: 0, handed_over })
    }

    /// What the task's record has room for: what is appended must fit.
    pub(crate) fn room(&self) -> Room {
        self.room
    }

    /// Keeps an update, unless it is known or the task is over. Blocks for the disk.
    ///
    /// # Errors
    /// The file system refused, or too many wait.
    pub(crate) fn append(&mut self, entry: Entry) -> io::Result<Stored> {
        if self.entries.iter().any(|known| known.update.uuid == entry.update.uuid) {
            return Ok(Stored::Known);
        }
        if self.is_over() {
            return Ok(Stored::AfterEnd);
        }
        if self.entries.len() - self.done >= MAX_WAITING && !entry.state.is_terminal() {
            return Err(io::Error::other("too many updates wait for the scheduler"));
        }
        let updates = self.directory.join(UPDATES_DIR);
        if self.entries.is_empty() {
            make_private(&updates)?;
            // What says whose they are, and the directories they are in, are as new as they may be.
            let parents = self.directory.ancestors().take(2).map(Path::to_owned);
            for path in std::iter::once(self.directory.join(TASK_FILE)).chain(parents) {
                match fs::File::open(path) {
                    Ok(file) => file.sync_all()?,
                    Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                    Err(err) => return Err(err),
                }
            }
        }
        let number = self.numbers.last().map_or(1, |last| last + 1);
        meseta_shim_api::write(&file(&updates, number), &entry)?;
        self.entries.push(entry);
        self.numbers.push(number);
        Ok(Stored::New)
    }

    /// Writes that the executor may know the task from now on.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn hand_over(&mut self) -> io::Result<()> {
        if !self.handed_over {
            fs::File::create(self.directory.join(HANDED_OVER_FILE))?;
            self.handed_over = true;
        }
        Ok(())
    }

    /// Whether it was over before its executor could know of it.
    pub(crate) fn ended_early(&self) -> bool {
        self.is_over() && !self.handed_over
    }

    /// How far the task is with its executor.
    pub(crate) fn progress(&self) -> Progress {
        match (self.entries.is_empty(), self.handed_over) {
            (false, _) => Progress::Answered,
            (true, true) => Progress::HandedOver,
            (true, false) => Progress::New,
        }
    }

    /// The end of the task, if it is over.
    pub(crate) fn end(&self) -> Option<&Entry> {
        self.entries.last().filter(|entry| entry.state.is_terminal())
    }

    /// Uuids of the updates that are remembered, 16 bytes each.
    pub(crate) fn uuids(&self) -> impl Iterator<Item = Vec<u8>> {
        let statuses = self.entries.iter().map(|entry| json::from_value(&entry.update.status));
        statuses.filter_map(|status: Result<TaskStatus, _>| status.ok()?.uuid)
    }

    /// Whether the task is over.
    pub(crate) fn is_over(&self) -> bool {
        self.end().is_some()
    }

    /// Where the last update has left the task.
    pub(crate) fn state(&self) -> Option<TaskState> {
        self.entries.last().map(|entry| entry.state)
    }

    /// What is to stand in a record with this status.
    pub(crate) fn window(&self, written: Option<&MesosStatus>) -> Window<'_> {
        let begin = self.acknowledged(written);
        let mut bytes = 0;
        let mut updates = Vec::new();
        let mut last = begin.checked_sub(1).and_then(|index| self.entries.get(index));
        for entry in self.entries.iter().skip(begin).take(MAX_MESOS_UPDATES) {
            bytes += entry.update.status.to_string().len();
            let is_last = entry.state.is_terminal();
            if bytes > self.room.going_on && !is_last && !updates.is_empty() {
                break;
            }
            updates.push(entry.update.clone());
            last = Some(entry);
        }
        Window { updates, last }
    }

    /// What is to stand in a record that no scheduler reads.
    pub(crate) fn last_word(&self) -> Window<'_> {
        let last = self.entries.last();
        Window { updates: last.map(|last| last.update.clone()).into_iter().collect(), last }
    }

    /// Takes note of what the record says, and forgets the oldest of what it is done with. What
    /// cannot be removed goes with the task.
    pub(crate) fn observe(&mut self, written: Option<&MesosStatus>) {
        self.done = self.acknowledged(written);
        let spare = self.done.saturating_sub(REMEMBERED);
        let updates = self.directory.join(UPDATES_DIR);
        for number in self.numbers.drain(..spare) {
            if let Err(err) = fs::remove_file(file(&updates, number)) {
                tracing::debug!(error = &err as &dyn std::error::Error, "update not removed");
            }
        }
        self.entries.drain(..spare);
        self.done -= spare;
    }

    /// Entries up to the acknowledged one.
    fn acknowledged(&self, written: Option<&MesosStatus>) -> usize {
        let Some(written) = written else { return 0 };
        let position = |uuid: &str| self.entries.iter().position(|e| e.update.uuid == uuid);
        let acknowledged = written.acknowledged.as_deref();
        if let Some(index) = acknowledged.and_then(position) {
            return index + 1;
        }
        // What the record begins with was not acknowledged; all before it was.
        written.updates.first().and_then(|first| position(&first.uuid)).unwrap_or(0)
    }
}

fn file(updates: &Path, number: u64) -> PathBuf {
    updates.join(format!("{number:08}.json"))
}

fn number(name: &std::ffi::OsStr) -> Option<u64> {
    name.to_str()?.strip_suffix(".json")?.parse().ok()
}

#[cfg(test)]
mod tests;
