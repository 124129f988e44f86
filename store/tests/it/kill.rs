//! SIGKILL of a process that writes to an embedded store, at moments that nobody chose.
//!
//! ```text
//!  test ──starts──► this binary again, as the writer: open, create/update/delete, compact, lease
//!       ◄──pipe──── one line after each acknowledgement
//!       ──SIGKILL─► wherever it is
//!  test: open the directory; what the pipe says must be there, and the history must be whole
//! ```

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meseta_store::embedded::EmbeddedStore;
use meseta_store::{Change, Event, Expect, Store, Version};
use tempfile::TempDir;

use crate::stores::StoreExt as _;

/// Tells this binary to be the writer, and where.
const DIRECTORY: &str = "MESETA_STORE_TEST_WRITER";
/// Kills of one run; each leaves the directory to the next.
const KILLS: u32 = 16;
/// Concurrent writers, each with keys of its own.
const WRITERS: usize = 8;
/// Keys of each writer.
const KEYS: u64 = 5;

/// What a writer does next to one of its keys; all of it follows from the number of the step.
fn step(writer: usize, number: u64) -> (String, Option<Bytes>) {
    let key = format!("/{writer}/{}", number % KEYS);
    let deletes = number % 7 == 3;
    let value =
        Bytes::from(format!("{number:08}").repeat(1 + usize::try_from(number % 40).unwrap()));
    (key, (!deletes).then_some(value))
}

/// The step that wrote a value.
fn number(value: &Bytes) -> u64 {
    std::str::from_utf8(&value[..8]).unwrap().parse().unwrap()
}

/// Not a test but the writer of the one below, which starts it with [`DIRECTORY`] set; otherwise it
/// has nothing to do.
#[test]
fn writer_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(Path::new(&directory)).unwrap());
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| tokio::spawn(write_on(Arc::clone(&store), writer))).collect();
        loop {
            // Compactions and leases are under way as well.
            let lease = store.grant_lease(1).await.unwrap();
            let change = Change::Put { value: Bytes::from_static(b"x"), lease: Some(lease) };
            store.write(&format!("/leased/{}", lease.0), Expect::Absent, change).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            let newest = store.version().await.unwrap();
            let keep = Version(newest.0.saturating_sub(200 * 1024));
            store.compact(keep).await.unwrap();
            store.revoke_lease(lease).await.unwrap();
            assert!(writers.iter().all(|writer| !writer.is_finished()));
        }
    });
}

/// Goes on where the store says this writer was, for ever.
async fn write_on(store: Arc<dyn Store>, writer: usize) {
    let mut current: BTreeMap<String, Version> = BTreeMap::new();
    let mut next = 0;
    let progress = format!("/progress/{writer}");
    for record in store.all(&format!("/{writer}/"), None).await.records {
        next = next.max(number(&record.value) + 1);
        current.insert(record.key, record.version);
    }
    let mut done = store.get(&progress).await.unwrap();
    if let Some(done) = &done {
        next = next.max(number(&done.value) + 1);
    }
    loop {
        let (key, value) = step(writer, next);
        let expect = current.get(&key).map_or(Expect::Absent, |at| Expect::Version(*at));
        let version = match value {
            Some(value) => {
                let change = Change::Put { value, lease: None };
                Some(store.write(&key, expect, change).await.unwrap())
            }
            // The number of a deletion is nowhere else.
            None => {
                let at = done.as_ref().map_or(Expect::Absent, |r| Expect::Version(r.version));
                store.put(&progress, at, &format!("{next:08}")).await.unwrap();
                done = store.get(&progress).await.unwrap();
                match expect {
                    Expect::Version(_) => {
                        Some(store.write(&key, expect, Change::Delete).await.unwrap())
                    }
                    Expect::Absent => None,
                }
            }
        };
        if let Some(version) = version {
            let is_there = step(writer, next).1.is_some();
            if is_there {
                current.insert(key, version)
            } else {
                current.remove(&key)
            };
            // One write to the pipe, so that a kill never leaves half a line in between.
            let line = format!("acknowledged {writer} {next} {version}\n");
            std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
        }
        next += 1;
    }
}

/// What one killed writer had been told.
#[derive(Default)]
struct Acknowledged {
    /// By writer: its last step and version.
    last: BTreeMap<usize, (u64, Version)>,
    lines: usize,
}

