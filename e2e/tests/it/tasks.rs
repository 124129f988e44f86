//! A task is placed, runs under a shim, and its output and exit code come back.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};

use meseta_e2e::{Space, StoreKind, Witness};
use serde_json::{Value, json};

use crate::yaml;

on_both_stores!(
    output_and_exit_code_come_back,
    a_failing_task_keeps_its_exit_code,
    a_command_that_is_not_found_is_named,
    output_is_followed_while_the_task_runs,
    output_is_bounded_and_its_end_is_kept,
    a_task_too_large_for_any_agent_says_so,
    a_task_without_memory_is_told_apart_from_a_killed_one,
    a_task_beyond_its_deadline_fails_with_that_reason,
    a_task_is_started_again_on_the_same_agent,
    a_container_sees_only_what_is_its_own,
    environment_user_and_directory_are_as_asked,
    a_task_has_no_more_processes_than_its_limit,
);

fn output_and_exit_code_come_back(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let script = "echo out 1; echo err >&2; echo out 2";
    let yaml = format!(
        "apiVersion: meseta.dev/v1alpha1
kind: Task
metadata:
  name: hello
spec:
  resources: {{cpu: 100m, memory: 32Mi}}
  containers:
    - command: [/bin/sh, -c, \"{script}\"]
"
    );
    space.apply_text(&yaml).unwrap();
    let task = space.await_task("hello", &["Finished"]).unwrap();
    let status = &task["status"];
    assert_eq!(status["reason"], "Completed");
    assert_eq!(status["containers"][0]["exitCode"], 0);
    assert_eq!(status["containers"][0]["restartCount"], 0);
    assert!(status["containers"][0]["startedAt"].is_string(), "{status:#}");
    assert!(status["containers"][0]["finishedAt"].is_string(), "{status:#}");
    assert_eq!(task["spec"]["agentName"], json!(space.cluster().agents()[0].name));
    assert_eq!(condition(&task, "Placed"), "True");
    assert_eq!(condition(&task, "Succeeded"), "True");
    assert_eq!(space.meseta(&["logs", "hello"]).unwrap(), "out 1\nout 2\n");
    assert_eq!(space.meseta(&["logs", "hello", "--stderr"]).unwrap(), "err\n");
    assert_eq!(space.meseta(&["logs", "hello", "--tail", "1"]).unwrap(), "out 2\n");
    let table = space.kubectl(&["get", "tasks"]).unwrap();
    assert!(table.contains("Finished"), "{table}");
}

fn a_failing_task_keeps_its_exit_code(store: StoreKind) {
    let space = Space::new(store).unwrap();
    space.apply(&yaml::task("a", "echo before; exit 7")).unwrap();
    let task = space.await_task("a", &["Failed"]).unwrap();
    assert_eq!(task["status"]["reason"], "NonZeroExit");
    assert_eq!(task["status"]["containers"][0]["exitCode"], 7);
    assert_eq!(condition(&task, "Succeeded"), "False");
    assert_eq!(space.meseta(&["logs", "a"]).unwrap(), "before\n");
    let why = space.meseta(&["why", "a"]).unwrap();
    assert!(why.contains("Failed") && why.contains("exit code 7"), "{why}");
}

fn a_command_that_is_not_found_is_named(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let mut task = yaml::task("a", "");
    task["spec"]["containers"][0]["command"] = json!(["/no/such/program"]);
    space.apply(&task).unwrap();
    let task = space.await_task("a", &["Failed"]).unwrap();
    assert_eq!(task["status"]["reason"], "CommandNotFound");
    let message = task["status"]["message"].as_str().unwrap();
    assert!(message.contains("/no/such/program"), "{message}");
}

fn output_is_followed_while_the_task_runs(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let witness = Witness::new().unwrap();
    let wait = Witness::wait_for("go");
    let mut task = yaml::task("a", &format!("echo one; {wait}; echo two"));
    witness.add_to(&mut task["spec"]);
    space.apply(&task).unwrap();
    space.await_task("a", &["Running"]).unwrap();

    let mut logs = space.start_meseta(&["logs", "a", "-f"]).unwrap();
    let mut lines = BufReader::new(logs.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    witness.release("go").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "two");
    // It ends by itself, with the task.
    assert!(lines.next().is_none());
    assert!(logs.wait().unwrap().success());
    space.await_task("a", &["Finished"]).unwrap();
}

fn output_is_bounded_and_its_end_is_kept(store: StoreKind) {
    /// What the task prints, and what may be kept of it.
    const PRINTED_MIB: u64 = 96;
    const KEPT_MIB: u64 = 64;
    let space = Space::new(store).unwrap();
    let script = format!("yes 0123456789012345678 | head -c {PRINTED_MIB}M; echo; echo the end");
    space.apply(&yaml::task("a", &script)).unwrap();
    let task = space.await_task("a", &["Finished"]).unwrap();
    assert_eq!(space.meseta(&["logs", "a", "--tail", "1"]).unwrap(), "the end\n");
    let kept = space.meseta(&["logs", "a"]).unwrap();
    assert!(kept.ends_with("the end\n"));
    assert!(kept.len() as u64 <= KEPT_MIB << 20, "{} bytes are kept", kept.len());
    let uid = task["metadata"]["uid"].as_str().unwrap();
    let directories = space.cluster().agents()[0].leftovers().directories;
    let sandbox = directories.iter().find(|path| path.ends_with(uid)).expect("a kept sandbox");
    let du = std::process::Command::new("du").arg("-sm").arg(sandbox).output().unwrap();
    let mib = String::from_utf8_lossy(&du.stdout);
    let mib: u64 = mib.split_whitespace().next().unwrap().parse().unwrap();
    assert!(mib <= KEPT_MIB, "{mib} MiB on disk");
}

fn a_task_too_large_for_any_agent_says_so(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let mut task = yaml::task("a", "exit 0");
    task["spec"]["resources"]["cpu"] = json!("5000");
    space.apply(&task).unwrap();
    let task = space
        .await_record(&["task", "a"], "explained", |task| condition(task, "Placed") == "False")
        .unwrap();
    assert!(task["spec"]["agentName"].is_null());
    let conditions = task["status"]["conditions"].as_array().unwrap();
    let message = conditions[0]["message"].as_str().unwrap();
    assert!(message.contains("5000") && message.contains("cpu"), "{message}");
    let why = space.meseta(&["why", "a"]).unwrap();
    assert!(why.contains("waits for an agent") && why.contains(message), "{why}");
    space.kubectl(&["delete", "task", "a", "--timeout=60s"]).unwrap();
}

fn a_task_without_memory_is_told_apart_from_a_killed_one(store: StoreKind) {
    let space = Space::new(store).unwrap();
    space.apply(&yaml::task("greedy", "exec tail /dev/zero")).unwrap();
    space.apply(&yaml::task("killed", "exec sleep 1000")).unwrap();
    let running = space.await_task("killed", &["Running"]).unwrap();
    let pid = running["status"]["containers"][0]["pid"].as_i64().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();

    let greedy = space.await_task("greedy", &["Failed"]).unwrap();
    assert_eq!(greedy["status"]["reason"], "OutOfMemory");
    assert_eq!(greedy["status"]["containers"][0]["oomKilled"], true);
    let message = greedy["status"]["message"].as_str().unwrap();
    assert!(message.contains("memory"), "{message}");
    let killed = space.await_task("killed", &["Failed"]).unwrap();
    assert_eq!(killed["status"]["reason"], "NonZeroExit");
    assert_eq!(killed["status"]["containers"][0]["oomKilled"], false);
    for task in [greedy, killed] {
        assert_eq!(task["status"]["containers"][0]["signal"], 9);
        assert_eq!(task["status"]["containers"][0]["exitCode"], 137);
    }
}

fn a_task_beyond_its_deadline_fails_with_that_reason(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let mut task = yaml::task("a", "exec sleep 1000");
    task["spec"]["activeDeadlineSeconds"] = json!(1);
    task["spec"]["terminationGracePeriodSeconds"] = json!(0);
    space.apply(&task).unwrap();
    let task = space.await_task("a", &["Failed"]).unwrap();
    assert_eq!(task["status"]["reason"], "DeadlineExceeded");
}

fn a_task_is_started_again_on_the_same_agent(store: StoreKind) {
    let space = Space::new(store).unwrap();
    // The sandbox is the same in each run.
    let script = "echo run >> runs; echo run $(wc -l < runs); [ $(wc -l < runs) = 3 ]";
    let mut task = yaml::task("a", script);
    task["spec"]["restartPolicy"] = json!("OnFailure");
    space.apply(&task).unwrap();
    let task = space.await_task("a", &["Finished", "Failed"]).unwrap();
    assert_eq!(task["status"]["state"], "Finished", "{:#}", task["status"]);
    assert_eq!(task["status"]["containers"][0]["restartCount"], 2);
    let output = space.meseta(&["logs", "a"]).unwrap();
    assert_eq!(output.lines().last(), Some("run 3"), "{output}");
}

fn a_container_sees_only_what_is_its_own(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let cluster = space.cluster();
    // Each line says `no` for something that must not be possible.
    let data_dir = cluster.agents()[0].data_dir.display();
    let script = format!(
        "try() {{ if \"$@\" 2>/dev/null; then echo yes: $*; else echo no: $*; fi; }}
        echo pid $$; echo processes $(ls /proc | grep -c '^[0-9]*$')
        grep -E 'NoNewPrivs|Seccomp:' /proc/self/status | tr '\\t' ' '
        try touch /etc/e2e-was-here
        try touch /tmp/e2e-was-here
        try ls {data_dir}/tasks
        try test -s /proc/kcore
        try mount -t tmpfs none /mnt
        try mknod device b 8 0
        try sh -c 'echo 1 > /proc/sys/kernel/panic'
        touch mine; echo sandbox: $(ls)"
    );
    space.apply(&yaml::task("a", &script)).unwrap();
    space.await_task("a", &["Finished"]).unwrap();
    let output = space.meseta(&["logs", "a"]).unwrap();
    assert!(!output.contains("yes: "), "{output}");
    assert_eq!(output.matches("no: ").count(), 7, "{output}");
    assert!(output.contains("pid 1\n"), "{output}");
    assert!(output.contains("NoNewPrivs: 1"), "{output}");
    assert!(output.contains("mine"), "{output}");
    assert!(!fs::exists("/etc/e2e-was-here").unwrap());
}

fn environment_user_and_directory_are_as_asked(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let script = "echo $GREETING; id -u; id -g; pwd; touch made && ls -n made | cut -d' ' -f3";
    let mut task = yaml::task("a", script);
    let container = &mut task["spec"]["containers"][0];
    container["env"] = json!([{"name": "GREETING", "value": "hello $HOME"}]);
    container["user"] = json!({"uid": 1234, "gid": 4321});
    space.apply(&task).unwrap();
    let mut elsewhere = yaml::task("b", "pwd");
    elsewhere["spec"]["containers"][0]["workingDir"] = json!("/usr");
    space.apply(&elsewhere).unwrap();
    let task = space.await_end("a").unwrap();
    let output = space.meseta(&["logs", "a"]).unwrap();
    assert_eq!(task["status"]["state"], "Finished", "{:#}\n{output}", task["status"]);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..3], ["hello $HOME", "1234", "4321"]);
    assert_eq!(lines[4], "1234");
    space.await_task("b", &["Finished"]).unwrap();
    assert_eq!(space.meseta(&["logs", "b"]).unwrap(), "/usr\n");
}

fn a_task_has_no_more_processes_than_its_limit(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let script = "i=0; while [ $i -lt 50 ]; do sleep 60 & i=$((i+1)); done; echo all";
    let mut task = yaml::task("a", script);
    task["spec"]["limits"] = json!({"pids": "20"});
    space.apply(&task).unwrap();
    let task = space.await_task("a", &["Failed"]).unwrap();
    assert_eq!(task["status"]["reason"], "NonZeroExit");
    assert_eq!(space.meseta(&["logs", "a"]).unwrap(), "");
    // Which control groups held it depends on the machine; the others stay untested, and that is said.
    let agent = &space.cluster().agents()[0].name;
    let cgroups = space.get(&["agent", agent]).unwrap()["status"]["machine"]["cgroups"].take();
    let said = format!("limits are tested with cgroups {cgroups}, and on this machine no others\n");
    std::io::stderr().write_all(said.as_bytes()).unwrap();
}

fn condition(task: &Value, kind: &str) -> String {
    let mut conditions = task["status"]["conditions"].as_array().into_iter().flatten();
    let status = conditions.find(|condition| condition["type"] == kind);
    status.map_or("absent", |found| found["status"].as_str().unwrap_or_default()).to_owned()
}
