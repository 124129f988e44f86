//! What a SUBSCRIBE says of the tasks before it, and who is overdue.

use expect_test::expect;

use super::script::{check, launch};
use crate::session::*;

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
fn calls_are_taken_from_the_first_subscribe_on_even_while_shutting_down() {
    let mut session = Session::new(Duration::from_secs(60));
    assert!(!session.takes_calls());
    session.shutdown(Duration::from_secs(5));
    assert!(!session.takes_calls(), "what it kept comes first, with its SUBSCRIBE");
    session.subscribe();
    assert!(session.takes_calls());
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
