//! Who is placed, where and in which order.

use expect_test::expect;

use super::script::check;

#[test]
fn tasks_spread_over_the_emptiest_agents() {
    check(
        "agent a cpu=4
         agent b cpu=4
         task t1 cpu=1
         task t2 cpu=1
         task t3 cpu=1
         task t4 cpu=1
         allocate",
        expect![[r#"
            t1@a t2@b t3@a t4@b
        "#]],
    );
}

#[test]
fn the_emptiest_is_the_one_whose_scarcest_resource_is_least_used() {
    check(
        "agent small cpu=2 memory=2Gi
         agent large cpu=8 memory=8Gi
         task held cpu=1 memory=6Gi at=large
         task t1 cpu=1 memory=1Gi
         allocate
         task t2 cpu=500m memory=500Mi
         allocate",
        expect![[r#"
            t1@small
            t2@small
        "#]],
    );
}

#[test]
fn tasks_that_need_nothing_spread_too() {
    check(
        "agent a cpu=1
         agent b cpu=1
         task t1
         task t2
         task t3
         allocate",
        expect![[r#"
            t1@a t2@b t3@a
        "#]],
    );
}

#[test]
fn nothing_is_placed_beyond_capacity_or_on_closed_agents() {
    check(
        "agent a cpu=2 memory=1Gi
         agent b cpu=8 closed
         task t1 cpu=1 memory=512Mi
         task t2 cpu=1 memory=512Mi
         task t3 cpu=1
         task t4 memory=1Mi
         allocate
         agent b cpu=8
         allocate",
        expect![[r#"
            t1@a t2@a
            t3@b
        "#]],
    );
}

#[test]
fn an_agent_that_shrinks_takes_nothing_until_it_has_room_again() {
    check(
        "agent a cpu=4
         task t1 cpu=2
         task t2 cpu=2
         allocate
         agent a cpu=3
         task t3 cpu=1
         allocate
         task t1 cpu=2 at=a over
         allocate",
        expect![[r#"
            t1@a t2@a
            -
            t3@a
        "#]],
    );
}

#[test]
fn a_task_that_does_not_fit_holds_up_nobody() {
    check(
        "agent a cpu=4
         task big cpu=8 prio=9
         task t1 cpu=1
         allocate",
        expect![[r#"
            t1@a
        "#]],
    );
}

#[test]
fn in_a_framework_priority_goes_before_age_before_name() {
    check(
        "agent a cpu=9
         task t4 cpu=1 fw=f made=1
         task t3 cpu=1 fw=f made=1
         task t2 cpu=1 fw=f made=0
         task t1 cpu=1 fw=f made=5 prio=1
         allocate",
        expect![[r#"
            t1@a t2@a t3@a t4@a
        "#]],
    );
}

#[test]
fn frameworks_of_a_role_take_turns() {
    check(
        "agent a cpu=9
         task a1 cpu=1 fw=a
         task a2 cpu=1 fw=a
         task a3 cpu=1 fw=a
         task b1 cpu=1 fw=b
         task b2 cpu=1 fw=b
         task alone1 cpu=1
         task alone2 cpu=1
         allocate",
        expect![[r#"
            a1@a b1@a alone1@a a2@a b2@a alone2@a a3@a
        "#]],
    );
}

#[test]
fn in_a_role_the_higher_priority_goes_before_the_smaller_share() {
    check(
        "agent a cpu=4
         task a1 cpu=1 fw=a prio=1
         task a2 cpu=1 fw=a prio=1
         task b1 cpu=1 fw=b
         task other cpu=1 fw=c role=other
         allocate",
        expect![[r#"
            a1@a other@a a2@a b1@a
        "#]],
    );
}

#[test]
fn dominant_shares_are_equalized_as_in_the_paper() {
    // Ghodsi et al., 2011, figure 3: 9 cpus, 18 GB; A needs <1, 4 GB>, B needs <3, 1 GB>.
    check(
        "agent a cpu=9 memory=18Gi
         task a1 cpu=1 memory=4Gi fw=a role=a
         task a2 cpu=1 memory=4Gi fw=a role=a
         task a3 cpu=1 memory=4Gi fw=a role=a
         task a4 cpu=1 memory=4Gi fw=a role=a
         task b1 cpu=3 memory=1Gi fw=b role=b
         task b2 cpu=3 memory=1Gi fw=b role=b
         task b3 cpu=3 memory=1Gi fw=b role=b
         allocate
         shares",
        expect![[r#"
            a1@a b1@a a2@a b2@a a3@a
            a 66.7% "cpu=3 memory=12Gi" pending=1
            b 66.7% "cpu=6 memory=2Gi" pending=1
        "#]],
    );
}

#[test]
fn twice_the_weight_is_twice_the_share() {
    check(
        "agent a cpu=6
         role eng weight=2
         task e1 cpu=1 role=eng
         task e2 cpu=1 role=eng
         task e3 cpu=1 role=eng
         task e4 cpu=1 role=eng
         task e5 cpu=1 role=eng
         task o1 cpu=1 role=ops
         task o2 cpu=1 role=ops
         task o3 cpu=1 role=ops
         allocate
         shares",
        expect![[r#"
            e1@a o1@a e2@a o2@a e3@a e4@a
            eng 66.7% "cpu=4" pending=1
            ops 33.3% "cpu=2" pending=1
        "#]],
    );
}

#[test]
fn a_role_shares_with_its_siblings_and_divides_among_its_children() {
    // eng's own framework counts like a child of weight 1.
    check(
        "agent a cpu=8
         task own1 cpu=1 role=eng
         task own2 cpu=1 role=eng
         task own3 cpu=1 role=eng
         task etl1 cpu=1 role=eng/etl
         task etl2 cpu=1 role=eng/etl
         task etl3 cpu=1 role=eng/etl
         task ops1 cpu=1 role=ops
         task ops2 cpu=1 role=ops
         task ops3 cpu=1 role=ops
         task ops4 cpu=1 role=ops
         task ops5 cpu=1 role=ops
         allocate
         shares",
        expect![[r#"
            own1@a ops1@a etl1@a ops2@a own2@a ops3@a etl2@a ops4@a
            eng 50.0% "cpu=4" pending=2
            eng/etl 25.0% "cpu=2" pending=1
            ops 50.0% "cpu=4" pending=1
        "#]],
    );
}

#[test]
fn limits_hold_at_every_level_and_are_lifted_when_tasks_end() {
    check(
        "agent a cpu=16
         role eng cpu<3
         role eng/etl cpu<2
         task etl1 cpu=1 role=eng/etl
         task etl2 cpu=1 role=eng/etl
         task etl3 cpu=1 role=eng/etl
         task web1 cpu=1 role=eng/web
         task web2 cpu=1 role=eng/web
         task free cpu=1 role=ops
         allocate
         task web1 cpu=1 role=eng/web at=a over
         allocate
         role eng cpu<8
         allocate
         gone role eng/etl
         allocate",
        expect![[r#"
            etl1@a free@a web1@a etl2@a
            web2@a
            -
            etl3@a
        "#]],
    );
}

#[test]
fn constraints_choose_among_agents() {
    check(
        "agent a cpu=9 zone:eu disk:ssd
         agent b cpu=9 zone:us
         agent c cpu=9
         task in cpu=1 in:zone=us,asia
         task notin cpu=1 notin:zone=eu,us
         task exists cpu=1 exists:disk
         task absent cpu=1 absent:zone
         task name cpu=1 in:agent=b
         task none cpu=1 in:zone=mars
         allocate
         agent c cpu=9 zone:mars
         allocate",
        expect![[r#"
            absent@c exists@a in@b name@b notin@c
            none@c
        "#]],
    );
}

#[test]
fn tasks_that_share_a_volume_go_to_one_agent_even_after_the_first_has_ended() {
    check(
        "agent a cpu=2
         agent b cpu=4
         task held cpu=1 at=b
         task map0 cpu=1 fw=f vol=v
         task map1 cpu=1 fw=f vol=v
         task map2 cpu=1 fw=f vol=v
         task other cpu=1 fw=g vol=v
         allocate
         confirm map0
         task map0 cpu=1 fw=f vol=v at=a over
         task reduce cpu=1 fw=f vol=v
         allocate
         task map1 cpu=1 fw=f vol=v at=a over
         allocate",
        expect![[r#"
            map0@a other@b map1@a
            map2@a
            reduce@a
        "#]],
    );
}

#[test]
fn a_volume_is_free_again_when_no_task_that_was_placed_is_left() {
    check(
        "agent a cpu=1
         agent b cpu=1
         task t1 cpu=1 fw=f vol=v
         task t2 cpu=1 fw=f vol=v
         allocate
         forget t1
         gone task t1
         agent a cpu=1 closed
         allocate",
        expect![[r#"
            t1@a
            t2@b
        "#]],
    );
}

#[test]
fn a_forgotten_placement_is_decided_again_and_a_confirmed_one_is_not() {
    check(
        "agent a cpu=1
         task t1 cpu=1
         task t2 cpu=1
         allocate
         allocate
         forget t1
         allocate
         confirm t1
         forget t1
         allocate",
        expect![[r#"
            t1@a
            -
            t1@a
            -
        "#]],
    );
}

#[test]
fn what_is_told_meanwhile_does_not_end_an_assumption() {
    check(
        "agent a cpu=2
         task t1 cpu=2
         allocate
         task t1 cpu=1
         task t2 cpu=1
         allocate
         forget t1
         allocate",
        expect![[r#"
            t1@a
            -
            t1@a t2@a
        "#]],
    );
}

#[test]
fn the_room_of_a_removed_task_is_held_until_its_placement_is_settled() {
    check(
        "agent a cpu=1
         task t1 cpu=1
         allocate
         gone task t1
         task t1 cpu=1 uid=namesake
         task t2 cpu=1
         allocate
         confirm t1
         allocate",
        expect![[r#"
            t1@a
            -
            t1@a
        "#]],
    );
}

#[test]
fn an_older_view_of_a_placed_task_changes_nothing() {
    check(
        "agent a cpu=1
         task t1 cpu=1 at=a
         task t1 cpu=1
         allocate
         task t1 cpu=1 uid=another
         allocate",
        expect![[r#"
            -
            t1@a
        "#]],
    );
}

#[test]
fn tasks_of_an_agent_that_is_not_known_yet_are_charged_when_it_comes() {
    check(
        "task t1 cpu=3 at=a
         agent a cpu=4
         task t2 cpu=2
         task t3 cpu=1
         allocate",
        expect![[r#"
            t3@a
        "#]],
    );
}

#[test]
fn room_bounds_a_cycle_and_the_next_goes_on() {
    check(
        "agent a cpu=9
         task t1 cpu=1
         task t2 cpu=1
         task t3 cpu=1
         allocate 2
         allocate 2
         allocate 2",
        expect![[r#"
            t1@a t2@a
            t3@a
            -
        "#]],
    );
}

#[test]
fn roles_are_ordered_as_by_the_sorter_of_mesos() {
    // The amounts of the DRF test in src/tests/sorter_tests.cpp of Mesos. Tasks that need nothing
    // are placed in the order of their roles and leave it as it is.
    check(
        "agent one cpu=100 memory=100Gi
         task a cpu=5 memory=5Gi role=a at=one
         task b cpu=2 memory=2Gi role=b at=one
         task b4 cpu=4 memory=4Gi role=b at=one
         task t.a role=a
         task t.b role=b
         allocate
         task c cpu=1 memory=1Gi role=c at=one
         task d cpu=3 memory=1Gi role=d at=one
         task t2.a role=a
         task t2.b role=b
         task t2.c role=c
         task t2.d role=d
         allocate
         gone task b4
         task t3.b role=b
         task t3.c role=c
         task t3.d role=d
         allocate
         task e cpu=1 memory=5Gi role=e at=one
         agent one cpu=50 memory=100Gi
         task t4.b role=b
         task t4.c role=c
         task t4.d role=d
         task t4.e role=e
         allocate
         agent one cpu=50 memory=200Gi
         task f cpu=5 memory=1Gi role=f at=one
         task c2 memory=15Gi role=c at=one
         task t5.b role=b
         task t5.c role=c
         task t5.d role=d
         task t5.e role=e
         task t5.f role=f
         allocate",
        expect![[r#"
            t.a@one t.b@one
            t2.c@one t2.d@one t2.a@one t2.b@one
            t3.c@one t3.b@one t3.d@one
            t4.c@one t4.b@one t4.e@one t4.d@one
            t5.e@one t5.b@one t5.d@one t5.c@one t5.f@one
        "#]],
    );
}

#[test]
fn weighted_roles_are_ordered_as_by_the_sorter_of_mesos() {
    check(
        "agent one cpu=100 memory=100Gi
         role b weight=2
         role d weight=10
         task a cpu=5 memory=5Gi role=a at=one
         task b cpu=6 memory=6Gi role=b at=one
         task c cpu=4 memory=4Gi role=c at=one
         task d cpu=10 memory=20Gi role=d at=one
         task t.a role=a
         task t.b role=b
         task t.c role=c
         task t.d role=d
         allocate
         task d2 cpu=10 memory=25Gi role=d at=one
         task t2.a role=a
         task t2.c role=c
         task t2.d role=d
         allocate",
        expect![[r#"
            t.d@one t.b@one t.c@one t.a@one
            t2.c@one t2.d@one t2.a@one
        "#]],
    );
}
