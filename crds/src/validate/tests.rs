//! What is refused, field by field, and what passes.
#![expect(clippy::needless_pass_by_value, reason = "`json!` in an argument reads best by value")]

use serde_json::{Value, json};

use super::*;

fn faults(kind: &str, object: Value, old: Option<Value>) -> Vec<String> {
    let mut object = object;
    match admit(kind, &mut object, old.as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_iter().map(|e| format!("{} {:?}", e.field, e.kind)).collect(),
    }
}

fn task(spec: Value) -> Value {
    let mut base = json!({"containers": [{"command": ["true"]}]});
    for (name, value) in spec.as_object().unwrap() {
        base[name] = value.clone();
    }
    json!({"spec": base})
}

#[track_caller]
fn refused(spec: Value, expected: &[&str]) {
    assert_eq!(faults("Task", task(spec), None), expected);
}

#[test]
fn a_small_task_passes_and_gets_its_limits() {
    let mut object = task(json!({"resources": {"memory": "64Mi", "cpu": "100m"}}));
    admit("Task", &mut object, None).unwrap();
    assert_eq!(object["spec"]["limits"], json!({"memory": "64Mi", "pids": "1024"}));
    let once = object.clone();
    admit("Task", &mut object, Some(&once)).unwrap();
    assert_eq!(object, once);
}

#[test]
fn containers() {
    refused(json!({"containers": []}), &["spec.containers Required"]);
    refused(
        json!({"containers": [{"command": ["a"]}, {"command": ["b"]}]}),
        &["spec.containers TooMany"],
    );
    refused(json!({"containers": [{}]}), &["spec.containers[0].command Required"]);
    refused(
        json!({"containers": [{"name": "Main_1", "command": [""], "env": [{"name": "a=b"}, {"name": ""}]}]}),
        &[
            "spec.containers[0].name Invalid",
            "spec.containers[0].command[0] Invalid",
            "spec.containers[0].env[0].name Invalid",
            "spec.containers[0].env[1].name Required",
        ],
    );
    refused(json!({"containers": [{"image": "busybox"}]}), &["spec.containers[0].image Invalid"]);
    refused(json!({"containers": [{"image": "oci:/images/a:latest"}]}), &[]);
    refused(
        json!({"containers": [{"command": ["a"], "workingDir": "tmp"}]}),
        &["spec.containers[0].workingDir Invalid"],
    );
}

#[test]
fn amounts() {
    refused(
        json!({"resources": {"cpu": "-1", "memory": "lots", "beer": "1", "example.com/licence": "2"}}),
        &[
            "spec.resources[beer] NotSupported",
            "spec.resources[cpu] Invalid",
            "spec.resources[memory] Invalid",
            "spec.limits[memory] Invalid",
        ],
    );
    refused(
        json!({"resources": {"memory": "64Mi"}, "limits": {"memory": "63Mi"}}),
        &["spec.limits[memory] Invalid"],
    );
    refused(json!({"limits": {"pids": "0"}}), &["spec.limits[pids] Invalid"]);
}

