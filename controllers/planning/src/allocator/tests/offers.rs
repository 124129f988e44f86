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
