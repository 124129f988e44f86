//! Creates, updates, patches and deletes.

use http::{Method, StatusCode};
use kube::api::{Api, Patch, PatchParams, PostParams};
use meseta_crds::Task;
use serde_json::{Value, json};

use crate::world::{TASKS, World, admin, task, version};

fn path(name: &str) -> String {
    format!("{TASKS}/{name}")
}

#[tokio::test]
async fn a_kube_client_in_the_same_process_writes_and_reads() {
    let world = World::new().await;
    let tasks: Api<Task> = Api::default_namespaced(world.api.client(admin()));
    let new: Task = serde_json::from_value(task("a", &json!({}))).unwrap();
    let created = tasks.create(&PostParams::default(), &new).await.unwrap();
    assert_eq!(tasks.get("a").await.unwrap(), created);
    let patch = json!({"status": {"state": "Running"}});
    tasks.patch_status("a", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let listed = tasks.list(&Default::default()).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    let gone = tasks.delete("a", &Default::default()).await.unwrap();
    assert!(gone.is_right(), "nothing held it");
    let error = tasks.get("a").await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.is_not_found()));
}

#[tokio::test]
async fn a_create_answers_with_what_is_stored() {
    let world = World::new().await;
    let answer = world.post(TASKS, &task("a", &json!({}))).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let created = answer.ok();
    assert_eq!(created["metadata"]["generation"], 1);
    assert_eq!(world.get(&path("a")).await.ok(), created);
    let again = world.post(TASKS, &task("a", &json!({}))).await.refusal();
    assert_eq!(
        again,
        (409, "AlreadyExists".to_owned(), "tasks.meseta.dev \"a\" already exists".to_owned())
    );
}

#[tokio::test]
async fn yaml_is_read_and_written() {
    let world = World::new().await;
    let yaml = serde_yaml::to_string(&task("y", &json!({}))).unwrap();
    let answer = world.as_user(admin(), Method::POST, TASKS, "application/yaml", yaml).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let answer = world.get_as(&path("y"), "application/yaml").await;
    assert_eq!(answer.headers["content-type"], "application/yaml");
    let value: Value = serde_yaml::from_slice(&answer.body).unwrap();
    assert_eq!(value["metadata"]["name"], "y");
}

#[tokio::test]
async fn names_are_generated_until_one_is_free() {
    let world = World::new().await;
    let generate = json!({"metadata": {"name": null, "generateName": "gen-"}});
    let first = world.post(TASKS, &task("", &generate)).await.ok();
    let second = world.post(TASKS, &task("", &generate)).await.ok();
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(name(&first).starts_with("gen-") && name(&first) != name(&second));
    let none = world.post(TASKS, &task("", &json!({"metadata": {"name": null}}))).await;
    assert_eq!(none.refusal().0, 422);
}

#[tokio::test]
async fn a_dry_run_goes_through_everything_but_the_write() {
    let world = World::new().await;
    let dry = world.post(&format!("{TASKS}?dryRun=All"), &task("a", &json!({}))).await.ok();
    assert_eq!(dry["metadata"].get("resourceVersion"), None);
    assert!(dry["metadata"]["uid"].is_string());
    assert_eq!(world.get(&path("a")).await.status, StatusCode::NOT_FOUND);

    let created = world.create("a", json!({})).await;
    let exists = world.post(&format!("{TASKS}?dryRun=All"), &task("a", &json!({}))).await;
    assert_eq!(exists.refusal().0, 409);
    let patch = json!({"spec": {"priority": 3}});
    let dry = world.merge(&format!("{}?dryRun=All", path("a")), &patch).await.ok();
    assert_eq!((&dry["spec"]["priority"], &dry["metadata"]["generation"]), (&json!(3), &json!(2)));
    assert_eq!(version(&dry), version(&created));
    world.delete(&format!("{}?dryRun=All", path("a")), &Value::Null).await.ok();
    assert_eq!(world.get(&path("a")).await.ok(), created);
}

