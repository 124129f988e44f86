//! What becomes of offers and launches when the leader changes.

use std::sync::Mutex;

use http::{Method, Request};
use kube::client::Body;
use meseta_runtime::{Ended, LeaderAddress};
use tokio::sync::oneshot;

use super::*;

#[tokio::test]
async fn the_end_of_a_term_ends_everything_of_it_and_the_next_begins_anew() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (first, first_handle) = server.control_plane("first");
    let term = leading(&first_handle).await;
    let (second, second_handle) = server.control_plane("second");
    let mut scheduler = Scheduler::enter(&admin, &term.market, "spark", &["eng"]).await;
    let offers = scheduler.offers(1).await;
    let taken = scheduler.take(&[&offers[0]]).await;
    assert!(second_handle.offers().list().is_none(), "a follower has no offers");
    let mut watch = Box::pin(first_handle.offers().watch(1 << 40).unwrap());

    // In good order or not, whoever holds something of the term is told.
    first.shut_down().await;
    term.ended.cancelled().await;
    assert_eq!(scheduler.next().await, None);
    while futures::StreamExt::next(&mut watch).await.is_some() {}
    assert!(first_handle.offers().list().is_none());
    let tasks = vec![scheduler.task("a", 1)];
    assert_eq!(term.market.launch(taken, tasks, LONG).await.unwrap_err(), Ended);
    let ids = vec![offers[0].id.clone()];
    assert_eq!(term.market.decline(scheduler.uid(), ids.clone(), LONG).await, Err(Ended));

    let next = leading(&second_handle).await;
    assert!(next.epoch > term.epoch);
    let mut scheduler = Scheduler::enter_again(&next.market, scheduler.framework).await;
    let anew = scheduler.offers(1).await;
    assert_eq!(lines(&anew), ["one 4"]);
    assert_ne!(anew[0].id, offers[0].id);
    assert!(next.market.take(scheduler.uid(), ids).await.unwrap().is_err());
    second.shut_down().await;
}

#[tokio::test]
async fn followers_know_where_the_leader_is() {
    let server = Server::start().await;
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
        Api::namespaced(server.admin(), meseta_crds::SYSTEM_NAMESPACE);
    let at = |host: &str| LeaderAddress {
        api: Some(format!("https://{host}:7443")),
        mesos: Some(format!("{host}:5050")),
    };
    let start = |name: &'static str| {
        let config = Config { address: at(name), ..config(name) };
        server.control_plane_with(config, server.client(name, CONTROL_PLANE_GROUP))
    };
    let (first, first_handle) = start("first");
    leading(&first_handle).await;
    // Somebody else's annotations stay.
    let patch = json!({"metadata": {"annotations": {"example.com/note": "mine"}}});
    let parameters = PatchParams::default();
    leases.patch(meseta_crds::LEADER_LEASE, &parameters, &Patch::Merge(&patch)).await.unwrap();
    let (second, second_handle) = start("second");
    let follows = |handle: &Handle, address: LeaderAddress| {
        let mut leadership = handle.leadership();
        async move {
            let follows = leadership
                .wait_for(|now| matches!(now, Leadership::Following(known) if *known == address));
            tokio::time::timeout(DEADLINE, follows).await.expect("it follows").map(drop).unwrap();
        }
    };
    follows(&second_handle, at("first")).await;
    drop(first);
    leading(&second_handle).await;
    let lease = leases.get(meseta_crds::LEADER_LEASE).await.unwrap();
    assert_eq!(lease.annotations()["example.com/note"], "mine");
    let (_first, first_handle) = start("first");
    follows(&first_handle, at("second")).await;
    second.shut_down().await;
}

/// A client in front of the server that tells of the creation of a task after it was carried out, and
/// never answers it.
fn mute(client: Client, created: oneshot::Sender<()>) -> Client {
    let created = Arc::new(Mutex::new(Some(created)));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, created) = (client.clone(), created.clone());
        async move {
            let is_creation =
                request.method() == Method::POST && request.uri().path().ends_with("/tasks");
            let answer = client.send(request).await;
            if is_creation {
                if let Some(created) = created.lock().unwrap().take() {
                    created.send(()).unwrap();
                }
                std::future::pending::<()>().await;
            }
            answer
        }
    });
    Client::new(service, "default")
}

#[tokio::test]
async fn what_a_killed_leader_launched_is_there_once_and_is_not_offered_again() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (created, was_created) = oneshot::channel();
    let client = mute(server.client("first", CONTROL_PLANE_GROUP), created);
    let (first, handle) = server.control_plane_with(config("first"), client);
    let term = leading(&handle).await;
    let mut scheduler = Scheduler::enter(&admin, &term.market, "spark", &["eng"]).await;
    let offers = scheduler.offers(1).await;
    let taken = scheduler.take(&[&offers[0]]).await;
    let tasks = vec![scheduler.task("a", 3)];
    let launch = tokio::spawn({
        let market = term.market.clone();
        async move { market.launch(taken, tasks, LONG).await }
    });
    was_created.await.unwrap();
    drop(first);
    assert_eq!(launch.await.unwrap().unwrap_err(), Ended);

    let (second, handle) = server.control_plane("second");
    let term = leading(&handle).await;
    let mut scheduler = Scheduler::enter_again(&term.market, scheduler.framework).await;
    let offers = scheduler.offers(1).await;
    assert_eq!(lines(&offers), ["one 1"]);
    // The same task again, as a scheduler does that has heard nothing.
    let taken = scheduler.take(&[&offers[0]]).await;
    let results = term.market.launch(taken, vec![scheduler.task("a", 1)], LONG).await.unwrap();
    assert!(results[0].is_err());
    let tasks: Api<Task> = Api::namespaced(admin, "default");
    let stored = tasks.list(&Default::default()).await.unwrap().items;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].spec.placement.as_ref().unwrap().epoch, 1);
    second.shut_down().await;
}
