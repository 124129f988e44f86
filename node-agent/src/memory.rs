//! What an agent remembers of its cluster, so that neither an old leader nor a new store fools it.
//!
//! - The highest epoch it has seen in a placement: a lower one comes from a leader that was replaced.
//! - The uid of its own record, and the highest version it has seen of it. Another uid, or a version
//!   that goes back, is another store: emptied, or restored from a backup. Then epochs begin anew, and
//!   what the store does not know is kept for a day instead of being cleaned up.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::checkpoint;

/// How long nothing is concluded from the absence of a record after the store has changed.
const DOUBT: Duration = Duration::from_secs(24 * 60 * 60);

/// The agent's memory, kept on disk.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Known {
    agent_uid: Option<String>,
    agent_version: u64,
    seen_epoch: i64,
    store_changed_unix_millis: Option<i64>,
    /// Whether this process has seen that the store is the one that is remembered.
    #[serde(skip)]
    confirmed: bool,
}

impl Memory {
    /// Reads what is remembered at `path`.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let known = checkpoint::read(&path)?.unwrap_or_default();
        Ok(Self { path, known: Mutex::new(known) })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The highest epoch that was seen.
    pub(crate) fn seen_epoch(&self) -> i64 {
        self.lock().seen_epoch
    }

    /// Whether the absence of a record proves that it was deleted, as far as this agent can know.
    pub(crate) fn absence_is_believed(&self, now: i64) -> bool {
        let doubt = i64::try_from(DOUBT.as_millis()).unwrap_or(i64::MAX);
        let known = self.lock();
        known.confirmed
            && known.store_changed_unix_millis.is_none_or(|changed| now - changed > doubt)
    }

    /// Remembers an epoch that is higher than all before, durably, before it is acted on.
    ///
    /// # Errors
    /// The file system refused: the placement must wait.
    pub(crate) fn raise_epoch(&self, epoch: i64) -> io::Result<()> {
        let mut known = self.lock();
        if epoch <= known.seen_epoch {
            return Ok(());
        }
        let raised = Known { seen_epoch: epoch, ..known.clone() };
        meseta_shim_api::write(&self.path, &raised)?;
        *known = raised;
        Ok(())
    }

    /// Whether the agent's own record is an older version than one that was seen before. A server that
    /// lags shows that for a moment; a restored store shows it for good.
    pub(crate) fn goes_back(&self, uid: &str, version: u64) -> bool {
        let mut known = self.lock();
        let goes_back = known.agent_uid.as_deref() == Some(uid) && version < known.agent_version;
        known.confirmed &= !goes_back;
        goes_back
    }

    /// Takes note of the agent's own record. Whether it shows that the store is another than before.
    ///
    /// # Errors
    /// The file system refused what must be known after a restart; a mere new version of the record
    /// need not be, so that a full disk can be reported in it.
    pub(crate) fn recognise(&self, uid: &str, version: u64, now: i64) -> io::Result<bool> {
        let mut known = self.lock();
        let same = known.agent_uid.as_deref() == Some(uid);
        if same && version == known.agent_version {
            known.confirmed = true;
            return Ok(false);
        }
        let changed = known.agent_uid.is_some() && (!same || version < known.agent_version);
        let recognised = Known {
            agent_uid: Some(uid.to_owned()),
            agent_version: version,
            seen_epoch: if changed { 0 } else { known.seen_epoch },
            store_changed_unix_millis: if changed {
                Some(now)
            } else {
                known.store_changed_unix_millis
            },
            confirmed: true,
        };
        match meseta_shim_api::write(&self.path, &recognised) {
            Err(err) if changed || !same => return Err(err),
            Err(err) => tracing::debug!(error = &err as &dyn std::error::Error, "not remembered"),
            Ok(()) => {}
        }
        *known = recognised;
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_store_is_recognised_and_doubted_for_a_day() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("agent.json");
        let memory = Memory::open(path.clone()).unwrap();
        assert!(!memory.absence_is_believed(0), "nothing is known yet");
        assert!(!memory.recognise("a", 10, 0).unwrap());
        assert!(memory.absence_is_believed(0));
        memory.raise_epoch(7).unwrap();
        memory.raise_epoch(3).unwrap();
        assert!(!memory.recognise("a", 12, 0).unwrap());

        let memory = Memory::open(path).unwrap();
        assert_eq!(memory.seen_epoch(), 7);
        assert!(!memory.absence_is_believed(0), "this process has not seen the store yet");
        assert!(!memory.recognise("a", 12, 0).unwrap());
        assert!(memory.absence_is_believed(0));
        assert!(memory.goes_back("a", 11));
        assert!(!memory.absence_is_believed(0), "not while that is looked into");
        assert!(memory.recognise("a", 11, 1000).unwrap(), "it went back");
        assert_eq!(memory.seen_epoch(), 0);
        assert!(!memory.absence_is_believed(1000));
        assert!(memory.absence_is_believed(1001 + 24 * 60 * 60 * 1000));
        assert!(memory.recognise("b", 20, 2000).unwrap(), "it is another");
        std::fs::remove_dir_all(root.path()).unwrap();
        assert!(!memory.recognise("b", 21, 2000).unwrap(), "a disk that takes nothing");
        assert!(memory.goes_back("b", 20));
        memory.recognise("c", 22, 2000).unwrap_err();
        assert!(!memory.absence_is_believed(3000));
    }
}
