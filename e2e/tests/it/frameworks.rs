//! Frameworks: sets that wait for each other, share a volume, and survive failures.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use meseta_e2e::{Observer, Space, StoreKind, Witness, run};
use serde_json::{Value, json};

use crate::yaml;

on_both_stores!(
    a_set_starts_when_those_it_waits_for_have_finished,
    the_quickstart_counts_words_as_coreutils_do,
    failures_are_replaced_up_to_the_limit,
    a_framework_can_grow,
    roles_share_an_agent_by_weight,
);

/// The repository's own root.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn await_succeeded(space: &Space, name: &str) -> Value {
    space
        .await_record(&["framework", name], "over", |framework| {
            ["Succeeded", "Failed"].iter().any(|state| framework["status"]["state"] == **state)
        })
        .unwrap()
}

fn a_set_starts_when_those_it_waits_for_have_finished(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let witness = Witness::new().unwrap();
    let observer = Observer::start(std::slice::from_ref(&*space)).unwrap();
    let spec = |script: &str| {
        let mut spec = yaml::spec(script);
        spec["volumes"] = json!([{"name": "shared", "shared": {}}]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "shared", "mountPath": "/mnt/s"}]);
        witness.add_to(&mut spec);
        spec
    };
    let wait = Witness::wait_for("go");
    let number = "$MESETA_TASK_INDEX of $MESETA_TASK_COUNT";
    let map = spec(&format!("{wait}; echo {number} > /mnt/s/$MESETA_TASK_INDEX"));
    let mut reduce = yaml::set("reduce", 1, &spec("cat /mnt/s/*"));
    reduce["dependsOn"] = json!(["map"]);
    let mut publish = yaml::set("publish", 2, &spec("ls /mnt/s | wc -l"));
    publish["dependsOn"] = json!(["reduce"]);
    let sets = [publish, reduce, yaml::set("map", 3, &map)];
    space.apply(&yaml::framework("f", &sets)).unwrap();
    for index in 0..3 {
        space.await_task(&format!("f-map-{index}"), &["Running"]).unwrap();
    }
    let framework = space.get(&["framework", "f"]).unwrap();
    let message = framework["status"]["message"].as_str().unwrap();
    assert!(message.contains("set reduce waits for map: 0 of 3 finished"), "{message}");
    let why = space.meseta(&["why", "framework/f"]).unwrap();
    assert!(why.contains("waits for map"), "{why}");
    witness.release("go").unwrap();

    let framework = await_succeeded(&space, "f");
    assert_eq!(framework["status"]["state"], "Succeeded", "{:#}", framework["status"]);
    assert_eq!(framework["status"]["summary"], "6/6");
    let output = space.meseta(&["logs", "f-reduce-0"]).unwrap();
    assert_eq!(output, "0 of 3\n1 of 3\n2 of 3\n");
    assert_eq!(space.meseta(&["logs", "f-publish-1"]).unwrap(), "3\n");
    space.kubectl(&["wait", "framework/f", "--for=condition=Succeeded"]).unwrap();
    // No task of a set existed before the last of the set it waits for had finished.
    let history = observer.history();
    let position = |task: &str, state: Option<&str>| {
        let found = history.iter().position(|seen| {
            seen.name() == task && state.is_none_or(|state| seen.task["status"]["state"] == state)
        });
        found.unwrap_or_else(|| panic!("{task} was never {state:?}"))
    };
    for index in 0..3 {
        let finished = position(&format!("f-map-{index}"), Some("Finished"));
        assert!(finished < position("f-reduce-0", None), "reduce was made too early");
    }
    let reduced = position("f-reduce-0", Some("Finished"));
    assert!(reduced < position("f-publish-0", None).min(position("f-publish-1", None)));
}

fn the_quickstart_counts_words_as_coreutils_do(store: StoreKind) {
    /// Each script reads some megabytes.
    const SCRIPT_DEADLINE: Duration = Duration::from_secs(60);
    let space = Space::new(store).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("input");
    let script = |name: &str| {
        let mut command = Command::new(repository().join("scripts").join(name));
        run(command.arg(&input), None, SCRIPT_DEADLINE).unwrap().success().unwrap()
    };
    script("wordcount-input");
    let yaml = fs::read_to_string(repository().join("examples/quickstart.yaml")).unwrap();
    let usual = "path: /var/tmp/meseta-quickstart/input";
    assert!(yaml.contains(usual));
    space.apply_text(&yaml.replace(usual, &format!("path: {}", input.display()))).unwrap();
    let framework = await_succeeded(&space, "wordcount");
    assert_eq!(framework["status"]["state"], "Succeeded", "{:#}", framework["status"]);
    let result = space.meseta(&["logs", "wordcount-reduce-0"]).unwrap();
    let expected = script("wordcount-expected");
    assert!(expected.lines().count() > 1000, "a small input");
    assert!(result == expected, "the result differs from the count done with coreutils");
}

