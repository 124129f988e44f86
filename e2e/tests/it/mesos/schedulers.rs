//! What a scheduler does, one after the other, and what an operator sees of it.

use std::time::Duration;

use meseta_e2e::{Layout, Options, Scheduler, StoreKind, Witness, await_condition, command_task};
use serde_json::{Value, json};

use super::{DEADLINE, await_empty, record};

on_both_stores!(
    a_scheduler_gets_offers_launches_tasks_kills_one_and_ends,
    a_declined_agent_is_offered_again_when_revived_and_never_while_suppressed,
    deleting_a_framework_tears_its_scheduler_down,
    deleting_a_task_kills_it_and_tells_its_scheduler,
    explicit_and_implicit_reconciliation_tell_where_tasks_stand,
);

fn a_scheduler_gets_offers_launches_tasks_kills_one_and_ends(store: StoreKind) {
    let cluster = Layout::new(store).agent(&["--attribute", "rack=r1"]).start().unwrap();
    let client = cluster.client();
    let agent = cluster.agents()[0].name.clone();
    let mut scheduler =
        Scheduler::start(&cluster.control_planes()[0].mesos, &Options::new("pi")).unwrap();
    let offer = scheduler.await_offer(0).unwrap();
    assert_eq!(offer["agent_id"]["value"], agent);
    assert_eq!(offer["framework_id"]["value"], scheduler.framework_id.as_str());
    assert!(offer["allocation_info"].is_null(), "{offer:#}");
    let rack = json!({"name": "rack", "type": "TEXT", "text": {"value": "r1"}});
    assert!(offer["attributes"].as_array().unwrap().contains(&rack), "{offer:#}");

    // What an operator sees of the offer.
    let name = offer["id"]["value"].as_str().unwrap();
    let table = client.kubectl(&["get", "offers", "-A"]).unwrap();
    assert!(table.lines().any(|line| line.contains(name) && line.contains(&agent)), "{table}");
    let yaml = client.kubectl(&["get", "offer", name, "-o", "yaml"]).unwrap();
    assert!(yaml.contains("resources:") && yaml.contains("cpu:"), "{yaml}");

    let tasks = [
        command_task(&offer, "Finishes.1", "echo $MESOS_EXECUTOR_ID"),
        command_task(&offer, "fails", "exit 3"),
        command_task(&offer, "runs", "sleep 1000000"),
    ];
    scheduler.launch(&offer, &tasks).unwrap();
    scheduler.await_state("Finishes.1", "TASK_FINISHED").unwrap();
    let failed = scheduler.await_state("fails", "TASK_FAILED").unwrap();
    assert_eq!(failed.body["status"]["message"], "Command exited with status 3");
    let running = scheduler.await_state("runs", "TASK_RUNNING").unwrap();
    assert_eq!(running.body["status"]["agent_id"]["value"], agent);
    assert_eq!(running.body["status"]["executor_id"]["value"], "runs");

    // What an operator sees of the framework and its tasks.
    let framework = &client.list(&["frameworks"]).unwrap()[0];
    let id = scheduler.framework_id.as_str();
    assert_eq!(framework["spec"]["scheduler"]["frameworkId"], id);
    assert_eq!(framework["status"]["state"], "Connected");
    let runs = record(&client, "runs").unwrap();
    assert_eq!(runs["spec"]["agentName"], agent);
    client.await_task(runs["metadata"]["name"].as_str().unwrap(), &["Running"]).unwrap();
    let finished = record(&client, "Finishes.1").unwrap();
    let finished = finished["metadata"]["name"].as_str().unwrap();
    client.await_task(finished, &["Finished"]).unwrap();
    assert_eq!(client.meseta(&["logs", finished]).unwrap(), "Finishes.1\n");
    let columns = client.kubectl(&["get", "tasks"]).unwrap();
    assert!(columns.lines().any(|line| line.contains("Failed") && line.contains("NonZeroExit")));

    scheduler.call("killTask", &json!([{"value": "runs"}])).unwrap();
    scheduler.await_state("runs", "TASK_KILLED").unwrap();
    for (task, last) in
        [("Finishes.1", "TASK_FINISHED"), ("fails", "TASK_FAILED"), ("runs", "TASK_KILLED")]
    {
        assert_eq!(scheduler.states(task), ["TASK_STARTING", "TASK_RUNNING", last], "{task}");
    }
    // Acknowledged to the end, a record is free.
    client
        .await_record(&["task", finished], "free", |task| {
            task["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
        })
        .unwrap();
    scheduler.stop().unwrap();
    await_empty(&client);
    cluster.agents()[0].await_nothing_left().unwrap();
}

fn a_declined_agent_is_offered_again_when_revived_and_never_while_suppressed(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let mut scheduler =
        Scheduler::start(&cluster.control_planes()[0].mesos, &Options::new("picky")).unwrap();
    let decline_all = |scheduler: &mut Scheduler| {
        // An offer that was cut to its share is followed by a larger one; both are declined.
        let mut declined = 0;
        loop {
            let events = scheduler.events();
            let offers: Vec<Value> = events
                .iter()
                .filter(|event| event.name() == "offers")
                .flat_map(|event| event.body["offers"].as_array().cloned().unwrap_or_default())
                .collect();
            for offer in &offers[declined..] {
                let filter = json!({"refuse_seconds": 3600.0});
                scheduler.call("declineOffer", &json!([offer["id"], filter])).unwrap();
            }
            let settled = declined > 0 && offers.len() == declined;
            declined = offers.len();
            if settled {
                return scheduler.events().len();
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    };
    let offers_after = |scheduler: &Scheduler, after: usize| {
        scheduler.events()[after..].iter().filter(|event| event.name() == "offers").count()
    };
    let settled = decline_all(&mut scheduler);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(offers_after(&scheduler, settled), 0, "declined for an hour");

    scheduler.call("reviveOffers", &json!([])).unwrap();
    scheduler.await_offer(settled).unwrap();
    scheduler.call("suppressOffers", &json!([])).unwrap();
    let settled = {
        // Outstanding offers stay valid: this one is used, and its room comes back.
        let offer = scheduler.await_offer(settled).unwrap();
        scheduler.launch(&offer, &[command_task(&offer, "once", "true")]).unwrap();
        scheduler.await_state("once", "TASK_FINISHED").unwrap();
        scheduler.events().len()
    };
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(offers_after(&scheduler, settled), 0, "suppressed");
    scheduler.call("reviveOffers", &json!([])).unwrap();
    scheduler.await_offer(settled).unwrap();
}

fn deleting_a_framework_tears_its_scheduler_down(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let client = cluster.client();
    let mut scheduler =
        Scheduler::start(&cluster.control_planes()[0].mesos, &Options::new("doomed")).unwrap();
    let offer = scheduler.await_offer(0).unwrap();
    scheduler.launch(&offer, &[command_task(&offer, "runs", "sleep 1000000")]).unwrap();
    scheduler.await_state("runs", "TASK_RUNNING").unwrap();
    let framework = client.kubectl(&["get", "frameworks", "-o", "name"]).unwrap();
    client.kubectl(&["delete", framework.trim(), "--timeout=60s"]).unwrap();
    let error = scheduler.await_event("error", |event| event.name() == "error").unwrap();
    assert_eq!(error.body["message"], "Framework has been removed");
    await_empty(&client);
    cluster.agents()[0].await_nothing_left().unwrap();
}

fn deleting_a_task_kills_it_and_tells_its_scheduler(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let client = cluster.client();
    let options = Options::new("watchful").explicit();
    let mut scheduler = Scheduler::start(&cluster.control_planes()[0].mesos, &options).unwrap();
    let acknowledge = |scheduler: &mut Scheduler, state: &str| {
        let update = scheduler.await_state("runs", state).unwrap();
        scheduler.call("acknowledgeStatusUpdate", &json!([update.body["status"]])).unwrap();
    };
    let offer = scheduler.await_offer(0).unwrap();
    scheduler.launch(&offer, &[command_task(&offer, "runs", "sleep 1000000")]).unwrap();
    // The next comes when this one is acknowledged, not before.
    acknowledge(&mut scheduler, "TASK_STARTING");
    acknowledge(&mut scheduler, "TASK_RUNNING");
    let name = record(&client, "runs").unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
    client.kubectl(&["delete", "task", &name, "--wait=false"]).unwrap();
    scheduler.await_state("runs", "TASK_KILLED").unwrap();
    // Its record stays until that is acknowledged.
    let killed = client.await_task(&name, &["Killed"]).unwrap();
    assert!(killed["metadata"]["deletionTimestamp"].is_string());
    acknowledge(&mut scheduler, "TASK_KILLED");
    await_condition("end of the record", DEADLINE, || match record(&client, "runs") {
        None => Ok(()),
        Some(task) => Err(task["metadata"].to_string()),
    })
    .unwrap();
    assert_eq!(scheduler.states("runs"), ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLED"]);
}

fn explicit_and_implicit_reconciliation_tell_where_tasks_stand(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let witness = Witness::new().unwrap();
    let mut scheduler =
        Scheduler::start(&cluster.control_planes()[0].mesos, &Options::new("careful")).unwrap();
    let offer = scheduler.await_offer(0).unwrap();
    let script = format!("echo up > {}; sleep 1000000", witness.fifo().display());
    scheduler.launch(&offer, &[command_task(&offer, "runs", &script)]).unwrap();
    scheduler.await_state("runs", "TASK_RUNNING").unwrap();
    let answers = |scheduler: &Scheduler, after: usize, task: &str, state: &str| {
        let what = format!("answer {state} about {task}");
        await_condition(&what, DEADLINE, || {
            let events = scheduler.events();
            let answer = events[after..].iter().find(|event| {
                event.update() == Some((task, state))
                    && event.body["status"]["reason"] == "REASON_RECONCILIATION"
                    && event.body["status"]["uuid"].is_null()
            });
            answer.cloned().ok_or_else(|| "none".to_owned())
        })
        .unwrap()
    };
    let before = scheduler.events().len();
    scheduler.call("reconcileTasks", &json!([[]])).unwrap();
    answers(&scheduler, before, "runs", "TASK_RUNNING");
    let before = scheduler.events().len();
    let tasks = json!([[{"task_id": {"value": "runs"}}, {"task_id": {"value": "nobody"}}]]);
    scheduler.call("reconcileTasks", &tasks).unwrap();
    answers(&scheduler, before, "runs", "TASK_RUNNING");
    // Without the capability PARTITION_AWARE, what is unknown is lost.
    answers(&scheduler, before, "nobody", "TASK_LOST");
    assert_eq!(witness.heard("up"), 1);
}
