use super::*;

#[track_caller]
fn refused(task: v1::TaskInfo, gist: &str) {
    let id = task.task_id.value.clone();
    let plan = planned(&Rows::default(), &[launch(vec![task])]);
    assert_eq!(launched(&plan), Vec::<String>::new(), "{gist}");
    let [line] = told(&plan).try_into().unwrap();
    assert!(line.starts_with(&format!("{id} TASK_ERROR REASON_TASK_INVALID: ")), "{line}");
    assert!(line.contains(gist), "{line}");
    let status = &plan.told[0];
    assert_eq!(status.source(), v1::task_status::Source::Master);
    assert_eq!(status.uuid, None);
    assert_eq!(status.agent_id.as_ref().unwrap().value, AGENT);
    assert_eq!(status.timestamp, Some(1.0));
}

#[test]
fn a_command_task_is_one_record_with_a_container() {
    let plan = planned(&Rows::default(), &[launch(vec![task("t")])]);
    assert_eq!((launched(&plan), told(&plan)), (vec!["t".to_owned()], vec![]));
    let spec = &plan.tasks[0].spec;
    assert_eq!(spec.containers[0].command, ["/bin/sh", "-c", "sleep 1"]);
    assert_eq!(spec.executor_name, None);
    assert_eq!(spec.mesos.as_ref().unwrap().executor_id, None);
}

#[test]
fn a_bad_task_does_not_keep_the_others_from_being_launched() {
    let bad = v1::TaskInfo { resources: vec![], ..task("bad") };
    let plan = planned(&Rows::default(), &[launch(vec![task("a"), bad, task("b")])]);
    assert_eq!(launched(&plan), ["a", "b"]);
    assert_eq!(told(&plan), ["bad TASK_ERROR REASON_TASK_INVALID: Task uses no resources"]);
}

#[test]
fn a_task_fits_into_what_the_ones_before_it_left() {
    let big = |id| v1::TaskInfo { resources: vec![scalar("cpus", 3.0)], ..task(id) };
    let plan =
        planned(&Rows::default(), &[launch(vec![big("a"), big("b")]), launch(vec![task("c")])]);
    assert_eq!(launched(&plan), ["a", "c"]);
    assert_eq!(
        told(&plan),
        ["b TASK_ERROR REASON_TASK_INVALID: Total resources cpus:3 required by task and its \
          executor is more than available cpus:1; disk:1000; mem:1024"]
    );
}

#[test]
fn a_task_id_is_used_once_while_its_task_lives() {
    let twice = planned(&Rows::default(), &[launch(vec![task("a"), task("a")])]);
    assert_eq!(launched(&twice), ["a"]);
    assert_eq!(told(&twice), ["a TASK_ERROR REASON_TASK_INVALID: Task has duplicate ID: a"]);

    let again = |state, held| {
        let mut rows = stored(&twice, state);
        let row = rows.remove(twice.tasks[0].metadata.name.as_ref().unwrap()).unwrap();
        rows.insert(TaskRow { held_by_scheduler: held, ..row });
        planned(&rows, &[launch(vec![task("a")])])
    };
    assert_eq!(told(&again(TaskState::Running, true)), told(&twice));
    assert_eq!(told(&again(TaskState::Finished, true)), told(&twice), "not acknowledged yet");
    assert_eq!(
        told(&again(TaskState::Unreachable, true)),
        ["a TASK_ERROR REASON_TASK_INVALID: Task reuses the ID of an unreachable task: a"]
    );
    let reused = again(TaskState::Finished, false);
    assert_eq!((launched(&reused), told(&reused)), (vec!["a".to_owned()], vec![]));
    assert_ne!(reused.tasks[0].metadata.name, twice.tasks[0].metadata.name);
    assert_eq!(reused.tasks[0].spec.owner.as_ref().unwrap().incarnation, 1);
}

#[test]
fn a_task_has_a_command_or_an_executor() {
    refused(v1::TaskInfo { command: None, ..task("t") }, "at least one (but not both)");
    refused(v1::TaskInfo { executor: Some(executor("e")), ..task("t") }, "(but not both)");
}

#[test]
fn a_task_names_the_agent_of_the_offer() {
    let plan = planned(
        &Rows::default(),
        &[launch(vec![v1::TaskInfo {
            agent_id: v1::AgentId { value: "other".to_owned() },
            ..task("t")
        }])],
    );
    assert_eq!(
        told(&plan),
        ["t TASK_ERROR REASON_TASK_INVALID: Task uses invalid agent other while agent agent-1 is \
          expected"]
    );
}

