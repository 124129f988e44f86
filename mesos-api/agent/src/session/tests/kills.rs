//! Kills before, during and after the hand-over.

use expect_test::expect;

use super::script::{check, launch};
use crate::session::*;

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
    assert_eq!(session.kill("uid-a", None, 0), Killed::BeforeHandover(vec!["uid-a".to_owned()]));
    assert_eq!(session.handed_over(number), None);
    assert_eq!(session.next(number), Step::Send(Out::Shutdown), "nothing is left for it to do");
}

#[test]
fn a_kill_is_told_when_it_is_asked_for_again_and_on_a_new_stream_until_the_task_is_over() {
    check(
        "launch a
         subscribe
         kill a
         kill a
         kill a 3
         kill a 3
         kill a 3 repeat 1
         kill a 3 repeat 1
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
            kill a 3
            kill a 3 repeat 1
              KILL a grace=3
            kill a 3 repeat 1
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
