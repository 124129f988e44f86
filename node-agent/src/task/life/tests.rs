//! Lives as scripts: events in, states and effects out.

use meseta_crds::TaskState;
use meseta_crds::task::Container;
use meseta_shim_api::StartFailure;

use super::*;

/// A task whose container runs `restart`, `deadline` seconds at most, with a grace of 30 s.
fn life(restart: RestartPolicy, deadline: Option<i64>) -> Life {
    let spec = meseta_crds::TaskSpec {
        containers: vec![Container { name: "main".to_owned(), ..Container::default() }],
        restart_policy: restart,
        termination_grace_period_seconds: 30,
        active_deadline_seconds: deadline,
        ..meseta_crds::TaskSpec::default()
    };
    Life::begin(Accepted {
        namespace: "default".to_owned(),
        name: "t".to_owned(),
        uid: "u".to_owned(),
        spec,
        executor_uid: None,
        run: 0,
        restarts: 0,
        restarts_in_a_row: 0,
        first_started_unix_millis: None,
        last: None,
    })
}

fn exit(outcome: Ending, started: i64, finished: i64) -> Event {
    Event::Exited(Exit {
        outcome,
        started_unix_millis: Some(started),
        finished_unix_millis: finished,
        oom_kills: 0,
    })
}

fn code(code: i32, started: i64, finished: i64) -> Event {
    exit(Ending::Exited { code }, started, finished)
}

fn started(at: i64) -> Event {
    Event::Started(Program { pid: 7, started: at })
}

fn stop(cause: StopCause) -> Event {
    Event::StopWanted { cause, grace_millis: 30_000 }
}

/// Runs events, each at its time; the names of the effects of the last one.
#[track_caller]
fn after(life: Life, events: &[(i64, Event)]) -> (Life, Vec<&'static str>) {
    let mut life = life;
    let mut effects = Vec::new();
    for (now, event) in events {
        let (next, done) = life.next(event.clone(), *now).unwrap();
        (life, effects) = (next, done);
    }
    let names = effects.iter().map(|effect| match effect {
        Effect::Stage => "stage",
        Effect::Launch => "launch",
        Effect::Terminate => "terminate",
        Effect::Kill => "kill",
        Effect::Destroy => "destroy",
        Effect::RememberAccepted => "remember accepted",
        Effect::RememberStop(_) => "remember stop",
        Effect::RememberOutcome(_) => "remember outcome",
        Effect::FinishRun => "finish run",
        Effect::DiscardRun(_) => "discard run",
    });
    let names = names.collect();
    (life, names)
}

#[track_caller]
fn ends(life: &Life, state: TaskState, reason: &str) {
    let outcome = life.outcome().expect("it has ended");
    assert_eq!((outcome.state, outcome.reason.as_str()), (state, reason));
}

#[test]
fn it_is_known_when_a_task_was_where_for_the_first_time() {
    let reached = |starting, running, killing| Reached { starting, running, killing };
    let begun = life(RestartPolicy::Always, None);
    let events = [(3, Event::Staged), (9, started(7)), (20, code(0, 7, 15))];
    let (again, _) = after(begun.clone(), &events);
    assert_eq!(again.reached, reached(Some(3), Some(7), None));
    let again = after(again, &[(5_000, Event::Tick), (5_001, Event::Staged)]).0;
    let stopped = after(again, &[(5_009, started(5_008)), (6_000, stop(StopCause::Killed))]).0;
    assert_eq!(stopped.reached, reached(Some(3), Some(7), Some(6_000)));
    // It was over before anybody looked.
    let over = after(begun, &[(3, Event::Staged), (20, code(0, 7, 15))]).0;
    assert_eq!(over.reached, reached(Some(3), Some(7), None));
}

#[test]
fn a_task_runs_and_finishes() {
    let begun = life(RestartPolicy::Never, None);
    let (running, effects) = after(begun, &[(0, Event::Staged)]);
    assert_eq!(effects, ["launch"]);
    let (running, effects) = after(running, &[(1, started(1))]);
    assert!(effects.is_empty());
    assert_eq!(running.wake_at(), None);
    let (ended, effects) = after(running, &[(2, code(0, 1, 2))]);
    assert_eq!(effects, ["remember outcome", "finish run"]);
    ends(&ended, TaskState::Finished, reason::COMPLETED);
    let container = ended.outcome().unwrap().container.clone().unwrap();
    assert_eq!((container.exit_code, container.pid), (Some(0), None));
}

