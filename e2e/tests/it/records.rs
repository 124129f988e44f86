//! Records are applied, listed, watched and changed with the commands people know.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use meseta_e2e::{Layout, Space, StoreKind};
use serde_json::{Value, json};

use crate::yaml;

on_both_stores!(
    every_kind_is_created_shown_and_deleted,
    apply_creates_then_changes_then_leaves_alone,
    replace_and_create_insist_on_what_is_there,
    patches_labels_and_annotations_change_one_thing,
    a_watch_shows_each_change_in_order,
    wait_ends_when_the_condition_holds,
    the_generation_counts_changes_of_the_spec_only,
    kinds_are_discovered_and_explained,
    selectors_choose_by_label_and_field,
    a_namespace_goes_with_all_it_holds,
    records_survive_a_restart_of_the_control_plane,
);

/// A task that no agent can take, so that nobody but the test changes it.
fn idle(name: &str) -> Value {
    let mut task = yaml::task(name, "exit 0");
    task["spec"]["constraints"] = json!([{"attribute": "nowhere", "operator": "Exists"}]);
    task
}

/// One record of each kind that people write; `suffix` makes those without a namespace unique.
fn one_of_each(suffix: &str) -> [(&'static str, String, Value); 4] {
    let agent = format!("idle-{suffix}");
    let role = format!("role-{suffix}");
    let framework = yaml::framework("sets", &[yaml::set("none", 0, &yaml::spec("exit 0"))]);
    let header = |kind: &str, name: &str| {
        json!({
            "apiVersion": "meseta.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name}, "spec": {},
        })
    };
    let mut role_record = header("FrameworkRole", &role);
    role_record["spec"] = json!({"path": format!("tests/{suffix}"), "weight": 3});
    let mut agent_record = header("Agent", &agent);
    agent_record["spec"] = json!({"attributes": {"rack": "r1"}, "unschedulable": true});
    [
        ("task", "idle".to_owned(), idle("idle")),
        ("framework", "sets".to_owned(), framework),
        ("frameworkrole", role, role_record),
        ("agent", agent, agent_record),
    ]
}

fn every_kind_is_created_shown_and_deleted(store: StoreKind) {
    let space = Space::new(store).unwrap();
    for (kind, name, record) in one_of_each(space.namespace()) {
        assert!(space.apply(&record).unwrap().contains("created"), "{kind}");

        let plain = space.kubectl(&["get", kind, &name]).unwrap();
        assert!(plain.starts_with("NAME") && plain.contains(&name), "{plain}");
        let wide = space.kubectl(&["get", kind, &name, "-o", "wide"]).unwrap();
        let columns =
            |table: &str| table.lines().next().map(|line| line.split_whitespace().count());
        assert!(columns(&wide) >= columns(&plain), "{wide}");
        let yaml = space.kubectl(&["get", kind, &name, "-o", "yaml"]).unwrap();
        assert!(yaml.contains("apiVersion: meseta.dev/v1alpha1"), "{yaml}");
        let json = space.get(&[kind, &name]).unwrap();
        for (field, value) in record["spec"].as_object().unwrap() {
            if value.is_number() || value.is_boolean() || value.is_string() {
                assert_eq!(json["spec"][field], *value, "{kind}.spec.{field}");
            }
        }
        let uid = space.kubectl(&["get", kind, &name, "-o", "jsonpath={.metadata.uid}"]).unwrap();
        assert_eq!(json["metadata"]["uid"], uid);
        let reference = space.kubectl(&["get", kind, &name, "-o", "name"]).unwrap();
        assert_eq!(reference.trim(), format!("{kind}.meseta.dev/{name}"));
        let described = space.kubectl(&["describe", kind, &name]).unwrap();
        assert!(described.contains(&name) && described.contains("Spec:"), "{described}");

        space.kubectl(&["delete", kind, &name, "--timeout=60s"]).unwrap();
        let gone = space.kubectl_fails(&["get", kind, &name], None).unwrap();
        assert!(gone.contains("NotFound"), "{gone}");
    }
}

fn apply_creates_then_changes_then_leaves_alone(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let mut task = idle("a");
    assert_eq!(space.apply(&task).unwrap().trim(), "task.meseta.dev/a created");
    assert_eq!(space.apply(&task).unwrap().trim(), "task.meseta.dev/a unchanged");
    task["spec"]["priority"] = json!(7);
    task["metadata"]["labels"] = json!({"tier": "gold"});
    assert_eq!(space.apply(&task).unwrap().trim(), "task.meseta.dev/a configured");
    let stored = space.get(&["task", "a"]).unwrap();
    assert_eq!(stored["spec"]["priority"], 7);
    assert_eq!(stored["metadata"]["labels"]["tier"], "gold");
    // What is no longer said is taken away; what nobody said keeps its default.
    task["metadata"].as_object_mut().unwrap().remove("labels");
    task["spec"].as_object_mut().unwrap().remove("priority");
    assert_eq!(space.apply(&task).unwrap().trim(), "task.meseta.dev/a configured");
    let stored = space.get(&["task", "a"]).unwrap();
    assert_eq!(stored["spec"]["priority"], 0);
    assert_eq!(stored["metadata"]["labels"], Value::Null);
    assert_eq!(stored["spec"]["role"], "default");
}

fn replace_and_create_insist_on_what_is_there(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let text = idle("a").to_string();
    space.try_kubectl(&["create", "-f", "-"], Some(&text)).unwrap().success().unwrap();
    let twice = space.kubectl_fails(&["create", "-f", "-"], Some(&text)).unwrap();
    assert!(twice.contains("AlreadyExists"), "{twice}");

    // Once it is said why it waits, nobody changes it any more.
    let explained = |task: &Value| task["status"]["message"].is_string();
    let mut stored = space.await_record(&["task", "a"], "explained", explained).unwrap();
    stored["spec"]["priority"] = json!(3);
    let changed = stored.to_string();
    let replace = ["replace", "-f", "-"];
    space.try_kubectl(&replace, Some(&changed)).unwrap().success().unwrap();
    assert_eq!(space.get(&["task", "a"]).unwrap()["spec"]["priority"], 3);
    // The version in it is now an old one.
    let conflict = space.kubectl_fails(&replace, Some(&changed)).unwrap();
    assert!(conflict.contains("Conflict"), "{conflict}");
    let missing = space.kubectl_fails(&replace, Some(&idle("b").to_string())).unwrap();
    assert!(missing.contains("NotFound"), "{missing}");
}

fn patches_labels_and_annotations_change_one_thing(store: StoreKind) {
    let space = Space::new(store).unwrap();
    space.apply(&idle("a")).unwrap();
    let merge = r#"{"spec":{"priority":5}}"#;
    space.kubectl(&["patch", "task", "a", "--type=merge", "-p", merge]).unwrap();
    let json = r#"[{"op":"test","path":"/spec/priority","value":5},
        {"op":"replace","path":"/spec/priority","value":6}]"#;
    space.kubectl(&["patch", "task", "a", "--type=json", "-p", json]).unwrap();
    // Its test no longer holds.
    let refused = ["patch", "task", "a", "--type=json", "-p", json];
    space.kubectl_fails(&refused, None).unwrap();
    space.kubectl(&["label", "task", "a", "team=data"]).unwrap();
    space.kubectl(&["annotate", "task", "a", "example.org/note=later"]).unwrap();
    let status = r#"{"status":{"message":"by hand"}}"#;
    let patch = ["patch", "task", "a", "--subresource=status", "--type=merge", "-p", status];
    space.kubectl(&patch).unwrap();

    let stored = space.get(&["task", "a"]).unwrap();
    assert_eq!(stored["spec"]["priority"], 6);
    assert_eq!(stored["metadata"]["labels"]["team"], "data");
    assert_eq!(stored["metadata"]["annotations"]["example.org/note"], "later");
    space.kubectl(&["label", "task", "a", "team-"]).unwrap();
    let stored = space.get(&["task", "a"]).unwrap();
    assert_eq!(stored["metadata"]["labels"]["team"], Value::Null);
}

