//! Offers: read from the leader's memory, in the forms of stored kinds.

use std::sync::Arc;

use http::{Method, StatusCode};
use meseta_api_server::{Leader, Options};
use meseta_serve::Identity;
use meseta_store::memory::MemoryStore;
use serde_json::Value;

use crate::book::Book;
use crate::world::{World, admin, agent, version};

pub(crate) const OFFERS: &str = "/apis/live.meseta.dev/v1alpha1/namespaces/default/offers";
pub(crate) const ALL: &str = "/apis/live.meseta.dev/v1alpha1/offers";
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// A leader with three offers in two namespaces.
pub(crate) async fn leading() -> (World, Arc<Book>) {
    let book = Book::new();
    book.lead(Leader::Here);
    book.add("default", "o-2", "spark", "n1");
    book.add("default", "o-1", "flink", "n2");
    book.add("other", "o-3", "spark", "n2");
    (world(&book).await, book)
}

async fn world(book: &Arc<Book>) -> World {
    let offers: Arc<dyn meseta_api_server::LiveCollection> = Arc::clone(book) as _;
    let options = Options { offers: Some(offers), ..Options::default() };
    World::with(Arc::new(MemoryStore::new()), options).await
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn offers_are_listed_by_namespace_and_by_what_is_selected() {
    let (world, _book) = leading().await;
    let list = world.get(OFFERS).await.ok();
    assert_eq!(list["kind"], "OfferList");
    assert_eq!(list["apiVersion"], "live.meseta.dev/v1alpha1");
    assert_eq!(names(&list), ["o-1", "o-2"]);
    for (path, expected) in [
        (ALL.to_owned(), vec!["o-1", "o-2", "o-3"]),
        (format!("{ALL}?fieldSelector=spec.framework%3Dspark"), vec!["o-2", "o-3"]),
        (format!("{ALL}?fieldSelector=spec.agentName%3Dn2"), vec!["o-1", "o-3"]),
        (format!("{ALL}?fieldSelector=spec.agentName%21%3Dn2"), vec!["o-2"]),
        (format!("{OFFERS}?fieldSelector=metadata.name%3Do-1"), vec!["o-1"]),
        (format!("{ALL}?fieldSelector=metadata.namespace%3Dother"), vec!["o-3"]),
        (format!("{ALL}?labelSelector=a%3Db"), vec![]),
        // What a page would cut comes whole: offers are gone before the next page.
        (format!("{ALL}?limit=1"), vec!["o-1", "o-2", "o-3"]),
    ] {
        let list = world.get(&path).await.ok();
        assert_eq!(names(&list), expected, "{path}");
        assert_eq!(list["metadata"]["continue"], Value::Null);
    }
    let unknown = world.get(&format!("{ALL}?fieldSelector=spec.role%3Deng")).await.refusal();
    assert_eq!((unknown.0, unknown.2.as_str()), (400, "field label not supported: spec.role"));
}

#[tokio::test]
async fn one_offer_is_shown_whole() {
    let (world, book) = leading().await;
    let offer = world.get(&format!("{OFFERS}/o-1")).await.ok();
    assert_eq!(offer["kind"], "Offer");
    assert_eq!(offer["spec"]["resources"]["memory"], "512Mi");
    let list = world.get(ALL).await.ok();
    assert_eq!(list["items"][0], offer);
    assert!(version(&offer) < version(&list), "{list}");
    let absent = world.get(&format!("{OFFERS}/o-3")).await.refusal();
    assert_eq!((absent.0, absent.2.as_str()), (404, "offers.live.meseta.dev \"o-3\" not found"));
    book.remove("o-1");
    assert_eq!(world.get(&format!("{OFFERS}/o-1")).await.refusal().0, 404);
    let yaml = world.get_as(&format!("{OFFERS}/o-2"), "application/yaml").await;
    assert!(String::from_utf8_lossy(&yaml.body).contains("agentName: n1"));
}

#[tokio::test]
async fn a_table_shows_to_whom_from_which_agent_and_how_old() {
    let (world, _book) = leading().await;
    let table = world.get_as(OFFERS, TABLE).await.ok();
    let columns = table["columnDefinitions"].as_array().unwrap();
    let columns: Vec<_> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(columns, ["Name", "Framework", "Role", "Agent", "CPU", "Memory", "Age"]);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[..6], ["o-1", "flink", "eng", "n2", "2", "512Mi"]);
    assert!(cells[6].as_str().unwrap().ends_with('s'), "{}", cells[6]);
}

#[tokio::test]
async fn nobody_writes_offers() {
    let (world, book) = leading().await;
    let one = format!("{OFFERS}/o-1");
    for (method, path) in [
        (Method::POST, OFFERS),
        (Method::DELETE, OFFERS),
        (Method::PUT, &one),
        (Method::PATCH, &one),
        (Method::DELETE, &one),
    ] {
        let answer = world.as_user(admin(), method.clone(), path, "application/json", "{}").await;
        assert_eq!(answer.refusal().0, 405, "{method} {path}");
    }
    assert_eq!(world.get(&format!("{one}/status")).await.status, StatusCode::NOT_FOUND);
    for nowhere in [
        "/apis/live.meseta.dev/v1alpha1/offers/o-1",
        "/apis/live.meseta.dev/v1/offers",
        "/apis/live.meseta.dev/v1alpha1/tasks",
    ] {
        assert_eq!(world.get(nowhere).await.status, StatusCode::NOT_FOUND, "{nowhere}");
    }
    book.remove("o-1");
}

