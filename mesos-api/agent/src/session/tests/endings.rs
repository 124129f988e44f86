//! An executor that is not needed, shuts down or is forgotten.

use expect_test::expect;

use super::script::check;

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
