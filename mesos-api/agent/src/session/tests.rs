//! Scenarios as scripts: one command a line, and after it what goes out on the stream.

mod model;

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use meseta_mesos_wire::v1;

use super::*;

/// Uid of the task that has `id`, unless a script names another.
fn uid_of(id: &str) -> String {
    format!("uid-{id}")
}

fn launch(uid: &str, id: &str, progress: Progress) -> Launch {
    let task =
        v1::TaskInfo { task_id: v1::TaskId { value: id.to_owned() }, ..v1::TaskInfo::default() };
    Launch { uid: uid.to_owned(), task, progress }
}

fn policy(seconds: &str) -> v1::KillPolicy {
    let nanoseconds = seconds.parse::<i64>().unwrap() * 1_000_000_000;
    v1::KillPolicy { grace_period: Some(v1::DurationInfo { nanoseconds }) }
}

fn show(out: &Out) -> String {
    let ids = |tasks: &[v1::TaskInfo]| {
        tasks.iter().map(|task| task.task_id.value.as_str()).collect::<Vec<_>>().join(" ")
    };
    match out {
        Out::Subscribed => "SUBSCRIBED".to_owned(),
        Out::Launch(task) => format!("LAUNCH {}", task.task_id.value),
        Out::LaunchGroup(tasks) => format!("LAUNCH_GROUP {}", ids(tasks)),
        Out::Kill { task_id, policy: None } => format!("KILL {task_id}"),
        Out::Kill { task_id, policy: Some(policy) } => {
            let grace = policy.grace_period.unwrap().nanoseconds / 1_000_000_000;
            format!("KILL {task_id} grace={grace}")
        }
        Out::Acknowledged(update) => {
            let uuid = String::from_utf8_lossy(&update.uuid);
            format!("ACKNOWLEDGED {} {uuid}", update.task_id)
        }
        Out::Message(data) => format!("MESSAGE {}", String::from_utf8_lossy(data)),
        Out::Shutdown => "SHUTDOWN".to_owned(),
    }
}

struct Play {
    session: Session,
    text: String,
}

impl Play {
    fn line(&mut self, line: impl std::fmt::Display) {
        writeln!(self.text, "  {line}").unwrap();
    }

    /// Lets a stream send what it can.
    fn drain(&mut self, number: u64) {
        loop {
            match self.session.next(number) {
                Step::Send(out) => self.line(show(&out)),
                Step::HandOver(_) => {
                    if let Some(out) = self.session.handed_over(number) {
                        self.line(show(&out));
                    }
                }
                Step::Wait => return,
                Step::End => return self.line("end"),
            }
        }
    }

