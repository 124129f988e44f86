//! Who is offered what, and what becomes of it.

use expect_test::expect;

use super::script::check;

#[test]
fn one_scheduler_alone_is_offered_all_there_is() {
    check(
        "agent a cpu=4 memory=8Gi gpu=1
         agent b cpu=2 memory=4Gi closed
         agent c cpu=2 memory=4Gi
         seat f
         allocate
         allocate
         shares",
        expect![[r##"
            #1:f@a(cpu=4 gpu=1 memory=8Gi) #2:f@c(cpu=2 memory=4Gi)
            -
            default 100.0% "cpu=6 gpu=1 memory=12Gi" pending=0
        "##]],
    );
}

#[test]
fn what_is_offered_is_nobody_elses() {
    check(
        "agent a cpu=4 memory=4Gi
         seat f
         allocate
         seat g
         task t cpu=1
         allocate
         decline 1 5000
         allocate",
        expect![[r#"
            #1:f@a(cpu=4 memory=4Gi)
            -
            t@a #2:g@a(cpu=3 memory=4Gi)
        "#]],
    );
}

#[test]
fn a_declined_offer_comes_back_when_its_filter_ends_or_the_agent_has_more() {
    check(
        "agent a cpu=4 memory=4Gi
         seat f
         allocate
         decline 1 5000
         allocate
         now 4999
         allocate
         agent a cpu=5 memory=4Gi
         allocate
         decline 2 8000
         deadline
         agent a cpu=3 memory=4Gi
         allocate
         now 8000
         allocate
         deadline",
        expect![[r#"
            #1:f@a(cpu=4 memory=4Gi)
            -
            -
            #2:f@a(cpu=5 memory=4Gi)
            Some(8000)
            -
            #3:f@a(cpu=3 memory=4Gi)
            Some(13000)
        "#]],
    );
}

#[test]
fn revive_clears_filters_and_suppression() {
    check(
        "agent a cpu=4 memory=4Gi
         seat f
         allocate
         decline 1 5000
         revive f
         allocate
         suppress f
         allocate
         decline 2 5000
         allocate
         revive f
         allocate",
        expect![[r#"
            #1:f@a(cpu=4 memory=4Gi)
            #2:f@a(cpu=4 memory=4Gi)
            -
            -
            #3:f@a(cpu=4 memory=4Gi)
        "#]],
    );
}

#[test]
fn filters_on_an_agent_go_when_it_is_not_what_it_was() {
    check(
        "agent a cpu=4 memory=4Gi
         seat f
         allocate
         decline 1 5000
         agent a cpu=4 memory=4Gi zone:eu
         allocate
         decline 2 5000
         gone agent a
         agent a cpu=4 memory=4Gi zone:eu
         allocate
         decline 3 5000
         agent a cpu=4 memory=4Gi gpu=1 zone:eu
         allocate
         decline 4 5000
         agent a cpu=4 memory=4Gi zone:eu
         allocate",
        expect![[r#"
            #1:f@a(cpu=4 memory=4Gi)
            #2:f@a(cpu=4 memory=4Gi)
            #3:f@a(cpu=4 memory=4Gi)
            #4:f@a(cpu=4 gpu=1 memory=4Gi)
            #5:f@a(cpu=4 memory=4Gi)
        "#]],
    );
}

#[test]
fn what_is_accepted_is_held_and_the_rest_is_refused() {
    check(
        "agent a cpu=4 memory=4Gi
         seat f
         seat g
         allocate
         accept f 1 5000 t1,cpu=1,memory=1Gi t2,cpu=500m,memory=512Mi
         allocate
         decline 2 5000
         decline 3 5000
         allocate
         shares
         task t1 uid=real cpu=1 memory=1Gi fw=f at=a
         confirm t1
         forget t2
         allocate
         shares",
        expect![[r##"
            #1:f@a(cpu=2 memory=2Gi) #2:g@a(cpu=2 memory=2Gi)
            #3:g@a(cpu=500m memory=512Mi)
            #4:g@a(cpu=2500m memory=2560Mi)
            default 100.0% "cpu=4 memory=4Gi" pending=0
            -
            default 87.5% "cpu=3500m memory=3584Mi" pending=0
        "##]],
    );
}

#[test]
fn an_accept_that_is_not_right_changes_nothing() {
    check(
        "agent a cpu=4 memory=4Gi
         agent b cpu=4 memory=4Gi
         seat f
         allocate
         accept f 7 5000 t1,cpu=1
         accept f 1,1 5000 t1,cpu=1
         accept f 1,2 5000 t1,cpu=1
         accept f 1 5000 t1,cpu=3 t2,cpu=2
         accept f 1 5000 t1,cpu=1 t1,cpu=1
         accept f 1 5000 t1,cpu=1,at=b
         accept g 1 5000 t1,cpu=1
         accept f 1 5000 t1,nonsense=1
         accept f 1 5000 t1,cpu=1
         accept f 2 5000 t1,cpu=1
         accept f 1 5000 t1,cpu=1
         allocate
         shares",
        expect![[r##"
            #1:f@a(cpu=4 memory=4Gi) #2:f@b(cpu=4 memory=4Gi)
            offer 7 is no longer valid
            offer 1 is no longer valid
            the offers are of several agents or roles
            the tasks need more than was offered
            task default/t1 exists already
            task default/t1 is not of the framework, role and agent
            task default/t1 is not of the framework, role and agent
            the tasks need more than was offered
            task default/t1 exists already
            offer 1 is no longer valid
            -
            default 62.5% "cpu=5 memory=4Gi" pending=0
        "##]],
    );
}

#[test]
fn several_offers_of_one_agent_are_accepted_together() {
    check(
        "agent a cpu=2 memory=2Gi
         task t cpu=1 memory=1Gi at=a
         seat f
         allocate
         gone task t
         allocate
         accept f 1,2 5000 both,cpu=2,memory=2Gi
         allocate",
        expect![[r#"
            #1:f@a(cpu=1 memory=1Gi)
            #2:f@a(cpu=1 memory=1Gi)
            -
        "#]],
    );
}

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
fn a_scheduler_that_lets_offers_lapse_waits_longer_each_time() {
    check(
        "agent a cpu=4 memory=4Gi
         seat f
         allocate
         deadline
         now 60000
         allocate
         deadline
         now 65000
         allocate
         now 125000
         allocate
         deadline
         now 135000
         allocate
         decline 3 136000
         now 136000
         allocate
         now 196000
         allocate
         deadline",
        expect![[r#"
            #1:f@a(cpu=4 memory=4Gi)
            Some(5000)
            -#1
            Some(65000)
            #2:f@a(cpu=4 memory=4Gi)
            -#2
            Some(135000)
            #3:f@a(cpu=4 memory=4Gi)
            #4:f@a(cpu=4 memory=4Gi)
            -#4
            Some(201000)
        "#]],
    );
}

#[test]
fn a_scheduler_that_is_gone_gives_its_offers_back_silently() {
    check(
        "agent a cpu=4 memory=4Gi
         seat f
         allocate
         gone seat f
         task t cpu=4
         allocate
         gone task t
         forget t
         seat f
         allocate
         gone agent a
         gone seat f
         allocate",
        expect![[r#"
            #1:f@a(cpu=4 memory=4Gi)
            t@a
            #2:f@a(cpu=4 memory=4Gi)
            -
        "#]],
    );
}

#[test]
fn schedulers_of_different_weight_and_tasks_share_agents() {
    check(
        "agent a cpu=8 memory=8Gi
         agent b cpu=8 memory=8Gi
         role big weight=2
         seat f/big
         seat g/small
         task t1 cpu=1 memory=1Gi role=tasks fw=h
         task t2 cpu=1 memory=1Gi role=tasks fw=h
         task t3 cpu=1 memory=1Gi role=tasks fw=h
         task t4 cpu=1 memory=1Gi role=tasks fw=h
         task t5 cpu=1 memory=1Gi role=tasks fw=h
         task t6 cpu=1 memory=1Gi role=tasks fw=h
         allocate
         shares",
        expect![[r#"
            t1@b t2@b t3@b t4@b #1:f@a(cpu=8 memory=8Gi) #2:g@b(cpu=4 memory=4Gi)
            big 50.0% "cpu=8 memory=8Gi" pending=0
            small 25.0% "cpu=4 memory=4Gi" pending=0
            tasks 25.0% "cpu=4 memory=4Gi" pending=2
        "#]],
    );
}

#[test]
fn a_scheduler_of_large_tasks_is_offered_more_than_its_entitlement_after_it_has_declined() {
    check(
        "agent a cpu=8 memory=8Gi
         seat f
         seat g
         allocate
         decline 1 5000
         allocate
         decline 3 5000
         accept g 2 5000 t1,cpu=4,memory=4Gi
         allocate
         gone task t1
         confirm t1
         allocate",
        expect![[r#"
            #1:f@a(cpu=4 memory=4Gi) #2:g@a(cpu=4 memory=4Gi)
            #3:g@a(cpu=4 memory=4Gi)
            -
            #4:f@a(cpu=8 memory=8Gi)
        "#]],
    );
}

#[test]
fn limits_bound_offers_too() {
    check(
        "agent a cpu=8 memory=8Gi
         agent b cpu=8 memory=8Gi
         role eng cpu<10
         seat f/eng
         allocate
         decline 2 5000
         allocate
         decline 1 5000
         allocate
         role eng cpu<12
         allocate",
        expect![[r#"
            #1:f@a(cpu=8 memory=8Gi) #2:f@b(cpu=2 memory=2Gi)
            #3:f@b(cpu=2 memory=4Gi)
            #4:f@b(cpu=6 memory=4Gi)
            -
        "#]],
    );
}

#[test]
fn crumbs_are_not_offered() {
    check(
        "agent a cpu=4 memory=4Gi
         agent b cpu=4
         task t1 cpu=1 memory=4080Mi at=a
         task t2 cpu=3995m at=b
         seat f
         allocate
         gone task t1
         gone task t2
         allocate",
        expect![[r#"
            -
            #1:f@a(cpu=4 memory=4Gi) #2:f@b(cpu=4)
        "#]],
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
fn a_limit_that_is_raised_within_another_wakes_who_waits() {
    check(
        "agent a cpu=8 memory=8Gi
         role eng cpu<100
         role eng/x cpu<2
         seat f/eng/x
         allocate
         decline 1 5000
         allocate
         role eng/x cpu<4
         allocate",
        expect![[r#"
            #1:f@a(cpu=2 memory=2Gi)
            #2:f@a(cpu=2 memory=4Gi)
            #3:f@a(cpu=2 memory=4Gi)
        "#]],
    );
}

#[test]
fn a_limit_on_cpus_leaves_the_memory_to_others() {
    check(
        "agent a cpu=4 memory=4Gi
         role eng cpu<1
         seat f/eng
         allocate
         seat g/other
         allocate",
        expect![[r#"
            #1:f@a(cpu=1 memory=1Gi)
            #2:g@a(cpu=3 memory=3Gi)
        "#]],
    );
}

/// Water that nobody drinks raises no level.
#[test]
fn what_everybody_refuses_is_not_divided() {
    check(
        "agent big cpu=112 memory=112Gi
         seat f
         allocate
         decline 1 5000
         seat g
         allocate
         decline 2 5000
         allocate
         agent small cpu=16 memory=16Gi
         allocate",
        expect![[r#"
            #1:f@big(cpu=112 memory=112Gi)
            #2:g@big(cpu=112 memory=112Gi)
            -
            #3:f@small(cpu=8 memory=8Gi) #4:g@small(cpu=8 memory=8Gi)
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

#[test]
fn a_task_that_waits_says_so_if_its_room_is_offered() {
    check(
        "agent a cpu=4 memory=4Gi
         agent b cpu=4 memory=4Gi
         seat f
         allocate
         task t cpu=1 memory=1Gi role=b
         allocate
         explain t
         gone agent b
         explain t",
        expect![[r#"
            #1:f@a(cpu=4 memory=4Gi) #2:f@b(cpu=4 memory=4Gi)
            -
            needs 1 cpu and 1Gi memory; 2 of 2 agents have them; both are full (at most 0 cpus and 0 memory free); what it needs is offered to schedulers on 2 of them
            needs 1 cpu and 1Gi memory; the only agent has them; it is full (at most 0 cpus and 0 memory free); what it needs is offered to schedulers
        "#]],
    );
}

#[test]
fn small_tasks_use_the_last_memory() {
    check(
        "agent a cpu=4 memory=48Mi
         seat f
         allocate
         accept f 1 0 t1,cpu=100m,memory=16Mi,role=*
         allocate
         accept f 2 0 t2,cpu=100m,memory=16Mi,role=*
         allocate
         accept f 3 0 t3,cpu=100m,memory=16Mi,role=*
         allocate",
        expect![[r#"
            #1:f@a(cpu=4 memory=48Mi)
            #2:f@a(cpu=3900m memory=32Mi)
            #3:f@a(cpu=3800m memory=16Mi)
            -
        "#]],
    );
}
