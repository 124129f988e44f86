//! Which offers are taken back, for whom.

use expect_test::expect;

use super::script::check;

#[test]
fn offers_are_taken_back_when_the_agent_drains_shrinks_or_leaves() {
    check(
        "agent a cpu=4 memory=4Gi
         seat f
         allocate
         agent a cpu=4 memory=4Gi closed
         allocate
         agent a cpu=4 memory=4Gi
         allocate
         agent a cpu=3 memory=4Gi
         allocate
         gone agent a
         allocate
         shares",
        expect![[r##"
            #1:f@a(cpu=4 memory=4Gi)
            -#1
            #2:f@a(cpu=4 memory=4Gi)
            #3:f@a(cpu=3 memory=4Gi) -#2
            -#3
            default 0.0% "" pending=0
        "##]],
    );
}

#[test]
fn an_offer_that_somebody_is_about_to_use_is_not_taken_back() {
    check(
        "agent a cpu=4 memory=4Gi
         seat f
         allocate
         hold 1
         agent a cpu=4 memory=4Gi closed
         now 70000
         allocate
         accept f 1 - t1,cpu=1,memory=1Gi
         allocate
         shares",
        expect![[r##"
            #1:f@a(cpu=4 memory=4Gi)
            -
            -
            default 25.0% "cpu=1 memory=1Gi" pending=0
        "##]],
    );
}

#[test]
fn a_role_below_its_guarantee_goes_first_and_takes_offers_back() {
    check(
        "agent a cpu=8 memory=8Gi
         seat f/other
         allocate
         role sure cpu>3
         task t1 cpu=2 role=sure
         task t2 cpu=2 role=sure
         task t3 cpu=2 role=sure
         allocate
         shares",
        expect![[r##"
            #1:f@a(cpu=8 memory=8Gi)
            t1@a t2@a #2:f@a(cpu=4 memory=4Gi) -#1
            other 50.0% "cpu=4 memory=4Gi" pending=0
            sure 50.0% "cpu=4" pending=1
        "##]],
    );
}

#[test]
fn offers_within_a_guarantee_are_not_taken_back() {
    check(
        "agent a cpu=8 memory=8Gi
         role first cpu>6
         seat f/first
         allocate
         role sure cpu>3
         task t1 cpu=2 role=sure
         allocate
         decline 1 5000
         allocate",
        expect![[r#"
            #1:f@a(cpu=8 memory=8Gi)
            -
            t1@a
        "#]],
    );
}

#[test]
fn a_guarantee_is_served_when_its_seat_wants_again() {
    check(
        "agent a cpu=4 memory=4Gi
         role sure cpu>4
         seat s/sure
         allocate
         decline 1 3000
         seat x/other
         allocate
         now 3000
         allocate",
        expect![[r#"
            #1:s@a(cpu=4 memory=4Gi)
            #2:x@a(cpu=4 memory=4Gi)
            #3:s@a(cpu=4 memory=2Gi) -#2
        "#]],
    );
}

#[test]
fn a_guarantee_within_another_takes_back_from_its_siblings() {
    check(
        "agent a cpu=4 memory=4Gi
         role p cpu>4
         role p/s cpu>2
         seat f/p/x
         allocate
         task t cpu=2 role=p/s
         allocate",
        expect![[r#"
            #1:f@a(cpu=4 memory=4Gi)
            t@a #2:f@a(cpu=2 memory=4Gi) -#1
        "#]],
    );
}

/// One agent is refused up to the limit; the other is in the hands of another.
#[test]
fn a_guarantee_that_is_the_limit_too_takes_back_after_a_refusal() {
    check(
        "agent b cpu=4 memory=4Gi
         seat x/other
         allocate
         agent a cpu=8 memory=8Gi
         role sure cpu>4 cpu<4
         seat s/sure
         allocate
         decline 2 5000
         allocate",
        expect![[r#"
            #1:x@b(cpu=4 memory=4Gi)
            #2:s@a(cpu=4 memory=4Gi) #3:x@a(cpu=4 memory=4Gi)
            #4:x@a(cpu=4 memory=4Gi) #5:s@b(cpu=4 memory=4Gi) -#1
        "#]],
    );
}

#[test]
fn tasks_that_fit_on_no_agent_hide_no_other_from_a_guarantee() {
    let mut script =
        String::from("agent a cpu=4 memory=4Gi\nrole sure cpu>4\nseat x/other\nallocate\n");
    for cpu in 100..120 {
        script.push_str(&format!("task a{cpu} cpu={cpu} role=sure fw=f\n"));
    }
    script.push_str("task t cpu=2 role=sure fw=f\nallocate");
    check(
        &script,
        expect![[r#"
        #1:x@a(cpu=4 memory=4Gi)
        t@a #2:x@a(cpu=2 memory=4Gi) -#1
    "#]],
    );
}

#[test]
fn a_lowered_limit_takes_offers_back() {
    check(
        "agent a cpu=4 memory=4Gi
         role eng cpu<8
         seat f/eng
         allocate
         role eng cpu<1
         allocate",
        expect![[r#"
            #1:f@a(cpu=4 memory=4Gi)
            #2:f@a(cpu=1 memory=1Gi) -#1
        "#]],
    );
}

#[test]
fn who_does_not_answer_makes_room_for_who_has_less() {
    check(
        "agent a cpu=4 memory=4Gi
         seat silent
         allocate
         seat polite/b
         allocate
         deadline
         now 4999
         allocate
         now 5000
         allocate
         decline 2 6000
         allocate
         now 10000
         allocate",
        expect![[r#"
            #1:silent@a(cpu=4 memory=4Gi)
            -
            Some(5000)
            -
            #2:polite@a(cpu=4 memory=4Gi) -#1
            -
            #3:polite@a(cpu=2 memory=2Gi) #4:silent@a(cpu=2 memory=2Gi)
        "#]],
    );
}

#[test]
fn a_task_that_waits_gets_what_is_held_without_an_answer() {
    check(
        "agent a cpu=4 memory=4Gi
         seat silent
         allocate
         now 6000
         task t cpu=1 memory=1Gi role=b
         allocate
         now 7000
         task u cpu=1 memory=1Gi role=b
         allocate",
        expect![[r#"
            #1:silent@a(cpu=4 memory=4Gi)
            t@a -#1
            u@a
        "#]],
    );
}

/// Two that think for long about their halves, and one that holds half and is not ahead.
#[test]
fn nothing_is_taken_from_who_is_not_ahead() {
    check(
        "agent a cpu=4 memory=4Gi
         seat f/a
         seat g/b
         allocate
         now 6000
         allocate
         task t cpu=1 memory=1Gi role=a fw=f
         allocate",
        expect![[r#"
            #1:f@a(cpu=2 memory=2Gi) #2:g@a(cpu=2 memory=2Gi)
            -
            -
        "#]],
    );
}
