use super::*;

fn default_executor(id: &str) -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        r#type: Some(v1::executor_info::Type::Default.into()),
        command: None,
        framework_id: Some(v1::FrameworkId { value: FRAMEWORK.to_owned() }),
        ..executor(id)
    }
}

fn custom_executor(id: &str) -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        r#type: Some(v1::executor_info::Type::Custom.into()),
        framework_id: Some(v1::FrameworkId { value: FRAMEWORK.to_owned() }),
        ..executor(id)
    }
}

/// A task of a group with a custom executor.
fn member(id: &str) -> v1::TaskInfo {
    v1::TaskInfo { command: None, ..task(id) }
}

#[track_caller]
fn refused(executor: v1::ExecutorInfo, tasks: Vec<v1::TaskInfo>, gist: &str) {
    let ids: Vec<String> = tasks.iter().map(|task| task.task_id.value.clone()).collect();
    let plan = planned(&Rows::default(), &[launch_group(executor, tasks)]);
    assert_eq!(launched(&plan), Vec::<String>::new(), "{gist}");
    let lines = told(&plan);
    assert_eq!(lines.len(), ids.len(), "each is told: {lines:?}");
    for (id, line) in ids.iter().zip(lines) {
        let start = format!("{id} TASK_ERROR REASON_TASK_GROUP_INVALID: ");
        assert!(line.starts_with(&start) && line.contains(gist), "{line}");
    }
    assert!(plan.told.iter().all(|status| status.executor_id.is_some()));
}

#[test]
fn a_group_of_one_with_the_default_executor_is_one_container() {
    let plan = planned(&Rows::default(), &[launch_group(default_executor("e"), vec![task("t")])]);
    assert_eq!((launched(&plan), told(&plan)), (vec!["t".to_owned()], vec![]));
    let spec = &plan.tasks[0].spec;
    assert_eq!(Amounts::of_list(&spec.resources).to_string(), "cpus:1.5; disk:10; mem:96");
    assert_eq!(spec.containers[0].command, ["/bin/sh", "-c", "sleep 1"]);
    assert_eq!(spec.mesos.as_ref().unwrap().executor_id.as_deref(), Some("e"));
    assert_eq!((&spec.executor, &spec.executor_name), (&None, &None));
}

#[test]
fn the_default_executor_is_charged_once_while_it_has_a_task() {
    let first = planned(
        &Rows::default(),
        &[
            launch_group(default_executor("e"), vec![task("a")]),
            launch_group(default_executor("e"), vec![task("b")]),
        ],
    );
    let asked =
        |plan: &Plan, index: usize| Amounts::of_list(&plan.tasks[index].spec.resources).to_string();
    assert_eq!(asked(&first, 0), "cpus:1.5; disk:10; mem:96");
    assert_eq!(asked(&first, 1), "cpus:1; mem:64");

    let again = [launch_group(default_executor("e"), vec![task("c")])];
    let live = stored(&first, TaskState::Running);
    assert_eq!(live.executors_on(AGENT), ["e"]);
    assert_eq!(asked(&planned(&live, &again), 0), "cpus:1; mem:64");
    let ended = stored(&first, TaskState::Finished);
    assert_eq!(asked(&planned(&ended, &again), 0), "cpus:1.5; disk:10; mem:96");

    let other = v1::ExecutorInfo { name: Some("x".to_owned()), ..default_executor("e") };
    let plan = planned(&live, &[launch_group(other, vec![task("c")])]);
    assert!(told(&plan)[0].contains("not compatible"), "{:?}", told(&plan));
}

#[test]
fn larger_groups_with_the_default_executor_are_refused_with_advice() {
    refused(default_executor("e"), vec![task("a"), task("b")], "use a 'CUSTOM' executor");
}

#[test]
fn the_tasks_of_a_group_know_each_other_and_their_executor() {
    let tasks = vec![member("a"), member("b")];
    let plan = planned(&Rows::default(), &[launch_group(custom_executor("e"), tasks)]);
    assert_eq!(
        (launched(&plan), told(&plan)),
        (["*e", "a", "b"].map(str::to_owned).into(), vec![])
    );
    let groups: Vec<_> = plan.tasks[1..]
        .iter()
        .map(|t| t.spec.mesos.as_ref().unwrap().group.clone().unwrap())
        .collect();
    assert_eq!(groups[0].id, groups[1].id);
    assert_eq!([groups[0].index, groups[1].index, groups[0].size, groups[1].size], [0, 1, 2, 2]);
    let sent = plan.tasks[1].spec.mesos.as_ref().unwrap().task_info.as_ref().unwrap();
    assert_eq!(sent["executor"]["executor_id"]["value"], "e", "a copy of the group's");
}