#[test]
fn what_a_task_asks_for_is_checked() {
    refused(v1::TaskInfo { resources: vec![scalar("cpus", -1.0)], ..task("t") }, "value < 0");
    refused(v1::TaskInfo { command: Some(command("")), ..task("t") }, "'CommandInfo.value'");
    let bad_id = v1::TaskId { value: "a/b".to_owned() };
    refused(v1::TaskInfo { task_id: bad_id, ..task("a/b") }, "invalid characters");
}

#[test]
fn only_groups_have_cgroups_of_their_own() {
    let linux_info = v1::LinuxInfo { share_cgroups: Some(false), ..Default::default() };
    let container = v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos.into(),
        linux_info: Some(linux_info),
        ..Default::default()
    };
    refused(v1::TaskInfo { container: Some(container), ..task("t") }, "Only tasks in a task group");
}

#[test]
fn a_custom_executor_is_a_record_of_its_own_before_its_tasks() {
    let tasks = vec![task("c"), inner("a", executor("e")), inner("b", executor("e"))];
    let plan = planned(&Rows::default(), &[launch(tasks)]);
    assert_eq!(
        (launched(&plan), told(&plan)),
        (["*e", "c", "a", "b"].map(str::to_owned).into(), vec![])
    );
    let name = plan.tasks[0].metadata.name.clone();
    for task in &plan.tasks[2..] {
        assert_eq!(task.spec.executor_name, name);
        assert_eq!(task.spec.containers, []);
        assert_eq!(task.spec.mesos.as_ref().unwrap().executor_id.as_deref(), Some("e"));
    }
    let info = plan.tasks[0].spec.mesos.as_ref().unwrap().executor_info.as_ref().unwrap();
    assert_eq!(info["framework_id"]["value"], FRAMEWORK, "filled in");
}

#[test]
fn an_executor_is_charged_once() {
    let large = v1::ExecutorInfo { resources: vec![scalar("cpus", 2.0)], ..executor("e") };
    let first = planned(
        &Rows::default(),
        &[launch(vec![inner("a", large.clone()), inner("b", large.clone())])],
    );
    assert_eq!(
        (launched(&first), told(&first)),
        (["*e", "a", "b"].map(str::to_owned).into(), vec![])
    );
    // Four cpus are offered: they would not do for three tasks and the executor.
    let tasks = ["c", "d", "f", "g"].map(|id| inner(id, large.clone())).into();
    let second = planned(&stored(&first, TaskState::Running), &[launch(tasks)]);
    assert_eq!(launched(&second), ["c", "d", "f", "g"]);
    assert_eq!(second.tasks[0].spec.executor_name, first.tasks[0].metadata.name);
}

#[test]
fn an_executor_counts_for_the_first_task_that_brings_it() {
    let large = v1::ExecutorInfo { resources: vec![scalar("cpus", 3.5)], ..executor("e") };
    let plan = planned(&Rows::default(), &[launch(vec![inner("a", large), task("b")])]);
    assert_eq!(launched(&plan), ["b"]);
    assert!(told(&plan)[0].contains("Total resources cpus:4.5; mem:64 required by task and its"));
}

#[test]
fn an_executor_of_the_same_id_has_the_same_info() {
    let other = v1::ExecutorInfo { name: Some("x".to_owned()), ..executor("e") };
    let text = "TASK_ERROR REASON_TASK_INVALID: ExecutorInfo is not compatible with existing \
                ExecutorInfo with same ExecutorID.";
    let tasks = vec![inner("a", executor("e")), inner("b", other.clone())];
    let first = planned(&Rows::default(), &[launch(tasks)]);
    assert_eq!(
        (launched(&first), told(&first)),
        (vec!["*e".to_owned(), "a".to_owned()], vec![format!("b {text}")])
    );

    let rows = stored(&first, TaskState::Running);
    let second = planned(&rows, &[launch(vec![inner("c", other), inner("d", executor("e"))])]);
    assert_eq!(
        (launched(&second), told(&second)),
        (vec!["d".to_owned()], vec![format!("c {text}")])
    );
    let elsewhere = planned_on("agent-2", &rows, executor("e"));
    assert_eq!(launched(&elsewhere), ["*e", "t"], "another agent, another executor");
}

fn planned_on(agent: &str, rows: &Rows, executor: v1::ExecutorInfo) -> Plan {
    let task =
        v1::TaskInfo { agent_id: v1::AgentId { value: agent.to_owned() }, ..inner("t", executor) };
    let info = info(&[]);
    let place = Place { agent, role: "*" };
    plan(launcher(&info), place, &offered(), rows, &[launch(vec![task])], 0)
}

