//! A stream of everything that happens to the records, from a version on.
//!
//! It is always the stream of all records, whatever is asked for: the position of a deletion is
//! known only to who has seen its whole commit.

use bytes::Bytes;
use etcd_client::{Event as Sent, EventType, WatchOptions, WatchResponse, WatchStream};
use tokio::time::timeout;

use super::OPEN_TIMEOUT;
use super::cluster::{Cluster, Unknown};
use super::layout::{self, Layout};
use super::positions::Positions;
use crate::recent::Entry;
use crate::{Event, Record, Version, envelope};

/// One watch of etcd.
pub(super) struct Events {
    stream: WatchStream,
    layout: Layout,
    positions: Positions,
    /// What comes up to here is known already.
    after: Version,
}

/// What a stream brings.
pub(super) enum News {
    /// Changes, in order; not necessarily all of their commit.
    Changes(Vec<Entry>),
    /// There is nothing more up to the end of this revision.
    Progress(Version),
}

/// Why a stream is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// What it was to begin with is compacted; this revision can still be read.
    #[error("etcd was compacted at revision {0}")]
    Compacted(u64),
    /// A commit has more changes than a commit of ours can have.
    #[error("somebody else changed more keys in revision {0} than a commit of ours can")]
    Overflow(u64),
    /// The member does not answer any more, or does not want to.
    #[error("the watch was lost")]
    Lost(#[source] Unknown),
    /// etcd ended it.
    #[error("etcd ended the watch: {0}")]
    Canceled(String),
}

impl Events {
    /// Everything after version `after`.
    pub(super) async fn open(
        cluster: &Cluster,
        layout: &Layout,
        after: Version,
    ) -> Result<Self, End> {
        // Not after it: positions are counted from the beginning of a commit, and etcd tells no
        // progress to a watch that begins in the future.
        let begin = after.revision();
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(layout::sent(begin))
            .with_prev_key()
            // Bounds the messages.
            .with_fragment();
        let (number, mut member) = cluster.member();
        let opening = member.watch.watch(layout.records.as_str(), Some(options));
        let result = match timeout(OPEN_TIMEOUT, opening).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Unknown::Failed(error)),
            Err(_elapsed) => Err(Unknown::Silent),
        };
        let stream = result.map_err(|unknown| {
            cluster.leave(number);
            End::Lost(unknown)
        })?;
        Ok(Self { stream, layout: layout.clone(), positions: Positions::default(), after })
    }

    /// Asks etcd how far it is; [`News::Progress`] comes once it has sent all it has. While it has
    /// not, it forgets the question.
    pub(super) async fn ask_progress(&mut self) -> Result<(), End> {
        self.stream.request_progress().await.map_err(lost)
    }

    /// What comes next. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<News, End> {
        loop {
            let response = self.stream.message().await.map_err(lost)?;
            let response = response.ok_or_else(|| End::Canceled("the stream ended".to_owned()))?;
            if response.canceled() {
                return Err(ended(&response));
            }
            if response.created() {
                continue;
            }
            if response.events().is_empty() {
                let header = response.header().map_or(0, |h| layout::revision(h.revision()));
                return Ok(News::Progress(Version::end_of(header)));
            }
            let entries = self.entries(response.events())?;
            if !entries.is_empty() {
                return Ok(News::Changes(entries));
            }
        }
    }

    fn entries(&mut self, sent: &[Sent]) -> Result<Vec<Entry>, End> {
        let mut entries = Vec::with_capacity(sent.len());
        for event in sent {
            if let Some(entry) = self.entry(event)? {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// An event with its version, unless it is known already.
    fn entry(&mut self, sent: &Sent) -> Result<Option<Entry>, End> {
        let Some(kv) = sent.kv() else { return Ok(None) };
        let revision = layout::revision(kv.mod_revision());
        if Version::end_of(revision) <= self.after {
            return Ok(None);
        }
        let value = match sent.event_type() {
            EventType::Put => Some(envelope::open(Bytes::copy_from_slice(kv.value()))),
            EventType::Delete => None,
        };
        let position = value.as_ref().and_then(|opened| opened.as_ref().ok().map(|(at, _)| *at));
        let version = self.positions.next(revision, position).ok_or(End::Overflow(revision))?;
        if version <= self.after {
            return Ok(None);
        }
        let replaces = value.is_none() || kv.create_revision() < kv.mod_revision();
        if replaces && sent.prev_kv().is_none() {
            // Only the compaction of the very revision before takes it away.
            return Err(End::Compacted(revision));
        }
        let (key, value) = match (self.layout.key(kv.key()), value.transpose()) {
            (Ok(key), Ok(opened)) => (key, opened.map(|(_, value)| value)),
            (Ok(key), Err(why)) => return Ok(Some(Entry::Corrupt { key, version, why })),
            (Err(key), _) => {
                let why = "the key is not UTF-8".to_owned();
                return Ok(Some(Entry::Corrupt { key, version, why }));
            }
        };
        let previous = sent.prev_kv().and_then(|previous| {
            // One that was corrupt is as good as none.
            let (position, value) =
                envelope::open(Bytes::copy_from_slice(previous.value())).ok()?;
            let version = Version::new(layout::revision(previous.mod_revision()), position);
            Some(Record { key: key.clone(), value, version })
        });
        Ok(Some(Entry::Event(Event { key, version, value, previous })))
    }
}

fn lost(error: etcd_client::Error) -> End {
    End::Lost(error.into())
}

fn ended(response: &WatchResponse) -> End {
    match response.compact_revision() {
        0 => End::Canceled(response.cancel_reason().to_owned()),
        revision => End::Compacted(layout::revision(revision)),
    }
}