#[test]
fn one_bad_task_is_an_error_for_the_whole_group() {
    let bad = v1::TaskInfo { resources: vec![], ..member("b") };
    refused(custom_executor("e"), vec![member("a"), bad], "Task 'b' is invalid: Task uses no");
    refused(custom_executor("e"), vec![member("a"), member("a")], "duplicate ID");
}

#[test]
fn a_group_takes_nothing_where_it_is_refused() {
    let large = v1::TaskInfo { resources: vec![scalar("cpus", 9.0)], ..member("b") };
    let plan = planned(
        &Rows::default(),
        &[
            launch_group(custom_executor("e"), vec![member("a"), large]),
            launch(vec![v1::TaskInfo { resources: vec![scalar("cpus", 4.0)], ..task("a") }]),
        ],
    );
    assert_eq!(launched(&plan), ["a"], "the id and the cpus are free");
    assert!(told(&plan)[0].contains(
        "Total resources cpus:10.5; disk:10; mem:96 required by task group and its executor are \
         more than available cpus:4; disk:1000; mem:1024"
    ));
}

#[test]
fn the_executor_of_a_group_is_checked() {
    let with = |change: fn(&mut v1::ExecutorInfo)| {
        let mut info = custom_executor("e");
        change(&mut info);
        info
    };
    let one = || vec![member("t")];
    refused(with(|e| e.r#type = None), one(), "'ExecutorInfo.type' must be set");
    refused(with(|e| e.r#type = Some(0)), one(), "Unknown executor type");
    refused(with(|e| e.framework_id = None), one(), "'ExecutorInfo.framework_id' must be set");
    refused(with(|e| e.command = None), one(), "must be set for 'CUSTOM' executor");
    refused(with(|e| e.resources[0] = scalar("cpus", 0.009)), one(), "uses less CPUs (0.009)");
    refused(with(|e| e.resources[1] = scalar("mem", 31.0)), one(), "uses less memory (31)");
    refused(with(|e| e.resources.truncate(2)), one(), "Executor 'e' uses no disk");
    refused(
        v1::ExecutorInfo { command: Some(command("x")), ..default_executor("e") },
        vec![task("t")],
        "must not be set for 'DEFAULT' executor",
    );
}

#[test]
fn the_containers_of_a_group_are_checked() {
    let container = |kind: v1::container_info::Type, share| v1::ContainerInfo {
        r#type: kind.into(),
        linux_info: Some(v1::LinuxInfo { share_cgroups: share, ..Default::default() }),
        docker: Some(Default::default()),
        ..Default::default()
    };
    let docker = container(v1::container_info::Type::Docker, None);
    let mesos = |share| container(v1::container_info::Type::Mesos, share);
    let one = |container| vec![v1::TaskInfo { container: Some(container), ..member("t") }];
    refused(custom_executor("e"), one(docker.clone()), "not supported on the task");
    let with = |container| v1::ExecutorInfo { container: Some(container), ..custom_executor("e") };
    refused(with(docker.clone()), vec![member("t")], "not supported on the executor");
    let of_default = v1::ExecutorInfo { container: Some(docker), ..default_executor("e") };
    refused(of_default, vec![task("t")], "must be 'MESOS' for 'DEFAULT' executor");
    refused(with(mesos(Some(true))), vec![member("t")], "cannot be set to 'true' on executor");
    let mixed = vec![member("a"), one(mesos(Some(false))).remove(0)];
    refused(custom_executor("e"), mixed, "must be the same for all tasks");
    let limits = [("cpus".to_owned(), Scalar { value: 2.0 })].into();
    let limited = vec![v1::TaskInfo { limits, ..member("t") }];
    refused(custom_executor("e"), limited, "'share_cgroups' field is set to 'false'");
}

#[test]
fn a_task_of_a_group_has_the_executor_of_the_group_or_none() {
    let own = |executor| vec![v1::TaskInfo { executor: Some(executor), ..member("t") }];
    let plan =
        planned(&Rows::default(), &[launch_group(custom_executor("e"), own(custom_executor("e")))]);
    assert_eq!(launched(&plan), ["*e", "t"]);
    refused(custom_executor("e"), own(custom_executor("x")), "is different from executor 'e'");
}

#[test]
fn an_empty_group_launches_nothing() {
    let plan = planned(&Rows::default(), &[launch_group(custom_executor("e"), vec![])]);
    assert_eq!(plan, Plan::default());
}
