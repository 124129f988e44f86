use std::sync::atomic::AtomicU64;

use meseta_store::memory::MemoryStore;
use meseta_store::{Change as Write, Expect};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::object::Body;
use crate::selector::{FieldSelector, LabelSelector};
use crate::testing::{task, task_kind};

/// A cache over a store in memory.
struct World {
    store: Arc<MemoryStore>,
    cache: Arc<Cache>,
    deliveries: Arc<AtomicU64>,
    shutdown: CancellationToken,
}

impl World {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let deliveries = Arc::new(AtomicU64::new(0));
        let cache = Arc::new(Cache::new(task_kind(), Arc::clone(&deliveries)));
        let shutdown = CancellationToken::new();
        let dynamic: Arc<dyn Store> = store.clone();
        cache.start(dynamic, shutdown.clone()).await.unwrap();
        Self { store, cache, deliveries, shutdown }
    }

    /// Writes a task and waits until the cache has it.
    async fn put(&self, name: &str, patch: Value) -> Version {
        let object = task(name, &patch);
        self.write(name, Some(object.body())).await
    }

    async fn delete(&self, name: &str) -> Version {
        self.write(name, None).await
    }

    async fn write(&self, name: &str, body: Option<&Body>) -> Version {
        let key = format!("/registry/meseta.dev/tasks/default/{name}");
        let found = self.store.get(&key).await.unwrap();
        let expect = found.map_or(Expect::Absent, |record| Expect::Version(record.version));
        let change = match body {
            Some(body) => Write::Put { value: body.bytes().clone(), lease: None },
            None => Write::Delete,
        };
        let version = self.store.write(&key, expect, change).await.unwrap();
        self.cache.wait_for(&*self.store, version).await.unwrap();
        version
    }

    fn watch(&self, selection: Selection, start: Start) -> Subscription {
        self.cache.watch(selection, start).unwrap()
    }

    fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }
}

fn by_fields(fields: &str) -> Selection {
    let fields = FieldSelector::parse(fields, &task_kind()).unwrap();
    Selection { fields, ..Selection::default() }
}

fn by_labels(labels: &str) -> Selection {
    Selection { labels: LabelSelector::parse(labels).unwrap(), ..Selection::default() }
}

fn placed(agent: &str) -> Value {
    json!({"spec": {"agentName": agent}})
}

/// What a watcher has been sent, as `ADDED a@5`, with versions counted from the first write.
fn seen(watch: &mut Subscription) -> Vec<String> {
    let kind = task_kind();
    let mut lines = Vec::new();
    while let Some(Delivery { event, change }) = watch.try_next() {
        let line = event.line(&kind, change, Form::Object);
        let line: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["object"]["metadata"]["resourceVersion"], event.version.to_string());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let agent = text(&line["object"]["spec"]["agentName"]);
        lines.push(format!(
            "{} {} {agent}",
            text(&line["type"]),
            text(&line["object"]["metadata"]["name"])
        ));
    }
    lines
}

fn names(found: &Found) -> Vec<&str> {
    found.objects.iter().map(|object| object.name()).collect()
}

#[tokio::test]
async fn a_list_is_in_the_order_of_keys_and_pages_join() {
    let world = World::new().await;
    for name in ["c", "a", "b"] {
        world.put(name, json!({})).await;
    }
    let all = world.cache.list(&Selection::default(), None, None);
    assert_eq!(names(&all), ["a", "b", "c"]);
    let first = world.cache.list(&Selection::default(), None, Some(2));
    assert_eq!((names(&first), first.more, first.total), (vec!["a", "b"], true, Some(3)));
    let second = world.cache.list(&Selection::default(), Some("default/b"), Some(2));
    assert_eq!((names(&second), second.more), (vec!["c"], false));
}

#[tokio::test]
async fn a_list_by_an_indexed_field_finds_its_objects_only() {
    let world = World::new().await;
    world.put("a", placed("n1")).await;
    world.put("b", placed("n2")).await;
    world.put("c", json!({})).await;
    let list = |fields: &str| world.cache.list(&by_fields(fields), None, None);
    assert_eq!(names(&list("spec.agentName=n1")), ["a"]);
    assert_eq!(names(&list("spec.agentName=")), ["c"]);
    assert_eq!(names(&list("spec.agentName!=n1")), ["b", "c"]);
    world.put("a", placed("n2")).await;
    assert_eq!(names(&list("spec.agentName=n1")), [] as [&str; 0]);
    assert_eq!(names(&list("spec.agentName=n2")), ["a", "b"]);
    world.delete("b").await;
    assert_eq!(names(&list("spec.agentName=n2")), ["a"]);
    let mut elsewhere = by_fields("metadata.name=a");
    elsewhere.namespace = Some("other".to_owned());
    assert_eq!(names(&world.cache.list(&elsewhere, None, None)), [] as [&str; 0]);
}

