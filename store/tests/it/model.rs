//! Random histories, each store against the one in memory.
//!
//! The reference is never compacted. What a store says about a version must be what the reference
//! says; only below a compaction it may refuse instead.

use std::sync::Arc;

use bytes::Bytes;
use meseta_store::memory::MemoryStore;
use meseta_store::{Change, Error, Event, Expect, Page, Record, Store, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use crate::stores::{Kind, StoreExt as _, Subject};

/// One step; numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Write { key: usize, expect: Guess, put: Option<u8> },
    Get { key: usize },
    List { prefix: usize, after: Option<usize>, limit: usize, at: Option<usize> },
    Compact { at: usize },
    Reopen,
}

/// What a write expects.
#[derive(Clone, Copy, Debug)]
enum Guess {
    Absent,
    /// What is there.
    Right,
    /// Some version of the past.
    Past(usize),
}

const KEYS: [&str; 6] = ["/a", "/a/1", "/a/2", "/a/20", "/b", "/ü"];
const PREFIXES: [&str; 5] = ["", "/", "/a", "/a/", "/c"];

fn step() -> impl Strategy<Value = Step> {
    let guess = prop_oneof![
        2 => Just(Guess::Absent),
        5 => Just(Guess::Right),
        1 => any::<usize>().prop_map(Guess::Past),
    ];
    let write = (0..KEYS.len(), guess, proptest::option::weighted(0.7, any::<u8>()))
        .prop_map(|(key, expect, put)| Step::Write { key, expect, put });
    let list = (
        0..PREFIXES.len(),
        proptest::option::of(0..KEYS.len()),
        1..5_usize,
        proptest::option::of(any::<usize>()),
    )
        .prop_map(|(prefix, after, limit, at)| Step::List { prefix, after, limit, at });
    prop_oneof![
        12 => write,
        2 => (0..KEYS.len()).prop_map(|key| Step::Get { key }),
        4 => list,
        1 => any::<usize>().prop_map(|at| Step::Compact { at }),
        1 => Just(Step::Reopen),
    ]
}

/// The store under test beside the reference, and how their versions correspond.
struct Pair {
    subject: Subject,
    reference: Arc<dyn Store>,
    /// Each write's version: in the store under test, in the reference.
    written: Vec<(Version, Version)>,
    compacted: Version,
}

impl Pair {
    fn new(subject: Subject) -> Self {
        Self {
            subject,
            reference: Arc::new(MemoryStore::new()),
            written: Vec::new(),
            compacted: Version(0),
        }
    }

    /// The reference's version that corresponds to one of the store's.
    fn reference_of(&self, version: Version) -> Version {
        let found = self.written.iter().find(|(ours, _)| *ours == version);
        found.unwrap_or_else(|| panic!("{version} is no version of a write")).1
    }

    fn translated(&self, record: Record) -> Record {
        Record { version: self.reference_of(record.version), ..record }
    }

    fn pick(&self, index: usize) -> Option<(Version, Version)> {
        let index = index.checked_rem(self.written.len())?;
        self.written.get(index).copied()
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Write { key, expect, put } => self.write(KEYS[key], expect, put).await,
            Step::Get { key } => {
                let ours = self.subject.store.get(KEYS[key]).await.unwrap();
                let ours = ours.map(|record| self.translated(record));
                assert_eq!(ours, self.reference.get(KEYS[key]).await.unwrap());
            }
            Step::List { prefix, after, limit, at } => {
                let at = at.and_then(|at| self.pick(at));
                self.list(PREFIXES[prefix], after.map(|key| KEYS[key]), limit, at).await;
            }
            Step::Compact { at } => {
                if let Some((version, _)) = self.pick(at) {
                    self.subject.store.compact(version).await.unwrap();
                    self.compacted = self.compacted.max(version);
                }
            }
            Step::Reopen => {
                let memory = Subject::new(Kind::Memory).await;
                let subject = std::mem::replace(&mut self.subject, memory);
                self.subject = subject.reopened().await;
            }
        }
    }

    async fn write(&mut self, key: &str, expect: Guess, put: Option<u8>) {
        let current = self.reference.get(key).await.unwrap().map(|record| record.version);
        let expects = match expect {
            Guess::Absent => None,
            Guess::Right => {
                self.written.iter().find(|(_, theirs)| Some(*theirs) == current).copied()
            }
            Guess::Past(index) => self.pick(index),
        };
        let (expect_ours, expect_theirs) = match expects {
            Some((ours, theirs)) => (Expect::Version(ours), Expect::Version(theirs)),
            None => (Expect::Absent, Expect::Absent),
        };
        let change = match put {
            Some(byte) => {
                Change::Put { value: Bytes::from(vec![byte; usize::from(byte) * 20]), lease: None }
            }
            None => Change::Delete,
        };
        let ours = self.subject.store.write(key, expect_ours, change.clone()).await;
        let theirs = self.reference.write(key, expect_theirs, change).await;
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                assert!(self.written.last().is_none_or(|(last, _)| *last < ours));
                self.written.push((ours, theirs));
            }
            (Err(Error::Conflict { current: ours }), Err(Error::Conflict { current: theirs })) => {
                assert_eq!(ours.map(|record| self.translated(record)), theirs);
            }
            (ours, theirs) => panic!("{ours:?}, the reference says {theirs:?}"),
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<(Version, Version)>,
    ) {
        let (at_ours, at_theirs) = (at.map(|at| at.0), at.map(|at| at.1));
        let theirs = self.reference.list(prefix, after, limit, at_theirs).await.unwrap();
        match self.subject.store.list(prefix, after, limit, at_ours).await {
            Ok(Page { records, version, more }) => {
                let records: Vec<Record> =
                    records.into_iter().map(|record| self.translated(record)).collect();
                assert_eq!((records, more), (theirs.records, theirs.more));
                assert!(at_ours.is_none_or(|at| at == version));
            }
            Err(Error::Compacted { asked, .. }) => {
                assert_eq!(Some(asked), at_ours);
                assert!(asked < self.compacted, "{asked} is not older than {}", self.compacted);
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Watches from every version that is still there, to the end.
    async fn watch_all(&self) {
        let Some((newest, _)) = self.written.last().copied() else { return };
        for (after, after_theirs) in &self.written {
            if *after < self.compacted {
                continue;
            }
            let newest_theirs = self.reference.version().await.unwrap();
            let theirs = self.reference.events("/a", *after_theirs, newest_theirs).await;
            let ours = self.subject.store.events("/a", *after, newest).await;
            let ours: Vec<Event> = ours
                .into_iter()
                .map(|event| Event {
                    version: self.reference_of(event.version),
                    previous: event.previous.map(|record| self.translated(record)),
                    ..event
                })
                .collect();
            assert_eq!(ours, theirs, "after {after}");
        }
    }
}

fn compare(kind: Kind, cases: u32) {
    let runtime = Runtime::new().unwrap();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let histories = vec(step(), 1..60);
    let result = TestRunner::new(config).run(&histories, |steps| {
        runtime.block_on(async {
            let mut pair = Pair::new(Subject::new(kind).await);
            for step in steps {
                pair.step(step).await;
            }
            pair.watch_all().await;
        });
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[test]
fn random_histories_in_memory_are_those_of_the_reference() {
    compare(Kind::Memory, 64);
}

#[test]
fn random_histories_in_the_embedded_store_are_those_of_the_reference() {
    compare(Kind::Embedded, 48);
}

#[test]
fn random_histories_in_etcd_are_those_of_the_reference() {
    compare(Kind::Etcd, 8);
}
