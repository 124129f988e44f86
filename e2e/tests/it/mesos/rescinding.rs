//! Offers that are taken back while their scheduler thinks about them.

use meseta_e2e::{Client, Event, Layout, Options, Scheduler, StoreKind, command_task, scalar};
use serde_json::{Value, json};

use crate::yaml;

on_both_stores!(
    a_cordoned_agent_takes_its_offers_back,
    a_guarantee_takes_back_what_is_offered_to_others,
    who_does_not_answer_makes_room_for_others,
);

/// Waits until the scheduler is told that this offer is gone, and sees that nobody can read it any more.
fn await_rescinded(scheduler: &Scheduler, client: &Client, offer: &Value) {
    let id = &offer["id"]["value"];
    let told = |event: &Event| event.name() == "rescinded" && event.body["offer_id"] == *id;
    scheduler.await_event("rescinded offer", told).unwrap();
    let offers = client.list(&["offers", "-A"]).unwrap();
    assert!(offers.iter().all(|live| live["metadata"]["name"] != *id), "{offers:#?}");
}

fn a_cordoned_agent_takes_its_offers_back(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let (client, agent) = (cluster.client(), &cluster.agents()[0].name);
    let mut scheduler =
        Scheduler::start(&cluster.control_planes()[0].mesos, &Options::new("slow")).unwrap();
    let offer = scheduler.await_offer(0).unwrap();
    let cordon = |unschedulable: bool| {
        let patch = json!({"spec": {"unschedulable": unschedulable}}).to_string();
        client.kubectl(&["patch", "agent", agent, "--type=merge", "-p", &patch]).unwrap();
    };
    cordon(true);
    await_rescinded(&scheduler, &client, &offer);
    // Who answers too late loses the task, and is told so.
    let late = command_task(&offer, "late", "true");
    scheduler.launch(&offer, &[late]).unwrap();
    let lost = scheduler.await_state("late", "TASK_LOST").unwrap();
    assert_eq!(lost.body["status"]["reason"], "REASON_INVALID_OFFERS");

    let events = scheduler.events().len();
    cordon(false);
    let offer = scheduler.await_offer(events).unwrap();
    let task = command_task(&offer, "in-time", "true");
    scheduler.launch(&offer, &[task]).unwrap();
    scheduler.await_state("in-time", "TASK_FINISHED").unwrap();
}

fn a_guarantee_takes_back_what_is_offered_to_others(store: StoreKind) {
    let cluster = Layout::new(store).agent(&["--resources", "cpu=1,memory=1Gi"]).start().unwrap();
    let client = cluster.client();
    client
        .apply(&json!({
            "apiVersion": "meseta.dev/v1alpha1", "kind": "FrameworkRole",
            "metadata": {"name": "sure"},
            "spec": {"path": "sure", "guarantees": {"cpu": "500m", "memory": "256Mi"}},
        }))
        .unwrap();
    let options = Options::new("slow").framework("role", "other".into());
    let mut scheduler = Scheduler::start(&cluster.control_planes()[0].mesos, &options).unwrap();
    // As long as nobody claims what is guaranteed, others are offered it.
    let all = scheduler.await_offer(0).unwrap();
    let cpus = all["resources"].as_array().unwrap().iter().find(|r| r["name"] == "cpus").unwrap();
    assert_eq!(cpus["scalar"]["value"], 1.0, "{all:#}");

    let events = scheduler.events().len();
    let mut spec = yaml::spec("sleep 1000000");
    spec["resources"] = json!({"cpu": "500m", "memory": "256Mi"});
    let mut framework = yaml::framework("claims", &[yaml::set("s", 1, &spec)]);
    framework["spec"]["role"] = "sure".into();
    client.apply(&framework).unwrap();
    await_rescinded(&scheduler, &client, &all);
    client.await_task("claims-s-0", &["Running"]).unwrap();

    // What is left is offered anew.
    let rest = scheduler.await_offer(events).unwrap();
    let task = command_task(&rest, "beside", "true");
    scheduler.launch(&rest, &[task]).unwrap();
    scheduler.await_state("beside", "TASK_FINISHED").unwrap();
}

fn who_does_not_answer_makes_room_for_others(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let master = &cluster.control_planes()[0].mesos;
    let silent = Scheduler::start(master, &Options::new("silent")).unwrap();
    let all = silent.await_offer(0).unwrap();
    let task = json!({
        "command": {"value": "true"},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)],
    });
    let polite = Options::new("polite").accept("polite-", 1, &task, 0.0);
    let polite = Scheduler::start(master, &polite).unwrap();
    await_rescinded(&silent, &cluster.client(), &all);
    polite.await_state("polite-0", "TASK_FINISHED").unwrap();
}
