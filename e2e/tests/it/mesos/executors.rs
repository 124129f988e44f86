//! Custom executors: a program of the framework that runs its tasks.

use meseta_e2e::{
    Layout, Options, Scheduler, StoreKind, Witness, await_condition, command_task,
    executor_program, pymesos, scalar,
};
use serde_json::{Value, json};

use super::{DEADLINE, await_empty, record};

on_both_stores!(
    an_executor_runs_tasks_and_talks_with_its_scheduler,
    the_end_of_an_executor_ends_its_tasks_and_is_told,
    a_task_group_reaches_its_executor_as_a_whole,
    a_group_for_the_default_executor_has_one_task,
);

/// An executor `e`, which tells the witness what it does.
fn executor(scheduler: &Scheduler, witness: &Witness) -> Value {
    json!({
        "executor_id": {"value": "e"},
        "framework_id": {"value": scheduler.framework_id},
        "command": {
            "value": format!("exec python3 {}", executor_program().display()),
            "environment": {"variables": [
                {"name": "PYTHONPATH", "value": pymesos().unwrap()},
                {"name": "WITNESS", "value": witness.fifo()},
            ]},
        },
        "resources": [scalar("cpus", 0.1), scalar("mem", 64.0)],
    })
}

/// A task of it; `data` in base64.
fn inner(offer: &Value, executor: &Value, id: &str, data: &str) -> Value {
    json!({
        "task_id": {"value": id}, "name": id, "agent_id": offer["agent_id"], "executor": executor,
        "data": data, "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)],
    })
}

const RUN: &str = "cnVu";
const FINISH: &str = "ZmluaXNo";

/// base64 of `finish t1`.
const FINISH_T1: &str = "ZmluaXNoIHQx";
/// base64 of `echo finish t1`.
const ECHO_FINISH_T1: &str = "ZWNobyBmaW5pc2ggdDE=";
/// base64 of `exit 7`.
const EXIT_7: &str = "ZXhpdCA3";

fn await_heard(witness: &Witness, line: &str) {
    await_condition(line, DEADLINE, || match witness.heard(line) {
        0 => Err(format!("{:?}", witness.lines())),
        _ => Ok(()),
    })
    .unwrap();
}

fn an_executor_runs_tasks_and_talks_with_its_scheduler(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let client = cluster.client();
    let witness = Witness::new().unwrap();
    let mut scheduler =
        Scheduler::start(&cluster.control_planes()[0].mesos, &Options::new("boss")).unwrap();
    let executor = executor(&scheduler, &witness);
    let offer = scheduler.await_offer(0).unwrap();
    let tasks = [
        inner(&offer, &executor, "t1", RUN),
        inner(&offer, &executor, "t2", FINISH),
        inner(&offer, &executor, "t3", RUN),
    ];
    let before = scheduler.events().len();
    scheduler.launch(&offer, &tasks).unwrap();
    scheduler.await_state("t1", "TASK_RUNNING").unwrap();
    scheduler.await_state("t2", "TASK_FINISHED").unwrap();
    scheduler.await_state("t3", "TASK_RUNNING").unwrap();
    // One program for all three, which is a record of its own.
    let inner_record = record(&client, "t1").unwrap();
    let executor_name = inner_record["spec"]["executorName"].as_str().unwrap();
    assert!(client.get(&["task", executor_name]).unwrap()["spec"]["executor"].is_object());
    assert_eq!(witness.heard("registered e"), 1);

    // A message there, one back, and what it was for.
    let to = [&json!({"value": "e"}), &offer["agent_id"], &json!(FINISH_T1)];
    scheduler.call("sendFrameworkMessage", &json!(to)).unwrap();
    scheduler
        .await_event("message from the executor", |event| {
            event.name() == "message" && event.body["data"] == ECHO_FINISH_T1
        })
        .unwrap();
    scheduler.await_state("t1", "TASK_FINISHED").unwrap();

    scheduler.call("killTask", &json!([{"value": "t3"}])).unwrap();
    scheduler.await_state("t3", "TASK_KILLED").unwrap();
    assert_eq!(witness.heard("kill t3"), 1);

    // The same executor takes another task; what it holds already is not charged again.
    let offer = scheduler.await_offer(before).unwrap();
    scheduler.launch(&offer, &[inner(&offer, &executor, "t4", FINISH)]).unwrap();
    scheduler.await_state("t4", "TASK_FINISHED").unwrap();
    assert_eq!(witness.heard("registered e"), 1);
    for task in ["t1", "t2", "t3", "t4"] {
        assert_eq!(witness.heard(&format!("launch {task}")), 1, "{:?}", witness.lines());
    }

    scheduler.stop().unwrap();
    await_heard(&witness, "shutdown");
    await_empty(&client);
    cluster.agents()[0].await_nothing_left().unwrap();
}

