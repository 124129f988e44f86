//! What happens to a store when its etcd is killed, falls apart, is full or is replaced.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use meseta_store::etcd::{EtcdStore, Options};
use meseta_store::{Change, Error, Event, Expect, Store, Version, WatchItem};
use tokio::task::JoinHandle;

use crate::etcd_server::{Server, connect, free_ports};
use crate::stores::{PREFIX, StoreExt as _, next_event, soon};

/// Writers with a key each.
const WRITERS: usize = 8;

/// What a writer knows of its key at the end: the last value it was told is stored and the number
/// of values it then offered without hearing of them.
struct Told {
    key: String,
    value: u64,
    version: Version,
    unheard: bool,
}

/// Counts up at a key until it is told to stop; after an unknown answer it looks what is there.
fn count_up(
    store: Arc<dyn Store>,
    writer: usize,
    stop: Arc<AtomicBool>,
) -> JoinHandle<(Told, usize)> {
    tokio::spawn(async move {
        let key = format!("/{writer}");
        let version = store.create(&key, "0").await;
        let mut told = Told { key, value: 0, version, unheard: false };
        let mut unknown = 0;
        while !stop.load(Ordering::Relaxed) {
            let next = (told.value + 1).to_string();
            match store.put(&told.key, Expect::Version(told.version), &next).await {
                Ok(version) => (told.value, told.version) = (told.value + 1, version),
                Err(Error::Unavailable(_)) => {
                    unknown += 1;
                    told.unheard = true;
                    match store.get(&told.key).await {
                        Ok(Some(found)) => {
                            let value = std::str::from_utf8(&found.value).unwrap().parse().unwrap();
                            assert!(value == told.value || value == told.value + 1);
                            (told.value, told.version) = (value, found.version);
                            told.unheard = false;
                        }
                        Ok(None) => panic!("{} is gone", told.key),
                        Err(Error::Unavailable(_)) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
                // The write before this one, of which nobody heard.
                Err(Error::Conflict { current: Some(found) }) if told.unheard => {
                    assert_eq!(found.value, next);
                    (told.value, told.version) = (told.value + 1, found.version);
                    told.unheard = false;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        (told, unknown)
    })
}

/// Follows a watch until it has seen `newest`; every key counts up by one, nothing twice.
async fn follow_counts(store: &dyn Store, until: &[Told]) -> usize {
    let mut watch = store.watch("/", Version(0)).await.unwrap();
    check_counts(&mut watch, until).await
}

async fn check_counts(watch: &mut meseta_store::Watch, until: &[Told]) -> usize {
    let mut seen: BTreeMap<String, (u64, Version)> = BTreeMap::new();
    let mut last = Version(0);
    let mut count = 0;
    let newest = until.iter().map(|told| told.version).max().unwrap();
    while last < newest {
        let Event { key, version, value, previous } = next_event(watch).await;
        assert!(version > last, "{version} after {last}");
        last = version;
        count += 1;
        let value = value.map(|v| std::str::from_utf8(&v).unwrap().parse::<u64>().unwrap());
        let before = seen.get(&key).copied();
        assert_eq!(value, Some(before.map_or(0, |(value, _)| value + 1)), "{key}");
        assert_eq!(previous.map(|record| record.version), before.map(|(_, version)| version));
        seen.insert(key, (value.unwrap(), version));
    }
    for told in until {
        assert_eq!(seen[&told.key], (told.value, told.version), "{}", told.key);
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_etcd_was_killed_is_there() {
    const KILLS: u32 = 6;
    let mut server = Server::start(&[]).await;
    let store: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    let mut watch = store.watch("/", Version(0)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| count_up(Arc::clone(&store), writer, Arc::clone(&stop)))
        .collect();
    for kill in 0..KILLS {
        let before = store.version().await.unwrap();
        let more = Version::end_of(before.revision() + 20);
        let written = async {
            while store.version().await.unwrap() < more {
                tokio::time::sleep(Duration::from_millis(u64::from(kill) * 3)).await;
            }
        };
        soon("some writing", written).await;
        server.kill();
        server.restart();
    }
    // It is written on after the last one as well.
    let before = store.version().await.unwrap();
    let written = async {
        while store.version().await.unwrap().revision() < before.revision() + 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("writing on", written).await;
    stop.store(true, Ordering::Relaxed);
    let mut told = Vec::new();
    let mut unknown = 0;
    for writer in writers {
        let (writer, outcomes) = soon("the end of a writer", writer).await.unwrap();
        told.push(writer);
        unknown += outcomes;
    }
    let count = check_counts(&mut watch, &told).await;
    assert_eq!(follow_counts(&*store, &told).await, count, "from the beginning it is the same");
    let fresh = server.store(PREFIX).await;
    assert_eq!(follow_counts(&fresh, &told).await, count, "to another control plane as well");
    eprintln!("{KILLS} kills of etcd, {count} writes, {unknown} without an answer");
    assert!(unknown > 0, "no kill met a write");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three_lives_without_any_one_of_them() {
    let mut members = Server::start_three();
    let endpoints: Vec<String> = members.iter().map(Server::endpoint).collect();
    let store: Arc<dyn Store> = Arc::new(connect(endpoints, PREFIX).await);
    let mut watch = store.watch("/", Version(0)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| count_up(Arc::clone(&store), writer, Arc::clone(&stop)))
        .collect();
    let written = async |what: &str, revisions: u64| {
        let writing = async {
            let mut begin = None;
            loop {
                if let Ok(version) = store.version().await {
                    let begin = *begin.get_or_insert_with(|| version.revision());
                    if version.revision() >= begin + revisions {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(what, writing).await;
    };
    for member in &mut members {
        written("writing with all members", 20).await;
        member.kill();
        written("writing with two members", 20).await;
        member.restart();
    }
    stop.store(true, Ordering::Relaxed);
    let mut told = Vec::new();
    for writer in writers {
        told.push(soon("the end of a writer", writer).await.unwrap().0);
    }
    check_counts(&mut watch, &told).await;
    follow_counts(&*store, &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_etcd_is_away_nothing_is_promised() {
    let mut server = Server::start(&["--unsafe-no-fsync"]).await;
    let store: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    let created = store.create("/a", "1").await;
    let mut watch = store.watch("/", created).await.unwrap();
    server.kill();
    let refused = store.put("/b", Expect::Absent, "1").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    store.request_progress().await.unwrap();
    // The write has been tried for some seconds: time enough to have said too much.
    let said = futures::FutureExt::now_or_never(watch.next());
    let said = match said {
        // What was true before the kill.
        Some(Some(Ok(WatchItem::Progress(version))))
            if version.revision() == created.revision() =>
        {
            futures::FutureExt::now_or_never(watch.next())
        }
        said => said,
    };
    assert!(said.is_none(), "{said:?}");

    server.restart();
    let second = soon("a write", async {
        loop {
            if let Ok(version) = store.put("/b", Expect::Absent, "1").await {
                return version;
            }
        }
    });
    let second = second.await;
    assert_eq!(next_event(&mut watch).await.version, second);
}

#[tokio::test]
async fn where_nothing_listens_there_is_no_store() {
    let [port] = free_ports();
    let options = |endpoint: String| Options {
        endpoints: vec![endpoint],
        prefix: PREFIX.to_owned(),
        tls: None,
    };
    for endpoint in [format!("http://127.0.0.1:{port}"), "not an address".to_owned()] {
        let result = EtcdStore::connect(options(endpoint)).await;
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    }
    let none = EtcdStore::connect(Options::default()).await;
    let Err(Error::Unavailable(why)) = none else { panic!("{none:?}") };
    assert_eq!(why.to_string(), "etcd needs at least one endpoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_quota_used_up_etcd_still_reads_and_deletes() {
    let server = Server::start(&["--unsafe-no-fsync", "--quota-backend-bytes", "8000000"]).await;
    let store: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    let value = Bytes::from(vec![7; 100_000]);
    let mut stored = Vec::new();
    loop {
        let key = format!("/{:03}", stored.len());
        let change = Change::Put { value: value.clone(), lease: None };
        match store.write(&key, Expect::Absent, change).await {
            Ok(version) => stored.push((key, version)),
            Err(Error::NoSpace(_)) => break,
            Err(other) => panic!("{other:?}"),
        }
        assert!(stored.len() < 200, "the quota is never used up");
    }
    assert_eq!(store.all("/", None).await.records.len(), stored.len());
    // Puts and deletions in one group: each gets its own answer.
    let puts = (0..10).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.put(&format!("/new/{n}"), Expect::Absent, "x").await })
    });
    let deletions = stored.iter().take(10).map(|(key, version)| {
        let (store, key, version) = (Arc::clone(&store), key.clone(), *version);
        tokio::spawn(
            async move { store.write(&key, Expect::Version(version), Change::Delete).await },
        )
    });
    let (puts, deletions): (Vec<_>, Vec<_>) = (puts.collect(), deletions.collect());
    for put in puts {
        let put = put.await.unwrap();
        assert!(matches!(put, Err(Error::NoSpace(_))), "{put:?}");
    }
    for deletion in deletions {
        deletion.await.unwrap().unwrap();
    }
    assert_eq!(store.all("/", None).await.records.len(), stored.len() - 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_was_emptied_is_not_taken_for_the_same_store() {
    let mut server = Server::start(&["--unsafe-no-fsync"]).await;
    let store: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    let created = store.create("/a", "1").await;
    let mut watch = store.watch("/", created).await.unwrap();
    server.kill();
    server.wipe();
    server.restart();
    let end = async {
        loop {
            match watch.next().await.unwrap() {
                Ok(WatchItem::Progress(_)) => {}
                Ok(WatchItem::Event(event)) => panic!("{event:?}"),
                Err(error) => return error,
            }
        }
    };
    let end = soon("the end of the watch", end).await;
    assert!(matches!(end, Error::Unavailable(_)), "{end:?}");
    for result in
        [store.get("/a").await.map(drop), store.put("/b", Expect::Absent, "").await.map(drop)]
    {
        let Err(Error::Unavailable(why)) = result else { panic!("{result:?}") };
        assert_eq!(
            why.to_string(),
            "etcd holds another store than when it was opened, or an older state of it"
        );
    }
    let new = server.store(PREFIX).await;
    assert_ne!(new.generation(), store.generation());
}
