//! What is launched on offers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ListParams;
use meseta_crds::task::Executor;
use meseta_runtime::LaunchError;

use super::*;
use crate::eventually;

/// A control plane, one agent of four cpus, and a scheduler that was offered it.
async fn offered() -> (Server, ControlPlane, Handle, Scheduler, LiveOffer) {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let mut scheduler = Scheduler::enter(&admin, &term.market, "spark", &["eng"]).await;
    let offer = scheduler.offers(1).await.remove(0);
    (server, control_plane, handle, scheduler, offer)
}

async fn launch(
    scheduler: &Scheduler,
    offer: &LiveOffer,
    tasks: Vec<Task>,
) -> Vec<Result<Task, LaunchError>> {
    let taken = scheduler.take(&[offer]).await;
    scheduler.market.launch(taken, tasks, LONG).await.unwrap()
}

/// Whether each was launched, or why not.
fn words(results: &[Result<Task, LaunchError>]) -> Vec<String> {
    let word = |result: &Result<Task, LaunchError>| match result {
        Ok(task) => task.name_any(),
        Err(LaunchError::Refused(_)) => "Refused".to_owned(),
        Err(err) => format!("{err:?}"),
    };
    results.iter().map(word).collect()
}

async fn stored(admin: &Client) -> Vec<Task> {
    let tasks: Api<Task> = Api::namespaced(admin.clone(), "default");
    tasks.list(&ListParams::default()).await.unwrap().items
}

#[tokio::test]
async fn what_is_launched_is_stored_and_placed_from_birth() {
    let (server, _control_plane, handle, mut scheduler, offer) = offered().await;
    let admin = server.admin();
    let mut task = scheduler.task("a", 1);
    task.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "meseta.dev/v1alpha1".to_owned(),
        kind: "Framework".to_owned(),
        name: "spark".to_owned(),
        uid: scheduler.uid().to_owned(),
        ..OwnerReference::default()
    }]);
    let results = launch(&scheduler, &offer, vec![task, scheduler.task("b", 1)]).await;
    assert_eq!(words(&results), ["a", "b"]);
    let stored = stored(&admin).await;
    assert_eq!(stored.len(), 2);
    for (task, result) in stored.iter().zip(&results) {
        assert_eq!(task, result.as_ref().unwrap());
        assert_eq!(task.spec.agent_name.as_deref(), Some("one"));
        assert_eq!(task.spec.role, "eng");
        assert_eq!(task.spec.placement.as_ref().unwrap().epoch, 1);
        let finalizers = [meseta_crds::AGENT_FINALIZER, meseta_crds::SCHEDULER_FINALIZER];
        assert_eq!(task.finalizers(), finalizers);
    }
    // The rest is refused; somebody else gets just that.
    assert!(book(&handle).is_empty());
    let mut other = Scheduler::enter(&admin, &scheduler.market, "other", &["ops"]).await;
    assert_eq!(lines(&other.offers(1).await), ["one 2"]);
    scheduler.market.revive(scheduler.uid(), Vec::new()).await.unwrap();
    other.market.leave(other.uid()).await.unwrap();
    assert_eq!(lines(&scheduler.offers(1).await), ["one 2"]);
}

#[tokio::test]
async fn offers_of_one_agent_are_launched_on_together() {
    let (server, _control_plane, _handle, mut scheduler, offer) = offered().await;
    let results = launch(&scheduler, &offer, vec![scheduler.task("a", 3)]).await;
    assert_eq!(words(&results), ["a"]);
    scheduler.market.revive(scheduler.uid(), Vec::new()).await.unwrap();
    let rest = scheduler.offers(1).await.remove(0);
    end(&server.admin(), "a", TaskState::Failed).await;
    let freed = scheduler.offers(1).await.remove(0);
    assert_eq!((cpus(&rest.resources), cpus(&freed.resources)), ("1".into(), "3".into()));
    let taken = scheduler.take(&[&rest, &freed]).await;
    assert_eq!(cpus(&taken.resources), "4");
    let results = scheduler.market.launch(taken, vec![scheduler.task("b", 4)], LONG).await;
    assert_eq!(words(&results.unwrap()), ["b"]);
}

#[tokio::test]
async fn more_than_was_offered_is_not_launched_and_the_offer_goes_back() {
    let (server, _control_plane, _handle, mut scheduler, offer) = offered().await;
    let tasks = vec![scheduler.task("a", 3), scheduler.task("b", 2)];
    assert_eq!(words(&launch(&scheduler, &offer, tasks).await), ["TooMuch", "TooMuch"]);
    assert!(stored(&server.admin()).await.is_empty());
    assert_eq!(lines(&scheduler.offers(1).await), ["one 4"]);
}

#[tokio::test]
async fn what_the_server_refuses_frees_its_room() {
    let (server, _control_plane, _handle, mut scheduler, offer) = offered().await;
    let mut bad = scheduler.task("bad", 2);
    bad.spec.containers[0].name = "Not A Label".to_owned();
    let mut executor = bad.clone();
    executor.metadata.name = Some("executor".to_owned());
    executor.spec.executor = Some(Executor::default());
    executor.spec.resources = [("cpu".to_owned(), meseta_crds::Quantity::from_millis(100))].into();
    let mut inner = scheduler.task("inner", 1);
    inner.spec.containers.clear();
    inner.spec.executor_name = Some("executor".to_owned());
    let results = launch(&scheduler, &offer, vec![inner, bad, executor]).await;
    assert_eq!(words(&results), ["Executor", "Refused", "Refused"]);
    let Err(LaunchError::Refused(why)) = &results[1] else { unreachable!("it was compared") };
    assert!(why.contains("containers[0].name"), "{why}");
    assert!(stored(&server.admin()).await.is_empty());
    assert_eq!(lines(&scheduler.offers(1).await), ["one 4"]);
}