    fn command(&mut self, command: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["launch", id] => self.launch(&[id], Progress::New, false),
            ["launch", id, "handed"] => self.launch(&[id], Progress::HandedOver, false),
            ["launch", id, "answered"] => self.launch(&[id], Progress::Answered, false),
            ["launch", id, "as", uid] => {
                let launched = self.session.launch(vec![launch(uid, id, Progress::New)], false);
                self.refused(launched);
            }
            ["group", ref ids @ ..] => self.launch(ids, Progress::New, true),
            ["kill", id] => self.kill(id, None),
            ["kill", id, grace] => self.kill(id, Some(policy(grace))),
            ["shutdown", at] => {
                let uids = self.session.shutdown(Duration::from_secs(at.parse().unwrap()));
                if !uids.is_empty() {
                    self.line(format!("not handed over: {}", uids.join(" ")));
                }
            }
            ["subscribe", ref listed @ ..] => {
                let before = self.session.number;
                let number = self.session.subscribe();
                if before > 0 {
                    self.drain(before);
                }
                let listed = listed.iter().map(|&id| id.to_owned()).collect();
                self.session.recovered(number, &listed);
            }
            ["disconnect"] => self.session.disconnected(self.session.number),
            ["update", id, state, uuid] => self.update(id, state == "end", uuid, Stored::New),
            ["repeat", id, state, uuid] => self.update(id, state == "end", uuid, Stored::Known),
            ["late", id, uuid] => self.update(id, false, uuid, Stored::AfterEnd),
            ["message", text] => {
                if let Err(error) = self.session.message(Bytes::copy_from_slice(text.as_bytes())) {
                    self.line(error);
                }
            }
            ["ended", id] => self.session.ended(&uid_of(id)),
            ["tick", at] => self.session.tick(Duration::from_secs(at.parse().unwrap())),
            ["close"] => self.session.close(),
            ["standing"] => {
                let standing = self.session.standing();
                let flags = [
                    (standing.subscribed, "subscribed"),
                    (standing.connected, "connected"),
                    (standing.overdue, "overdue"),
                    (standing.unneeded, "unneeded"),
                    (standing.grace_over, "grace over"),
                ];
                let mut told: Vec<_> = flags
                    .iter()
                    .filter(|(set, _)| *set)
                    .map(|(_, name)| (*name).to_owned())
                    .collect();
                told.extend(standing.lost.iter().map(|uid| format!("lost {uid}")));
                self.line(if told.is_empty() { "-".to_owned() } else { told.join(", ") });
            }
            _ => panic!("no such command: {command}"),
        }
        if self.session.connected() || self.session.stream == Stream::Refusing {
            self.drain(self.session.number);
        }
    }

    fn launch(&mut self, ids: &[&str], progress: Progress, group: bool) {
        let tasks = ids.iter().map(|id| launch(&uid_of(id), id, progress)).collect();
        let launched = self.session.launch(tasks, group);
        self.refused(launched);
    }

    fn refused(&mut self, launched: Result<(), Refused>) {
        if let Err(refused) = launched {
            self.line(format!("refused: {refused}"));
        }
    }

    fn kill(&mut self, id: &str, policy: Option<v1::KillPolicy>) {
        match self.session.kill(&uid_of(id), policy) {
            Killed::Told => {}
            Killed::BeforeHandover(uids) => {
                self.line(format!("killed before handover: {}", uids.join(" ")));
            }
            Killed::NotHere => self.line("not here"),
        }
    }

    fn update(&mut self, id: &str, terminal: bool, uuid: &str, stored: Stored) {
        let Some(uid) = self.session.task_of(id).map(str::to_owned) else {
            return self.line("dropped");
        };
        let uuid = uuid.as_bytes().to_vec();
        let acknowledgement = Acknowledgement { task_id: id.to_owned(), uuid };
        self.session.stored(&uid, acknowledgement, terminal, stored);
    }
}

/// Plays a script; the executor has to subscribe until second 60.
fn check(script: &str, expected: &Expect) {
    let session = Session::new(Duration::from_secs(60));
    let mut play = Play { session, text: String::new() };
    for command in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        play.text.push_str(command);
        play.text.push('\n');
        play.command(command);
    }
    expected.assert_eq(&play.text);
}