#[test]
fn volumes_and_mounts() {
    refused(json!({"volumes": [{"name": "a"}]}), &["spec.volumes[0] Required"]);
    refused(
        json!({"volumes": [{"name": "a", "shared": {}}]}),
        &["spec.volumes[0].shared Forbidden"],
    );
    let twice = json!({"name": "a", "hostPath": {"path": "/srv"}});
    refused(json!({"volumes": [twice, twice]}), &["spec.volumes[1].name Duplicate"]);
    for path in ["/", "/proc", "/dev/sda", "//proc/./1"] {
        let volume = json!({"name": "a", "hostPath": {"path": path}});
        refused(json!({"volumes": [volume]}), &["spec.volumes[0].hostPath.path Forbidden"]);
    }
    for path in ["srv", "/srv/../etc"] {
        let volume = json!({"name": "a", "hostPath": {"path": path}});
        refused(json!({"volumes": [volume]}), &["spec.volumes[0].hostPath.path Invalid"]);
    }
    let mounted = |path: &str, name: &str| {
        json!({
            "volumes": [{"name": "a", "hostPath": {"path": "/srv"}}],
            "containers": [{"command": ["a"], "volumeMounts": [{"name": name, "mountPath": path}]}],
        })
    };
    refused(mounted("/mnt/a", "a"), &[]);
    refused(mounted("/run/meseta/a", "a"), &[]);
    refused(mounted("/mnt", "a"), &["spec.containers[0].volumeMounts[0].mountPath Invalid"]);
    refused(mounted("/mnta/b", "a"), &["spec.containers[0].volumeMounts[0].mountPath Invalid"]);
    refused(mounted("/mnt/../etc", "a"), &["spec.containers[0].volumeMounts[0].mountPath Invalid"]);
    refused(mounted("/mnt/a", "b"), &["spec.containers[0].volumeMounts[0].name Invalid"]);
}

#[test]
fn constraints_times_and_roles() {
    refused(
        json!({"constraints": [
            {"attribute": "rack", "operator": "In"},
            {"attribute": "rack", "operator": "Exists", "values": ["a"]},
            {"attribute": "ra ck", "operator": "In", "values": ["a"]},
        ]}),
        &[
            "spec.constraints[0].values Required",
            "spec.constraints[1].values Forbidden",
            "spec.constraints[2].attribute Invalid",
        ],
    );
    refused(
        json!({"terminationGracePeriodSeconds": -1, "activeDeadlineSeconds": 0}),
        &["spec.terminationGracePeriodSeconds Invalid", "spec.activeDeadlineSeconds Invalid"],
    );
    for role in ["/a", "a/", "a//b", "a/../b", ".", "a/*", "-a", "a b"] {
        refused(json!({"role": role}), &["spec.role Invalid"]);
    }
    for role in ["*", "eng/etl", "a.b", "default"] {
        refused(json!({"role": role}), &[]);
    }
}

#[test]
fn a_placement_and_a_terminal_state_are_final() {
    let placed = |agent: &str| task(json!({"agentName": agent, "placement": {"epoch": 1}}));
    assert_eq!(faults("Task", placed("a"), Some(task(json!({})))), [""; 0]);
    assert_eq!(faults("Task", placed("b"), Some(placed("a"))), ["spec.agentName Forbidden"]);
    assert_eq!(
        faults("Task", task(json!({})), Some(placed("a"))),
        ["spec.agentName Forbidden", "spec.placement Forbidden"]
    );
    let with_state = |state: &str| {
        let mut object = placed("a");
        object["status"] = json!({"state": state});
        object
    };
    let change = |from: &str, to: &str| faults("Task", with_state(to), Some(with_state(from)));
    for terminal in ["Finished", "Failed", "Killed", "Dropped", "Lost"] {
        assert_eq!(change(terminal, "Running"), ["status.state Forbidden"]);
        assert_eq!(change(terminal, terminal), [""; 0]);
    }
    assert_eq!(change("Finished", "Lost"), ["status.state Forbidden"]);
    assert_eq!(change("Unreachable", "Running"), [""; 0]);
    assert_eq!(faults("Task", placed("a"), Some(with_state("Failed"))), ["status.state Forbidden"]);
}

