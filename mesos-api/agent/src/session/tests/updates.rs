//! Updates are acknowledged, and ids come free.

use expect_test::expect;

use super::script::{check, launch};
use crate::session::*;

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
         update a end u2",
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
        "]],
    );
}

#[test]
fn what_is_said_of_a_task_that_is_over_is_acknowledged_and_lost() {
    check(
        "launch a
         subscribe
         update a end u1
         ended a
         update a end u1
         update a running u2
         launch a as uid-2
         update a running u3",
        &expect![[r"
            launch a
            subscribe
              SUBSCRIBED
              LAUNCH a
            update a end u1
              ACKNOWLEDGED a u1
            ended a
            update a end u1
              ACKNOWLEDGED a u1
            update a running u2
              ACKNOWLEDGED a u2
            launch a as uid-2
              LAUNCH a
            update a running u3
              ACKNOWLEDGED a u3
        "]],
    );
}

#[test]
fn an_executor_hears_of_what_the_agent_stored_before_it_died() {
    check(
        "remember a u1
         subscribe
         update a end u1
         update b end u2",
        &expect![[r"
            remember a u1
            subscribe
              SUBSCRIBED
            update a end u1
              ACKNOWLEDGED a u1
            update b end u2
              dropped
        "]],
    );
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
