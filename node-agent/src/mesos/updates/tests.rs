//! What stands in the record, and the view that is written next, in; the updates after that, out.

use std::net::Ipv4Addr;

use meseta_crds::condition::Time;
use meseta_crds::task::{Container, MesosTask};
use meseta_crds::{TaskSpec, TaskStatus};
use serde_json::{Value, json};

use super::*;
use crate::task::life::Reached;

const NOW: i64 = 1_700_000_009_500;
const STARTED: i64 = 1_700_000_001;
const IP: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)));

/// A command task whose framework has these capabilities; `None`: the record does not tell.
fn task(capabilities: Option<&[&str]>) -> Task {
    let listed = |names: &[&str]| names.iter().map(|name| json!({"type": name})).collect::<Value>();
    let mesos = MesosTask {
        framework_id: "f-0000".to_owned(),
        task_id: Some("T 1".to_owned()),
        framework_info: capabilities.map(|names| json!({"capabilities": listed(names)})),
        ..MesosTask::default()
    };
    let spec = TaskSpec {
        containers: vec![Container::default()],
        agent_name: Some("n1".to_owned()),
        mesos: Some(mesos),
        ..TaskSpec::default()
    };
    let mut task = Task::new("t", spec);
    task.metadata.uid = Some("uid-1".to_owned());
    task
}

fn with(mut task: Task, updates: Vec<MesosUpdate>, acknowledged: Option<String>) -> Task {
    let mesos = Some(MesosStatus { updates, acknowledged });
    task.status = Some(TaskStatus { mesos, ..TaskStatus::default() });
    task
}

fn view(state: TaskState, reason: Option<&str>, ran: bool) -> View {
    let started_at = ran.then(|| Time(jiff::Timestamp::from_second(STARTED).unwrap()));
    View {
        state,
        reason: reason.map(str::to_owned),
        message: Some("words".to_owned()),
        container: Some(ContainerStatus { started_at, ..ContainerStatus::default() }),
        due: NOW - 500,
        updates: None,
        reached: Reached::default(),
    }
}

fn ended(state: TaskState, reason: &str, code: Option<i64>, signal: Option<i64>) -> View {
    let mut view = view(state, Some(reason), true);
    let container = view.container.as_mut().unwrap();
    (container.exit_code, container.signal) = (code, signal);
    view
}

/// One line an update: state, source, reason, message, seconds.
fn lines(updates: &[MesosUpdate]) -> Vec<String> {
    let line = |update: &MesosUpdate| {
        let text = |name: &str| update.status[name].as_str().unwrap_or("-").to_owned();
        let names = ["state", "source", "reason", "message"].map(text).join(" ");
        let names = names.replace("TASK_", "").replace("SOURCE_", "").replace("REASON_", "");
        format!("{names} {}", update.status["timestamp"])
    };
    updates.iter().map(line).collect()
}

fn states(updates: &[MesosUpdate]) -> Vec<&str> {
    updates.iter().map(|update| update.status["state"].as_str().unwrap()).collect()
}

#[track_caller]
fn check(task: &Task, view: &View, expected: &[&str]) -> Vec<MesosUpdate> {
    let updates = by_agent(task, view, IP, NOW).unwrap();
    assert_eq!(lines(&updates), expected);
    updates
}

#[test]
fn a_command_is_told_of_as_mesos_executor_tells() {
    let task = task(None);
    check(&task, &view(TaskState::Staging, None, false), &[]);
    let running = view(TaskState::Running, None, true);
    let told = check(
        &task,
        &running,
        &["STARTING EXECUTOR - - 1700000001.0", "RUNNING EXECUTOR - - 1700000001.0"],
    );
    let status = &told[1].status;
    assert_eq!(status["task_id"], json!({"value": "T 1"}));
    assert_eq!(status["executor_id"], json!({"value": "T 1"}));
    assert_eq!(status["agent_id"], json!({"value": "n1"}));
    let written = with(task, told, None);
    let finished = ended(TaskState::Finished, reason::COMPLETED, Some(0), None);
    check(
        &written,
        &finished,
        &[
            "STARTING EXECUTOR - - 1700000001.0",
            "RUNNING EXECUTOR - - 1700000001.0",
            "FINISHED EXECUTOR - Command exited with status 0 1700000009.0",
        ],
    );
}

#[test]
fn each_state_is_told_with_the_time_at_which_it_was_reached() {
    let at = |millis: i64| Some(STARTED * 1000 + millis);
    let mut killed = ended(TaskState::Killed, reason::KILLED_BY_SCHEDULER, None, Some(15));
    killed.reached = Reached { starting: at(5), running: at(25), killing: at(7002) };
    let task = task(Some(&["TASK_KILLING_STATE"]));
    check(
        &task,
        &killed,
        &[
            "STARTING EXECUTOR - - 1700000001.005",
            "RUNNING EXECUTOR - - 1700000001.025",
            "KILLING EXECUTOR - - 1700000008.002",
            "KILLED EXECUTOR - Command terminated with signal Terminated 1700000009.0",
        ],
    );
    // After a death of the agent the shim's word is what there is.
    killed.reached = Reached { running: at(25), ..Reached::default() };
    let told = lines(&by_agent(&task, &killed, IP, NOW).unwrap());
    assert_eq!(told[0], "STARTING EXECUTOR - - 1700000001.025");
}

