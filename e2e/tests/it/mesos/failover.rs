//! Schedulers, leaders and agents go and come back; tasks and updates do not suffer.

use meseta_e2e::{Layout, Options, Scheduler, StoreKind, Witness, await_condition, command_task};
use serde_json::json;

use super::{DEADLINE, await_empty, record};

on_both_stores!(
    a_scheduler_comes_back_under_its_old_id_while_its_tasks_run,
    a_scheduler_that_stays_away_is_torn_down,
    a_scheduler_that_stays_away_is_torn_down_by_the_next_leader_too,
);

fn a_scheduler_comes_back_under_its_old_id_while_its_tasks_run(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let witness = Witness::new().unwrap();
    let master = &cluster.control_planes()[0].mesos;
    let options = Options::new("phoenix").explicit();
    let mut scheduler = Scheduler::start(master, &options).unwrap();
    let offer = scheduler.await_offer(0).unwrap();
    let script = format!("echo up > {}; sleep 1000000", witness.fifo().display());
    scheduler.launch(&offer, &[command_task(&offer, "runs", &script)]).unwrap();
    let told = scheduler.await_state("runs", "TASK_STARTING").unwrap();
    let id = scheduler.framework_id.clone();
    drop(scheduler);

    let options = options.framework("id", json!({"value": id}));
    let mut scheduler = Scheduler::start(master, &options).unwrap();
    // What was not acknowledged is told again, as the same update.
    let again = scheduler.await_state("runs", "TASK_STARTING").unwrap();
    assert_eq!(again.body["status"]["uuid"], told.body["status"]["uuid"]);
    scheduler.call("acknowledgeStatusUpdate", &json!([again.body["status"]])).unwrap();
    scheduler.await_state("runs", "TASK_RUNNING").unwrap();
    assert_eq!(witness.heard("up"), 1);
    assert_eq!(cluster.client().list(&["frameworks"]).unwrap().len(), 1);

    // The older of two streams of one id is closed.
    let newer = Scheduler::start(master, &options).unwrap();
    let error = scheduler.await_event("error", |event| event.name() == "error").unwrap();
    assert_eq!(error.body["message"], "Framework failed over");
    drop(scheduler);
    newer.await_state("runs", "TASK_RUNNING").unwrap();
}

fn a_scheduler_that_stays_away_is_torn_down(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let options = Options::new("brief").framework("failover_timeout", json!(2.0));
    let mut scheduler = Scheduler::start(&cluster.control_planes()[0].mesos, &options).unwrap();
    let offer = scheduler.await_offer(0).unwrap();
    scheduler.launch(&offer, &[command_task(&offer, "runs", "sleep 1000000")]).unwrap();
    scheduler.await_state("runs", "TASK_RUNNING").unwrap();
    drop(scheduler);
    await_empty(&cluster.client());
    cluster.agents()[0].await_nothing_left().unwrap();
}

fn a_scheduler_that_stays_away_is_torn_down_by_the_next_leader_too(store: StoreKind) {
    let mut cluster = Layout::new(store).agent(&[]).start().unwrap();
    let options = Options::new("brief").framework("failover_timeout", json!(4.0));
    let mut scheduler = Scheduler::start(&cluster.control_planes()[0].mesos, &options).unwrap();
    let offer = scheduler.await_offer(0).unwrap();
    scheduler.launch(&offer, &[command_task(&offer, "runs", "sleep 1000000")]).unwrap();
    scheduler.await_state("runs", "TASK_RUNNING").unwrap();
    // Both at once: nobody has noted that the scheduler is gone.
    cluster.control_plane(0).kill();
    drop(scheduler);
    cluster.control_plane(0).start().unwrap();
    await_empty(&cluster.client());
    cluster.agents()[0].await_nothing_left().unwrap();
}

#[test]
fn a_follower_sends_schedulers_and_readers_of_offers_to_the_leader() {
    let mut cluster = Layout::new(StoreKind::Etcd).control_planes(2).agent(&[]).start().unwrap();
    // c0 leads, having started first; both are asked, so it makes no difference.
    for number in 0..2 {
        let options = Options::new(&format!("s{number}"));
        let mut scheduler =
            Scheduler::start(&cluster.control_planes()[number].mesos, &options).unwrap();
        let offer = scheduler.await_offer(0).unwrap();
        let id = format!("t{number}");
        scheduler.launch(&offer, &[command_task(&offer, &id, "true")]).unwrap();
        scheduler.await_state(&id, "TASK_FINISHED").unwrap();
        let seen = |plane: usize| {
            let client = cluster.client_of(plane);
            await_condition("offer", DEADLINE, || {
                let offers = client.list(&["offers"]).map_err(|error| format!("{error:#}"))?;
                if offers.is_empty() { Err("none".to_owned()) } else { Ok(()) }
            })
            .unwrap();
        };
        seen(0);
        seen(1);
        scheduler.stop().unwrap();
    }
    await_empty(&cluster.client_of(1));

    // The leader dies; a scheduler that was sent there finds the way again once somebody answers.
    let options = Options::new("survivor");
    let mut scheduler = Scheduler::start(&cluster.control_planes()[1].mesos, &options).unwrap();
    let offer = scheduler.await_offer(0).unwrap();
    scheduler.launch(&offer, &[command_task(&offer, "runs", "sleep 1000000")]).unwrap();
    scheduler.await_state("runs", "TASK_RUNNING").unwrap();
    let before = scheduler.events().len();
    for number in 0..2 {
        cluster.control_plane(number).kill();
        cluster.control_plane(number).start().unwrap();
    }
    await_condition("return of the scheduler", DEADLINE, || {
        let events = scheduler.events();
        let back = events[before..].iter().any(|event| event.name() == "reregistered");
        if back { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .unwrap();
    scheduler.call("killTask", &json!([{"value": "runs"}])).unwrap();
    scheduler.await_state("runs", "TASK_KILLED").unwrap();
    assert!(record(&cluster.client_of(0), "runs").is_some());
}