#[test]
fn defaults_and_formats_do_not_make_an_executor_another() {
    let first = planned(&Rows::default(), &[launch(vec![inner("a", executor("e"))])]);
    let mut equal = executor("e");
    equal.framework_id = Some(v1::FrameworkId { value: FRAMEWORK.to_owned() });
    equal.command.as_mut().unwrap().shell = Some(true);
    equal.resources.reverse();
    equal.resources[0].role = Some("*".to_owned());
    let second = planned(&stored(&first, TaskState::Running), &[launch(vec![inner("b", equal)])]);
    assert_eq!((launched(&second), told(&second)), (vec!["b".to_owned()], vec![]));
}

#[test]
fn an_executor_that_has_ended_is_launched_anew() {
    let first = planned(&Rows::default(), &[launch(vec![inner("a", executor("e"))])]);
    let rows = stored(&first, TaskState::Failed);
    let other = v1::ExecutorInfo { name: Some("x".to_owned()), ..executor("e") };
    let second = planned(&rows, &[launch(vec![inner("b", other)])]);
    assert_eq!(launched(&second), ["*e", "b"]);
    assert_eq!(second.tasks[0].spec.owner.as_ref().unwrap().incarnation, 1);
}

#[test]
fn a_task_for_an_executor_that_is_asked_to_end_is_dropped() {
    let first = planned(&Rows::default(), &[launch(vec![inner("a", executor("e"))])]);
    let mut rows = stored(&first, TaskState::Running);
    let row = rows.executor(AGENT, "e").unwrap().clone();
    rows.insert(TaskRow { kill: Some(meseta_crds::task::Kill::default()), ..row });
    let second = planned(&rows, &[launch(vec![inner("b", executor("e"))])]);
    assert_eq!(
        told(&second),
        ["b TASK_DROPPED REASON_EXECUTOR_TERMINATED: Executor 'e' is terminating"]
    );
}

#[test]
fn an_executor_is_checked() {
    let bad = |change: fn(&mut v1::ExecutorInfo)| {
        let mut info = executor("e");
        change(&mut info);
        inner("t", info)
    };
    refused(bad(|e| e.command = None), "'ExecutorInfo.command' must be set");
    refused(
        bad(|e| e.r#type = Some(v1::executor_info::Type::Default.into())),
        "must not be set for 'DEFAULT' executor",
    );
    refused(bad(|e| e.executor_id.value = "..".to_owned()), "'..' is disallowed");
    refused(
        bad(|e| e.framework_id = Some(v1::FrameworkId { value: "x".to_owned() })),
        "invalid FrameworkID (Actual: x vs Expected: f-0000)",
    );
    refused(
        bad(|e| e.shutdown_grace_period = Some(v1::DurationInfo { nanoseconds: -1 })),
        "'shutdown_grace_period' must be non-negative",
    );
    refused(
        bad(|e| e.resources = vec![scalar("cpus", f64::NAN)]),
        "Executor uses invalid resources",
    );
}

#[test]
fn a_small_executor_is_launched_nevertheless() {
    let small = v1::ExecutorInfo { resources: vec![], ..executor("e") };
    let plan = planned(&Rows::default(), &[launch(vec![inner("t", small)])]);
    assert_eq!(launched(&plan), ["*e", "t"]);
}

#[test]
fn resources_are_allocated_to_the_role_of_the_offer_where_frameworks_are_told() {
    let info = info(&[CapabilityType::MultiRole]);
    let place = Place { agent: AGENT, role: "eng" };
    let plan =
        plan(launcher(&info), place, &offered(), &Rows::default(), &[launch(vec![task("t")])], 0);
    let spec = &plan.tasks[0].spec;
    assert_eq!(spec.role, "eng");
    let sent = spec.mesos.as_ref().unwrap().task_info.as_ref().unwrap();
    assert_eq!(sent["resources"][0]["allocation_info"]["role"], "eng");
    let plain = planned(&Rows::default(), &[launch(vec![task("t")])]);
    let sent = plain.tasks[0].spec.mesos.as_ref().unwrap().task_info.as_ref().unwrap();
    assert_eq!(sent["resources"][0].get("allocation_info"), None);
}

#[test]
fn a_task_that_a_server_would_refuse_is_an_error() {
    let mut bad = task("t");
    let variable = v1::environment::Variable {
        name: "A=B".to_owned(),
        value: Some(String::new()),
        ..Default::default()
    };
    bad.command.as_mut().unwrap().environment = Some(v1::Environment { variables: vec![variable] });
    refused(bad, "it cannot be stored");
}
