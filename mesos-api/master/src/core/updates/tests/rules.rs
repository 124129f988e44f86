use v1::TaskState::{TaskFinished, TaskRunning, TaskStarting};

use super::*;

/// What a step says, in words: `send 1`, `tell Unreachable`, `store 1`, `free`, `at 10000`.
fn say(step: &Step) -> String {
    let mut words = Vec::new();
    match &step.send {
        Some(Send::Update(status)) => {
            words.push(format!("send {}", status.uuid.as_ref().unwrap()[0]));
        }
        Some(Send::Own(own)) => words.push(format!("tell {own:?}")),
        None => {}
    }
    if let Some(stored) = &step.store {
        words.push(format!("store {}", uuid::Uuid::parse_str(stored).unwrap().as_bytes()[0]));
    }
    if step.free {
        words.push("free".to_owned());
    }
    if let Some(at) = step.look_again {
        words.push(format!("at {at}"));
    }
    words.join(", ")
}

#[track_caller]
fn step(delivery: &mut Delivery, row: &TaskRow, stream: Option<u64>, now: i64, expected: &str) {
    assert_eq!(say(&delivery.step(row, stream, now)), expected, "at {now}");
}

#[test]
fn one_update_is_in_flight_until_it_is_acknowledged() {
    let mut delivery = Delivery::default();
    let row = row(TaskState::Running, &[(1, TaskStarting), (2, TaskRunning)]);
    step(&mut delivery, &row, Some(0), 0, "send 1, at 10000");
    step(&mut delivery, &row, Some(0), 1, "at 10000");
    assert!(delivery.acknowledge(&row, &uuid(1)));
    step(&mut delivery, &row, Some(0), 2, "send 2, at 10002");
    assert_eq!(delivery.forwarded(), Some(TaskRunning));
    assert!(delivery.acknowledge(&row, &uuid(2)));
    step(&mut delivery, &row, Some(0), 3, "");
}

#[test]
fn an_update_is_resent_after_10_s_doubling_to_10_min() {
    let mut delivery = Delivery::default();
    let row = row(TaskState::Running, &[(1, TaskRunning)]);
    let mut now = 0;
    for wait in [10, 20, 40, 80, 160, 320, 600, 600] {
        let next = now + wait * 1000;
        step(&mut delivery, &row, Some(0), now, &format!("send 1, at {next}"));
        step(&mut delivery, &row, Some(0), next - 1, &format!("at {next}"));
        now = next;
    }
}

#[test]
fn a_new_subscription_is_sent_at_once_and_the_wait_begins_anew() {
    let mut delivery = Delivery::default();
    let row = row(TaskState::Running, &[(1, TaskRunning)]);
    step(&mut delivery, &row, Some(0), 0, "send 1, at 10000");
    step(&mut delivery, &row, Some(0), 10_000, "send 1, at 30000");
    step(&mut delivery, &row, Some(1), 10_001, "send 1, at 20001");
    step(&mut delivery, &row, None, 10_002, "");
    step(&mut delivery, &row, Some(2), 10_003, "send 1, at 20003");
}

#[test]
fn only_the_update_whose_turn_it_is_can_be_acknowledged() {
    let mut delivery = Delivery::default();
    let row = row(TaskState::Running, &[(1, TaskStarting), (2, TaskRunning)]);
    step(&mut delivery, &row, Some(0), 0, "send 1, at 10000");
    assert!(!delivery.acknowledge(&row, &uuid(2)), "not sent yet");
    assert!(!delivery.acknowledge(&row, &uuid(9)), "unknown");
    assert!(!delivery.acknowledge(&row, "nonsense"));
    assert!(delivery.acknowledge(&row, &uuid(1)));
    assert!(!delivery.acknowledge(&row, &uuid(1)), "twice");
    step(&mut delivery, &row, Some(0), 1, "send 2, at 10001");
}

#[test]
fn an_update_that_an_earlier_gateway_sent_can_be_acknowledged() {
    let mut delivery = Delivery::default();
    let row = row(TaskState::Running, &[(1, TaskStarting), (2, TaskRunning)]);
    assert!(delivery.acknowledge(&row, &uuid(1)));
    step(&mut delivery, &row, Some(0), 0, "send 2, at 10000");
}

