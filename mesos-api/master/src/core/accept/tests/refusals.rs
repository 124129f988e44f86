use super::*;

fn capable(partition_aware: bool) -> Capabilities {
    Capabilities { partition_aware, ..Capabilities::default() }
}

fn operations() -> Vec<Operation> {
    let id = Some(v1::OperationId { value: "o".to_owned() });
    vec![
        launch(vec![task("a")]),
        launch_group(executor("e"), vec![task("b")]),
        Operation { r#type: Some(Type::Reserve.into()), id, ..Operation::default() },
        Operation { r#type: Some(Type::Create.into()), ..Operation::default() },
    ]
}

#[test]
fn tasks_on_invalid_offers_are_dropped() {
    let refusal = Refusal::InvalidOffers("Offer x is no longer valid".to_owned());
    let plan = refuse(&refusal, &operations(), capable(true), 0);
    let text = "Task launched with invalid offers: Offer x is no longer valid";
    assert_eq!(
        told(&plan),
        [
            format!("a TASK_DROPPED REASON_INVALID_OFFERS: {text}"),
            format!("b TASK_DROPPED REASON_INVALID_OFFERS: {text}"),
        ]
    );
    assert_eq!(plan.operations.len(), 1, "the one with an id");
    assert_eq!(plan.operations[0].state(), v1::OperationState::OperationError);
}

#[test]
fn a_framework_that_is_not_partition_aware_is_told_that_they_are_lost() {
    let refusal = Refusal::InvalidOffers(String::new());
    let plan = refuse(&refusal, &operations(), capable(false), 0);
    assert!(plan.told.iter().all(|status| status.state() == v1::TaskState::TaskLost));
}

#[test]
fn tasks_on_an_agent_that_left_are_dropped_and_operations_vanish() {
    for (refusal, line) in [
        (Refusal::AgentRemoved, "a TASK_DROPPED REASON_AGENT_REMOVED: Agent removed"),
        (
            Refusal::AgentDisconnected,
            "a TASK_DROPPED REASON_AGENT_DISCONNECTED: Agent disconnected",
        ),
    ] {
        let plan = refuse(&refusal, &operations(), capable(true), 0);
        assert_eq!((told(&plan)[0].as_str(), plan.operations), (line, vec![]));
    }
}

#[test]
fn an_operation_that_launches_has_no_id() {
    let id = Some(v1::OperationId { value: "o".to_owned() });
    let plan = planned(
        &Rows::default(),
        &[
            Operation { id: id.clone(), ..launch(vec![task("a")]) },
            Operation { id, ..launch_group(executor("e"), vec![task("b")]) },
        ],
    );
    assert_eq!(launched(&plan), Vec::<String>::new());
    let states: Vec<&str> = plan.told.iter().map(|s| s.reason().as_str_name()).collect();
    assert_eq!(states, ["REASON_TASK_INVALID", "REASON_TASK_GROUP_INVALID"]);
    assert_eq!(plan.operations, []);
}

#[test]
fn other_operations_are_refused_with_feedback_where_they_ask_for_it() {
    let plan = planned(&Rows::default(), &operations()[2..]);
    let [status] = plan.operations.try_into().unwrap();
    assert_eq!(status.state(), v1::OperationState::OperationError);
    assert_eq!(status.operation_id.unwrap().value, "o");
    assert_eq!(status.message.as_deref(), Some("Operations of type RESERVE are not supported"));
    assert_eq!((status.agent_id, status.uuid), (None, None));
}

#[test]
fn nothing_and_unknown_operations_are_a_plain_decline() {
    let unknown = Operation { r#type: Some(Type::Unknown.into()), ..Operation::default() };
    let untyped = Operation::default();
    let empty = Operation { r#type: Some(Type::Launch.into()), ..Operation::default() };
    let group = Operation { r#type: Some(Type::LaunchGroup.into()), ..Operation::default() };
    let plan = planned(&Rows::default(), &[unknown, untyped, empty, group, launch(vec![])]);
    assert_eq!(plan, Plan::default());
}

#[test]
fn a_record_that_was_not_stored_is_a_dropped_task() {
    let tasks = vec![inner("a", executor("e"))];
    let plan = planned(&Rows::default(), &[launch(tasks)]);
    let say = |task| not_launched(task, Reason::InvalidOffers, "gone", capable(true), 0);
    assert_eq!(say(&plan.tasks[0]), None, "an executor");
    let status = say(&plan.tasks[1]).unwrap();
    assert_eq!(status.state(), v1::TaskState::TaskDropped);
    assert_eq!(status.executor_id.unwrap().value, "e");
}

#[test]
fn few_bytes_do_not_become_the_many_of_their_copies() {
    let small = |id: &str| v1::TaskInfo { resources: vec![scalar("cpus", 0.1)], ..task(id) };
    let gist = "would repeat more than 16777216 bytes";

    let custom = v1::executor_info::Type::Custom;
    let large = v1::ExecutorInfo {
        r#type: Some(custom.into()),
        framework_id: Some(v1::FrameworkId { value: FRAMEWORK.to_owned() }),
        source: Some("x".repeat(4 << 20)),
        ..executor("e")
    };
    let member = |id| v1::TaskInfo { command: None, ..small(id) };
    let tasks = ["a", "b", "c", "d"].map(member).into();
    let plan = planned(&Rows::default(), &[launch_group(large, tasks), launch(vec![small("e")])]);
    assert_eq!(launched(&plan), ["e"]);
    assert!(told(&plan)[0].contains(gist), "{}", told(&plan)[0]);

    let info = v1::FrameworkInfo { name: "n".repeat(9 << 20), ..info(&[]) };
    let own = |id: &str| v1::TaskInfo { command: None, executor: Some(executor(id)), ..small(id) };
    let place = Place { agent: AGENT, role: "*" };
    let tasks = [launch(["a", "b"].map(own).into())];
    let plan = super::plan(launcher(&info), place, &offered(), &Rows::default(), &tasks, 1000);
    assert_eq!(launched(&plan), ["*a", "a"]);
    assert!(told(&plan)[0].starts_with("b ") && told(&plan)[0].contains(gist), "{:?}", told(&plan));
}