#[test]
fn what_was_acknowledged_is_dropped_and_not_told_again() {
    let task = task(None);
    let running = view(TaskState::Running, None, true);
    let told = by_agent(&task, &running, IP, NOW).unwrap();
    let acknowledged = |index: usize| Some(told[index].uuid.clone());
    let failed = ended(TaskState::Failed, reason::NON_ZERO_EXIT, Some(3), None);
    let failure = "FAILED EXECUTOR - Command exited with status 3 1700000009.0";
    let one = with(task.clone(), told.clone(), acknowledged(0));
    check(&one, &failed, &["RUNNING EXECUTOR - - 1700000001.0", failure]);
    let both = with(task.clone(), told.clone(), acknowledged(1));
    let last = check(&both, &failed, &[failure]);
    let dropped = with(task.clone(), Vec::new(), acknowledged(1));
    check(&dropped, &failed, &[failure]);
    // A terminal update is the last, whatever is seen later.
    let over = with(task.clone(), last.clone(), acknowledged(1));
    check(&over, &ended(TaskState::Killed, reason::DELETED, None, Some(15)), &[failure]);
    let all = with(task, Vec::new(), Some(last[0].uuid.clone()));
    check(&all, &running, &[]);
}

#[test]
fn the_same_step_has_the_same_uuid() {
    let running = view(TaskState::Running, None, true);
    let first = by_agent(&task(None), &running, IP, NOW).unwrap();
    let second = by_agent(&task(Some(&[])), &running, IP, NOW + 5000).unwrap();
    assert_eq!(first[0].uuid, second[0].uuid);
    assert_ne!(first[0].uuid, first[1].uuid);
    assert_eq!(first[0].uuid.len(), 36);
    let mut other = task(None);
    other.metadata.uid = Some("uid-2".to_owned());
    assert_ne!(by_agent(&other, &running, IP, NOW).unwrap()[0].uuid, first[0].uuid);
}

#[test]
fn every_end_has_its_source_and_reason() {
    let told_of = |capabilities: Option<&[&str]>, view: &View| {
        let updates = by_agent(&task(capabilities), view, IP, NOW).unwrap();
        lines(&updates).last().cloned().unwrap_or_default()
    };
    let failed = |why: &str| told_of(None, &view(TaskState::Failed, Some(why), false));
    assert_eq!(
        failed(reason::COMMAND_NOT_FOUND),
        "FAILED AGENT CONTAINER_LAUNCH_FAILED words 1700000009.0"
    );
    assert_eq!(failed(reason::SHIM_LOST), "FAILED AGENT EXECUTOR_TERMINATED words 1700000009.0");
    let out_of_memory = ended(TaskState::Failed, reason::OUT_OF_MEMORY, Some(137), Some(9));
    assert_eq!(
        told_of(None, &out_of_memory),
        "FAILED AGENT CONTAINER_LIMITATION_MEMORY words 1700000009.0"
    );
    let mut limited = task(None);
    limited.spec.limits = [("memory".to_owned(), meseta_crds::Quantity::new("24Mi"))].into();
    let told = by_agent(&limited, &out_of_memory, IP, NOW).unwrap();
    let memory = json!({"name": "mem", "type": "SCALAR", "scalar": {"value": 24.0}});
    let said = &told.last().unwrap().status["limitation"]["resources"][0];
    for (name, value) in memory.as_object().unwrap() {
        assert_eq!(&said[name], value);
    }
    let deadline = ended(TaskState::Failed, reason::DEADLINE_EXCEEDED, Some(137), Some(9));
    assert_eq!(
        told_of(Some(&["TASK_KILLING_STATE"]), &deadline),
        "FAILED EXECUTOR MAX_COMPLETION_TIME_REACHED words 1700000009.0"
    );
    let signalled = ended(TaskState::Failed, reason::NON_ZERO_EXIT, Some(139), Some(11));
    assert_eq!(
        told_of(None, &signalled),
        "FAILED EXECUTOR - Command terminated with signal Segmentation fault 1700000009.0"
    );
    let killed = |ran| view(TaskState::Killed, Some(reason::KILLED_BY_SCHEDULER), ran);
    assert_eq!(
        told_of(None, &killed(false)),
        "KILLED AGENT KILLED_DURING_LAUNCH words 1700000009.0"
    );
    assert_eq!(told_of(None, &killed(true)), "KILLED EXECUTOR - words 1700000009.0");
}