#[test]
fn what_precedes_a_terminal_update_is_stored_before_it_is_sent() {
    let mut delivery = Delivery::default();
    let mut row =
        row(TaskState::Finished, &[(1, TaskStarting), (2, TaskRunning), (3, TaskFinished)]);
    for number in [1, 2] {
        step(&mut delivery, &row, Some(0), 0, &format!("send {number}, at 10000"));
        assert!(delivery.acknowledge(&row, &uuid(number)));
    }
    step(&mut delivery, &row, Some(0), 0, "store 2");
    step(&mut delivery, &row, Some(0), 0, "");
    delivery.write_failed();
    step(&mut delivery, &row, Some(0), 0, "store 2");
    row.acknowledged = Some(uuid(2));
    step(&mut delivery, &row, Some(0), 0, "send 3, at 10000");
    assert!(delivery.acknowledge(&row, &uuid(3)));
    step(&mut delivery, &row, Some(0), 0, "free");
    step(&mut delivery, &row, Some(0), 0, "");
    delivery.write_failed();
    step(&mut delivery, &row, Some(0), 0, "free");
    row.held_by_scheduler = false;
    step(&mut delivery, &row, Some(0), 0, "");
}

#[test]
fn a_terminal_update_that_comes_alone_is_sent_at_once() {
    let mut delivery = Delivery::default();
    let row = row(TaskState::Failed, &[(1, v1::TaskState::TaskFailed)]);
    step(&mut delivery, &row, Some(0), 0, "send 1, at 10000");
}

#[test]
fn a_later_gateway_goes_on_behind_what_is_stored() {
    let mut updates = row(TaskState::Finished, &[(1, TaskRunning), (2, TaskFinished)]);
    updates.acknowledged = Some(uuid(1));
    step(&mut Delivery::default(), &updates, Some(0), 0, "send 2, at 10000");
    // The agent may have dropped what is stored.
    updates.updates.remove(0);
    step(&mut Delivery::default(), &updates, Some(0), 0, "send 2, at 10000");
}

#[test]
fn eight_acknowledged_updates_are_stored_and_the_next_is_sent_meanwhile() {
    let mut delivery = Delivery::default();
    let running: Vec<_> = (1..=10).map(|number| (number, TaskRunning)).collect();
    let mut row = row(TaskState::Running, &running);
    for number in 1..=7 {
        step(&mut delivery, &row, Some(0), 0, &format!("send {number}, at 10000"));
        assert!(delivery.acknowledge(&row, &uuid(number)));
    }
    step(&mut delivery, &row, Some(0), 0, "send 8, at 10000");
    assert!(delivery.acknowledge(&row, &uuid(8)));
    step(&mut delivery, &row, Some(0), 0, "send 9, store 8, at 10000");
    row.acknowledged = Some(uuid(8));
    row.updates.drain(..8);
    step(&mut delivery, &row, Some(0), 0, "at 10000");
    assert!(delivery.acknowledge(&row, &uuid(9)));
    step(&mut delivery, &row, Some(0), 0, "send 10, at 10000");
}

#[test]
fn large_acknowledged_updates_are_stored_before_they_are_eight() {
    let mut delivery = Delivery::default();
    let mut row = row(TaskState::Running, &[(1, TaskRunning), (2, TaskRunning)]);
    for update in &mut row.updates {
        update.status["message"] = "m".repeat(MAX_UNSTORED_BYTES / 2).into();
    }
    step(&mut delivery, &row, Some(0), 0, "send 1, at 10000");
    assert!(delivery.acknowledge(&row, &uuid(1)));
    step(&mut delivery, &row, Some(0), 0, "send 2, at 10000");
    assert!(delivery.acknowledge(&row, &uuid(2)));
    step(&mut delivery, &row, Some(0), 0, "store 2");
    row.acknowledged = Some(uuid(2));
    step(&mut delivery, &row, Some(0), 0, "");
}

#[test]
fn nothing_follows_a_terminal_update() {
    let mut delivery = Delivery::default();
    let row = row(TaskState::Finished, &[(1, TaskFinished), (2, TaskRunning)]);
    step(&mut delivery, &row, Some(0), 0, "send 1, at 10000");
    assert!(delivery.acknowledge(&row, &uuid(1)));
    step(&mut delivery, &row, Some(0), 0, "free");
    assert!(!delivery.acknowledge(&row, &uuid(2)));
    delivery.write_failed();
    step(&mut delivery, &row, Some(0), 0, "free");
}