#[tokio::test]
async fn unknown_fields_are_warned_of_or_refused() {
    let world = World::new().await;
    let odd = task("a", &json!({"spec": {"bogus": 1}, "metadata": {"strange": 3}}));
    let answer = world.post(&format!("{TASKS}?fieldValidation=Strict"), &odd).await.refusal();
    assert_eq!(answer.0, 400);
    assert!(answer.2.contains("unknown field \"metadata.strange\""), "{}", answer.2);
    assert!(answer.2.contains("unknown field \"spec.bogus\""), "{}", answer.2);
    let answer = world.post(TASKS, &odd).await;
    let warnings: Vec<_> =
        answer.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(warnings.contains(&r#"299 - "unknown field \"spec.bogus\"""#), "{warnings:?}");
    assert_eq!(answer.ok()["spec"].get("bogus"), None);
    let patch = json!({"spec": {"bogus": 1}});
    let patched = world.merge(&format!("{}?fieldValidation=Strict", path("a")), &patch).await;
    assert_eq!(patched.refusal().0, 422);
}

#[tokio::test]
async fn every_fault_of_a_record_is_told_with_its_field() {
    let world = World::new().await;
    let bad = task(
        "a",
        &json!({"spec": {"containers": [{"name": "main", "command": "true"}], "priority": "high"}}),
    );
    let answer = world.post(TASKS, &bad).await;
    let causes = answer.json()["details"]["causes"].clone();
    let fields: Vec<&str> =
        causes.as_array().unwrap().iter().filter_map(|cause| cause["field"].as_str()).collect();
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(fields.contains(&"spec.containers[0].command"), "{fields:?}");
    assert!(fields.contains(&"spec.priority"), "{fields:?}");
}

#[tokio::test]
async fn a_write_that_changes_nothing_keeps_the_version() {
    let world = World::new().await;
    let created = world.create("a", json!({})).await;
    assert_eq!(world.put(&path("a"), &created).await.ok(), created);
    let patch = json!({"spec": {"containers": created["spec"]["containers"]}});
    assert_eq!(world.merge(&path("a"), &patch).await.ok(), created);
    let status =
        world.merge(&format!("{}/status", path("a")), &json!({"spec": {"priority": 9}})).await;
    assert_eq!(status.ok(), created);
    assert_eq!(world.get(&path("a")).await.ok(), created);
}

#[tokio::test]
async fn an_update_needs_the_version_it_is_about() {
    let world = World::new().await;
    let created = world.create("a", json!({})).await;
    let mut changed = created.clone();
    changed["spec"]["priority"] = 3.into();
    let updated = world.put(&path("a"), &changed).await.ok();
    assert_eq!(updated["metadata"]["generation"], 2);
    let stale = world.put(&path("a"), &changed).await.refusal();
    assert_eq!((stale.0, stale.1.as_str()), (409, "Conflict"));
    assert!(stale.2.contains("the object has been modified"), "{}", stale.2);
    changed["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert_eq!(world.put(&path("a"), &changed).await.refusal().0, 422);
    let absent = task("b", &json!({"metadata": {"resourceVersion": "5"}}));
    assert_eq!(world.put(&path("b"), &absent).await.refusal().0, 404);
}

#[tokio::test]
async fn a_patch_that_names_a_version_or_a_uid_is_about_that_one() {
    let world = World::new().await;
    let created = world.create("a", json!({})).await;
    let with = |metadata: Value| json!({"metadata": metadata, "spec": {"priority": 3}});
    let other_uid = with(json!({"uid": "another"}));
    assert_eq!(world.merge(&path("a"), &other_uid).await.refusal().1, "Invalid");
    let another = with(json!({"uid": "another", "resourceVersion": "1"}));
    assert_eq!(world.merge(&path("a"), &another).await.refusal().1, "Conflict");
    let right = with(json!({
        "uid": created["metadata"]["uid"], "resourceVersion": version(&created),
    }));
    world.merge(&path("a"), &right).await.ok();
    let stale = with(json!({"resourceVersion": version(&created), "labels": {"x": "1"}}));
    assert_eq!(world.merge(&path("a"), &stale).await.refusal().1, "Conflict");
}

#[tokio::test]
async fn patches_without_a_version_never_lose_each_other() {
    let world = World::new().await;
    world.create("a", json!({})).await;
    let path = path("a");
    // Each is tried again where another one was faster.
    let writers = (0..20).map(|n| {
        let (world, path) = (&world, &path);
        let patch = json!({"metadata": {"labels": {format!("l{n}"): "1"}}});
        async move { world.merge(path, &patch).await.ok() }
    });
    futures::future::join_all(writers).await;
    let task = world.get(&path).await.ok();
    assert_eq!(task["metadata"]["labels"].as_object().unwrap().len(), 20);
}

#[tokio::test]
async fn the_status_is_written_through_its_own_path() {
    let world = World::new().await;
    let created = world.create("a", json!({"status": {"state": "Running"}})).await;
    assert_eq!(created.get("status"), None);
    let patch = json!({"status": {"state": "Running"}, "spec": {"priority": 9}});
    let main = world.merge(&path("a"), &patch).await.ok();
    assert_eq!(main.get("status"), None);
    let status = world.merge(&format!("{}/status", path("a")), &patch).await.ok();
    assert_eq!(status["status"]["state"], "Running");
    assert_eq!(status["metadata"]["generation"], 2, "only the change of the spec counts");
    assert_eq!(world.get(&format!("{}/status", path("a"))).await.ok(), status);
}

#[tokio::test]
async fn a_json_patch_applies_or_is_refused_as_a_whole() {
    let world = World::new().await;
    world.create("a", json!({})).await;
    let patch = |operations: Value| {
        let (path, content_type) = (path("a"), "application/json-patch+json");
        let body = operations.to_string();
        let world = &world;
        async move { world.as_user(admin(), Method::PATCH, &path, content_type, body).await }
    };
    let good = patch(json!([{"op": "add", "path": "/spec/priority", "value": 3}])).await.ok();
    assert_eq!(good["spec"]["priority"], 3);
    let refused = patch(json!([
        {"op": "replace", "path": "/spec/priority", "value": 4},
        {"op": "test", "path": "/spec/priority", "value": 5},
    ]));
    assert_eq!(refused.await.refusal().0, 422);
    assert_eq!(world.get(&path("a")).await.ok(), good);
}

#[tokio::test]
async fn what_is_not_served_yet_is_refused_as_a_real_server_would() {
    let world = World::new().await;
    world.create("a", json!({})).await;
    let patch = |content_type: &'static str| {
        let (world, path) = (&world, path("a"));
        async move { world.as_user(admin(), Method::PATCH, &path, content_type, "{}").await.refusal() }
    };
    for content_type in [
        "application/apply-patch+yaml",
        "application/strategic-merge-patch+json",
        "application/json",
    ] {
        let (code, reason, _) = patch(content_type).await;
        assert_eq!((code, reason.as_str()), (415, "UnsupportedMediaType"), "{content_type}");
    }
    let protobuf = "application/vnd.kubernetes.protobuf";
    let answer =
        world.as_user(admin(), Method::POST, "/api/v1/namespaces", protobuf, "k8s\0").await;
    assert_eq!(answer.refusal().0, 415);
    assert_eq!(world.get_as(&path("a"), protobuf).await.refusal().0, 406);
    let scale = world.get(&format!("{}/scale", path("a"))).await;
    assert_eq!(scale.refusal().0, 404);
}

#[tokio::test]
async fn bodies_are_bounded() {
    let world = World::new().await;
    let big = task("a", &json!({"metadata": {"annotations": {"x": "y".repeat(3_300_000)}}}));
    let (code, reason, _) = world.post(TASKS, &big).await.refusal();
    assert_eq!((code, reason.as_str()), (413, "RequestEntityTooLarge"));
    let data = json!({"metadata": {"name": "c"}, "data": {"a": "x".repeat(1_100_000)}});
    let answer = world.post("/api/v1/namespaces/default/configmaps", &data).await;
    assert_eq!(answer.refusal().0, 422);
}

#[tokio::test]
async fn a_record_as_large_as_it_may_be_has_room_for_its_status_and_its_end() {
    const MOST: usize = 1_400_000 - 320 * 1024;
    let world = World::new().await;
    let sized = |bytes: usize| {
        let mesos =
            json!({"frameworkId": "f", "taskId": "t", "taskInfo": {"data": "x".repeat(bytes)}});
        let finalizers = ["x.io/hold"];
        task("a", &json!({"metadata": {"finalizers": finalizers}, "spec": {"mesos": mesos}}))
    };
    let (code, _, message) = world.post(TASKS, &sized(MOST)).await.refusal();
    assert_eq!(code, 413);
    assert!(message.ends_with(&format!("limit is {MOST}")), "{message}");
    world.post(TASKS, &sized(MOST - 1000)).await.ok();
    let notes = |bytes: usize| json!({"metadata": {"annotations": {"n": "n".repeat(bytes)}}});
    assert_eq!(world.merge(&path("a"), &notes(40_000)).await.refusal().0, 413);
    world.merge(&path("a"), &notes(28_000)).await.ok();

    let status = |bytes: usize| json!({"status": {"message": "m".repeat(bytes)}});
    let status_path = format!("{}/status", path("a"));
    assert_eq!(world.merge(&status_path, &status(300_000)).await.refusal().0, 413);
    world.merge(&status_path, &status(290_000)).await.ok();
    world.merge(&path("a"), &notes(27_000)).await.ok();
    world.delete(&path("a"), &Value::Null).await.ok();
    world.merge(&status_path, &status(290_010)).await.ok();
    world.merge(&path("a"), &json!({"metadata": {"finalizers": null}})).await.ok();
    world.gone(&path("a")).await;
}

#[tokio::test]
async fn a_deleted_object_goes_when_its_finalizers_are_gone() {
    let world = World::new().await;
    world.create("a", json!({"metadata": {"finalizers": ["x.io/hold"]}})).await;
    let held = world.delete(&path("a"), &Value::Null).await.ok();
    assert!(held["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(held["metadata"]["generation"], 2);
    let again = world.delete(&path("a"), &Value::Null).await.ok();
    assert_eq!(again, held, "a second delete changes nothing");
    let more = json!({"metadata": {"finalizers": ["x.io/hold", "x.io/new"]}});
    assert_eq!(world.merge(&path("a"), &more).await.refusal().0, 422);
    let free = world.merge(&path("a"), &json!({"metadata": {"finalizers": null}})).await.ok();
    assert_eq!(version(&free), version(&held));
    assert_eq!(world.get(&path("a")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_delete_answers_with_what_is_gone_and_honours_preconditions() {
    let world = World::new().await;
    let created = world.create("a", json!({})).await;
    for preconditions in [json!({"uid": "zz"}), json!({"resourceVersion": "1"})] {
        let answer = world.delete(&path("a"), &json!({"preconditions": preconditions})).await;
        assert_eq!(answer.refusal().1, "Conflict");
    }
    let uid = &created["metadata"]["uid"];
    let right = json!({"preconditions": {"uid": uid, "resourceVersion": version(&created)}});
    let gone = world.delete(&path("a"), &right).await.ok();
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": "a", "group": "meseta.dev", "kind": "tasks", "uid": uid},
    });
    assert_eq!(gone, expected);
    let (code, _, message) = world.delete(&path("a"), &Value::Null).await.refusal();
    assert_eq!((code, message.as_str()), (404, "tasks.meseta.dev \"a\" not found"));
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let world = World::new().await;
    for (name, group) in [("a", "x"), ("b", "y"), ("c", "x")] {
        world.create(name, json!({"metadata": {"labels": {"g": group}}})).await;
    }
    let deleted = world.delete(&format!("{TASKS}?labelSelector=g%3Dx"), &Value::Null).await.ok();
    assert_eq!(deleted["items"].as_array().unwrap().len(), 2);
    let left = world.get(TASKS).await.ok();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    let everywhere = world.delete("/apis/meseta.dev/v1alpha1/tasks", &Value::Null).await;
    assert_eq!(everywhere.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_placement_is_final() {
    let world = World::new().await;
    world.create("a", json!({})).await;
    world.merge(&path("a"), &json!({"spec": {"agentName": "n1"}})).await.ok();
    let (code, reason, _) =
        world.merge(&path("a"), &json!({"spec": {"agentName": "n2"}})).await.refusal();
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
}

#[tokio::test]
async fn an_answer_says_which_store_it_comes_from() {
    let world = World::new().await;
    let answer = world.get("/version").await;
    assert_eq!(answer.headers["meseta-store-generation"], world.store.generation());
}

#[tokio::test]
async fn what_a_mesos_framework_sent_is_kept_bit_for_bit() {
    let world = World::new().await;
    let sent = json!({"name": "x", "task_id": {"value": "t"}, "unknown": [1, {"b": null}, 1.50]});
    let mesos = json!({"frameworkId": "F", "taskId": "t", "executorId": "e", "taskInfo": sent});
    let owner = json!({"framework": "f", "frameworkUid": "u", "incarnation": 3});
    let spec = json!({"containers": [], "executorName": "e-1", "agentName": "n1",
        "placement": {"epoch": 1}, "owner": owner, "mesos": mesos, "role": "*"});
    let created = world.create("a", json!({"spec": spec})).await;
    assert_eq!(created["spec"]["mesos"], mesos);
    let update = json!({"uuid": "u", "status": {"state": "TASK_RUNNING", "data": "AA==", "x": {}}});
    let status = json!({"status": {"state": "Running", "mesos": {"updates": [update]}}});
    let updated = world.merge(&format!("{}/status", path("a")), &status).await.ok();
    assert_eq!(updated["status"]["mesos"]["updates"][0], update);
}

#[tokio::test]
async fn executors_kills_and_schedulers_follow_their_rules() {
    let world = World::new().await;
    let refused = async |name: &str, spec: Value| {
        let (code, _, message) = world.post(TASKS, &task(name, &spec)).await.refusal();
        assert_eq!(code, 422);
        message
    };
    for (spec, why) in [
        (json!({"spec": {"containers": null}}), "must have exactly one container"),
        (
            json!({"spec": {"executorName": "e"}}),
            "must be empty where `executorName` is set: the executor runs the task",
        ),
        (
            json!({"spec": {"containers": [], "executorName": "e", "executor": {}}}),
            "must not be set together with `executorName`",
        ),
    ] {
        let message = refused("a", spec).await;
        assert!(message.contains(why), "{message}");
    }
    let executor = world.create("e", json!({"spec": {"executor": {}}})).await;
    assert_eq!(executor["spec"]["executor"], json!({"shutdownGracePeriodSeconds": 5}));
    world.merge(&path("e"), &json!({"spec": {"kill": {"gracePeriodSeconds": 9}}})).await.ok();
    world.merge(&path("e"), &json!({"spec": {"kill": {"gracePeriodSeconds": 0}}})).await.ok();
    let back = world.merge(&path("e"), &json!({"spec": {"kill": null}})).await.refusal();
    assert!(back.0 == 422 && back.2.contains("must not be taken back"), "{back:?}");

    let frameworks = "/apis/meseta.dev/v1alpha1/namespaces/default/frameworks";
    let framework = |id: &str| {
        json!({"apiVersion": "meseta.dev/v1alpha1", "kind": "Framework", "metadata": {"name": "f"},
            "spec": {"role": "*", "scheduler": {"frameworkId": id, "roles": ["*"],
                "frameworkInfo": {"name": "x", "labels": {"labels": []}}}}})
    };
    let created = world.post(frameworks, &framework("F")).await.ok();
    assert_eq!(created["spec"]["taskSets"], Value::Null);
    assert_eq!(created["spec"]["scheduler"]["failoverTimeoutSeconds"], 0);
    let other = world.merge(&format!("{frameworks}/f"), &framework("G")).await.refusal();
    assert!(other.0 == 422 && other.2.contains("must not come, go or change"), "{other:?}");
    let mut empty = framework("F");
    empty["metadata"]["name"] = "g".into();
    empty["spec"]["scheduler"] = Value::Null;
    let none = world.post(frameworks, &empty).await.refusal();
    assert!(none.2.contains("must have at least one set"), "{none:?}");
}
