use meseta_crds::task::{RestartPolicy, User};
use meseta_mesos_wire::v1::value::Scalar;

use super::super::rows::TaskRow;
use super::*;

fn info() -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: "u".to_owned(),
        name: "app".to_owned(),
        id: Some(v1::FrameworkId { value: "f-0000".to_owned() }),
        ..v1::FrameworkInfo::default()
    }
}

fn launcher(info: &v1::FrameworkInfo) -> Launcher<'_> {
    Launcher { namespace: "ns", framework: "app-1", uid: "uid", id: "f-0000", info, epoch: 7 }
}

const PLACE: Place<'_> = Place { agent: "agent-1", role: "eng/etl" };

fn asked() -> Amounts {
    let list = [("cpu", "1500m"), ("memory", "64Mi")];
    Amounts::of_list(&list.map(|(name, text)| (name.to_owned(), Quantity::new(text))).into())
}

fn shell(value: &str) -> v1::CommandInfo {
    v1::CommandInfo { value: Some(value.to_owned()), ..v1::CommandInfo::default() }
}

fn task(command: v1::CommandInfo) -> v1::TaskInfo {
    v1::TaskInfo {
        name: "n".to_owned(),
        task_id: v1::TaskId { value: "T.1".to_owned() },
        command: Some(command),
        ..v1::TaskInfo::default()
    }
}

fn executor_info() -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: "e".to_owned() },
        command: Some(shell("./run")),
        data: Some(vec![1, 2]),
        ..v1::ExecutorInfo::default()
    }
}

fn launched(task: &v1::TaskInfo) -> Task {
    command_task(launcher(&info()), PLACE, task, &asked(), 0).unwrap()
}

fn seconds_of(nanoseconds: i64) -> Option<v1::DurationInfo> {
    Some(v1::DurationInfo { nanoseconds })
}

#[test]
fn a_record_is_placed_from_birth_and_held_by_agent_and_scheduler() {
    let record = launched(&task(shell("true")));
    let meta = &record.metadata;
    assert!(meta.name.as_deref().unwrap().starts_with("t-1-"));
    assert_eq!(meta.namespace.as_deref(), Some("ns"));
    assert_eq!(
        meta.finalizers,
        Some(vec!["meseta.dev/agent".to_owned(), "meseta.dev/scheduler".to_owned()])
    );
    let labels = meta.labels.as_ref().unwrap();
    assert_eq!(labels["meseta.dev/framework"], "app-1");
    assert_eq!(labels["meseta.dev/scheduler"], "mesos");
    let owner = &meta.owner_references.as_ref().unwrap()[0];
    assert_eq!(
        (owner.kind.as_str(), owner.name.as_str(), owner.uid.as_str()),
        ("Framework", "app-1", "uid")
    );
    assert_eq!(owner.api_version, "meseta.dev/v1alpha1");
    let spec = &record.spec;
    assert_eq!(spec.agent_name.as_deref(), Some("agent-1"));
    assert_eq!(spec.placement, Some(Placement { epoch: 7 }));
    assert_eq!(spec.role, "eng/etl");
    assert_eq!(spec.restart_policy, RestartPolicy::Never);
    let owner = spec.owner.as_ref().unwrap();
    assert_eq!((owner.framework.as_str(), owner.framework_uid.as_str()), ("app-1", "uid"));
    assert_eq!(owner.task_set, "");
}

#[test]
fn what_was_sent_is_kept() {
    let sent = v1::TaskInfo { data: Some(vec![7]), ..task(shell("true")) };
    let mesos = launched(&sent).spec.mesos.unwrap();
    assert_eq!(mesos.task_id.as_deref(), Some("T.1"));
    assert_eq!(mesos.framework_id, "f-0000");
    assert_eq!(mesos.task_info.as_ref().unwrap()["data"], "Bw==");
}