#[test]
fn what_cannot_be_read_is_left_out() {
    let mut delivery = Delivery::default();
    let updates = [(1, TaskStarting), (2, TaskFinished), (3, TaskRunning)];
    let mut row = row(TaskState::Running, &updates);
    row.updates[0].status = serde_json::json!({"state": "TASK_STARTING"});
    row.updates[1].status["uuid"] = serde_json::json!("AAAA");
    step(&mut delivery, &row, Some(0), 0, "send 3, at 10000");
}

#[test]
fn unreachable_is_told_once_for_each_stream_and_so_is_the_return() {
    let mut delivery = Delivery::default();
    let mut row = row(TaskState::Unreachable, &[(1, TaskRunning)]);
    step(&mut delivery, &row, Some(0), 0, "send 1, at 10000");
    assert!(delivery.acknowledge(&row, &uuid(1)));
    step(&mut delivery, &row, Some(0), 0, "tell Unreachable");
    step(&mut delivery, &row, Some(0), 0, "");
    step(&mut delivery, &row, None, 0, "");
    step(&mut delivery, &row, Some(1), 0, "tell Unreachable");
    row.state = TaskState::Running;
    step(&mut delivery, &row, None, 0, "");
    step(&mut delivery, &row, Some(2), 0, "tell Returned");
    step(&mut delivery, &row, Some(2), 0, "");
}

#[test]
fn an_end_that_no_update_tells_is_told_and_freed_when_the_stream_held() {
    for (state, updates, held) in [
        (TaskState::Lost, vec![], true),
        (TaskState::Lost, vec![(1, TaskRunning)], false),
        (TaskState::Dropped, vec![], true),
        (TaskState::Killed, vec![], true),
        (TaskState::Failed, vec![(1, TaskRunning)], false),
    ] {
        let mut delivery = Delivery::default();
        let row = TaskRow { held_by_agent: held, ..row(state, &updates) };
        for (number, _) in updates {
            step(&mut delivery, &row, Some(0), 0, &format!("send {number}, at 10000"));
            assert!(delivery.acknowledge(&row, &uuid(number)));
        }
        step(&mut delivery, &row, None, 0, "");
        step(&mut delivery, &row, Some(0), 0, "tell Ended, at 5000");
        step(&mut delivery, &row, Some(1), 4999, "tell Ended, at 9999");
        step(&mut delivery, &row, Some(1), 9998, "at 9999");
        step(&mut delivery, &row, Some(1), 9999, "free");
    }
}

#[test]
fn the_agent_is_waited_for_where_it_is_to_tell_the_end() {
    for state in [
        TaskState::Finished,
        TaskState::Failed,
        TaskState::Killed,
        TaskState::Dropped,
        TaskState::Lost,
    ] {
        let mut delivery = Delivery::default();
        let row = row(state, &[(1, TaskRunning)]);
        step(&mut delivery, &row, Some(0), 0, "send 1, at 10000");
        assert!(delivery.acknowledge(&row, &uuid(1)));
        step(&mut delivery, &row, Some(0), 0, "");
    }
}

#[test]
fn a_record_that_is_deleted_and_let_go_has_vanished() {
    for state in [TaskState::Staging, TaskState::Running, TaskState::Unreachable] {
        let gone = TaskRow { deleted: true, held_by_agent: false, ..row(state, &[]) };
        step(&mut Delivery::default(), &gone, Some(0), 0, "tell Vanished, at 5000");
        let held = TaskRow { held_by_agent: true, ..gone };
        let said = Delivery::default().step(&held, Some(0), 0).send;
        assert_ne!(said, Some(Send::Own(Own::Vanished)));
    }
}

#[test]
fn a_freed_record_needs_nothing() {
    let row = row(TaskState::Finished, &[(1, TaskFinished)]);
    let freed = TaskRow { held_by_scheduler: false, ..row };
    step(&mut Delivery::default(), &freed, Some(0), 0, "");
}
