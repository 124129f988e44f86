//! Why a task waits, in words.

use expect_test::expect;

use super::script::check;

#[test]
fn there_are_no_agents() {
    check(
        "task t cpu=4 \n allocate \n explain t",
        expect![[r#"
        -
        needs 4 cpus; there are no agents
    "#]],
    );
}

#[test]
fn larger_than_any_agent() {
    check(
        "agent a cpu=8 memory=8Gi
         agent b cpu=4 memory=64Gi
         agent c cpu=2
         task cpus cpu=64
         task memory cpu=1 memory=65Gi
         task gpu gpu=1
         task gpus cpu=1 gpu=2
         task both cpu=8 memory=64Gi
         allocate
         explain cpus
         explain memory
         explain gpu
         explain gpus
         explain both
         gone agent a
         gone agent b
         allocate
         explain cpus
         explain gpu",
        expect![[r#"
            -
            needs 64 cpus; the largest of 3 agents has 8
            needs 1 cpu and 65Gi memory; the largest of 3 agents has 64Gi memory
            needs 1 gpu; none of 3 agents has any
            needs 1 cpu and 2 gpus; none of 3 agents has any gpu
            needs 8 cpus and 64Gi memory; none of 3 agents has both
            -
            needs 64 cpus; the only agent has 2
            needs 1 gpu; the only agent does not have any
        "#]],
    );
}

#[test]
fn all_that_are_large_enough_are_full_or_closed() {
    check(
        "agent a cpu=4
         agent b cpu=8 memory=1Gi
         agent c cpu=2
         agent d cpu=4 closed
         task h1 cpu=3 at=a
         task h2 cpu=6500m at=b
         task t cpu=4
         task m cpu=2 memory=1Gi
         allocate
         explain t
         task h3 cpu=2 at=b
         allocate
         explain m
         agent a cpu=4 closed
         agent b cpu=8 closed
         allocate
         explain t
         explain m",
        expect![[r#"
            -
            needs 4 cpus; 3 of 4 agents have them; 2 of them full, 1 takes no new tasks (at most 1.5 cpus free)
            -
            needs 2 cpus and 1Gi memory; 1 of 4 agents has them; it is full (at most 0 cpus free)
            -
            needs 4 cpus; 3 of 4 agents have them; all 3 take no new tasks
            needs 2 cpus and 1Gi memory; none of 4 agents has any memory
        "#]],
    );
}

#[test]
fn no_agent_that_is_large_enough_meets_the_constraints() {
    check(
        "agent a cpu=4 zone:eu
         agent b cpu=4 zone:us
         agent c cpu=1 zone:asia
         task t1 cpu=4 in:zone=asia
         task t2 cpu=4 in:zone=us notin:agent=b
         task t3 memory=0 exists:gpu-model
         task t4 cpu=2 in:zone=eu
         task held cpu=3 at=a
         allocate
         explain t1
         explain t2
         explain t3
         explain t4",
        expect![[r#"
            -
            needs 4 cpus; 2 of 3 agents have them; none of these matches `zone in [asia]`
            needs 4 cpus; 2 of 3 agents have them; none of these matches all of its constraints
            needs any agent; there are 3 agents; none of these matches `gpu-model exists`
            needs 2 cpus; 2 of 3 agents have them; 1 of these matches its constraints; it is full (at most 1 cpu free)
        "#]],
    );
}

#[test]
fn a_role_has_reached_its_limit() {
    check(
        "agent a cpu=16
         role eng cpu<8
         task h cpu=6 role=eng/web at=a
         task t cpu=4 role=eng/etl
         allocate
         explain t",
        expect![[r#"
            -
            needs 4 cpus; role eng holds 6 of its limit of 8 cpus
        "#]],
    );
}

#[test]
fn the_agent_of_a_shared_volume_cannot_take_it() {
    check(
        "agent a cpu=4 memory=4Gi
         agent b cpu=9 memory=9Gi
         task m cpu=3 fw=f vol=v at=a
         task t cpu=2 fw=f vol=v
         allocate
         explain t
         agent a cpu=4 closed
         allocate
         explain t
         agent a cpu=1
         allocate
         explain t
         gone agent a
         allocate
         explain t
         task n fw=f vol=w at=b
         task both fw=f vol=v vol=w
         allocate
         explain both",
        expect![[r#"
            -
            needs 2 cpus; its shared volume v is on agent a, which has 1 cpu free
            -
            needs 2 cpus; its shared volume v is on agent a, which takes no new tasks
            -
            needs 2 cpus; its shared volume v is on agent a, which has only 1 cpu
            -
            needs 2 cpus; its shared volume v is on agent a, which is gone
            -
            needs any agent; its shared volumes are on different agents: v on a, w on b
        "#]],
    );
}

#[test]
fn it_waits_for_its_turn() {
    check(
        "agent a cpu=4
         task t1 cpu=1 role=eng
         task t2 cpu=1 role=eng
         task t3 cpu=1 role=eng
         allocate 1
         explain t1
         explain t3",
        expect![[r#"
            t1@a
            -
            needs 1 cpu; 1 of 1 agents has room; it waits for its turn: role eng holds 25.0% of the cluster and has 2 waiting tasks
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