#[test]
fn frameworks() {
    let set = |name: &str, depends_on: &[&str]| {
        json!({"name": name, "dependsOn": depends_on,
            "template": {"spec": {"containers": [{"command": ["true"]}],
                "volumes": [{"name": "v", "shared": {}}]}}})
    };
    let check = |sets: Value| faults("Framework", json!({"spec": {"taskSets": sets}}), None);
    assert_eq!(check(json!([])), ["spec.taskSets Required"]);
    assert_eq!(check(json!([set("a", &[]), set("b", &["a"])])), [""; 0]);
    assert_eq!(check(json!([set("a", &[]), set("a", &[])])), ["spec.taskSets[1].name Duplicate"]);
    assert_eq!(check(json!([set("a", &["x"])])), ["spec.taskSets[0].dependsOn[0] Invalid"]);
    assert_eq!(
        check(json!([set("a", &["b"]), set("b", &["a"]), set("c", &["a"])])),
        ["spec.taskSets[0].dependsOn Invalid", "spec.taskSets[1].dependsOn Invalid"]
    );
    let mut bad = set("a", &[]);
    bad["replicas"] = json!(100_001);
    bad["maxFailures"] = json!(-1);
    bad["template"]["spec"]["agentName"] = json!("x");
    assert_eq!(
        check(json!([bad])),
        [
            "spec.taskSets[0].replicas Invalid",
            "spec.taskSets[0].maxFailures Invalid",
            "spec.taskSets[0].template.spec.agentName Forbidden",
        ]
    );
}

#[test]
fn an_executor_runs_tasks_that_have_no_container() {
    refused(json!({"executor": {}}), &[]);
    refused(json!({"executorName": "e", "containers": []}), &[]);
    refused(json!({"executorName": "e"}), &["spec.containers Forbidden"]);
    refused(
        json!({"executorName": "e", "executor": {}, "containers": []}),
        &["spec.executor Forbidden"],
    );
    refused(json!({"executorName": "E_1", "containers": []}), &["spec.executorName Invalid"]);
    refused(
        json!({"executor": {"shutdownGracePeriodSeconds": -1}}),
        &["spec.executor.shutdownGracePeriodSeconds Invalid"],
    );
    let mut absent = json!({"spec": {"executorName": "e"}});
    admit("Task", &mut absent, None).unwrap();
}

#[test]
fn a_kill_is_not_taken_back_but_may_become_stricter() {
    let kill = |kill: Value| task(json!({"kill": kill}));
    let placed = |kill: Value| task(json!({"kill": kill, "agentName": "a"}));
    assert_eq!(
        faults("Task", kill(json!({"gracePeriodSeconds": -1})), None),
        ["spec.kill.gracePeriodSeconds Invalid"]
    );
    assert_eq!(faults("Task", kill(json!({"repeats": -1})), None), ["spec.kill.repeats Invalid"]);
    assert_eq!(faults("Task", placed(json!({})), Some(task(json!({"agentName": "a"})))), [""; 0]);
    let (long, short) = (json!({"gracePeriodSeconds": 9}), json!({"gracePeriodSeconds": 0}));
    assert_eq!(faults("Task", placed(short), Some(placed(long))), [""; 0]);
    assert_eq!(
        faults("Task", placed(Value::Null), Some(placed(json!({})))),
        ["spec.kill Forbidden"]
    );
    assert_eq!(faults("Task", task(json!({})), Some(kill(json!({})))), ["spec.kill Forbidden"]);
}

#[test]
fn what_a_mesos_framework_sent_is_bounded_and_stays() {
    let mesos = |framework: &str, task_id: &str| json!({"mesos": {"frameworkId": framework, "taskId": task_id, "taskInfo": {"name": "x"}}});
    for id in ["a", "A b:c~ü", &"x".repeat(255)] {
        refused(mesos(id, id), &[]);
    }
    for id in ["", ".", "..", "a/b", "a\\b", "a\nb", &"x".repeat(256)] {
        refused(mesos(id, "t"), &["spec.mesos.frameworkId Invalid"]);
        refused(mesos("f", id), &["spec.mesos.taskId Invalid"]);
    }
    let mut executor = mesos("f", "t");
    executor["mesos"]["executorId"] = json!("..");
    refused(executor, &["spec.mesos.executorId Invalid"]);

    let owner = json!({"framework": "f", "frameworkUid": "u"});
    refused(json!({"owner": owner}), &["spec.owner.taskSet Required"]);
    refused(json!({"owner": owner, "mesos": {"frameworkId": "f", "taskId": "t"}}), &[]);

    let placed = |task_id: &str, more: Value| {
        let mut spec = mesos("f", task_id);
        spec["agentName"] = json!("a");
        json_merge(&mut spec, more);
        task(spec)
    };
    let old = || Some(placed("t", json!({})));
    assert_eq!(faults("Task", placed("t", json!({})), old()), [""; 0]);
    assert_eq!(faults("Task", placed("u", json!({})), old()), ["spec.mesos Forbidden"]);
    assert_eq!(
        faults("Task", placed("t", json!({"executor": {}})), old()),
        ["spec.executor Forbidden"]
    );
    let inner =
        |name: &str| task(json!({"agentName": "a", "containers": [], "executorName": name}));
    assert_eq!(faults("Task", inner("e"), Some(inner("d"))), ["spec.executorName Forbidden"]);
}

