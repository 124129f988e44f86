//! The ways a task ends by itself, and what its record says then.

use std::time::Duration;

use meseta_crds::TaskState;
use meseta_crds::condition::{get, is_true, kind};
use meseta_crds::task::reason;
use serde_json::{Value, json};

use crate::cluster::{Cluster, code_of, message_of, pid_of, reason_of, script, state_of, uid_of};
use crate::machine::Machine;

#[tokio::test]
async fn a_short_task_finishes_and_its_output_is_kept_as_long_as_its_record() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let placed = cluster.place(&machine.name, "short", script("echo out; echo err >&2")).await;
    let uid = uid_of(&placed);
    let task = cluster.until_released("short").await;
    assert_eq!((state_of(&task), reason_of(&task)), (TaskState::Finished, reason::COMPLETED));
    assert_eq!((code_of(&task), pid_of(&task)), (Some(0), None));
    let status = task.status.clone().unwrap();
    assert_eq!(status.observed_generation, task.metadata.generation);
    for condition in [kind::PLACED, kind::READY, kind::SUCCEEDED] {
        assert!(is_true(&status.conditions, condition), "{condition}");
    }
    let container = &status.containers[0];
    assert!(container.started_at.is_some() && container.finished_at.is_some());
    assert_eq!(machine.log(&cluster, &uid, "stream=stdout").await, "out\n");
    assert_eq!(machine.log(&cluster, &uid, "stream=stderr").await, "err\n");
    machine.until_nothing_left(1).await;

    // The sandbox goes with the record.
    cluster.delete("short").await;
    cluster.until_gone("short").await;
    machine.until_nothing_left(0).await;
}

#[tokio::test]
async fn failures_are_told_apart() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let missing = json!({"containers": [{"command": ["no-such-program"]}]});
    let hungry = json!({
        "containers": [{"command": ["/bin/sh", "-c", "exec tail /dev/zero"]}],
        "resources": {"memory": "32Mi"},
    });
    let late = json!({
        "containers": [{"command": ["sleep", "600"]}],
        "activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 0,
    });
    let nowhere = json!({"containers": [{"command": ["true"], "workingDir": "/no/where"}]});
    let tasks: [(&str, Value, &str, Option<i64>, &str); 5] = [
        ("code", script("exit 3"), reason::NON_ZERO_EXIT, Some(3), "exited with code 3"),
        ("missing", missing, reason::COMMAND_NOT_FOUND, None, "no-such-program"),
        ("hungry", hungry, reason::OUT_OF_MEMORY, Some(137), "more than its 32Mi of memory"),
        ("late", late, reason::DEADLINE_EXCEEDED, Some(137), "deadline of 1 s"),
        ("nowhere", nowhere, reason::START_FAILED, None, "/no/where"),
    ];
    for (name, spec, ..) in &tasks {
        cluster.place(&machine.name, name, spec.clone()).await;
    }
    for (name, _, reason, code, message) in &tasks {
        let task = cluster.until_released(name).await;
        let seen = (state_of(&task), reason_of(&task), code_of(&task));
        assert_eq!(seen, (TaskState::Failed, *reason, *code), "{name}: {:?}", task.status);
        assert!(message_of(&task).contains(message), "{name}: {}", message_of(&task));
        let conditions = &task.status.as_ref().unwrap().conditions;
        assert!(is_true(conditions, kind::STALLED), "{name}");
        assert_eq!(get(conditions, kind::SUCCEEDED).unwrap().status, "False", "{name}");
    }
    let hungry = cluster.until_released("hungry").await;
    assert!(hungry.status.unwrap().containers[0].oom_killed);
    machine.until_nothing_left(5).await;
}

#[tokio::test]
async fn a_failed_container_is_started_again_in_place() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let mut spec = script(
        "n=$(cat n 2>/dev/null || echo 0); echo run $n; echo $((n + 1)) >n; [ $n = 2 ] || exit 7",
    );
    spec["restartPolicy"] = json!("OnFailure");
    let uid = uid_of(&cluster.place(&machine.name, "again", spec).await);
    let waiting = cluster.until("again", |task| reason_of(task) == reason::RESTARTING).await;
    assert_eq!((state_of(&waiting), code_of(&waiting)), (TaskState::Starting, Some(7)));
    let task = cluster.until_released("again").await;
    assert_eq!(state_of(&task), TaskState::Finished, "{:?}", task.status);
    assert_eq!(task.status.unwrap().containers[0].restart_count, 2);
    assert_eq!(machine.log(&cluster, &uid, "").await, "run 0\nrun 1\nrun 2\n");
    machine.until_nothing_left(1).await;
}

