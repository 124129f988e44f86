//! Principals and their secrets.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use meseta_mesos_wire::Encoding;
use meseta_mesos_wire::v1::scheduler::{Call, call};

use crate::cluster::{Cluster, eventually};
use crate::scheduler::{Scheduler, basic, info, open, post, raw, subscription};

async fn with_credentials() -> (Cluster, crate::cluster::ControlPlane) {
    let cluster = Cluster::start().await;
    let control_plane = cluster.control_plane("a").await;
    let secrets: Api<Secret> = Api::namespaced(cluster.admin(), meseta_crds::SYSTEM_NAMESPACE);
    let mut secret = Secret::default();
    secret.metadata.name = Some("meseta-mesos-credentials".to_owned());
    let pair = |principal: &str, secret: &str| {
        (principal.to_owned(), ByteString(secret.as_bytes().to_vec()))
    };
    secret.data = Some([pair("ann", "s3cret"), pair("ben", "other")].into());
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    eventually("the credentials count", || async {
        let answer = raw(control_plane.address, "GET /api/v1/scheduler").await;
        (answer.status == 401).then_some(())
    })
    .await;
    (cluster, control_plane)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_credentials_every_call_needs_them_and_the_challenge_names_the_realm() {
    let (_cluster, plane) = with_credentials().await;
    let answer = raw(plane.address, "GET /master/api/v1/scheduler").await;
    assert_eq!(answer.status, 401);
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, Some("Basic realm=\"mesos-master-scheduler\""));
    let answer = raw(plane.address, "GET /api/v1").await;
    let challenge = answer.header("www-authenticate");
    assert_eq!((answer.status, challenge), (401, Some("Basic realm=\"mesos-master-readwrite\"")));
    for open in ["GET /health", "GET /version"] {
        assert_eq!(raw(plane.address, open).await.status, 200, "{open}");
    }
    let wrong = basic("ann:other");
    let headers = [("authorization", wrong.as_str()), ("content-type", "application/json")];
    let answer = post(plane.address, "/api/v1/scheduler", &headers, b"{}".to_vec()).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_framework_has_the_principal_of_its_scheduler_and_obeys_no_other() {
    let (cluster, plane) = with_credentials().await;
    let mut ann =
        Scheduler::subscribe_as(plane.address, Encoding::Json, info("f"), Some("ann:s3cret")).await;
    let all = cluster.frameworks().list(&Default::default()).await.unwrap();
    let scheduler = all.items[0].spec.scheduler.clone().unwrap();
    assert_eq!(scheduler.principal.as_deref(), Some("ann"));
    ann.tell(call::Type::Revive, Call::default()).await;

    ann.credentials = Some("ben:other".to_owned());
    let answer = ann.call(call::Type::Revive, Call::default()).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("does not match principal 'ann'"), "{}", answer.body);

    let mut info = info("f");
    info.principal = Some("ann".to_owned());
    let call = subscription(info.clone());
    let authorization = basic("ben:other");
    let headers = [("authorization", &*authorization), ("content-type", "application/json")];
    let body = Encoding::Json.encode(&call);
    let answer = post(plane.address, "/api/v1/scheduler", &headers, body).await;
    assert_eq!(answer.status, 400, "{}", answer.body);

    // Under the id of another's framework.
    info.principal = None;
    info.id = Some(meseta_mesos_wire::v1::FrameworkId { value: ann.id.clone() });
    let call = subscription(info);
    let (_, mut stream) = open(plane.address, Encoding::Json, &call, Some("ben:other")).await;
    let message = stream.error().await.unwrap();
    assert_eq!(message, "Changing framework's principal is not allowed.");
    ann.credentials = Some("ann:s3cret".to_owned());
    ann.tell(call::Type::Revive, Call::default()).await;
}
