//! What was: lists at old versions, and events that are no longer in memory.
//!
//! etcd can show its records after a whole commit, not in the middle of one. A list in the middle
//! is the list after the commit with the changes behind that point undone; what they replaced comes
//! with the events of the commit.

use std::collections::BTreeMap;

use etcd_client::{GetOptions, GetResponse};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::cluster::{Fault, Member, Unknown};
use super::events::{End, Events, News};
use super::{OPEN_TIMEOUT, PROGRESS_PAUSE, Shared, layout};
use crate::recent::{self, Entry};
use crate::watch::{Batch, History};
use crate::{Error, Page, Record, Version};

/// Keys asked for at once: enough to be cheap, few enough that an answer with the largest values
/// does not fill the memory.
const RANGE_KEYS: usize = 500;
/// Events caught up with at once. Each time costs etcd a new watch and up to 100 ms, so it is more
/// than what is read from memory.
const CATCH_UP_EVENTS: usize = 4096;
/// Bytes of events caught up with at once.
const CATCH_UP_BYTES: usize = 8 << 20;
/// How often a stream of old events is tried before a watch is ended.
const GATHER_TRIES: usize = 4;

/// A part of the records in key order, as of one revision.
struct Range {
    records: Vec<Record>,
    more: bool,
    revision: u64,
}

/// Of keys that a commit changed behind some position what they held before, if anything.
type Undone = BTreeMap<String, Option<Record>>;

