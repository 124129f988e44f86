use meseta_crds::framework::Scheduler;
use meseta_crds::{FrameworkSpec, TaskState};

use super::*;

const START: i64 = 1_000_000;
/// The other clock shows something else.
const TERM: Start = Start { uptime: START, wall: WALL };
const WALL: i64 = 1_700_000_000_000;

fn time(millis: i64) -> Time {
    Time(jiff::Timestamp::from_millisecond(millis).unwrap())
}

fn framework(timeout_seconds: i64) -> Framework {
    let scheduler = Scheduler { failover_timeout_seconds: timeout_seconds, ..Scheduler::default() };
    let spec = FrameworkSpec { scheduler: Some(scheduler), ..FrameworkSpec::default() };
    let mut record = Framework::new("app", spec);
    record.metadata.finalizers = Some(vec![SCHEDULER_FINALIZER.to_owned()]);
    record
}

fn deleted() -> Framework {
    let mut record = framework(0);
    record.metadata.deletion_timestamp = Some(time(0));
    record
}

fn row(name: &str, state: TaskState) -> TaskRow {
    TaskRow {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        task_id: Some(name.to_owned()),
        held_by_agent: true,
        held_by_scheduler: true,
        state,
        ..TaskRow::default()
    }
}

fn rows(of: impl IntoIterator<Item = TaskRow>) -> Rows {
    let mut rows = Rows::default();
    of.into_iter().for_each(|row| rows.insert(row));
    rows
}

fn delete(name: &str) -> Step {
    Step::Delete { name: name.to_owned(), uid: format!("uid-{name}") }
}

fn free(name: &str) -> Step {
    Step::Free { name: name.to_owned() }
}

#[test]
fn a_framework_has_its_failover_timeout_to_come_back() {
    let record = framework(100);
    let since = START + 10;
    let due = since + 100_000;
    assert_eq!(fate(&record, since, TERM, since), Fate::Until(due));
    assert_eq!(fate(&record, since, TERM, due - 1), Fate::Until(due));
    assert_eq!(fate(&record, since, TERM, due), Fate::TearDown);
}

#[test]
fn without_a_failover_timeout_it_is_torn_down_at_once() {
    assert_eq!(fate(&framework(0), START + 1, TERM, START + 1), Fate::TearDown);
}

#[test]
fn it_gives_way_to_others_only_when_it_had_time_to_come_back() {
    let late = START + RECONNECT_GRACE_MS;
    for since in [START - 1_000_000, START] {
        assert!(!may_give_way(since, TERM, late - 1));
        assert!(may_give_way(since, TERM, late));
    }
    assert!(!may_give_way(START + 10, TERM, late + 9));
    assert!(may_give_way(START + 10, TERM, late + 10));
}

#[test]
fn after_a_change_of_leader_it_has_time_to_come_back_whatever_its_timeout() {
    let due = START + RECONNECT_GRACE_MS;
    for since in [START, START - 1_000_000] {
        for timeout in [0, 10] {
            let record = framework(timeout);
            assert_eq!(fate(&record, since, TERM, START), Fate::Until(due));
            assert_eq!(fate(&record, since, TERM, due), Fate::TearDown);
        }
    }
    assert_eq!(fate(&framework(100), START, TERM, START), Fate::Until(START + 100_000));
}

#[test]
fn the_longest_timeout_is_no_overflow() {
    assert_eq!(fate(&framework(i64::MAX), START, TERM, START), Fate::Until(i64::MAX));
}

#[test]
fn the_time_it_was_gone_under_earlier_leaders_counts() {
    let with = |connected, since: Option<i64>| {
        let scheduler = SchedulerStatus { connected, since: since.map(time) };
        let mut record = framework(100);
        // By a clock that was ahead.
        record.metadata.creation_timestamp = Some(time(WALL + 1000));
        record.status =
            Some(FrameworkStatus { scheduler: Some(scheduler), ..FrameworkStatus::default() });
        disconnected_since(&record, TERM, START + 5)
    };
    assert_eq!(with(false, Some(WALL - 50)), START - 50);
    assert_eq!(with(true, Some(WALL - 50)), START, "its stream ended with the term");
    assert_eq!(with(false, None), START);
    assert_eq!(with(false, Some(WALL + 50)), START, "a clock was wrong");
    assert_eq!(disconnected_since(&framework(0), TERM, START + 5), START);
}