#[tokio::test]
async fn a_selector_sees_transitions() {
    let world = World::new().await;
    let mut watch = world.watch(by_fields("spec.agentName=n1"), Start::Current);
    let mut labelled = world.watch(by_labels("x=1"), Start::Current);
    world.put("a", placed("n1")).await;
    world.put("a", placed("n2")).await;
    world.put("a", json!({"spec": {"agentName": "n1"}, "metadata": {"labels": {"x": "1"}}})).await;
    world.delete("a").await;
    assert_eq!(seen(&mut watch), ["ADDED a n1", "DELETED a n1", "ADDED a n1", "DELETED a n1"]);
    assert_eq!(seen(&mut labelled), ["ADDED a n1", "DELETED a n1"]);
}

#[tokio::test]
async fn a_watch_cut_anywhere_and_resumed_loses_none_and_repeats_none() {
    let world = World::new().await;
    let start = world.cache.version();
    for agent in ["n1", "n2", "n3"] {
        world.put("a", placed(agent)).await;
    }
    world.delete("a").await;
    let expected = ["ADDED a n1", "MODIFIED a n2", "MODIFIED a n3", "DELETED a n3"];
    for cut in 0..=expected.len() {
        let mut first = world.watch(Selection::default(), Start::After(start));
        let before: Vec<_> = (0..cut).map(|_| first.try_next().unwrap()).collect();
        let at = before.last().map_or(start, |delivery| delivery.event.version);
        assert_eq!(first.version(), at);
        let mut resumed = world.watch(Selection::default(), Start::After(at));
        assert_eq!(seen(&mut resumed), expected[cut..]);
    }
}

#[tokio::test]
async fn one_change_looks_at_one_of_ten_thousand_watchers() {
    let world = World::new().await;
    let watches: Vec<_> = (0..10_000)
        .map(|agent| world.watch(by_fields(&format!("spec.agentName=n{agent}")), Start::Current))
        .collect();
    world.put("a", placed("n77")).await;
    assert_eq!(world.deliveries(), 1);
    world.put("a", placed("n78")).await;
    assert_eq!(world.deliveries(), 3, "the one it left and the one it came to");
    drop(watches);
    world.put("a", placed("n77")).await;
    assert_eq!(world.deliveries(), 3, "those who have left are not looked at");
}

#[tokio::test]
async fn a_slow_watcher_is_cut_and_resumes_from_the_ring() {
    let world = World::new().await;
    let mut slow = world.watch(Selection::default(), Start::Current);
    for round in 0..1100 {
        world.put("a", placed(&format!("n{round}"))).await;
    }
    let mut last = world.cache.version();
    let mut count = 0;
    while let Some(delivery) = slow.next().await {
        last = delivery.event.version;
        count += 1;
    }
    assert!(count < 1100, "it was cut");
    let mut resumed = world.watch(Selection::default(), Start::After(last));
    assert_eq!(count + seen(&mut resumed).len(), 1100);
}

#[tokio::test]
async fn a_bookmark_promises_only_what_was_delivered() {
    let world = World::new().await;
    let mut watch = world.watch(Selection::default(), Start::Current);
    assert_eq!(watch.bookmark(), Some(world.cache.version()));
    let version = world.put("a", json!({})).await;
    assert_eq!(watch.bookmark(), None, "an event waits");
    watch.try_next().unwrap();
    assert!(watch.bookmark().unwrap() >= version);
}

#[tokio::test]
async fn a_start_before_the_history_is_too_old() {
    let world = World::new().await;
    world.put("a", json!({})).await;
    let dynamic: Arc<dyn Store> = world.store.clone();
    let fresh = Arc::new(Cache::new(task_kind(), Arc::default()));
    fresh.start(dynamic, world.shutdown.clone()).await.unwrap();
    let refused = fresh.watch(Selection::default(), Start::After(Version(1)));
    assert_eq!(refused.err(), Some(state::TooOld { oldest: fresh.version() }));
}

#[tokio::test]
async fn a_start_in_the_future_is_silent_until_then() {
    let world = World::new().await;
    let now = world.put("a", json!({})).await;
    let future = Version(now.0 + 2 * meseta_store::POSITIONS);
    let mut watch = world.watch(Selection::default(), Start::After(future));
    world.put("a", placed("n1")).await;
    assert_eq!(seen(&mut watch), [] as [&str; 0]);
}

#[tokio::test]
async fn a_line_is_encoded_once_for_all() {
    let world = World::new().await;
    let mut watches = [
        world.watch(Selection::default(), Start::Current),
        world.watch(by_fields("spec.agentName=n1"), Start::Current),
    ];
    world.put("a", placed("n1")).await;
    let kind = task_kind();
    let lines = watches.each_mut().map(|watch| {
        let Delivery { event, change } = watch.try_next().unwrap();
        event.line(&kind, change, Form::Object)
    });
    assert_eq!(lines[0].as_ptr(), lines[1].as_ptr());
}

#[tokio::test]
async fn the_exact_version_is_shown_from_memory_while_nothing_has_changed() {
    let world = World::new().await;
    let one = world.put("a", json!({})).await;
    let everything = Selection::default();
    assert!(world.cache.list_at(one, &everything, None, None).is_some());
    world.put("b", json!({})).await;
    assert!(world.cache.list_at(one, &everything, None, None).is_none());
}

#[tokio::test]
async fn watches_end_with_the_server() {
    let world = World::new().await;
    let mut watch = world.watch(Selection::default(), Start::Current);
    world.shutdown.cancel();
    assert!(watch.next().await.is_none());
}