impl Shared {
    /// See [`crate::Store::list`].
    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Version>,
    ) -> Result<Page, Error> {
        let Some(at) = at else {
            let Range { mut records, more, revision } =
                self.range(prefix, after, limit.max(1), None).await?;
            let more = more || records.len() > limit;
            records.truncate(limit);
            return Ok(Page { records, version: Version::end_of(revision), more });
        };
        let undone = self.undone(prefix, at).await?;
        // One more than can be missing after that, which tells whether more follow.
        let ample = limit.saturating_add(undone.len()).saturating_add(1);
        let range = self.range(prefix, after, ample, Some(at)).await?;
        Ok(undo(range, undone, after, limit, at))
    }

    /// Up to `limit` records, however many requests that takes; all of one revision.
    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Version>,
    ) -> Result<Range, Error> {
        let end = end_of_prefix(self.layout.record(prefix));
        let mut begin = match after {
            Some(after) if after >= prefix => next_name(&self.layout.record(after)),
            _ => self.layout.record(prefix).into_bytes(),
        };
        let mut at = at;
        let mut records = Vec::new();
        loop {
            let wanted = limit.saturating_sub(records.len()).min(RANGE_KEYS);
            let mut answer = match self.get_range(begin, &end, wanted, at).await {
                Ok(answer) => answer,
                Err(fault) => return Err(self.refusal(fault, at).await),
            };
            let newest = answer.header().map_or(0, |header| layout::revision(header.revision()));
            let pinned = *at.get_or_insert_with(|| Version::end_of(newest));
            let found: Result<Vec<Record>, Error> =
                answer.take_kvs().into_iter().map(|found| self.layout.open(found)).collect();
            records.extend(found?);
            match records.last() {
                Some(last) if answer.more() && records.len() < limit => {
                    begin = next_name(&self.layout.record(&last.key));
                }
                _ => {
                    let revision = pinned.revision();
                    return Ok(Range { records, more: answer.more(), revision });
                }
            }
        }
    }

    async fn get_range(
        &self,
        begin: Vec<u8>,
        end: &[u8],
        limit: usize,
        at: Option<Version>,
    ) -> Result<GetResponse, Fault> {
        let mut options =
            GetOptions::new().with_range(end).with_limit(i64::try_from(limit).unwrap_or(i64::MAX));
        if let Some(at) = at {
            options = options.with_revision(layout::sent(at.revision()));
        }
        let call = |mut member: Member| {
            let (begin, options) = (begin.clone(), options.clone());
            async move { member.kv.get(begin, Some(options)).await }.boxed()
        };
        self.cluster.read(call).await
    }

    /// Why a list at a version was refused, in the words of the contract.
    async fn refusal(&self, fault: Fault, at: Option<Version>) -> Error {
        let asked = at.unwrap_or_default();
        match fault {
            Fault::Compacted => match self.gather(Version(0), |_| true).await {
                Err(End::Compacted(revision)) => {
                    Error::Compacted { asked, oldest: Version::end_of(revision) }
                }
                Err(end) => super::unavailable(end),
                Ok(_) => super::unavailable(Garbled),
            },
            Fault::Future => match self.newest().await {
                Ok(newest) => Error::Future { asked, newest },
                Err(error) => error,
            },
            fault => fault.into_error(),
        }
    }

    /// What lies behind `at` in its commit, undone.
    async fn undone(&self, prefix: &str, at: Version) -> Result<Undone, Error> {
        let revision = at.revision();
        if at == Version::end_of(revision) || revision == 0 {
            return Ok(Undone::new());
        }
        let commit = match self.recent.commit(revision) {
            Some(commit) => commit,
            None => self.commit(at).await?,
        };
        let mut undone = Undone::new();
        for entry in commit.into_iter().filter(|entry| entry.version() > at) {
            match entry {
                Entry::Event(event) if event.key.starts_with(prefix) => {
                    undone.entry(event.key).or_insert(event.previous);
                }
                Entry::Corrupt { key, why, .. } if key.starts_with(prefix) => {
                    return Err(Error::Corrupt { key, why });
                }
                Entry::Event(_) | Entry::Corrupt { .. } => {}
            }
        }
        Ok(undone)
    }

    /// The changes of the commit of `at`, from etcd.
    async fn commit(&self, at: Version) -> Result<Vec<Entry>, Error> {
        let revision = at.revision();
        let begin = Version(Version::new(revision, 0).0 - 1);
        let newest = self.newest().await?;
        if newest < at {
            return Err(Error::Future { asked: at, newest });
        }
        let gathered = self.gather(begin, |entry| entry.version().revision() > revision).await;
        let (mut entries, _through) = gathered.map_err(|end| explain(end, at))?;
        entries.retain(|entry| entry.version().revision() == revision);
        Ok(entries)
    }

    /// The events after version `after` that are no longer in memory, or a good part of them.
    async fn catch_up(&self, prefix: &str, after: Version) -> Result<Batch, Error> {
        let floor = self.recent.floor();
        let (mut events, mut bytes) = (0, 0);
        let enough = |entry: &Entry| {
            if entry.key().starts_with(prefix) {
                (events, bytes) = (events + 1, bytes + entry.bytes());
            }
            entry.version() >= floor || events >= CATCH_UP_EVENTS || bytes >= CATCH_UP_BYTES
        };
        let gathered = self.gather(after, enough).await;
        let (entries, through) = gathered.map_err(|end| explain(end, after))?;
        recent::batch(&entries, prefix, through, usize::MAX)
    }

    /// The events after version `after`: up to the message with the first that is `enough`, or all.
    /// With them the version up to which they are all.
    async fn gather(
        &self,
        after: Version,
        mut enough: impl FnMut(&Entry) -> bool,
    ) -> Result<(Vec<Entry>, Version), End> {
        let mut entries: Vec<Entry> = Vec::new();
        for attempt in 1.. {
            let known = entries.last().map_or(after, Entry::version);
            match self.gather_on(known, &mut entries, &mut enough).await {
                Ok(through) => return Ok((entries, through)),
                Err(End::Lost(_) | End::Canceled(_)) if attempt < GATHER_TRIES => {
                    sleep(PROGRESS_PAUSE).await;
                }
                Err(end) => return Err(end),
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn gather_on(
        &self,
        after: Version,
        entries: &mut Vec<Entry>,
        enough: &mut impl FnMut(&Entry) -> bool,
    ) -> Result<Version, End> {
        let mut events = Events::open(&self.cluster, &self.layout, after).await?;
        // Where there are no events, only progress tells so.
        let mut asking = interval(PROGRESS_PAUSE);
        asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = tokio::time::Instant::now();
        loop {
            tokio::select! {
                news = events.next() => match news? {
                    News::Changes(changes) => {
                        heard = tokio::time::Instant::now();
                        let mut done = false;
                        for entry in changes {
                            done |= enough(&entry);
                            entries.push(entry);
                        }
                        if let Some(last) = entries.last().filter(|_| done) {
                            return Ok(last.version());
                        }
                    }
                    News::Progress(version) => return Ok(version),
                },
                _ = asking.tick() => {
                    if heard.elapsed() > OPEN_TIMEOUT {
                        return Err(End::Lost(Unknown::Silent));
                    }
                    events.ask_progress().await?;
                }
            }
        }
    }
}

impl History for Shared {
    fn read<'a>(&'a self, prefix: &'a str, after: Version) -> BoxFuture<'a, Result<Batch, Error>> {
        async move {
            match self.recent.after(prefix, after) {
                Some(batch) => batch,
                None => self.catch_up(prefix, after).await,
            }
        }
        .boxed()
    }
}

/// etcd shows what it has just said is compacted.
#[derive(Debug, thiserror::Error)]
#[error("etcd's answers do not fit together")]
struct Garbled;

/// The end of a stream as the answer to who asked for what comes after a version.
fn explain(end: End, asked: Version) -> Error {
    match end {
        End::Compacted(revision) | End::Overflow(revision) => {
            Error::Compacted { asked, oldest: Version::end_of(revision) }
        }
        lost @ (End::Lost(_) | End::Canceled(_)) => super::unavailable(lost),
    }
}

/// The page at `at`, of the records after the commit of `at`.
fn undo(range: Range, undone: Undone, after: Option<&str>, limit: usize, at: Version) -> Page {
    let reach = range.records.last().filter(|_| range.more).map(|last| last.key.clone());
    let mut records: BTreeMap<String, Record> =
        range.records.into_iter().map(|record| (record.key.clone(), record)).collect();
    for (key, before) in undone {
        let listed_before = after.is_some_and(|after| key.as_str() <= after);
        let listed_later = reach.as_ref().is_some_and(|reach| key > *reach);
        if listed_before || listed_later {
            continue;
        }
        match before {
            Some(before) => records.insert(key, before),
            None => records.remove(&key),
        };
    }
    let more = records.len() > limit;
    Page { records: records.into_values().take(limit).collect(), version: at, more }
}

/// The smallest name after `name`.
fn next_name(name: &str) -> Vec<u8> {
    let mut next = name.as_bytes().to_vec();
    next.push(0);
    next
}

/// The smallest name that is after all that begin with `prefix`, which is UTF-8 and not empty.
fn end_of_prefix(prefix: String) -> Vec<u8> {
    let mut end = prefix.into_bytes();
    // No byte of UTF-8 is 0xff.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

#[cfg(test)]
mod tests;