#[test]
fn finer_states_are_for_those_who_understand_them() {
    let dropped = view(TaskState::Dropped, Some(reason::AGENT_OUT_OF_ROOM), false);
    let lost = view(TaskState::Lost, Some(reason::SHIM_LOST), false);
    let told = |capabilities: Option<&[&str]>, view: &View| {
        let updates = by_agent(&task(capabilities), view, IP, NOW).unwrap();
        states(&updates).join(" ")
    };
    assert_eq!(told(Some(&["PARTITION_AWARE"]), &dropped), "TASK_DROPPED");
    assert_eq!(told(Some(&["PARTITION_AWARE"]), &lost), "TASK_GONE");
    assert_eq!(told(Some(&[]), &dropped), "TASK_LOST");
    assert_eq!(told(Some(&[]), &lost), "TASK_LOST");
    // Left to the gateway.
    assert_eq!(told(None, &dropped), "");
    assert_eq!(told(None, &lost), "");
}

#[test]
fn killing_is_told_to_those_who_asked_for_it_and_once() {
    let both = task(Some(&["TASK_KILLING_STATE"]));
    let killing = view(TaskState::Killing, Some(reason::KILLED_BY_SCHEDULER), true);
    let told = by_agent(&both, &killing, IP, NOW).unwrap();
    assert_eq!(states(&told), ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"]);
    assert_eq!(states(&by_agent(&task(None), &killing, IP, NOW).unwrap()).len(), 2);
    let killed = ended(TaskState::Killed, reason::KILLED_BY_SCHEDULER, Some(143), Some(15));
    let all = ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"];
    assert_eq!(states(&by_agent(&with(both.clone(), told, None), &killed, IP, NOW).unwrap()), all);
    // It was faster than the report on it.
    assert_eq!(states(&by_agent(&both, &killed, IP, NOW).unwrap()), all);
    let deadline = view(TaskState::Killing, Some(reason::DEADLINE_EXCEEDED), true);
    assert_eq!(by_agent(&both, &deadline, IP, NOW).unwrap().len(), 2);
}

#[test]
fn what_has_a_container_names_it_and_where_it_is_reached() {
    let network = json!([{"ip_addresses": [{"protocol": "IPv4", "ip_address": "10.0.0.7"}]}]);
    let failed = ended(TaskState::Failed, reason::OUT_OF_MEMORY, Some(137), Some(9));
    for update in by_agent(&task(None), &failed, IP, NOW).unwrap() {
        let container = json!({"container_id": {"value": "uid-1"}, "network_infos": network});
        assert_eq!(update.status["container_status"], container);
    }
    // Under the default executor it is nested in a container that others of the executor name too.
    let nested = |uid: &str, executor: &str| {
        let mut task = task(None);
        task.metadata.uid = Some(uid.to_owned());
        task.spec.mesos.as_mut().unwrap().executor_id = Some(executor.to_owned());
        let told = by_agent(&task, &view(TaskState::Running, None, true), IP, NOW).unwrap();
        let id = &told[1].status["container_status"]["container_id"];
        assert_eq!(id["value"], uid);
        id["parent"]["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(nested("uid-1", "E"), nested("uid-2", "E"));
    assert_ne!(nested("uid-1", "E"), nested("uid-1", "F"));
    // What was never started has none.
    let missing = view(TaskState::Failed, Some(reason::COMMAND_NOT_FOUND), false);
    let told = by_agent(&task(None), &missing, IP, NOW).unwrap();
    assert!(told[0].status.get("container_status").is_none());
}

#[test]
fn other_tasks_have_no_such_updates() {
    let running = view(TaskState::Running, None, true);
    let mut own = task(None);
    own.spec.mesos = None;
    assert_eq!(by_agent(&own, &running, IP, NOW), None);
    let mut executor = task(None);
    executor.spec.executor = Some(meseta_crds::task::Executor::default());
    assert_eq!(by_agent(&executor, &running, IP, NOW), None);
}

#[test]
fn a_task_that_never_reached_its_executor_is_told_of_by_the_agent() {
    let mut inner = task(Some(&["PARTITION_AWARE"]));
    inner.spec.containers.clear();
    inner.spec.mesos.as_mut().unwrap().executor_id = Some("E".to_owned());
    let mut dropped = view(TaskState::Dropped, Some(reason::EXECUTOR_TERMINATED), false);
    dropped.container = None;
    let told = check(&inner, &dropped, &["DROPPED AGENT EXECUTOR_TERMINATED words 1700000009.0"]);
    assert_eq!(told[0].status["executor_id"], json!({"value": "E"}));
    let killed = view(TaskState::Killed, Some(reason::DELETED), false);
    check(&inner, &killed, &["KILLED AGENT KILLED_DURING_LAUNCH words 1700000009.0"]);
}
