//! Offers on a control plane that does not lead: asked of the leader over TLS.

use std::sync::Arc;

use http::{Method, StatusCode};
use meseta_api_server::{Leader, LiveCollection, Options};
use meseta_pki::{CONTROL_PLANE_GROUP, CertificateAuthority};
use meseta_serve::{Client, Limits, serve, server_config};
use meseta_store::Store;
use meseta_store::memory::MemoryStore;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::book::Book;
use crate::offers::{ALL, OFFERS, TABLE};
use crate::world::{World, admin, agent, version};

/// Two control planes over one store.
struct Planes {
    authority: CertificateAuthority,
    leader: World,
    /// What the leader has.
    book: Arc<Book>,
    follower: World,
    /// What the follower knows of the leader.
    follower_book: Arc<Book>,
    /// Where the leader listens.
    url: String,
    /// Ends the leader's listener.
    stop: CancellationToken,
    _stop: DropGuard,
}

impl Planes {
    async fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let authority = CertificateAuthority::generate().unwrap();
        let (book, follower_book) = (Book::new(), Book::new());
        let leader = plane(&store, &authority, &book, "a").await;
        let follower = plane(&store, &authority, &follower_book, "b").await;
        let (url, stop) = listen(&leader, &authority).await;
        book.lead(Leader::Here);
        book.add("default", "o-1", "spark", "n1");
        follower_book.lead(Leader::At(url.clone()));
        Self {
            authority,
            leader,
            book,
            follower,
            follower_book,
            url,
            stop: stop.clone(),
            _stop: stop.drop_guard(),
        }
    }
}

async fn plane(
    store: &Arc<dyn Store>,
    authority: &CertificateAuthority,
    book: &Arc<Book>,
    name: &str,
) -> World {
    let user = format!("meseta:control-plane:{name}");
    let own = authority.issue_client(&user, &[CONTROL_PLANE_GROUP.to_owned()]).unwrap();
    let ca = authority.certificate_pem();
    let client = Client::new(ca, &own.certificate_pem, &own.key_pem).unwrap();
    let offers: Arc<dyn LiveCollection> = Arc::clone(book) as _;
    let options = Options { agents: Some(client), offers: Some(offers), ..Options::default() };
    World::with(Arc::clone(store), options).await
}

async fn listen(world: &World, authority: &CertificateAuthority) -> (String, CancellationToken) {
    let issued = authority.issue_server(&["127.0.0.1".to_owned()]).unwrap();
    let ca = authority.certificate_pem();
    let tls = server_config(ca, &issued.certificate_pem, &issued.key_pem).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, tls, Limits::default(), world.api.clone(), stop.clone()));
    (url, stop)
}

#[tokio::test]
async fn a_follower_answers_as_its_leader_does() {
    let planes = Planes::new().await;
    for path in [
        ALL.to_owned(),
        format!("{OFFERS}/o-1"),
        format!("{ALL}?fieldSelector=spec.agentName%3Dn2"),
    ] {
        let here = planes.leader.get(&path).await;
        let there = planes.follower.get(&path).await;
        assert_eq!(there.status, StatusCode::OK);
        assert_eq!(there.headers["content-type"], "application/json");
        assert_eq!(there.body, here.body, "{path}");
    }
    let table = planes.follower.get_as(OFFERS, TABLE).await.ok();
    assert_eq!(table["rows"][0]["cells"][1], "spark");
    let yaml = planes.follower.get_as(OFFERS, "application/yaml").await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    let absent = planes.follower.get(&format!("{OFFERS}/nope")).await.refusal();
    assert_eq!((absent.0, absent.1.as_str()), (404, "NotFound"));
}