#[tokio::test]
async fn a_name_that_is_in_use_is_not_launched_again() {
    let (server, _control_plane, _handle, mut scheduler, offer) = offered().await;
    let tasks = vec![scheduler.task("a", 1), scheduler.task("a", 1)];
    assert_eq!(words(&launch(&scheduler, &offer, tasks).await), ["a", "Exists"]);
    scheduler.market.revive(scheduler.uid(), Vec::new()).await.unwrap();
    let rest = scheduler.offers(1).await.remove(0);
    assert_eq!(cpus(&rest.resources), "3");
    let tasks = vec![scheduler.task("a", 1), scheduler.task("b", 1)];
    assert_eq!(words(&launch(&scheduler, &rest, tasks).await), ["Exists", "b"]);
    assert_eq!(stored(&server.admin()).await.len(), 2);
}

#[tokio::test]
async fn an_executor_and_its_tasks_hold_their_own_resources() {
    let (server, _control_plane, _handle, mut scheduler, offer) = offered().await;
    let admin = server.admin();
    let mut executor = scheduler.task("executor", 1);
    executor.spec.executor = Some(Executor::default());
    let mut inner = scheduler.task("inner", 2);
    inner.spec.containers.clear();
    inner.spec.executor_name = Some("executor".to_owned());
    let results = launch(&scheduler, &offer, vec![inner, executor.clone()]).await;
    assert_eq!(words(&results), ["inner", "executor"]);
    scheduler.market.revive(scheduler.uid(), Vec::new()).await.unwrap();
    let rest = scheduler.offers(1).await.remove(0);
    assert_eq!(cpus(&rest.resources), "1");
    // Another task for the same executor: its record is there and costs nothing more.
    let mut second = scheduler.task("second", 1);
    second.spec.containers.clear();
    second.spec.executor_name = Some("executor".to_owned());
    let results = launch(&scheduler, &rest, vec![executor, second]).await;
    assert_eq!(words(&results), ["executor", "second"]);
    end(&admin, "inner", TaskState::Finished).await;
    assert_eq!(lines(&scheduler.offers(1).await), ["one 2"]);
}

#[tokio::test]
async fn a_launch_on_what_has_gone_back_fails() {
    let (server, _control_plane, _handle, scheduler, offer) = offered().await;
    let taken = scheduler.take(&[&offer]).await;
    scheduler.market.leave(scheduler.uid()).await.unwrap();
    let results = scheduler.market.launch(taken, vec![scheduler.task("a", 1)], LONG).await;
    assert_eq!(words(&results.unwrap()), ["Gone"]);
    assert!(stored(&server.admin()).await.is_empty());
}

#[tokio::test]
async fn what_is_taken_survives_that_its_agent_takes_no_more() {
    // Mesos does the same: what was accepted is launched, and the agent decides.
    let (server, _control_plane, handle, scheduler, offer) = offered().await;
    let taken = scheduler.take(&[&offer]).await;
    set_unschedulable(&server.admin(), "one", true).await;
    let results = scheduler.market.launch(taken, vec![scheduler.task("a", 1)], LONG).await;
    assert_eq!(words(&results.unwrap()), ["a"]);
    assert!(book(&handle).is_empty());
}

#[tokio::test]
async fn records_of_schedulers_are_left_to_the_gateway() {
    let (server, _control_plane, _handle, scheduler, offer) = offered().await;
    let admin = server.admin();
    launch(&scheduler, &offer, vec![scheduler.task("a", 1)]).await;
    // It takes no room from the framework that follows.
    scheduler.market.leave(scheduler.uid()).await.unwrap();
    end(&admin, "a", TaskState::Finished).await;
    let frameworks: Api<Framework> = Api::namespaced(admin.clone(), "default");
    frameworks.delete("spark", &Default::default()).await.unwrap();
    // By the time another framework has been worked on, so would this have been.
    let other = crate::framework(
        r#"[{"name": "web", "template": {"spec": {
            "containers": [{"command": ["serve"]}], "resources": {"cpu": "1"}}}}]"#,
    );
    frameworks.create(&PostParams::default(), &other).await.unwrap();
    let tasks: Api<Task> = Api::namespaced(admin.clone(), "default");
    let tasks = &tasks;
    eventually(|| async move {
        let task = tasks.get("job-web-0").await.map_err(|err| err.to_string())?;
        task.spec.agent_name.ok_or_else(|| "not placed".to_owned())
    })
    .await;
    let spark = frameworks.get("spark").await.unwrap();
    assert_eq!(spark.status, None);
    assert!(spark.metadata.deletion_timestamp.is_some());
    let task = tasks.get("a").await.unwrap();
    assert_eq!(task.finalizers().len(), 2);
    assert_eq!(task.metadata.deletion_timestamp, None);
}