#[tokio::test]
async fn a_shim_that_is_killed_takes_its_container_with_it() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let spec = script("echo begun; sleep 600 & sleep 600");
    let uid = uid_of(&cluster.place(&machine.name, "orphan", spec).await);
    let running = cluster.until_state("orphan", TaskState::Running).await;
    machine.until_output(&uid, "begun\n").await;
    let shim = machine.checkpoint(&uid, 0).unwrap().shim.pid;
    let begin = std::time::Instant::now();
    crate::machine::kill(shim);
    let task = cluster.until_released("orphan").await;
    assert!(begin.elapsed() < Duration::from_secs(20), "within seconds");
    assert_eq!((state_of(&task), reason_of(&task)), (TaskState::Failed, reason::SHIM_LOST));
    assert!(!crate::machine::is_alive(pid_of(&running).unwrap()));
    assert_eq!(machine.log(&cluster, &uid, "").await, "begun\n");
    machine.until_nothing_left(1).await;
}

#[tokio::test]
async fn tasks_see_the_host_read_only_and_nothing_of_the_agent() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let own = machine.directory().display().to_string();
    let text = format!(
        "touch /usr/x 2>/dev/null && echo wrote; ls {own}/tasks 2>/dev/null; \
         echo \"$MESETA_SANDBOX $HOME $PWD\"; touch here && ls; \
         grep -c NoNewPrivs:.1 /proc/self/status; echo $$; hostname"
    );
    let uid = uid_of(&cluster.place(&machine.name, "view", script(&text)).await);
    cluster.until_released("view").await;
    let sandbox = "/run/meseta/sandbox";
    let expected = format!("{sandbox} {sandbox} {sandbox}\nhere\n1\n1\nview\n");
    assert_eq!(machine.output(&uid), expected);
    machine.until_nothing_left(1).await;
}

#[tokio::test]
async fn a_spec_that_is_not_valid_is_not_run() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    // What an API server of somebody else may let through.
    let mut spec = script("true");
    spec["volumes"] = json!([{"name": "v", "hostPath": {"path": machine.directory()}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/mnt/v"}]);
    cluster.place(&machine.name, "thief", spec).await;
    let task = cluster.until_released("thief").await;
    assert_eq!((state_of(&task), reason_of(&task)), (TaskState::Failed, reason::START_FAILED));
    assert!(message_of(&task).contains("which no task may mount"), "{}", message_of(&task));
    machine.until_nothing_left(1).await;
}

#[tokio::test]
async fn a_full_disk_is_a_condition_and_a_reason() {
    let cluster = Cluster::start().await;
    let disk = tempfile::tempdir().unwrap();
    let _mounted = Mounted::tmpfs(disk.path(), c"size=1m");
    let mut machine = Machine::new();
    machine.config.data_dir = disk.path().join("agent");
    machine.start_agent(&cluster);
    let available = |agent: &meseta_crds::Agent| {
        let conditions = agent.status.as_ref().map(|status| status.conditions.as_slice());
        is_true(conditions.unwrap_or_default(), kind::DISK_AVAILABLE)
    };
    cluster.until_agent(&machine.name, available).await;
    let ballast = disk.path().join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|written| written > 0) {}
    drop(file);
    let agent = cluster.until_agent(&machine.name, |agent| !available(agent)).await;
    let conditions = agent.status.unwrap().conditions;
    let condition = get(&conditions, kind::DISK_AVAILABLE).unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "DiskFull"));
    // One that was on its way all the same, by hand: an epoch could not be remembered either.
    cluster.place_at(&machine.name, "full", script("true"), None).await;
    let task = cluster.until_released("full").await;
    assert_eq!((state_of(&task), reason_of(&task)), (TaskState::Failed, reason::DISK_FULL));
    assert!(message_of(&task).starts_with("the agent's disk is full"), "{}", message_of(&task));
    std::fs::remove_file(&ballast).unwrap();
    cluster.until_agent(&machine.name, available).await;
    cluster.place(&machine.name, "room", script("true")).await;
    assert_eq!(state_of(&cluster.until_released("room").await), TaskState::Finished);
    machine.stop_agent().await;
}

/// A file system that is unmounted when dropped.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn tmpfs(path: &std::path::Path, options: &std::ffi::CStr) -> Self {
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", path, "tmpfs", flags, Some(options)).unwrap();
        Self(path.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}
