//! What is known, in; the next step, and what is told, out.

use super::*;

fn outcome(why: &str) -> Outcome {
    Outcome {
        state: TaskState::Failed,
        reason: why.to_owned(),
        message: "exited with code 3".to_owned(),
        container: None,
        ended_unix_millis: 7,
    }
}

fn wish(cause: StopCause, kill: Option<Kill>) -> Option<Wish> {
    Some(Wish { cause, kill })
}

/// State and reason of the record, and Mesos' state and reason.
fn told(step: Step, partition_aware: bool) -> (TaskState, &'static str, String) {
    let Step::End(end) = step else { panic!("{step:?}") };
    let capabilities = Capabilities { partition_aware, ..Capabilities::default() };
    let (state, why, said) = tell(&end, "e", capabilities, 0);
    let reason = said.reason.unwrap().as_str_name();
    (state, why, format!("{} {reason}", said.state.as_str_name()))
}

#[test]
fn a_task_is_launched_once_and_then_left_to_its_executor() {
    assert_eq!(next(&Seen::default()), Step::Launch);
    assert_eq!(next(&Seen { launched: true, ..Seen::default() }), Step::Wait);
}

#[test]
fn a_kill_goes_to_the_executor_once_it_may_know_the_task() {
    let kill = Kill { grace_period_seconds: Some(4), repeats: 2 };
    let wish = wish(StopCause::Killed, Some(kill));
    let seen = Seen { launched: true, wish, ..Seen::default() };
    assert_eq!(next(&seen), Step::Kill(kill));
    let seen = Seen { wish, ..Seen::default() };
    let expected = (
        TaskState::Killed,
        "KilledByScheduler",
        "TASK_KILLED REASON_TASK_KILLED_DURING_LAUNCH".to_owned(),
    );
    assert_eq!(told(next(&seen), false), expected);
    let deleted = Seen { wish: self::wish(StopCause::Deleted, None), ..Seen::default() };
    assert_eq!(told(next(&deleted), false).1, "Deleted");
    // Another of its group was.
    let group = Seen { early: Some(Early::Killed), launched: true, ..Seen::default() };
    assert_eq!(told(next(&group), false), expected);
}

#[test]
fn the_end_of_the_executor_ends_its_tasks() {
    let ended = |why: &str| Seen {
        executor_ended: Some(outcome(why)),
        launched: true,
        lost: true,
        ..Seen::default()
    };
    let mesos = |why: &str| told(next(&ended(why)), true).2;
    assert_eq!(mesos(reason::NON_ZERO_EXIT), "TASK_FAILED REASON_EXECUTOR_TERMINATED");
    assert_eq!(mesos(reason::OUT_OF_MEMORY), "TASK_FAILED REASON_CONTAINER_LIMITATION_MEMORY");
    assert_eq!(mesos(reason::START_FAILED), "TASK_FAILED REASON_CONTAINER_LAUNCH_FAILED");
    assert_eq!(
        told(next(&ended(reason::EXECUTOR_REGISTRATION_TIMEOUT)), true),
        (
            TaskState::Failed,
            "ExecutorRegistrationTimeout",
            "TASK_FAILED REASON_EXECUTOR_REGISTRATION_TIMEOUT".to_owned()
        )
    );
    // As in Mesos, a kill that the executor did not answer changes nothing about that.
    let wish = wish(StopCause::Killed, None);
    let killed = Seen { wish, ..ended(reason::NON_ZERO_EXIT) };
    assert_eq!(
        told(next(&killed), false),
        (
            TaskState::Failed,
            "ExecutorTerminated",
            "TASK_FAILED REASON_EXECUTOR_TERMINATED".to_owned()
        )
    );
    // One that it never had was killed.
    let never = Seen { launched: false, ..killed };
    assert_eq!(told(next(&never), false).2, "TASK_KILLED REASON_TASK_KILLED_DURING_LAUNCH");
    let Step::End(end) = next(&ended(reason::NON_ZERO_EXIT)) else { panic!() };
    let (.., said) = tell(&end, "e", Capabilities::default(), 0);
    assert_eq!(said.message.unwrap(), "its executor `e` ended: exited with code 3");
}

#[test]
fn what_never_reached_its_executor_is_dropped_or_lost() {
    let lost = Seen { launched: true, lost: true, ..Seen::default() };
    assert_eq!(told(next(&lost), true).1, "AgentRestarted");
    assert_eq!(told(next(&lost), true).2, "TASK_DROPPED REASON_AGENT_RESTARTED");
    assert_eq!(told(next(&lost), false).2, "TASK_LOST REASON_AGENT_RESTARTED");
    let early = |early| Seen { early: Some(early), ..Seen::default() };
    let refused = early(Early::Refused(Refused::ShuttingDown));
    assert_eq!(told(next(&refused), true).2, "TASK_DROPPED REASON_EXECUTOR_TERMINATED");
    assert_eq!(told(next(&refused), true).0, TaskState::Dropped);
    let broken = early(Early::GroupBroken);
    assert_eq!(told(next(&broken), true).2, "TASK_DROPPED REASON_INVALID_OFFERS");
}