fn a_watch_shows_each_change_in_order(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let columns = "custom-columns=T:.type,N:.object.metadata.name,P:.object.spec.priority";
    let args = ["get", "tasks", "--watch", "--output-watch-events", "--no-headers", "-o", columns];
    space.apply(&idle("a")).unwrap();
    let mut watch = space.kubectl_command(&args).unwrap();
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut expect = |words: [&str; 3]| loop {
        let line = lines.next().expect("the watch goes on").unwrap();
        let seen: Vec<&str> = line.split_whitespace().collect();
        // Why it waits is written into its status meanwhile, which repeats a line.
        if seen == words {
            return;
        }
        assert!(seen[0] == "MODIFIED", "expected {words:?}, saw {line}");
    };
    expect(["ADDED", "a", "0"]);
    for priority in ["1", "2", "3"] {
        let patch = format!(r#"{{"spec":{{"priority":{priority}}}}}"#);
        space.kubectl(&["patch", "task", "a", "--type=merge", "-p", &patch]).unwrap();
        expect(["MODIFIED", "a", priority]);
    }
    space.kubectl(&["delete", "task", "a"]).unwrap();
    expect(["DELETED", "a", "3"]);
    watch.kill().unwrap();
    watch.wait().unwrap();
}

fn wait_ends_when_the_condition_holds(store: StoreKind) {
    let space = Space::new(store).unwrap();
    space.apply(&yaml::task("a", "exit 0")).unwrap();
    space.kubectl(&["wait", "task/a", "--for=condition=Succeeded", "--timeout=60s"]).unwrap();
    let path = "--for=jsonpath={.status.state}=Finished";
    space.kubectl(&["wait", "task/a", path, "--timeout=60s"]).unwrap();
    space.meseta(&["wait", "task/a", "--for=condition=Succeeded"]).unwrap();
    let delete = ["wait", "task/a", "--for=delete", "--timeout=60s"];
    let mut gone = space.kubectl_command(&delete).unwrap().spawn().unwrap();
    space.kubectl(&["delete", "task", "a", "--timeout=60s"]).unwrap();
    assert!(gone.wait().unwrap().success());
    space.apply(&idle("b")).unwrap();
    let never = ["wait", "task/b", "--for=condition=Succeeded", "--timeout=1s"];
    let late = space.kubectl_fails(&never, None).unwrap();
    assert!(late.contains("timed out"), "{late}");
}

fn the_generation_counts_changes_of_the_spec_only(store: StoreKind) {
    let space = Space::new(store).unwrap();
    space.apply(&idle("a")).unwrap();
    let before = space.get(&["task", "a"]).unwrap();
    assert_eq!(before["metadata"]["generation"], 1);
    space.kubectl(&["label", "task", "a", "x=y"]).unwrap();
    let status = r#"{"status":{"message":"m"},"spec":{"priority":9}}"#;
    let patch = ["patch", "task", "a", "--subresource=status", "--type=merge", "-p", status];
    space.kubectl(&patch).unwrap();
    let after = space.get(&["task", "a"]).unwrap();
    assert_eq!(after["metadata"]["generation"], 1);
    assert_eq!(after["spec"]["priority"], 0, "the status subresource changed the spec");
    assert_ne!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    let both = r#"{"status":{"message":"other"},"spec":{"priority":9}}"#;
    space.kubectl(&["patch", "task", "a", "--type=merge", "-p", both]).unwrap();
    let after = space.get(&["task", "a"]).unwrap();
    assert_eq!(after["metadata"]["generation"], 2);
    assert_ne!(after["status"]["message"], "other", "the main resource changed the status");
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
}

fn kinds_are_discovered_and_explained(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let kinds = space.kubectl(&["api-resources", "--api-group=meseta.dev"]).unwrap();
    for (plural, short, kind) in [
        ("agents", "agt", "Agent"),
        ("frameworks", "fwk", "Framework"),
        ("frameworkroles", "fwr", "FrameworkRole"),
        ("tasks", "tsk", "Task"),
    ] {
        let line = kinds.lines().find(|line| line.starts_with(&format!("{plural} ")));
        let line = line.unwrap_or_else(|| panic!("no {plural} in:\n{kinds}"));
        assert!(line.contains(short) && line.ends_with(kind), "{line}");
        space.kubectl(&["get", short]).unwrap();
        let explained = space.kubectl(&["explain", plural]).unwrap();
        assert!(explained.contains("FIELDS") && explained.contains("spec"), "{explained}");
    }
    space.kubectl(&["get", "meseta"]).unwrap();
    let field = space.kubectl(&["explain", "task.spec.restartPolicy"]).unwrap();
    assert!(field.contains("OnFailure") && field.contains("started again"), "{field}");
    space.kubectl(&["api-versions"]).unwrap();
}

fn selectors_choose_by_label_and_field(store: StoreKind) {
    let space = Space::new(store).unwrap();
    for (name, tier) in [("a", "gold"), ("b", "silver"), ("c", "gold")] {
        let mut task = idle(name);
        task["metadata"]["labels"] = json!({"tier": tier});
        space.apply(&task).unwrap();
    }
    let names = |args: &[&str]| {
        let list = space.list(&[&["tasks"], args].concat()).unwrap();
        let names = list.iter().map(|task| task["metadata"]["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&["-l", "tier=gold"]), "a c");
    assert_eq!(names(&["-l", "tier notin (gold)"]), "b");
    assert_eq!(names(&["--field-selector", "metadata.name=b"]), "b");
    assert_eq!(names(&["--field-selector", "spec.agentName=nobody"]), "");
    // Longer than one page.
    assert_eq!(names(&["--chunk-size=2"]), "a b c");
    space.kubectl(&["delete", "tasks", "-l", "tier=gold", "--timeout=60s"]).unwrap();
    assert_eq!(names(&[]), "b");
}

fn a_namespace_goes_with_all_it_holds(store: StoreKind) {
    let space = Space::new(store).unwrap();
    space.apply(&idle("a")).unwrap();
    space.apply(&yaml::task("b", "sleep 1000")).unwrap();
    space.await_task("b", &["Running"]).unwrap();
    space.kubectl(&["delete", "namespace", space.namespace(), "--timeout=60s"]).unwrap();
    assert_eq!(space.list(&["tasks"]).unwrap(), Vec::<Value>::new());
}

fn records_survive_a_restart_of_the_control_plane(store: StoreKind) {
    let mut cluster = Layout::new(store).start().unwrap();
    let client = cluster.client();
    for (_, _, record) in one_of_each("kept") {
        client.apply(&record).unwrap();
    }
    let identity = |client: &meseta_e2e::Client| {
        one_of_each("kept").map(|(kind, name, _)| {
            let record = client.get(&[kind, &name]).unwrap();
            json!([record["metadata"]["uid"], record["spec"]])
        })
    };
    let before = identity(&client);
    // Gracefully, and not.
    cluster.control_plane(0).stop().unwrap();
    cluster.control_plane(0).start().unwrap();
    assert_eq!(identity(&client), before);
    cluster.control_plane(0).kill();
    cluster.control_plane(0).start().unwrap();
    assert_eq!(identity(&client), before);
    client.apply(&idle("new")).unwrap();
}
