//! Faults of the disk, which only a double can have on demand. What every store promises is in
//! `tests/it`.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt as _;
use redb::backends::FileBackend;
use redb::{Builder, Database, StorageBackend};
use tempfile::TempDir;

use super::disk::Disk;
use super::{EmbeddedStore, engine, tables};
use crate::{Change, Error, Expect, Store as _, Version, WatchItem};

/// A disk that fails as it is told to.
#[derive(Debug)]
struct Faults {
    /// What it holds; what it says is free is what the file leaves of it.
    capacity: AtomicU64,
    /// Nothing can be written behind this byte of the file.
    end: AtomicU64,
    /// Writes, changes of length and syncs until one of them fails; negative: none.
    countdown: AtomicI64,
}

impl Faults {
    fn none() -> Arc<Self> {
        Arc::new(Self {
            capacity: AtomicU64::new(u64::MAX),
            end: AtomicU64::new(u64::MAX),
            countdown: AtomicI64::new(-1),
        })
    }

    fn count(&self) -> io::Result<()> {
        match self.countdown.fetch_sub(1, Ordering::SeqCst) {
            0 => Err(io::ErrorKind::Other.into()),
            _ => Ok(()),
        }
    }

    fn check_end(&self, end: u64) -> io::Result<()> {
        if end > self.end.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

/// The file on that disk.
#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    faults: Arc<Faults>,
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    // The length is only a promise: files have holes.
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.count()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.count()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.faults.check_end(offset + data.len() as u64)?;
        if let Err(fault) = self.faults.count() {
            // It is torn.
            self.file.write(offset, &data[..data.len() / 2])?;
            return Err(fault);
        }
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// A directory on that disk.
struct FaultyDisk {
    directory: TempDir,
    faults: Arc<Faults>,
}

impl FaultyDisk {
    fn store(faults: &Arc<Faults>) -> EmbeddedStore {
        let directory = TempDir::new().unwrap();
        EmbeddedStore::start(Self { directory, faults: Arc::clone(faults) }).unwrap()
    }
}

impl Disk for FaultyDisk {
    fn open(&self) -> Result<Database, Error> {
        let path = self.directory.path().join("db");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = FileBackend::new(file.unwrap()).map_err(engine)?;
        let backend = Faulty { file, faults: Arc::clone(&self.faults) };
        Builder::new().create_with_backend(backend).map_err(engine)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let used = self.directory.path().join("db").metadata()?.len();
        Ok(self.faults.capacity.load(Ordering::SeqCst).saturating_sub(used))
    }
}

async fn put(store: &EmbeddedStore, key: &str, expect: Expect) -> Result<Version, Error> {
    put_bytes(store, key, expect, 1000).await
}

async fn put_bytes(
    store: &EmbeddedStore,
    key: &str,
    expect: Expect,
    bytes: usize,
) -> Result<Version, Error> {
    let change = Change::Put { value: Bytes::from(vec![7; bytes]), lease: None };
    store.write(key, expect, change).await
}

#[tokio::test]
async fn near_a_full_disk_puts_are_refused_and_room_can_be_made() {
    let faults = Faults::none();
    let store = FaultyDisk::store(&faults);
    let old = put(&store, "/a", Expect::Absent).await.unwrap();
    let kept = put(&store, "/b", Expect::Absent).await.unwrap();

    faults.capacity.store(super::RESERVE_BYTES, Ordering::SeqCst);
    assert!(matches!(put(&store, "/c", Expect::Absent).await, Err(Error::NoSpace(_))));
    assert!(matches!(put(&store, "/a", Expect::Version(old)).await, Err(Error::NoSpace(_))));
    assert!(matches!(store.grant_lease(10).await, Err(Error::NoSpace(_))));
    assert!(matches!(put(&store, "/a", Expect::Absent).await, Err(Error::Conflict { .. })));
    assert_eq!(store.get("/b").await.unwrap().unwrap().version, kept);
    let deleted = store.write("/a", Expect::Version(old), Change::Delete).await.unwrap();
    store.compact(deleted).await.unwrap();

    faults.capacity.store(2 * super::RESERVE_BYTES, Ordering::SeqCst);
    put(&store, "/c", Expect::Absent).await.unwrap();
    assert_eq!(store.list("/", None, 9, None).await.unwrap().records.len(), 2);
}

#[tokio::test]
async fn what_is_deleted_and_compacted_makes_room_on_a_full_disk() {
    let faults = Faults::none();
    let store = FaultyDisk::store(&faults);
    faults.capacity.store(super::RESERVE_BYTES + (8 << 20), Ordering::SeqCst);
    let mut stored: Vec<Version> = Vec::new();
    loop {
        match put_bytes(&store, &format!("/{}", stored.len()), Expect::Absent, 100_000).await {
            Ok(version) => stored.push(version),
            Err(Error::NoSpace(_)) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    for (index, version) in stored.iter().enumerate().skip(10) {
        let key = format!("/{index}");
        store.write(&key, Expect::Version(*version), Change::Delete).await.unwrap();
    }
    assert!(matches!(put(&store, "/new", Expect::Absent).await, Err(Error::NoSpace(_))));
    store.compact(store.version().await.unwrap()).await.unwrap();
    // Its room is given back after its answer, but before the next.
    put(&store, "/new", Expect::Absent).await.unwrap();
    assert_eq!(store.list("/", None, usize::MAX, None).await.unwrap().records.len(), 11);
}

#[tokio::test]
async fn a_disk_that_fills_up_under_a_commit_loses_nothing_acknowledged() {
    let faults = Faults::none();
    let store = FaultyDisk::store(&faults);
    let mut watch = store.watch("/", Version(0)).await.unwrap();
    let mut acknowledged = vec![put(&store, "/first", Expect::Absent).await.unwrap()];
    faults.end.store(300_000, Ordering::SeqCst);
    let mut refused = 0;
    for index in 0..2000 {
        match put(&store, &format!("/{index}"), Expect::Absent).await {
            Ok(version) => acknowledged.push(version),
            Err(Error::NoSpace(_)) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5, "the disk never filled up");
    let listed = async || {
        let page = store.list("/", None, usize::MAX, None).await.unwrap();
        let mut versions: Vec<_> = page.records.iter().map(|record| record.version).collect();
        versions.sort();
        versions
    };
    assert_eq!(listed().await, acknowledged, "readable while it is full");

    faults.end.store(u64::MAX, Ordering::SeqCst);
    acknowledged.push(put(&store, "/last", Expect::Absent).await.unwrap());
    assert_eq!(listed().await, acknowledged);
    for version in acknowledged {
        assert!(matches!(
            watch.next().await.unwrap().unwrap(),
            WatchItem::Event(event) if event.version == version
        ));
    }
}

/// One failure after another, each a step later than the one before it.
#[tokio::test]
async fn a_fault_at_any_step_of_a_commit_leaves_all_or_nothing() {
    let faults = Faults::none();
    let store = FaultyDisk::store(&faults);
    let (mut unknown, mut rounds) = (0, 0);
    for step in 0..40 {
        let key = format!("/{step:02}");
        faults.countdown.store(step, Ordering::SeqCst);
        let mut wrote = put(&store, &key, Expect::Absent).await;
        // Opening anew can meet the fault as well; then it is tried again by and by.
        while faults.countdown.load(Ordering::SeqCst) >= 0 {
            rounds += 1;
            wrote = put(&store, &format!("{key}/{rounds}"), Expect::Absent).await;
        }
        let reading = async || loop {
            if let Ok(page) = store.list("/", None, usize::MAX, None).await {
                return page;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        let page = reading().await;
        let shown = page.records.iter().any(|record| {
            record.key.starts_with(&key) && wrote.as_ref().is_ok_and(|v| *v == record.version)
        });
        match wrote {
            Ok(_) => assert!(shown, "step {step}: acknowledged and gone"),
            Err(Error::Unavailable(_)) => unknown += 1,
            Err(other) => panic!("step {step}: {other:?}"),
        }
        let mut versions: Vec<_> = page.records.iter().map(|record| record.version).collect();
        versions.sort();
        let mut watch = store.watch("/", Version(0)).await.unwrap();
        for version in versions {
            assert!(matches!(
                watch.next().await.unwrap().unwrap(),
                WatchItem::Event(event) if event.version == version
            ));
        }
    }
    assert!(unknown >= 20, "only {unknown} of 40 faults met a write");
}

#[tokio::test]
async fn a_directory_has_one_store_at_a_time() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("new/deep");
    let store = EmbeddedStore::open(&path).unwrap();
    let written = put(&store, "/a", Expect::Absent).await.unwrap();
    let Err(Error::Unavailable(why)) = EmbeddedStore::open(&path) else {
        panic!("it was opened twice")
    };
    assert_eq!(
        why.to_string(),
        format!("the store in `{}` is in use by another process", path.display())
    );
    let mut watch = store.watch("/", written).await.unwrap();
    drop(store);
    assert!(matches!(watch.next().await, Some(Err(Error::Unavailable(_)))), "it ends its watches");
    assert!(watch.next().await.is_none());
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.get("/a").await.unwrap().unwrap().version, written);
}

#[test]
fn a_directory_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("store");
    let _store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_cannot_be_a_directory_is_said() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let Err(Error::Unavailable(why)) = EmbeddedStore::open(&file) else { panic!("it was opened") };
    assert_eq!(why.to_string(), format!("cannot use the directory `{}`", file.display()));
}

#[test]
fn a_store_of_a_newer_program_is_left_alone() {
    let directory = TempDir::new().unwrap();
    drop(EmbeddedStore::open(directory.path()).unwrap());
    alter(directory.path(), |write| {
        write.open_table(tables::NUMBERS).unwrap().insert("format", 9).unwrap();
    });
    let Err(Error::Unavailable(why)) = EmbeddedStore::open(directory.path()) else {
        panic!("it was opened")
    };
    assert_eq!(why.to_string(), "the store was written in format 9, this program knows format 1");
}

#[tokio::test]
async fn a_corrupt_value_is_named_and_can_be_replaced() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let well = put(&store, "/a", Expect::Absent).await.unwrap();
    let torn = put(&store, "/b", Expect::Absent).await.unwrap();
    drop(store);
    alter(directory.path(), |write| {
        let mut events = write.open_table(tables::EVENTS).unwrap();
        events.insert(torn.0, ("/b", Some(&[9_u8, 9][..]))).unwrap();
    });
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let corrupt =
        |error: Option<Error>| matches!(error, Some(Error::Corrupt { key, .. }) if key == "/b");
    assert!(corrupt(store.get("/b").await.err()));
    assert!(corrupt(store.list("/", None, 9, None).await.err()));
    assert!(corrupt(put(&store, "/b", Expect::Absent).await.err()));
    assert_eq!(store.get("/a").await.unwrap().unwrap().version, well);
    assert_eq!(store.list("/a", None, 9, None).await.unwrap().records.len(), 1);
    put(&store, "/b", Expect::Version(torn)).await.unwrap();
    assert_eq!(store.list("/", None, 9, None).await.unwrap().records.len(), 2);
}

/// Changes the file of a store behind its back.
fn alter(directory: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(directory.join("store.redb")).unwrap();
    let write = database.begin_write().unwrap();
    change(&write);
    write.commit().unwrap();
}