/// Starts a writer, lets it write for a while and kills it.
fn write_and_kill(directory: &Path, delay: Duration) -> Acknowledged {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::writer_process", "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Acknowledged::default();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut read = |line: std::io::Result<String>| {
        let line = line.unwrap();
        let Some(numbers) = line.strip_prefix("acknowledged ") else { return false };
        let numbers: Vec<u64> = numbers.split(' ').filter_map(|n| n.parse().ok()).collect();
        // The last line may be torn.
        let [writer, step, version] = numbers[..] else { return false };
        let writer = usize::try_from(writer).unwrap();
        acknowledged.last.insert(writer, (step, Version(version)));
        acknowledged.lines += 1;
        true
    };
    // It has begun; from here on the moment is anybody's guess.
    while !read(lines.next().expect("the writer ended by itself")) {}
    let killer = std::thread::spawn(move || {
        std::thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    for line in lines {
        read(line);
    }
    killer.join().unwrap();
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_kill_is_there() {
    let directory = TempDir::new().unwrap();
    let (mut lines, mut stored_unheard) = (0, 0);
    for kill in 0..KILLS {
        let delay = Duration::from_micros(RandomState::new().hash_one(kill) % 120_000);
        let path = directory.path().to_owned();
        let acknowledged =
            tokio::task::spawn_blocking(move || write_and_kill(&path, delay)).await.unwrap();
        lines += acknowledged.lines;
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
        let page = store.all("/", None).await;
        for (writer, (step_number, version)) in &acknowledged.last {
            let ahead = check_writer(&store, *writer, *step_number, *version).await;
            stored_unheard += usize::from(ahead);
        }
        check_history(&store, page.version).await;
        eprintln!("kill {kill} after {delay:?}: {} acknowledgements", acknowledged.lines);
    }
    eprintln!("{KILLS} kills, {lines} acknowledgements, {stored_unheard} stored but not heard of");
    assert!(lines > usize::try_from(KILLS).unwrap() * 10, "hardly anything was written");
    assert!(stored_unheard > 0, "no kill fell between a sync and its answer");
}

/// What a writer was told last is there, or what it did after that; says whether it was the latter.
async fn check_writer(store: &Arc<dyn Store>, writer: usize, told: u64, version: Version) -> bool {
    let (key, value) = step(writer, told);
    let record = store.get(&key).await.unwrap();
    // The keys take turns, so only the step after the last of this key can have touched it too; but
    // a writer waits for each answer, so at most one step is unheard of.
    let unheard = (told + 1..told + 3).find(|next| step(writer, *next).0 == key);
    assert_eq!(unheard, None, "the keys take turns");
    match (value, record) {
        (Some(value), Some(record)) => {
            assert_eq!((record.value, record.version), (value, version), "{key}");
        }
        (None, None) => {}
        (value, record) => panic!("{key}: told {value:?}, found {record:?}"),
    }
    let (next_key, next_value) = step(writer, told + 1);
    let next = store.get(&next_key).await.unwrap();
    match next_value {
        Some(next_value) => next.is_some_and(|record| record.value == next_value),
        None => false,
    }
}

/// The events from the oldest readable version on lead exactly to what is listed.
async fn check_history(store: &Arc<dyn Store>, newest: Version) {
    let oldest = match store.list("/", None, 1, Some(Version(0))).await {
        Ok(_) => Version(0),
        Err(meseta_store::Error::Compacted { oldest, .. }) => oldest,
        Err(other) => panic!("{other:?}"),
    };
    let mut current: BTreeMap<String, (Bytes, Version)> = listed(store, oldest).await;
    let events = store.events("/", oldest, newest).await;
    assert!(events.is_sorted_by(|a, b| a.version < b.version));
    let middle = events.len() / 2;
    for (index, Event { key, version, value, previous }) in events.into_iter().enumerate() {
        let before = current.get(&key).cloned();
        assert_eq!(previous.map(|record| (record.value, record.version)), before, "{key}");
        match value {
            Some(value) => current.insert(key, (value, version)),
            None => current.remove(&key),
        };
        if index == middle {
            assert_eq!(listed(store, version).await, current, "listed at {version}");
        }
    }
    // Leases end at any time, so only up to the version of the list.
    assert_eq!(listed(store, newest).await, current);
}

async fn listed(store: &Arc<dyn Store>, at: Version) -> BTreeMap<String, (Bytes, Version)> {
    let page = store.all("/", Some(at)).await;
    page.records.into_iter().map(|record| (record.key, (record.value, record.version))).collect()
}