fn the_end_of_an_executor_ends_its_tasks_and_is_told(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let witness = Witness::new().unwrap();
    let mut scheduler =
        Scheduler::start(&cluster.control_planes()[0].mesos, &Options::new("boss")).unwrap();
    let executor = executor(&scheduler, &witness);
    let offer = scheduler.await_offer(0).unwrap();
    let tasks = [inner(&offer, &executor, "t1", RUN), inner(&offer, &executor, "t2", FINISH)];
    scheduler.launch(&offer, &tasks).unwrap();
    scheduler.await_state("t1", "TASK_RUNNING").unwrap();
    scheduler.await_state("t2", "TASK_FINISHED").unwrap();
    let to = [&json!({"value": "e"}), &offer["agent_id"], &json!(EXIT_7)];
    scheduler.call("sendFrameworkMessage", &json!(to)).unwrap();
    let failed = scheduler.await_state("t1", "TASK_FAILED").unwrap();
    assert_eq!(failed.body["status"]["reason"], "REASON_EXECUTOR_TERMINATED");
    let lost = scheduler
        .await_event("failure of the executor", |event| event.name() == "executor_lost")
        .unwrap();
    assert_eq!(lost.body["executor_id"], "e");
    // A raw wait status: exit code 7.
    assert_eq!(lost.body["status"], 7 << 8);
    assert_eq!(scheduler.states("t2"), ["TASK_RUNNING", "TASK_FINISHED"]);
}

/// `ACCEPT` of one operation `LAUNCH_GROUP`.
fn launch_group(scheduler: &mut Scheduler, offer: &Value, executor: &Value, tasks: &[Value]) {
    let operation = json!({
        "type": "LAUNCH_GROUP",
        "launch_group": {"executor": executor, "task_group": {"tasks": tasks}},
    });
    scheduler.call("acceptOffers", &json!([[offer["id"]], [operation]])).unwrap();
}

fn a_task_group_reaches_its_executor_as_a_whole(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let witness = Witness::new().unwrap();
    let mut scheduler =
        Scheduler::start(&cluster.control_planes()[0].mesos, &Options::new("boss")).unwrap();
    let mut executor = executor(&scheduler, &witness);
    executor["type"] = "CUSTOM".into();
    executor["resources"].as_array_mut().unwrap().push(scalar("disk", 10.0));
    let offer = scheduler.await_offer(0).unwrap();
    let member = |id: &str, data: &str| {
        let mut task = inner(&offer, &executor, id, data);
        task.as_object_mut().unwrap().remove("executor");
        task
    };
    let tasks = [member("g1", RUN), member("g2", FINISH), member("g3", RUN)];
    launch_group(&mut scheduler, &offer, &executor, &tasks);
    scheduler.await_state("g1", "TASK_RUNNING").unwrap();
    scheduler.await_state("g2", "TASK_FINISHED").unwrap();
    scheduler.await_state("g3", "TASK_RUNNING").unwrap();
    assert_eq!(witness.heard("group g1 g2 g3"), 1, "{:?}", witness.lines());
}

fn a_group_for_the_default_executor_has_one_task(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let mut scheduler =
        Scheduler::start(&cluster.control_planes()[0].mesos, &Options::new("pods")).unwrap();
    let executor = json!({
        "type": "DEFAULT", "executor_id": {"value": "default"},
        "framework_id": {"value": scheduler.framework_id},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 10.0)],
    });
    let offer = scheduler.await_offer(0).unwrap();
    let before = scheduler.events().len();
    let one = [command_task(&offer, "alone", "exit 0")];
    launch_group(&mut scheduler, &offer, &executor, &one);
    scheduler.await_state("alone", "TASK_FINISHED").unwrap();
    // More than one is refused in words, all of them.
    let offer = scheduler.await_offer(before).unwrap();
    let two = [command_task(&offer, "first", "exit 0"), command_task(&offer, "second", "exit 0")];
    launch_group(&mut scheduler, &offer, &executor, &two);
    for task in ["first", "second"] {
        let error = scheduler.await_state(task, "TASK_ERROR").unwrap();
        assert_eq!(error.body["status"]["reason"], "REASON_TASK_GROUP_INVALID");
    }
}