#[tokio::test]
async fn offers_are_for_administrators_and_control_planes() {
    let (world, _book) = leading().await;
    let plane = Identity {
        user: "meseta:control-plane:a".to_owned(),
        groups: vec!["meseta:control-planes".to_owned()],
    };
    assert_eq!(world.as_user(plane, Method::GET, ALL, "", "").await.status, StatusCode::OK);
    let of_its_own = format!("{ALL}?fieldSelector=spec.agentName%3Dn1");
    for path in [ALL, OFFERS, &of_its_own, &format!("{ALL}?watch=true"), &format!("{OFFERS}/o-1")] {
        let answer = world.as_user(agent("n1"), Method::GET, path, "", "").await;
        assert_eq!(answer.refusal().0, 403, "{path}");
    }
}

#[tokio::test]
async fn a_watch_goes_on_where_the_list_ended() {
    let (world, book) = leading().await;
    let list = world.get(ALL).await.ok();
    book.remove("o-1");
    let from = format!("watch=true&resourceVersion={}", version(&list));
    let mut all = world.watch(&format!("{ALL}?{from}")).await;
    let mut spark =
        world.watch(&format!("{ALL}?{from}&fieldSelector=spec.framework%3Dspark")).await;
    let mut other = world.watch(&format!("{}?{from}", OFFERS.replace("default", "other"))).await;
    book.add("default", "o-4", "spark", "n1");
    assert_eq!(all.brief().await, "DELETED o-1");
    let added = all.next().await.unwrap();
    assert_eq!(added["object"]["spec"]["framework"], "spark");
    assert_eq!(spark.brief().await, "ADDED o-4");
    book.remove("o-4");
    let gone = spark.next().await.unwrap();
    assert_eq!(
        (&gone["type"], &gone["object"]["metadata"]["name"]),
        (&"DELETED".into(), &"o-4".into())
    );
    assert!(version(&gone["object"]) > version(&added["object"]));
    book.remove("o-3");
    assert_eq!(other.brief().await, "DELETED o-3");
}

#[tokio::test]
async fn a_watch_can_begin_with_what_is_there() {
    let (world, book) = leading().await;
    let mut plain = world.watch(&format!("{OFFERS}?watch=true")).await;
    let streamed = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut marked = world.watch(&format!("{OFFERS}?{streamed}")).await;
    for events in [&mut plain, &mut marked] {
        assert_eq!(events.brief().await, "ADDED o-1");
        assert_eq!(events.brief().await, "ADDED o-2");
    }
    let mark = marked.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(mark["object"]["kind"], "Offer");
    book.remove("o-2");
    for events in [&mut plain, &mut marked] {
        assert_eq!(events.brief().await, "DELETED o-2");
    }
    let mut rows = world.watch_as(&format!("{OFFERS}?watch=true"), TABLE).await;
    let row = rows.next().await.unwrap();
    assert_eq!(row["object"]["rows"][0]["cells"][1], "flink");
}

#[tokio::test(start_paused = true)]
async fn bookmarks_tell_of_changes_that_were_not_selected() {
    let (world, book) = leading().await;
    let list = world.get(ALL).await.ok();
    let path = format!(
        "{ALL}?watch=true&allowWatchBookmarks=true&resourceVersion={}&fieldSelector=spec.agentName%3Dn9",
        version(&list)
    );
    let mut events = world.watch(&path).await;
    book.add("default", "o-4", "spark", "n1");
    let newest = version(&world.get(ALL).await.ok()).to_owned();
    let mark = loop {
        match tokio::time::timeout(std::time::Duration::from_secs(5), events.next()).await {
            Ok(event) => break event.unwrap(),
            Err(_) => continue,
        }
    };
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(version(&mark["object"]), newest);
}

#[tokio::test]
async fn with_its_leader_a_watch_ends_and_its_versions_expire() {
    let (world, book) = leading().await;
    let list = world.get(ALL).await.ok();
    let from = format!("{ALL}?watch=true&resourceVersion={}", version(&list));
    let mut events = world.watch(&from).await;
    book.add("default", "o-4", "spark", "n1");
    assert_eq!(events.brief().await, "ADDED o-4");
    book.lead(Leader::Here);
    let last = events.next().await.unwrap();
    assert_eq!((&last["type"], &last["object"]["code"]), (&"ERROR".into(), &410.into()));
    assert_eq!(events.next().await, None);

    let mut anew = world.watch(&from).await;
    assert_eq!(anew.next().await.unwrap()["object"]["reason"], "Expired");
    assert_eq!(anew.next().await, None);
    let newer = version(&world.get(ALL).await.ok()).parse::<u64>().unwrap() + 5;
    let mut future = world.watch(&format!("{ALL}?watch=true&resourceVersion={newer}")).await;
    assert_eq!(future.next().await.unwrap()["object"]["code"], 410);
    let list = world.get(&format!("{ALL}?resourceVersion={newer}")).await.refusal();
    assert_eq!((list.0, list.1.as_str()), (504, "Timeout"));
    let old = version(&list_of(&world).await).parse::<u64>().unwrap() - 1;
    let exact = format!("{ALL}?resourceVersion={old}&resourceVersionMatch=Exact");
    assert_eq!(world.get(&exact).await.refusal().0, 410);
}

async fn list_of(world: &World) -> Value {
    world.get(ALL).await.ok()
}

#[tokio::test]
async fn without_a_leader_the_client_is_asked_to_come_again() {
    let book = Book::new();
    let world = world(&book).await;
    for path in [ALL, &format!("{ALL}?watch=true"), &format!("{OFFERS}/o-1")] {
        let answer = world.get(path).await;
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(answer.refusal().0, 503, "{path}");
    }
    book.lead(Leader::Here);
    assert_eq!(world.get(ALL).await.ok()["items"], Value::Array(Vec::new()));
    let without = World::new().await;
    assert_eq!(without.get(ALL).await.refusal().0, 503);
}
