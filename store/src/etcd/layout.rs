//! Where things are in etcd: everything below one prefix, so that others can live beside it.
//!
//! ```text
//!  <prefix>/generation       the id of the store
//!  <prefix>/records<key>     the records, each in an envelope
//! ```

use bytes::Bytes;
use etcd_client::KeyValue;

use crate::{Error, Record, Version, envelope};

/// The names below one prefix.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Where the id of the store is.
    pub(super) generation: String,
    /// What the keys of all records begin with.
    pub(super) records: String,
}

impl Layout {
    /// The names below `prefix`, with or without a slash at its end.
    pub(super) fn below(prefix: &str) -> Self {
        let prefix = prefix.trim_end_matches('/');
        Self { generation: format!("{prefix}/generation"), records: format!("{prefix}/records") }
    }

    /// Where the record `key` is.
    pub(super) fn record(&self, key: &str) -> String {
        format!("{}{key}", self.records)
    }

    /// Which record is at `name`, which etcd gave for something below [`Self::records`].
    ///
    /// # Errors
    /// The name as far as it can be read, where it is not UTF-8; nothing of ours is called so.
    pub(super) fn key(&self, name: &[u8]) -> Result<String, String> {
        let key = &name[self.records.len().min(name.len())..];
        std::str::from_utf8(key)
            .map(str::to_owned)
            .map_err(|_not_utf8| String::from_utf8_lossy(key).into_owned())
    }

    /// What etcd gave, as a record.
    pub(super) fn open(&self, found: KeyValue) -> Result<Record, Error> {
        let revision = revision(found.mod_revision());
        let (name, value) = found.into_key_value();
        let key = self
            .key(&name)
            .map_err(|key| Error::Corrupt { key, why: "the key is not UTF-8".to_owned() })?;
        match envelope::open(Bytes::from(value)) {
            Ok((position, value)) => {
                Ok(Record { key, value, version: Version::new(revision, position) })
            }
            Err(why) => Err(Error::Corrupt { key, why }),
        }
    }
}

/// A revision as etcd sends it.
pub(super) fn revision(sent: i64) -> u64 {
    u64::try_from(sent).unwrap_or(0)
}

/// A revision as etcd wants it; 0 would mean the newest.
pub(super) fn sent(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX).max(1)
}