#[test]
fn an_exit_may_be_known_before_the_start() {
    let events = [(0, Event::Staged), (1, code(3, 1, 1))];
    let (ended, _) = after(life(RestartPolicy::Never, None), &events);
    ends(&ended, TaskState::Failed, reason::NON_ZERO_EXIT);
}

#[test]
fn every_way_to_end_has_its_reason() {
    let run = |event: Event| {
        let events = [(0, Event::Staged), (1, started(1)), (2, event)];
        after(life(RestartPolicy::Never, None), &events).0
    };
    let oom = Exit {
        outcome: Ending::Signaled { signal: 9 },
        started_unix_millis: Some(1),
        finished_unix_millis: 2,
        oom_kills: 1,
    };
    let killed = Exit { oom_kills: 0, ..oom.clone() };
    let survived = Exit { outcome: Ending::Exited { code: 0 }, ..oom };
    let not_started = |cause| Exit {
        outcome: Ending::NotStarted { cause, message: "why".to_owned() },
        started_unix_millis: None,
        ..oom.clone()
    };
    let failed = TaskState::Failed;
    for (event, state, reason) in [
        (Event::Exited(oom.clone()), failed, reason::OUT_OF_MEMORY),
        (Event::Exited(killed), failed, reason::NON_ZERO_EXIT),
        (Event::Exited(survived), TaskState::Finished, reason::COMPLETED),
        (
            Event::Exited(not_started(StartFailure::CommandNotFound)),
            failed,
            reason::COMMAND_NOT_FOUND,
        ),
        (Event::Exited(not_started(StartFailure::DiskFull)), failed, reason::DISK_FULL),
        (Event::Exited(not_started(StartFailure::Other)), failed, reason::START_FAILED),
        (Event::ShimLost, failed, reason::SHIM_LOST),
        (Event::Rebooted, failed, reason::AGENT_REBOOTED),
    ] {
        ends(&run(event), state, reason);
    }
    let out_of_memory = run(Event::Exited(oom));
    let container = out_of_memory.outcome().unwrap().container.clone().unwrap();
    assert!(container.oom_killed);
    assert_eq!((container.signal, container.exit_code), (Some(9), Some(137)));
}

#[test]
fn what_cannot_be_prepared_fails_at_once() {
    let failure = || Failure::new(reason::IMAGE_NOT_FOUND, "no image");
    let (ended, _) = after(life(RestartPolicy::Always, None), &[(0, Event::NotStaged(failure()))]);
    ends(&ended, TaskState::Failed, reason::IMAGE_NOT_FOUND);
    let events = [(0, Event::Staged), (1, Event::NotLaunched(failure()))];
    let (ended, _) = after(life(RestartPolicy::Always, None), &events);
    ends(&ended, TaskState::Failed, reason::IMAGE_NOT_FOUND);
}