#[test]
fn one_that_was_stored_in_this_term_and_never_subscribed_is_gone_since_it_is_looked_at() {
    let mut record = framework(0);
    record.metadata.creation_timestamp = Some(time(WALL + 1));
    assert_eq!(disconnected_since(&record, TERM, START + 5), START + 5);
}

#[test]
fn nothing_is_torn_down_before_the_record_is_being_deleted() {
    assert_eq!(teardown(&framework(0), &rows([row("a", TaskState::Running)])), []);
    assert_eq!(teardown(&framework(0), &Rows::default()), []);
}

#[test]
fn tasks_are_deleted_and_freed_and_then_the_framework_is_released() {
    let record = deleted();
    let mut left = rows([row("a", TaskState::Running), row("b", TaskState::Finished)]);
    assert_eq!(teardown(&record, &left), [delete("a"), free("a"), delete("b"), free("b")]);
    // After the steps were carried out the agent still holds one.
    left.remove("b");
    let held = TaskRow { deleted: true, held_by_scheduler: false, ..row("a", TaskState::Killing) };
    left.insert(held);
    assert_eq!(teardown(&record, &left), []);
    left.remove("a");
    assert_eq!(teardown(&record, &left), [Step::Release]);
    let released = Framework {
        metadata: kube::api::ObjectMeta { finalizers: None, ..record.metadata.clone() },
        ..record
    };
    assert_eq!(teardown(&released, &left), []);
}

#[test]
fn a_pass_is_bounded() {
    let many = rows((0..1000).map(|n| row(&format!("t{n}"), TaskState::Running)));
    assert_eq!(teardown(&deleted(), &many).len(), MAX_STEPS);
    let finished = |n: i64| TaskRow {
        held_by_agent: false,
        held_by_scheduler: false,
        ended: n,
        ..row(&format!("t{n}"), TaskState::Finished)
    };
    assert_eq!(forgotten(&rows((0..1000).map(finished))).len(), MAX_STEPS);
}

#[test]
fn the_oldest_finished_tasks_are_forgotten() {
    let finished = |name: &str, ended| TaskRow {
        held_by_agent: false,
        held_by_scheduler: false,
        ended,
        ..row(name, TaskState::Finished)
    };
    let kept = i64::try_from(MAX_FINISHED).unwrap();
    let mut all: Vec<TaskRow> = (0..kept).map(|n| finished(&format!("kept{n}"), 100 + n)).collect();
    assert_eq!(forgotten(&rows(all.clone())), []);
    all.push(finished("old", 1));
    all.push(finished("older", 0));
    all.push(row("running", TaskState::Running));
    all.push(TaskRow { held_by_agent: true, ..finished("held", 0) });
    all.push(TaskRow { held_by_scheduler: true, ..finished("owed", 0) });
    all.push(TaskRow { deleted: true, ..finished("going", 0) });
    assert_eq!(forgotten(&rows(all)), [delete("older"), delete("old")]);
}

#[test]
fn the_status_says_since_when_and_is_ready_while_connected() {
    let mut record = framework(0);
    record.metadata.generation = Some(3);
    let connected = status(&record, true, &time(10), 2);
    assert_eq!(connected.state.as_deref(), Some("Connected"));
    assert_eq!(connected.summary.as_deref(), Some("2"));
    assert_eq!(connected.observed_generation, Some(3));
    assert!(condition::is_true(&connected.conditions, "Ready"));
    assert_eq!(connected.scheduler.as_ref().unwrap().since, Some(time(10)));

    record.status = Some(connected.clone());
    assert_eq!(status(&record, true, &time(20), 2), connected, "nothing new: no write");
    let gone = status(&record, false, &time(30), 1);
    assert_eq!(gone.state.as_deref(), Some("Disconnected"));
    assert_eq!(gone.scheduler.unwrap().since, Some(time(30)));
    assert!(!condition::is_true(&gone.conditions, "Ready"));

    record.metadata.deletion_timestamp = Some(time(40));
    let going = status(&record, false, &time(50), 1);
    let ready = condition::get(&going.conditions, "Ready").unwrap();
    let message = "It is being torn down: this record goes with the last of its tasks.";
    assert_eq!((ready.status.as_str(), ready.message.as_str()), ("False", message));
    assert_eq!(going.message.as_deref(), Some(message));
}

#[test]
fn the_last_50_removed_ids_are_remembered() {
    let mut completed = Completed::default();
    for number in 0..51 {
        completed.insert(format!("f{number}"));
        completed.insert(format!("f{number}"));
    }
    assert!(!completed.contains("f0"));
    assert!(completed.contains("f1") && completed.contains("f50"));
}
