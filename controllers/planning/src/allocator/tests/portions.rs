//! How much is offered at once: by shares, limits, and what is of use.

use expect_test::expect;

use super::script::check;

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