#[test]
fn a_restart_waits_longer_each_time_and_anew_after_a_long_run() {
    let mut life = life(RestartPolicy::OnFailure, None);
    let mut now = 0;
    let mut delays = Vec::new();
    for _ in 0..11 {
        let (running, _) = after(life, &[(now, Event::Staged), (now, started(now))]);
        let (waiting, effects) = after(running, &[(now, code(1, now, now + 1000))]);
        assert_eq!(effects, ["finish run"]);
        let until = waiting.wake_at().unwrap();
        delays.push((until - now - 1000) / 1000);
        let (staging, effects) = after(waiting, &[(until, Event::Tick)]);
        assert_eq!(effects, ["remember accepted", "discard run", "stage"]);
        (life, now) = (staging, until);
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert_eq!((life.accepted.run, life.accepted.restarts), (11, 11));
    assert_eq!(life.accepted.first_started_unix_millis, Some(0));

    let long = now + STEADY_RUN_MILLIS;
    let events = [(now, Event::Staged), (now, started(now)), (long, code(1, now, long))];
    let (waiting, _) = after(life, &events);
    assert_eq!(waiting.wake_at(), Some(long + FIRST_RESTART_DELAY_MILLIS));
    let events =
        [(long + 1000, Event::Tick), (long + 1000, Event::Staged), (long + 2000, code(0, 0, 1))];
    let (ended, _) = after(waiting, &events);
    ends(&ended, TaskState::Finished, reason::COMPLETED);
    assert_eq!(ended.outcome().unwrap().container.clone().unwrap().restart_count, 12);
}

#[test]
fn always_means_after_success_too_but_not_after_a_failed_start() {
    let events = [(0, Event::Staged), (1, started(1)), (2, code(0, 1, 2))];
    let (waiting, _) = after(life(RestartPolicy::Always, None), &events);
    assert!(matches!(waiting.state, State::Waiting { .. }));
    let failure =
        Ending::NotStarted { cause: StartFailure::CommandNotFound, message: "no `x`".to_owned() };
    let events = [(0, Event::Staged), (1, exit(failure, 1, 1))];
    let (ended, _) = after(life(RestartPolicy::Always, None), &events);
    ends(&ended, TaskState::Failed, reason::COMMAND_NOT_FOUND);
}

#[test]
fn a_deletion_asks_then_kills_then_destroys() {
    let events = [(0, Event::Staged), (1, started(1))];
    let (running, _) = after(life(RestartPolicy::Always, None), &events);
    let (stopping, effects) = after(running, &[(1000, stop(StopCause::Deleted))]);
    assert_eq!(effects, ["remember stop", "terminate"]);
    assert_eq!(stopping.wake_at(), Some(31_000));
    let (early, effects) = after(stopping, &[(30_999, Event::Tick)]);
    assert!(effects.is_empty());
    let (killed, effects) = after(early, &[(31_000, Event::Tick)]);
    assert_eq!(effects, ["kill"]);
    let (destroyed, effects) = after(killed, &[(31_000 + KILL_PATIENCE_MILLIS, Event::Tick)]);
    assert_eq!(effects, ["destroy"]);
    assert_eq!(destroyed.wake_at(), None);
    let (ended, _) = after(destroyed, &[(50_000, Event::ShimLost)]);
    ends(&ended, TaskState::Killed, reason::DELETED);
}

#[test]
fn a_later_wish_shortens_the_wait_and_never_lengthens_it() {
    let kill = |grace_millis| Event::StopWanted { cause: StopCause::Killed, grace_millis };
    let running = life(RestartPolicy::Never, None);
    let (stopping, effects) =
        after(running, &[(0, Event::Staged), (1, started(1)), (1000, kill(60_000))]);
    assert_eq!(effects, ["remember stop", "terminate"]);
    assert!(!stopping.heeds_stop(60_000, 1001), "the same wish, seen again");
    let (stopping, effects) = after(stopping, &[(2000, kill(90_000))]);
    assert!(effects.is_empty());
    assert_eq!(stopping.wake_at(), Some(61_000));
    assert!(stopping.heeds_stop(5000, 3000));
    let (stopping, effects) =
        after(stopping, &[(3000, stop(StopCause::Deleted)), (4000, kill(500))]);
    assert_eq!(effects, ["remember stop"]);
    assert_eq!(stopping.wake_at(), Some(4500));
    let (stopping, effects) = after(stopping, &[(4500, Event::Tick), (4600, kill(0))]);
    assert!(effects.is_empty(), "it was killed already");
    let (ended, _) = after(stopping, &[(4700, exit(Ending::Signaled { signal: 9 }, 1, 4700))]);
    ends(&ended, TaskState::Killed, "KilledByScheduler");
}

#[test]
fn a_deleted_task_keeps_its_exit_code() {
    let events = [(0, Event::Staged), (1, started(1)), (2, stop(StopCause::Deleted))];
    let (stopping, _) = after(life(RestartPolicy::Always, None), &events);
    let (ended, _) = after(stopping, &[(3, code(5, 1, 3))]);
    ends(&ended, TaskState::Killed, reason::DELETED);
    assert_eq!(ended.outcome().unwrap().container.clone().unwrap().exit_code, Some(5));
}

#[test]
fn a_deletion_before_the_start_starts_nothing() {
    let begun = life(RestartPolicy::Never, None);
    let (ended, effects) = after(begun, &[(0, stop(StopCause::Deleted))]);
    assert_eq!(effects, ["remember outcome", "finish run"]);
    ends(&ended, TaskState::Killed, reason::DELETED);
    assert_eq!(ended.outcome().unwrap().container, None);
}

#[test]
fn a_deletion_while_starting_is_told_to_the_program_when_it_runs() {
    let events = [(0, Event::Staged), (1, stop(StopCause::Deleted))];
    let (stopping, _) = after(life(RestartPolicy::Never, None), &events);
    let (stopping, effects) = after(stopping, &[(2, started(2))]);
    assert_eq!(effects, ["terminate"]);
    let (ended, _) = after(stopping, &[(3, exit(Ending::Signaled { signal: 15 }, 2, 3))]);
    ends(&ended, TaskState::Killed, reason::DELETED);
}

#[test]
fn the_deadline_counts_from_the_first_start() {
    let begun = life(RestartPolicy::Always, Some(10));
    let events = [(0, Event::Staged), (500, started(500))];
    let (running, _) = after(begun, &events);
    assert_eq!(running.wake_at(), Some(10_500));
    let events = [
        (8_000, code(1, 500, 8_000)),
        (9_000, Event::Tick),
        (9_000, Event::Staged),
        (9_100, started(9_100)),
    ];
    let (running, _) = after(running, &events);
    assert_eq!(running.wake_at(), Some(10_500));
    let (stopping, effects) = after(running.clone(), &[(10_500, Event::Tick)]);
    assert_eq!(effects, ["remember stop", "terminate"]);
    // What the record wants afterwards does not change why it ended.
    let (stopping, effects) = after(stopping, &[(10_600, stop(StopCause::Deleted))]);
    assert!(effects.is_empty());
    let (ended, _) = after(stopping, &[(10_700, code(0, 9_100, 10_700))]);
    ends(&ended, TaskState::Failed, reason::DEADLINE_EXCEEDED);

    let (waiting, _) = after(running, &[(9_900, code(1, 9_100, 9_900))]);
    assert_eq!(waiting.wake_at(), Some(10_500));
    let (ended, _) = after(waiting, &[(10_500, Event::Tick)]);
    ends(&ended, TaskState::Failed, reason::DEADLINE_EXCEEDED);
}

#[test]
fn a_shim_that_does_not_start_its_container_is_ended() {
    let (starting, _) = after(life(RestartPolicy::Never, None), &[(0, Event::Staged)]);
    assert_eq!(starting.wake_at(), Some(START_PATIENCE_MILLIS));
    let now = START_PATIENCE_MILLIS;
    let (stopping, _) = after(starting, &[(now, Event::Tick)]);
    let (stopping, effects) = after(stopping, &[(now, Event::Tick)]);
    assert_eq!(effects, ["kill"]);
    let (stopping, effects) = after(stopping, &[(now + KILL_PATIENCE_MILLIS, Event::Tick)]);
    assert_eq!(effects, ["destroy"]);
    let (ended, _) = after(stopping, &[(now + KILL_PATIENCE_MILLIS, Event::ShimLost)]);
    ends(&ended, TaskState::Failed, reason::START_FAILED);
}

#[test]
fn what_has_ended_stays_as_it_is_and_what_cannot_be_is_refused() {
    let events = [(0, Event::Staged), (1, code(0, 0, 1))];
    let (ended, _) = after(life(RestartPolicy::Never, None), &events);
    let (same, effects) = after(ended.clone(), &[(2, stop(StopCause::Deleted))]);
    assert_eq!((&same, effects.len()), (&ended, 0));
    let refused = ended.next(Event::ShimLost, 3).unwrap_err();
    assert_eq!(refused.to_string(), "a task that is ended cannot meet the loss of its shim");
    assert!(life(RestartPolicy::Never, None).next(started(1), 1).is_err());
}