#[tokio::test]
async fn a_follower_relays_a_watch() {
    let planes = Planes::new().await;
    let list = planes.follower.get(ALL).await.ok();
    let path = format!("{ALL}?watch=true&resourceVersion={}", version(&list));
    let mut events = planes.follower.watch(&path).await;
    planes.book.add("default", "o-2", "spark", "n1");
    assert_eq!(events.brief().await, "ADDED o-2");
    planes.book.remove("o-2");
    assert_eq!(events.brief().await, "DELETED o-2");
    // The leader loses its lease, and says so.
    planes.book.lead(Leader::Unknown);
    assert_eq!(events.next().await.unwrap()["object"]["code"], 410);
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_relayed_watch_ends_with_410_though_the_old_leader_is_frozen() {
    let planes = Planes::new().await;
    let mut events = planes.follower.watch(&format!("{ALL}?watch=true")).await;
    assert_eq!(events.brief().await, "ADDED o-1");
    planes.follower_book.lead(Leader::Here);
    let last = events.next().await.unwrap();
    assert_eq!((&last["type"], &last["object"]["code"]), (&"ERROR".into(), &410.into()));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_relayed_watch_ends_when_the_leader_stops() {
    let planes = Planes::new().await;
    let mut events = planes.follower.watch(&format!("{ALL}?watch=true")).await;
    assert_eq!(events.brief().await, "ADDED o-1");
    let Planes { leader, .. } = planes;
    drop(leader);
    assert_eq!(events.next().await.unwrap()["object"]["code"], 410);
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_relayed_watch_ends_with_the_follower() {
    let planes = Planes::new().await;
    let mut events = planes.follower.watch(&format!("{ALL}?watch=true")).await;
    assert_eq!(events.brief().await, "ADDED o-1");
    let Planes { follower, leader: _leader, _stop, .. } = planes;
    drop(follower);
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn the_follower_itself_decides_who_may_ask() {
    let planes = Planes::new().await;
    let answer = planes.follower.as_user(agent("n1"), Method::GET, ALL, "", "").await;
    assert_eq!(answer.refusal().0, 403);
    let answer = planes.follower.as_user(admin(), Method::DELETE, OFFERS, "", "").await;
    assert_eq!(answer.refusal().0, 405);
}

#[tokio::test]
async fn a_request_is_forwarded_once() {
    let planes = Planes::new().await;
    // Each takes the other for the leader, as they may for a moment.
    let (back, _stop) = listen(&planes.follower, &planes.authority).await;
    planes.book.follow(Leader::At(back));
    let answer = planes.follower.get(ALL).await;
    assert_eq!(answer.headers["retry-after"], "1");
    let refusal = answer.refusal();
    assert_eq!(refusal.0, 503);
    assert!(refusal.2.contains("does not lead any more"), "{}", refusal.2);
}

#[tokio::test]
async fn nobody_waits_for_a_frozen_leader_once_there_is_another() {
    let planes = Planes::new().await;
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", frozen.local_addr().unwrap());
    planes.follower_book.lead(Leader::At(url));
    let (answer, ()) = tokio::join!(planes.follower.get(ALL), async {
        let _connection = frozen.accept().await.unwrap();
        planes.follower_book.lead(Leader::Here);
    });
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.refusal().0, 503);
    planes.follower.get(ALL).await.ok();
}

#[tokio::test]
async fn a_leader_that_cannot_be_reached_is_named() {
    let planes = Planes::new().await;
    planes.stop.cancel();
    planes.follower_book.lead(Leader::At("https://127.0.0.1:1".to_owned()));
    let answer = planes.follower.get(ALL).await;
    assert_eq!(answer.headers["retry-after"], "1");
    let refusal = answer.refusal();
    assert_eq!(refusal.0, 503);
    assert!(refusal.2.contains("https://127.0.0.1:1"), "{}", refusal.2);
    // Another authority's listener is not the leader.
    let other = CertificateAuthority::generate().unwrap();
    let (url, _stop) = listen(&planes.leader, &other).await;
    planes.follower_book.lead(Leader::At(url));
    assert_eq!(planes.follower.get(ALL).await.refusal().0, 503);
    assert!(planes.url.starts_with("https://127.0.0.1:"));
}
