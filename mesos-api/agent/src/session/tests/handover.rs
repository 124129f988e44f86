//! What waits is handed over once, alone or as a group.

use expect_test::expect;

use super::script::{check, launch};
use crate::session::*;

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