#[test]
fn what_waits_is_launched_after_subscribed_single_tasks_first() {
    check(
        "group g h
         launch a
         launch b
         subscribe
         launch c",
        &expect![[r"
            group g h
            launch a
            launch b
            subscribe
              SUBSCRIBED
              LAUNCH a
              LAUNCH b
              LAUNCH_GROUP g h
            launch c
              LAUNCH c
        "]],
    );
}

#[test]
fn a_launch_is_handed_over_once_however_often_it_is_asked_for() {
    check(
        "launch a
         launch a
         subscribe
         launch a
         disconnect
         launch a
         subscribe a
         launch a
         update a running u1
         subscribe
         launch a",
        &expect![[r"
            launch a
            launch a
            subscribe
              SUBSCRIBED
              LAUNCH a
            launch a
            disconnect
            launch a
            subscribe a
              end
              SUBSCRIBED
            launch a
            update a running u1
              ACKNOWLEDGED a u1
            subscribe
              end
              SUBSCRIBED
            launch a
        "]],
    );
}

#[test]
fn a_task_that_the_executor_does_not_list_was_lost_on_its_way() {
    check(
        "launch a
         launch b
         subscribe
         subscribe b
         standing
         launch a
         kill a
         ended a
         standing
         launch a",
        &expect![[r"
            launch a
            launch b
            subscribe
              SUBSCRIBED
              LAUNCH a
              LAUNCH b
            subscribe b
              end
              SUBSCRIBED
            standing
              subscribed, connected, lost uid-a
            launch a
            kill a
              not here
            ended a
            standing
              subscribed, connected
            launch a
              LAUNCH a
        "]],
    );
}

#[test]
fn a_task_that_answered_need_not_be_listed() {
    check(
        "launch a
         subscribe
         update a running u1
         subscribe
         standing",
        &expect![[r"
            launch a
            subscribe
              SUBSCRIBED
              LAUNCH a
            update a running u1
              ACKNOWLEDGED a u1
            subscribe
              end
              SUBSCRIBED
            standing
              subscribed, connected
        "]],
    );
}

#[test]
fn after_a_restart_of_the_agent_each_task_goes_on_from_where_it_stood() {
    check(
        "launch new
         launch listed handed
         launch gone handed
         launch told answered
         subscribe listed
         standing
         update listed running u1
         update told end u2",
        &expect![[r"
            launch new
            launch listed handed
            launch gone handed
            launch told answered
            subscribe listed
              SUBSCRIBED
              LAUNCH new
            standing
              subscribed, connected, lost uid-gone
            update listed running u1
              ACKNOWLEDGED listed u1
            update told end u2
              ACKNOWLEDGED told u2
        "]],
    );
}

#[test]
fn an_update_brought_along_shows_that_the_task_arrived() {
    let mut session = Session::new(Duration::from_secs(60));
    session.launch(vec![launch("uid-a", "a", Progress::HandedOver)], false).unwrap();
    let number = session.subscribe();
    let uid = session.task_of("a").unwrap().to_owned();
    let acknowledgement = Acknowledgement { task_id: "a".to_owned(), uuid: vec![1; 16] };
    session.stored(&uid, acknowledgement.clone(), false, Stored::New);
    session.recovered(number, &BTreeSet::new());
    assert!(session.standing().lost.is_empty());
    assert_eq!(session.next(number), Step::Send(Out::Subscribed));
    assert_eq!(session.next(number), Step::Send(Out::Acknowledged(acknowledgement)));
    assert_eq!(session.next(number), Step::Wait);
}

#[test]
fn an_update_of_a_lost_task_shows_that_it_was_not() {
    check(
        "launch a handed
         subscribe
         standing
         update a running u1
         standing
         launch b handed
         launch b
         late a u2
         update a running u3",
        &expect![[r"
            launch a handed
            subscribe
              SUBSCRIBED
            standing
              subscribed, connected, lost uid-a
            update a running u1
              ACKNOWLEDGED a u1
            standing
              subscribed, connected
            launch b handed
            launch b
            late a u2
              ACKNOWLEDGED a u2
            update a running u3
              ACKNOWLEDGED a u3
        "]],
    );
}

#[test]
fn a_second_subscribe_ends_the_older_stream() {
    check(
        "subscribe
         subscribe
         standing
         disconnect
         standing",
        &expect![[r"
            subscribe
              SUBSCRIBED
            subscribe
              end
              SUBSCRIBED
            standing
              subscribed, connected
            disconnect
            standing
              subscribed
        "]],
    );
    let mut session = Session::new(Duration::from_secs(60));
    let first = session.subscribe();
    let second = session.subscribe();
    assert_eq!(session.next(first), Step::End);
    session.disconnected(first);
    assert!(session.connected(), "the end of the older stream is not the end of the newer one");
    assert_eq!(session.recovered(first, &BTreeSet::new()), 0);
    assert_eq!(session.next(second), Step::Wait, "not before its own updates were looked at");
}

#[test]
fn an_update_is_acknowledged_each_time_it_comes() {
    check(
        "launch a
         update a running u0
         subscribe
         update a running u1
         repeat a running u1
         disconnect
         update a end u2
         repeat a end u2
         subscribe
         late a u3",
        &expect![[r"
            launch a
            update a running u0
              dropped
            subscribe
              SUBSCRIBED
              LAUNCH a
            update a running u1
              ACKNOWLEDGED a u1
            repeat a running u1
              ACKNOWLEDGED a u1
            disconnect
            update a end u2
            repeat a end u2
            subscribe
              end
              SUBSCRIBED
              ACKNOWLEDGED a u2
            late a u3
              ACKNOWLEDGED a u3
        "]],
    );
}

#[test]
fn an_update_of_a_task_that_the_executor_was_not_given_is_dropped() {
    check(
        "update x running u1
         subscribe
         update x running u1
         launch a
         update a end u2
         ended a
         update a running u3",
        &expect![[r"
            update x running u1
              dropped
            subscribe
              SUBSCRIBED
            update x running u1
              dropped
            launch a
              LAUNCH a
            update a end u2
              ACKNOWLEDGED a u2
            ended a
            update a running u3
              dropped
        "]],
    );
}

#[test]
fn calls_are_taken_from_the_first_subscribe_on_even_while_shutting_down() {
    let mut session = Session::new(Duration::from_secs(60));
    assert!(!session.takes_calls());
    session.shutdown(Duration::from_secs(5));
    assert!(!session.takes_calls(), "what it kept comes first, with its SUBSCRIBE");
    session.subscribe();
    assert!(session.takes_calls());
}

#[test]
fn a_kill_before_the_hand_over_takes_the_whole_launch_back() {
    check(
        "launch a
         launch b
         group g h
         kill a
         kill h
         subscribe
         kill a
         launch a",
        &expect![[r"
            launch a
            launch b
            group g h
            kill a
              killed before handover: uid-a
            kill h
              killed before handover: uid-g uid-h
            subscribe
              SUBSCRIBED
              LAUNCH b
            kill a
              not here
            launch a
        "]],
    );
}

#[test]
fn a_kill_during_the_hand_over_is_one_before_it() {
    let mut session = Session::new(Duration::from_secs(60));
    session.launch(vec![launch("uid-a", "a", Progress::New)], false).unwrap();
    let number = session.subscribe();
    session.recovered(number, &BTreeSet::new());
    assert_eq!(session.next(number), Step::Send(Out::Subscribed));
    assert_eq!(session.next(number), Step::HandOver(vec!["uid-a".to_owned()]));
    assert_eq!(session.kill("uid-a", None), Killed::BeforeHandover(vec!["uid-a".to_owned()]));
    assert_eq!(session.handed_over(number), None);
    assert_eq!(session.next(number), Step::Send(Out::Shutdown), "nothing is left for it to do");
}

#[test]
fn a_hand_over_that_failed_or_whose_stream_ended_comes_again() {
    let mut session = Session::new(Duration::from_secs(60));
    session.launch(vec![launch("uid-a", "a", Progress::New)], false).unwrap();
    let first = session.subscribe();
    session.recovered(first, &BTreeSet::new());
    assert_eq!(session.next(first), Step::Send(Out::Subscribed));
    assert_eq!(session.next(first), Step::HandOver(vec!["uid-a".to_owned()]));
    session.not_handed_over(first);
    assert_eq!(session.next(first), Step::HandOver(vec!["uid-a".to_owned()]));
    let second = session.subscribe();
    assert_eq!(session.handed_over(first), None);
    session.recovered(second, &BTreeSet::new());
    assert!(session.standing().lost.is_empty(), "it never went out");
    assert_eq!(session.next(second), Step::Send(Out::Subscribed));
    assert_eq!(session.next(second), Step::HandOver(vec!["uid-a".to_owned()]));
    assert!(session.handed_over(second).is_some());
}

#[test]
fn a_kill_is_repeated_on_a_new_stream_until_the_task_is_over() {
    check(
        "launch a
         subscribe
         kill a
         kill a
         kill a 3
         disconnect
         subscribe a
         update a running u1
         update a end u2
         subscribe",
        &expect![[r"
            launch a
            subscribe
              SUBSCRIBED
              LAUNCH a
            kill a
              KILL a
            kill a
            kill a 3
              KILL a grace=3
            disconnect
            subscribe a
              end
              SUBSCRIBED
              KILL a grace=3
            update a running u1
              ACKNOWLEDGED a u1
            update a end u2
              ACKNOWLEDGED a u2
            subscribe
              end
              SUBSCRIBED
        "]],
    );
}

#[test]
fn a_kill_waits_for_the_executor() {
    check(
        "launch a answered
         kill a 7
         subscribe",
        &expect![[r"
            launch a answered
            kill a 7
            subscribe
              SUBSCRIBED
              KILL a grace=7
        "]],
    );
}

#[test]
fn an_executor_all_of_whose_tasks_were_killed_is_shut_down_when_it_subscribes() {
    check(
        "launch a
         kill a
         standing
         subscribe
         standing
         launch b",
        &expect![[r"
            launch a
            kill a
              killed before handover: uid-a
            standing
              -
            subscribe
              SHUTDOWN
              end
            standing
              subscribed, unneeded
            launch b
              refused: the executor is shutting down
        "]],
    );
}

#[test]
fn an_executor_that_never_was_given_anything_may_wait() {
    check(
        "subscribe
         standing
         launch a",
        &expect![[r"
            subscribe
              SUBSCRIBED
            standing
              subscribed, connected
            launch a
              LAUNCH a
        "]],
    );
}

#[test]
fn after_shutdown_there_is_nothing_but_acknowledgements() {
    check(
        "launch a
         subscribe
         shutdown 105
         launch b
         kill a
         message hello
         update a end u1
         subscribe
         standing",
        &expect![[r"
            launch a
            subscribe
              SUBSCRIBED
              LAUNCH a
            shutdown 105
              SHUTDOWN
            launch b
              refused: the executor is shutting down
            kill a
            message hello
              the executor is not connected
            update a end u1
              ACKNOWLEDGED a u1
            subscribe
              end
              SHUTDOWN
              end
            standing
              subscribed
        "]],
    );
}

#[test]
fn shutdown_tells_what_was_not_handed_over() {
    check(
        "launch a
         group g h
         shutdown 10
         kill g
         subscribe
         shutdown 11",
        &expect![[r"
            launch a
            group g h
            shutdown 10
              not handed over: uid-a uid-g uid-h
            kill g
              not here
            subscribe
              SHUTDOWN
              end
            shutdown 11
        "]],
    );
}

#[test]
fn an_executor_that_is_ending_still_reports_on_what_it_has() {
    check(
        "shutdown 10
         launch a answered
         launch b handed
         launch c
         subscribe b
         update a end u1
         standing",
        &expect![[r"
            shutdown 10
            launch a answered
            launch b handed
            launch c
              refused: the executor is shutting down
            subscribe b
              SHUTDOWN
              end
            update a end u1
            standing
              -
        "]],
    );
}

#[test]
fn the_grace_of_a_shutdown_can_only_become_shorter() {
    check(
        "subscribe
         shutdown 10
         shutdown 20
         tick 9
         standing
         shutdown 8
         tick 8
         standing",
        &expect![[r"
            subscribe
              SUBSCRIBED
            shutdown 10
              SHUTDOWN
            shutdown 20
            tick 9
            standing
              subscribed, connected
            shutdown 8
            tick 8
            standing
              subscribed, connected, grace over
        "]],
    );
}

#[test]
fn who_does_not_subscribe_in_time_is_overdue() {
    check(
        "launch a
         tick 59
         standing
         tick 60
         standing
         launch b
         subscribe
         standing",
        &expect![[r"
            launch a
            tick 59
            standing
              -
            tick 60
            standing
              overdue
            launch b
              refused: the executor is shutting down
            subscribe
              SHUTDOWN
              end
            standing
              overdue
        "]],
    );
    check(
        "subscribe
         disconnect
         tick 1000
         standing",
        &expect![[r"
            subscribe
              SUBSCRIBED
            disconnect
            tick 1000
            standing
              subscribed
        "]],
    );
}

#[test]
fn messages_go_only_to_who_is_there() {
    check(
        "message early
         subscribe
         message hello
         disconnect
         message late
         subscribe",
        &expect![[r"
            message early
              the executor is not connected
            subscribe
              SUBSCRIBED
            message hello
              MESSAGE hello
            disconnect
            message late
              the executor is not connected
            subscribe
              end
              SUBSCRIBED
        "]],
    );
}

#[test]
fn messages_that_are_not_read_are_bounded() {
    let mut session = Session::new(Duration::from_secs(60));
    session.subscribe();
    let sent = (0..1000).take_while(|_| session.message(Bytes::from_static(b"x")).is_ok()).count();
    assert_eq!(sent, 256);
    session.subscribe();
    let large = Bytes::from(vec![0; 3 << 20]);
    assert_eq!(session.message(large.clone()), Ok(()));
    assert_eq!(session.message(large), Err(Undelivered::Full));
    session.subscribe();
    assert_eq!(session.message(Bytes::from(vec![0; 5 << 20])), Ok(()), "one alone may be larger");
}

#[test]
fn a_mesos_id_is_free_when_its_task_is_over() {
    check(
        "launch a
         launch a as uid-2
         subscribe
         update a end u1
         launch a as uid-2
         update a running u2
         ended a
         update a running u3
         group x x",
        &expect![[r"
            launch a
            launch a as uid-2
              refused: the executor has a task of this id
            subscribe
              SUBSCRIBED
              LAUNCH a
            update a end u1
              ACKNOWLEDGED a u1
            launch a as uid-2
              LAUNCH a
            update a running u2
              ACKNOWLEDGED a u2
            ended a
            update a running u3
              ACKNOWLEDGED a u3
            group x x
              refused: the executor has a task of this id
        "]],
    );
}

#[test]
fn an_old_update_that_is_repeated_is_not_about_the_new_task_of_its_id() {
    let mut session = Session::new(Duration::from_secs(60));
    session.launch(vec![launch("uid-1", "a", Progress::Answered)], false).unwrap();
    let end = Acknowledgement { task_id: "a".to_owned(), uuid: vec![1; 16] };
    assert!(!session.repeated(&end));
    session.stored("uid-1", end.clone(), true, Stored::New);
    session.launch(vec![launch("uid-2", "a", Progress::Answered)], false).unwrap();
    assert!(session.repeated(&end));
    assert_eq!(session.task_of("a"), Some("uid-2"));
    assert!(!session.repeated(&Acknowledgement { task_id: "a".to_owned(), uuid: vec![2; 16] }));
}

#[test]
fn a_group_that_was_not_written_down_as_a_whole_was_not_sent() {
    let mut session = Session::new(Duration::from_secs(60));
    let group = |session: &mut Session, progress: [Progress; 2]| {
        session.launch(vec![launch("u", "g", progress[0]), launch("v", "h", progress[1])], true)
    };
    group(&mut session, [Progress::HandedOver, Progress::New]).unwrap();
    let number = session.subscribe();
    session.recovered(number, &BTreeSet::new());
    assert_eq!(session.next(number), Step::Send(Out::Subscribed));
    assert_eq!(session.next(number), Step::HandOver(vec!["u".to_owned(), "v".to_owned()]));

    for progress in
        [[Progress::HandedOver, Progress::HandedOver], [Progress::Answered, Progress::New]]
    {
        let mut session = Session::new(Duration::from_secs(60));
        group(&mut session, progress).unwrap();
        let number = session.subscribe();
        session.recovered(number, &BTreeSet::from(["g".to_owned(), "h".to_owned()]));
        assert_eq!(session.next(number), Step::Send(Out::Subscribed));
        assert_eq!(session.next(number), Step::Wait, "{progress:?}");
    }
}

#[test]
fn a_task_that_ended_before_the_hand_over_leaves_its_group() {
    check(
        "group g h
         ended g
         launch a
         ended a
         subscribe",
        &expect![[r"
            group g h
            ended g
            launch a
            ended a
            subscribe
              SUBSCRIBED
              LAUNCH_GROUP h
        "]],
    );
}

#[test]
fn nothing_goes_out_after_the_executor_was_forgotten() {
    check(
        "launch a
         subscribe
         close
         standing",
        &expect![[r"
            launch a
            subscribe
              SUBSCRIBED
              LAUNCH a
            close
            standing
              subscribed
        "]],
    );
}