fn json_merge(into: &mut Value, members: Value) {
    for (name, value) in members.as_object().unwrap() {
        into[name] = value.clone();
    }
}

#[test]
fn a_framework_has_sets_or_a_scheduler() {
    let scheduler = |id: &str| {
        json!({"role": "eng", "scheduler": {
            "frameworkId": id, "roles": ["eng", "*"], "frameworkInfo": {"name": "x", "user": ""},
        }})
    };
    let check = |spec: Value| faults("Framework", json!({"spec": spec}), None);
    let with = |path: &str, value: Value| {
        let mut spec = scheduler("f");
        *spec.pointer_mut(path).unwrap() = value;
        spec
    };
    assert_eq!(check(scheduler("f")), [""; 0]);
    assert_eq!(check(json!({})), ["spec.taskSets Required"]);
    let mut both = scheduler("f");
    both["taskSets"] = json!([{"name": "a",
        "template": {"spec": {"containers": [{"command": ["true"]}]}}}]);
    assert_eq!(check(both), ["spec.taskSets Forbidden"]);
    assert_eq!(
        check(with("/scheduler/frameworkId", json!("a/b"))),
        ["spec.scheduler.frameworkId Invalid"]
    );
    assert_eq!(
        check(with("/scheduler/roles", json!(["*", "eng"]))),
        ["spec.scheduler.roles Invalid"]
    );
    assert_eq!(check(with("/scheduler/roles", json!([]))), ["spec.scheduler.roles Invalid"]);
    assert_eq!(
        check(with("/scheduler/roles", json!(["eng", "a//b"]))),
        ["spec.scheduler.roles[1] Invalid"]
    );
    assert_eq!(
        check(with("/scheduler/roles", json!(vec!["eng"; 257]))),
        ["spec.scheduler.roles TooMany"]
    );
    let mut negative = scheduler("f");
    negative["scheduler"]["failoverTimeoutSeconds"] = json!(-1);
    assert_eq!(check(negative), ["spec.scheduler.failoverTimeoutSeconds Invalid"]);
}

#[test]
fn a_scheduler_stays_who_it_is() {
    let set = json!({"spec": {"taskSets": [{"name": "a",
        "template": {"spec": {"containers": [{"command": ["true"]}]}}}]}});
    let scheduler = |id: &str, timeout: i64| {
        json!({"spec": {"scheduler": {"frameworkId": id, "roles": ["default"],
            "failoverTimeoutSeconds": timeout, "frameworkInfo": {}}}})
    };
    let change = |old: &Value, new: &Value| faults("Framework", new.clone(), Some(old.clone()));
    let (first, longer, other) = (scheduler("f", 0), scheduler("f", 60), scheduler("g", 0));
    assert_eq!(change(&first, &longer), [""; 0]);
    assert_eq!(change(&first, &other), ["spec.scheduler Forbidden"]);
    assert_eq!(change(&first, &set), ["spec.scheduler Forbidden"]);
    assert_eq!(change(&set, &first), ["spec.scheduler Forbidden"]);
}