fn failures_are_replaced_up_to_the_limit(store: StoreKind) {
    let space = Space::new(store).unwrap();
    // The first incarnation leaves a mark in the volume, by which the second knows better.
    let script = "if [ -e /mnt/s/mark ]; then exit 0; fi; touch /mnt/s/mark; exit 4";
    let mut flaky = yaml::spec(script);
    flaky["volumes"] = json!([{"name": "shared", "shared": {}}]);
    flaky["containers"][0]["volumeMounts"] = json!([{"name": "shared", "mountPath": "/mnt/s"}]);
    let mut flaky = yaml::set("set", 1, &flaky);
    flaky["maxFailures"] = json!(1);
    space.apply(&yaml::framework("flaky", &[flaky])).unwrap();
    let mut broken = yaml::set("set", 1, &yaml::spec("exit 5"));
    broken["maxFailures"] = json!(2);
    space.apply(&yaml::framework("broken", &[broken])).unwrap();

    let framework = await_succeeded(&space, "flaky");
    assert_eq!(framework["status"]["state"], "Succeeded", "{:#}", framework["status"]);
    assert_eq!(framework["status"]["taskSets"][0]["failed"], 1);
    space.await_task("flaky-set-0-r1", &["Finished"]).unwrap();

    let framework = await_succeeded(&space, "broken");
    assert_eq!(framework["status"]["state"], "Failed", "{:#}", framework["status"]);
    assert_eq!(framework["status"]["taskSets"][0]["failed"], 3);
    let message = framework["status"]["message"].as_str().unwrap();
    assert!(message.contains("3 failures, 2 allowed"), "{message}");
    assert!(message.contains("NonZeroExit"), "{message}");
    let tasks = space.list(&["tasks", "-l", "meseta.dev/framework=broken"]).unwrap();
    assert!(tasks.iter().all(|task| task["status"]["state"] == "Failed"), "{tasks:#?}");
}

fn a_framework_can_grow(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let set = |replicas: u32| yaml::set("set", replicas, &yaml::spec("sleep 1000"));
    space.apply(&yaml::framework("f", &[set(1)])).unwrap();
    space.await_task("f-set-0", &["Running"]).unwrap();
    let first = space.get(&["task", "f-set-0"]).unwrap();
    space.apply(&yaml::framework("f", &[set(3)])).unwrap();
    space.await_task("f-set-2", &["Running"]).unwrap();
    space.kubectl(&["wait", "framework/f", "--for=condition=Ready", "--timeout=60s"]).unwrap();
    let same = space.get(&["task", "f-set-0"]).unwrap();
    assert_eq!(same["metadata"]["uid"], first["metadata"]["uid"]);
    space.kubectl(&["delete", "framework", "f", "--timeout=60s"]).unwrap();
}

fn roles_share_an_agent_by_weight(store: StoreKind) {
    use meseta_e2e::Layout;
    // Room for six tasks of one cpu.
    let resources = ["--resources", "cpu=6,memory=100Gi,disk=100Gi"];
    let cluster = Layout::new(store).agent(&resources).start().unwrap();
    let client = cluster.client();
    for (path, weight) in [("light", 1), ("heavy", 2)] {
        let role = json!({
            "apiVersion": "meseta.dev/v1alpha1", "kind": "FrameworkRole",
            "metadata": {"name": path}, "spec": {"path": path, "weight": weight},
        });
        client.apply(&role).unwrap();
    }
    // Nothing is placed until both have asked: no agent takes tasks meanwhile.
    let agent = cluster.agents()[0].name.clone();
    let schedulable = |on: bool| {
        let patch = format!(r#"{{"spec":{{"unschedulable":{}}}}}"#, !on);
        client.kubectl(&["patch", "agent", &agent, "--type=merge", "-p", &patch]).unwrap();
    };
    schedulable(false);
    let mut spec = yaml::spec("sleep 1000");
    spec["resources"]["cpu"] = json!("1");
    for role in ["light", "heavy"] {
        let mut framework = yaml::framework(role, &[yaml::set("set", 6, &spec)]);
        framework["spec"]["role"] = json!(role);
        client.apply(&framework).unwrap();
        client.await_record(&["task", &format!("{role}-set-5")], "there", |_| true).unwrap();
    }
    for role in ["light", "heavy"] {
        client
            .await_record(&["frameworkrole", role], "waiting", |role| {
                role["status"]["pendingTasks"] == 6
            })
            .unwrap();
    }
    schedulable(true);
    let placed = |role: &str| {
        let label = format!("meseta.dev/framework={role}");
        let tasks = client.list(&["tasks", "-l", &label]).unwrap();
        tasks.iter().filter(|task| task["spec"]["agentName"].is_string()).count()
    };
    client
        .await_record(&["frameworkrole", "heavy"], "served", |role| {
            role["status"]["pendingTasks"] == 2
        })
        .unwrap();
    assert_eq!((placed("light"), placed("heavy")), (2, 4));
    let shares = client.kubectl(&["get", "frameworkroles"]).unwrap();
    assert!(shares.contains("66.7%") && shares.contains("33.3%"), "{shares}");
}