#[test]
fn a_task_has_the_capabilities_of_its_framework_and_an_executor_all_of_it() {
    use v1::framework_info::{Capability, capability::Type};
    let capabilities = [Type::TaskKillingState, Type::PartitionAware, Type::TaskKillingState]
        .map(|kind| Capability { r#type: Some(kind.into()) });
    let info = v1::FrameworkInfo { capabilities: capabilities.into(), ..info() };
    let kept = |record: Task| record.spec.mesos.unwrap().framework_info.unwrap();
    let task = command_task(launcher(&info), PLACE, &task(shell("true")), &asked(), 0).unwrap();
    let listed = serde_json::json!([{"type": "TASK_KILLING_STATE"}, {"type": "PARTITION_AWARE"}]);
    let task = kept(task);
    assert_eq!((&task["capabilities"], &task["name"]), (&listed, &"".into()));
    let executor = executor(launcher(&info), PLACE, &executor_info(), &asked(), 0).unwrap();
    assert_eq!(kept(executor), json::to_value(&info));
}

#[test]
fn resources_are_those_that_were_asked_for() {
    let resources = launched(&task(shell("true"))).spec.resources;
    assert_eq!(resources["cpu"].as_str(), "1500m");
    assert_eq!(resources["memory"].as_str(), "64Mi");
}

#[test]
fn a_shell_command_runs_in_a_shell_and_a_program_with_its_arguments() {
    let line = |command| launched(&task(command)).spec.containers.remove(0).command;
    assert_eq!(line(shell("a && b")), ["/bin/sh", "-c", "a && b"]);
    let arguments = ["argv0", "x", "y z"].map(str::to_owned).into();
    let program = v1::CommandInfo { shell: Some(false), arguments, ..shell("/bin/p") };
    assert_eq!(line(program), ["/bin/p", "x", "y z"]);
    assert_eq!(line(v1::CommandInfo { shell: Some(false), ..shell("/bin/p") }), ["/bin/p"]);
}

#[test]
fn a_container_has_the_environment_and_the_user_that_were_sent() {
    let variable = v1::environment::Variable {
        name: "A".to_owned(),
        value: Some("1".to_owned()),
        ..Default::default()
    };
    let command = v1::CommandInfo {
        environment: Some(v1::Environment { variables: vec![variable] }),
        user: Some("1000".to_owned()),
        ..shell("true")
    };
    let container = launched(&task(command)).spec.containers.remove(0);
    assert_eq!(container.env, [EnvVar { name: "A".to_owned(), value: "1".to_owned() }]);
    assert_eq!(container.user, Some(User { uid: 1000, gid: 1000 }));
}

#[test]
fn a_command_task_has_3_seconds_to_end_unless_said_otherwise() {
    assert_eq!(launched(&task(shell("true"))).spec.termination_grace_period_seconds, 3);
    let kill_policy = Some(v1::KillPolicy { grace_period: seconds_of(1_500_000_000) });
    let patient = v1::TaskInfo { kill_policy, ..task(shell("true")) };
    assert_eq!(launched(&patient).spec.termination_grace_period_seconds, 2);
}

#[test]
fn the_time_to_completion_is_a_deadline() {
    let deadline = |nanos| {
        let task = v1::TaskInfo { max_completion_time: seconds_of(nanos), ..task(shell("true")) };
        launched(&task).spec.active_deadline_seconds
    };
    assert_eq!(launched(&task(shell("true"))).spec.active_deadline_seconds, None);
    assert_eq!(deadline(2_000_000_000), Some(2));
    assert_eq!(deadline(0), Some(1), "the shortest there is");
}

#[test]
fn limits_are_translated() {
    let limits = |name: &str, value| {
        let limits = [(name.to_owned(), Scalar { value })].into();
        launched(&v1::TaskInfo { limits, ..task(shell("true")) }).spec.limits
    };
    assert_eq!(limits("cpus", 2.5)["cpu"].as_str(), "2500m");
    assert_eq!(limits("cpus", f64::INFINITY), ResourceList::new());
    assert_eq!(limits("mem", 128.0)["memory"].as_str(), "128Mi");
    assert_eq!(limits("mem", f64::INFINITY)["memory"].as_str(), "4Ei");
}

#[test]
fn an_executor_has_5_seconds_to_shut_down_unless_said_otherwise() {
    let info = info();
    let launch = |grace| {
        let sent = v1::ExecutorInfo { shutdown_grace_period: grace, ..executor_info() };
        executor(launcher(&info), PLACE, &sent, &asked(), 2).unwrap()
    };
    let record = launch(None);
    assert_eq!(record.spec.executor, Some(Executor { shutdown_grace_period_seconds: 5 }));
    assert_eq!(launch(seconds_of(1)).spec.executor.unwrap().shutdown_grace_period_seconds, 1);
    let mesos = record.spec.mesos.as_ref().unwrap();
    assert_eq!((mesos.task_id.as_ref(), mesos.executor_id.as_deref()), (None, Some("e")));
    assert_eq!(mesos.executor_info.as_ref().unwrap()["data"], "AQI=");
    assert_eq!(record.spec.containers[0].command, ["/bin/sh", "-c", "./run"]);
    assert_eq!(record.spec.owner.as_ref().unwrap().incarnation, 2);
    assert!(TaskRow::of(&record).unwrap().is_executor());
}

#[test]
fn a_task_of_an_executor_has_no_container() {
    let sent = v1::TaskInfo { command: None, executor: Some(executor_info()), ..task(shell("")) };
    let group = Some(MesosGroup { id: "g".to_owned(), size: 2, index: 1 });
    let info = info();
    let record =
        inner_task(launcher(&info), PLACE, &sent, &asked(), 0, "e-123", group.clone()).unwrap();
    assert_eq!(record.spec.executor_name.as_deref(), Some("e-123"));
    assert_eq!(record.spec.containers, []);
    assert_eq!(record.spec.mesos.as_ref().unwrap().group, group);
    let row = TaskRow::of(&record).unwrap();
    assert_eq!((row.task_id.as_deref(), row.executor_id.as_deref()), (Some("T.1"), Some("e")));
    assert_eq!(row.executor_info, None, "the executor's record has it");
}

#[test]
fn a_record_that_a_server_would_refuse_is_not_made() {
    let long = "x".repeat(40_000);
    assert!(command_task(launcher(&info()), PLACE, &task(shell(&long)), &asked(), 0).is_err());
    let nul = shell("a\0b");
    assert!(command_task(launcher(&info()), PLACE, &task(nul), &asked(), 0).is_err());
}