#[test]
fn the_label_of_a_scheduler_stays_on_its_records() {
    let labels = |object: &Value, labels: Value| {
        let mut object = object.clone();
        object["metadata"] = json!({"labels": labels});
        object
    };
    let framework = json!({"spec": {"scheduler": {"frameworkId": "f", "roles": ["default"],
        "frameworkInfo": {}}}});
    let mesos = task(json!({"mesos": {"frameworkId": "f", "taskId": "t"}}));
    let forbidden = ["metadata.labels[meseta.dev/scheduler] Forbidden"];
    for (kind, record) in [("Framework", framework), ("Task", mesos)] {
        let change = |to: Value| {
            let old = labels(&record, json!({SCHEDULER_LABEL: "mesos", "a": "b"}));
            faults(kind, labels(&record, to), Some(old))
        };
        assert_eq!(change(json!({SCHEDULER_LABEL: "mesos"})), [""; 0]);
        assert_eq!(change(json!({SCHEDULER_LABEL: "other"})), forbidden);
        assert_eq!(change(json!({"a": "b"})), forbidden);
        assert_eq!(change(Value::Null), forbidden);
    }
    let own = task(json!({}));
    let labelled = labels(&own, json!({SCHEDULER_LABEL: "mesos"}));
    assert_eq!(faults("Task", own, Some(labelled)), [""; 0]);
}

#[test]
fn a_template_is_of_no_scheduler() {
    let template = |part: Value| {
        let mut spec = json!({"containers": [{"command": ["true"]}]});
        json_merge(&mut spec, part);
        let set = json!({"name": "a", "template": {"spec": spec}});
        faults("Framework", json!({"spec": {"taskSets": [set]}}), None)
    };
    for (name, value) in
        [("executor", json!({})), ("kill", json!({})), ("mesos", json!({"frameworkId": "f"}))]
    {
        let mut part = json!({});
        part[name] = value;
        let field = format!("spec.taskSets[0].template.spec.{name} Forbidden");
        assert_eq!(template(part), [field]);
    }
    let inner = json!({"executorName": "e", "containers": []});
    assert_eq!(template(inner), ["spec.taskSets[0].template.spec.executorName Forbidden"]);
}

#[test]
fn guarantees_are_within_limits() {
    let check = |guarantees: Value, limits: Value| {
        let spec = json!({"path": "a", "guarantees": guarantees, "limits": limits});
        faults("FrameworkRole", json!({"spec": spec}), None)
    };
    assert_eq!(check(json!({"cpu": "2", "memory": "1Gi"}), json!({"cpu": "2000m"})), [""; 0]);
    assert_eq!(
        check(json!({"cpu": "2001m"}), json!({"cpu": "2"})),
        ["spec.guarantees[cpu] Invalid"]
    );
    assert_eq!(check(json!({"cpu": "-1"}), json!({})), ["spec.guarantees[cpu] Invalid"]);
    assert_eq!(check(json!({"beer": "1"}), json!({})), ["spec.guarantees[beer] NotSupported"]);
}

#[test]
fn roles_and_shapes() {
    let role = |path: &str, weight: i64| json!({"spec": {"path": path, "weight": weight}});
    assert_eq!(faults("FrameworkRole", role("a", 1), None), [""; 0]);
    assert_eq!(faults("FrameworkRole", role("a", 0), None), ["spec.weight Invalid"]);
    assert_eq!(faults("FrameworkRole", role("a", 1_000_001), None), ["spec.weight Invalid"]);
    assert_eq!(faults("FrameworkRole", role("b", 1), Some(role("a", 1))), ["spec.path Forbidden"]);
    assert_eq!(faults("Task", json!({}), None), ["spec Required"]);
    assert_eq!(faults("Task", json!({"spec": 3}), None), ["spec Invalid"]);
    assert_eq!(faults("Agent", json!({}), None), [""; 0]);
    assert_eq!(faults("Lease", json!({}), None), [""; 0]);
}
