use super::*;

fn identity(user: &str, group: &str) -> Identity {
    Identity { user: user.to_owned(), groups: vec![group.to_owned()] }
}

fn agent_one() -> Identity {
    identity("meseta:agent:one", AGENTS_GROUP)
}

fn task(verb: Verb) -> Attributes<'static> {
    Attributes {
        verb,
        group: GROUP,
        resource: "tasks",
        subresource: "",
        namespace: "default",
        name: "",
        agent_name: None,
    }
}

fn agent_record(verb: Verb, name: &'static str) -> Attributes<'static> {
    Attributes { resource: "agents", namespace: "", name, ..task(verb) }
}

fn lease(verb: Verb, namespace: &'static str, name: &'static str) -> Attributes<'static> {
    Attributes { group: "coordination.k8s.io", resource: "leases", namespace, name, ..task(verb) }
}

fn task_of_one(scope: TaskScope) -> Decision {
    Decision::AllowIf(Condition::TaskOf { agent: "one".to_owned(), scope })
}

#[test]
fn administrators_and_control_planes_may_do_everything() {
    for group in [ADMIN_GROUP, CONTROL_PLANE_GROUP] {
        for verb in [Verb::Get, Verb::DeleteCollection, Verb::Place] {
            assert_eq!(authorize(&identity("x", group), &task(verb)), Decision::Allow);
        }
    }
}

#[test]
fn others_may_do_nothing() {
    let strangers = [
        identity("meseta:agent:one", "devs"),
        identity("one", AGENTS_GROUP),
        identity("meseta:agent:", AGENTS_GROUP),
    ];
    for stranger in &strangers {
        for wanted in [task(Verb::Get), agent_record(Verb::Get, "one"), agent_record(Verb::Get, "")]
        {
            assert_eq!(authorize(stranger, &wanted), Decision::Deny, "{stranger:?}");
        }
    }
}

#[test]
fn an_agent_sees_no_offers() {
    for verb in [Verb::Get, Verb::List, Verb::Watch] {
        let offers = Attributes { group: "live.meseta.dev", resource: "offers", ..task(verb) };
        let of_its_own = Attributes { agent_name: Some("one"), ..offers };
        for wanted in [offers, of_its_own] {
            assert_eq!(authorize(&agent_one(), &wanted), Decision::Deny);
            let plane = identity("plane", CONTROL_PLANE_GROUP);
            assert_eq!(authorize(&plane, &wanted), Decision::Allow);
        }
    }
}

#[test]
fn an_agent_has_its_own_record_and_no_other() {
    for verb in [Verb::Get, Verb::List, Verb::Watch, Verb::Update, Verb::Patch] {
        assert_eq!(authorize(&agent_one(), &agent_record(verb, "one")), Decision::Allow);
        assert_eq!(authorize(&agent_one(), &agent_record(verb, "two")), Decision::Deny);
        assert_eq!(authorize(&agent_one(), &agent_record(verb, "")), Decision::Deny);
    }
    let status = Attributes { subresource: "status", ..agent_record(Verb::Patch, "one") };
    assert_eq!(authorize(&agent_one(), &status), Decision::Allow);
    let create = authorize(&agent_one(), &agent_record(Verb::Create, ""));
    assert_eq!(create, Decision::AllowIf(Condition::Named("one".to_owned())));
    assert_eq!(authorize(&agent_one(), &agent_record(Verb::Delete, "one")), Decision::Deny);
}

#[test]
fn an_agent_sees_the_tasks_that_are_placed_on_it() {
    for verb in [Verb::List, Verb::Watch] {
        let selected = |agent_name| Attributes { agent_name, ..task(verb) };
        assert_eq!(authorize(&agent_one(), &selected(Some("one"))), Decision::Allow);
        assert_eq!(authorize(&agent_one(), &selected(Some("two"))), Decision::Deny);
        assert_eq!(authorize(&agent_one(), &selected(Some(""))), Decision::Deny);
        assert_eq!(authorize(&agent_one(), &selected(None)), Decision::Deny);
    }
}

#[test]
fn an_agent_changes_the_status_and_the_finalizers_of_its_tasks() {
    let named = |verb, subresource| Attributes { name: "a", subresource, ..task(verb) };
    assert_eq!(authorize(&agent_one(), &named(Verb::Get, "")), task_of_one(TaskScope::Endpoint));
    assert_eq!(
        authorize(&agent_one(), &named(Verb::Patch, "status")),
        task_of_one(TaskScope::Endpoint)
    );
    assert_eq!(
        authorize(&agent_one(), &named(Verb::Patch, "")),
        task_of_one(TaskScope::Finalizers)
    );
    for verb in [Verb::Create, Verb::Update, Verb::Delete, Verb::Place] {
        assert_eq!(authorize(&agent_one(), &named(verb, "")), Decision::Deny, "{verb:?}");
    }
}

#[test]
fn an_agent_renews_its_own_lease_and_looks_at_the_leaders() {
    let decide = |verb, namespace, name| authorize(&agent_one(), &lease(verb, namespace, name));
    assert_eq!(decide(Verb::Get, SYSTEM_NAMESPACE, LEADER_LEASE), Decision::Allow);
    assert_eq!(decide(Verb::Patch, SYSTEM_NAMESPACE, LEADER_LEASE), Decision::Deny);
    for verb in [Verb::Get, Verb::Update, Verb::Patch] {
        assert_eq!(decide(verb, SYSTEM_NAMESPACE, "agent-one"), Decision::Allow);
        assert_eq!(decide(verb, SYSTEM_NAMESPACE, "agent-two"), Decision::Deny);
        assert_eq!(decide(verb, "default", "agent-one"), Decision::Deny);
    }
    assert_eq!(
        decide(Verb::Create, SYSTEM_NAMESPACE, ""),
        Decision::AllowIf(Condition::Named("agent-one".to_owned()))
    );
    assert_eq!(decide(Verb::List, SYSTEM_NAMESPACE, ""), Decision::Deny);
}

#[test]
fn an_agent_reports_events_and_reads_nothing_else() {
    let core = |verb, resource| Attributes { group: "", resource, ..task(verb) };
    assert_eq!(authorize(&agent_one(), &core(Verb::Create, "events")), Decision::Allow);
    assert_eq!(authorize(&agent_one(), &core(Verb::List, "events")), Decision::Deny);
    assert_eq!(authorize(&agent_one(), &core(Verb::Get, "secrets")), Decision::Deny);
}
