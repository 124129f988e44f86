//! SUBSCRIBE: new, under an id, refused.

use meseta_mesos_wire::Encoding;
use meseta_mesos_wire::v1::FrameworkId;
use meseta_mesos_wire::v1::scheduler::{Call, call};

use crate::cluster::{Cluster, eventually};
use crate::scheduler::{Scheduler, info, open, subscription};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_subscribes_in_both_encodings_and_is_offered_what_is_free() {
    let (cluster, plane, _agents) = Cluster::with_agent(4).await;
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let mut scheduler =
            Scheduler::subscribe(plane.address, encoding, info("My Framework")).await;
        let offer = scheduler.offer().await;
        assert_eq!(offer.framework_id.value, scheduler.id);
        assert_eq!(offer.agent_id.value, "sim-00000");
        assert!(!offer.hostname.is_empty());
        assert_eq!(offer.allocation_info.unwrap().role(), "default");
        let cpus = offer.resources.iter().find(|resource| resource.name == "cpus").unwrap();
        assert!((cpus.scalar.unwrap().value - 4.0).abs() < 1e-9);

        let all = cluster.frameworks().list(&Default::default()).await.unwrap();
        let spec = |f: &meseta_crds::Framework| f.spec.scheduler.clone().unwrap();
        let record = all.iter().find(|f| spec(f).framework_id == scheduler.id).unwrap();
        assert!(record.metadata.name.as_ref().unwrap().starts_with("my-framework-"));
        assert_eq!(record.spec.role, "default");
        scheduler.tell(call::Type::Teardown, Call::default()).await;
        assert_eq!(scheduler.stream.error().await, None, "it ends without a word");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_instance_takes_over_and_the_first_is_told() {
    let (_cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut first = plane.scheduler("first").await;
    let offer = first.offer().await;
    let mut second = first.again().await;
    assert_eq!(first.stream.error().await.unwrap(), "Framework failed over");
    assert_ne!(second.stream_id, first.stream_id);
    assert_eq!(second.id, first.id);
    assert_ne!(second.offer().await.id, offer.id, "the older offers are void");
    let answer = first.call(call::Type::Revive, Call::default()).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    second.tell(call::Type::Revive, Call::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_nobody_knows_is_accepted() {
    let (_cluster, plane, _agents) = Cluster::with_agent(1).await;
    let mut info = info("chosen");
    info.id = Some(FrameworkId { value: "My.Own_Id-1".to_owned() });
    let scheduler = Scheduler::subscribe(plane.address, Encoding::Json, info).await;
    assert_eq!(scheduler.id, "My.Own_Id-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_framework_is_told_on_a_stream_that_ends() {
    let (cluster, plane, _agents) = Cluster::with_agent(1).await;
    let mut wrong_role = info("f");
    wrong_role.roles = vec!["a/../b".to_owned()];
    let mut both = info("f");
    both.role = Some("x".to_owned());
    let mut wrong_id = info("f");
    wrong_id.id = Some(FrameworkId { value: "a/b".to_owned() });
    for (info, gist) in
        [(wrong_role, "role"), (both, "must not be set"), (wrong_id, "invalid characters")]
    {
        let call = subscription(info);
        let (_, mut stream) = open(plane.address, Encoding::Json, &call, None).await;
        let message = stream.error().await.unwrap();
        assert!(message.contains(gist), "{message}");
    }
    assert!(cluster.frameworks().list(&Default::default()).await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_framework_that_was_removed_does_not_come_back() {
    let (cluster, plane, _agents) = Cluster::with_agent(1).await;
    let scheduler = plane.scheduler("gone").await;
    scheduler.tell(call::Type::Teardown, Call::default()).await;
    eventually("the record is gone", || async {
        let all = cluster.frameworks().list(&Default::default()).await.unwrap();
        all.items.is_empty().then_some(())
    })
    .await;
    let mut info = info("gone");
    info.id = Some(FrameworkId { value: scheduler.id.clone() });
    let call = subscription(info);
    let (_, mut stream) = open(plane.address, Encoding::Json, &call, None).await;
    assert_eq!(stream.error().await.unwrap(), "Framework has been removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_teardown_is_not_undone_by_a_subscribe_right_after_it() {
    let (cluster, plane, _agents) = Cluster::with_agent(1).await;
    let mut scheduler = plane.scheduler("gone").await;
    scheduler.run("t").await;
    scheduler.tell(call::Type::Teardown, Call::default()).await;
    let mut info = info("gone");
    info.id = Some(FrameworkId { value: scheduler.id.clone() });
    let call = subscription(info);
    let (_, mut stream) = open(plane.address, Encoding::Json, &call, None).await;
    let first = stream.any().await.unwrap();
    let error = first.error.as_ref().unwrap_or_else(|| panic!("{first:?}"));
    assert_eq!(error.message, "Framework has been removed");
    eventually("nothing is left", || async {
        let tasks = cluster.tasks().list(&Default::default()).await.unwrap();
        let frameworks = cluster.frameworks().list(&Default::default()).await.unwrap();
        (tasks.items.is_empty() && frameworks.items.is_empty()).then_some(())
    })
    .await;
}
