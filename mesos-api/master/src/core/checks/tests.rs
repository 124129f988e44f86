use meseta_mesos_wire::v1::value::{Scalar, Type};

use super::*;

fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: Type::Scalar.into(),
        scalar: Some(Scalar { value }),
        ..v1::Resource::default()
    }
}

fn command() -> v1::CommandInfo {
    v1::CommandInfo { value: Some("true".to_owned()), ..v1::CommandInfo::default() }
}

fn valid() -> v1::TaskInfo {
    v1::TaskInfo {
        task_id: v1::TaskId { value: "t".to_owned() },
        agent_id: v1::AgentId { value: "a".to_owned() },
        resources: vec![scalar("cpus", 1.0), scalar("mem", 64.0)],
        command: Some(command()),
        ..v1::TaskInfo::default()
    }
}

fn nanos(nanoseconds: i64) -> Option<v1::DurationInfo> {
    Some(v1::DurationInfo { nanoseconds })
}

#[track_caller]
fn refused(task: impl std::borrow::Borrow<v1::TaskInfo>, gist: &str) {
    let fault = super::task(task.borrow(), "a", "*").expect_err(gist);
    assert!(fault.contains(gist), "{fault}");
}

#[test]
fn a_valid_task_asks_for_its_resources() {
    assert_eq!(task(&valid(), "a", "*").unwrap().to_string(), "cpus:1; mem:64");
}

#[test]
fn durations_are_not_negative() {
    let kill_policy = |grace| Some(v1::KillPolicy { grace_period: grace });
    refused(
        v1::TaskInfo { kill_policy: kill_policy(nanos(-1)), ..valid() },
        "'kill_policy.grace_period' must be non-negative",
    );
    refused(
        v1::TaskInfo { max_completion_time: nanos(-1), ..valid() },
        "`max_completion_time` must be non-negative",
    );
    let zero = v1::TaskInfo {
        kill_policy: kill_policy(nanos(0)),
        max_completion_time: nanos(0),
        ..valid()
    };
    assert!(task(&zero, "a", "*").is_ok());
}

#[test]
fn a_variable_has_the_value_of_its_type() {
    use v1::environment::Variable;
    let with = |variable: Variable| {
        let environment = Some(v1::Environment { variables: vec![variable] });
        v1::TaskInfo { command: Some(v1::CommandInfo { environment, ..command() }), ..valid() }
    };
    let named = || Variable { name: "N".to_owned(), ..Variable::default() };
    let text = || Some("x".to_owned());
    let secret = Some(v1::Secret::default());
    let of_secret = || Some(VariableType::Secret.into());
    refused(with(named()), "'N' of type 'VALUE' must have a value set");
    refused(
        with(Variable { value: text(), secret: secret.clone(), ..named() }),
        "'N' of type 'VALUE' must not have a secret set",
    );
    refused(
        with(Variable { r#type: of_secret(), ..named() }),
        "'N' of type 'SECRET' must have a secret set",
    );
    refused(
        with(Variable { r#type: of_secret(), secret: secret.clone(), value: text(), ..named() }),
        "'N' of type 'SECRET' must not have a value set",
    );
    refused(with(Variable { r#type: Some(0), ..named() }), "'UNKNOWN' is not allowed");
    let good = with(Variable { r#type: of_secret(), secret, ..named() });
    assert!(task(&good, "a", "*").is_ok(), "whether it can be done is another question");
}

#[test]
fn a_volume_has_exactly_one_source() {
    let with = |volume| {
        let container = v1::ContainerInfo {
            r#type: v1::container_info::Type::Mesos.into(),
            volumes: vec![volume],
            ..Default::default()
        };
        v1::TaskInfo { container: Some(container), ..valid() }
    };
    let gist = "Task's `ContainerInfo` is invalid: Invalid volume: Only one of them";
    refused(with(v1::Volume::default()), gist);
    let host_path = Some("/x".to_owned());
    let both = v1::Volume {
        host_path: host_path.clone(),
        source: Some(Default::default()),
        ..Default::default()
    };
    refused(with(both), gist);
    let one = with(v1::Volume { host_path, ..Default::default() });
    assert!(task(&one, "a", "*").is_ok());
}

#[test]
fn a_docker_container_says_what_it_is_and_is_not_named() {
    let with = |docker| {
        let container = v1::ContainerInfo {
            r#type: v1::container_info::Type::Docker.into(),
            docker,
            ..Default::default()
        };
        v1::TaskInfo { container: Some(container), ..valid() }
    };
    refused(with(None), "DockerInfo 'docker' is not set");
    let parameters = vec![v1::Parameter { key: "name".to_owned(), value: "x".to_owned() }];
    let docker = v1::container_info::DockerInfo { parameters, ..Default::default() };
    refused(with(Some(docker)), "must not be 'name'");
}

#[test]
fn a_check_has_the_body_of_its_type() {
    use v1::check_info::{Command, Http, Type};
    let of = |kind: Option<Type>, change: fn(&mut v1::CheckInfo)| {
        let mut check = v1::CheckInfo { r#type: kind.map(Into::into), ..Default::default() };
        change(&mut check);
        v1::TaskInfo { check: Some(check), ..valid() }
    };
    refused(of(None, |_| ()), "Task uses invalid check: CheckInfo must specify 'type'");
    refused(of(Some(Type::Unknown), |_| ()), "'UNKNOWN' is not a valid check type");
    refused(of(Some(Type::Command), |_| ()), "Expecting 'command' to be set for COMMAND check");
    refused(
        of(Some(Type::Command), |c| c.command = Some(Command::default())),
        "Command check must contain 'shell command'",
    );
    refused(of(Some(Type::Http), |_| ()), "Expecting 'http' to be set for HTTP check");
    refused(
        of(Some(Type::Http), |c| {
            c.http = Some(Http { port: 1, path: Some("x".to_owned()) });
        }),
        "The path 'x' of HTTP check must start with '/'",
    );
    refused(of(Some(Type::Tcp), |_| ()), "Expecting 'tcp' to be set for TCP check");
    let tcp = |c: &mut v1::CheckInfo| c.tcp = Some(Default::default());
    assert!(task(&of(Some(Type::Tcp), tcp), "a", "*").is_ok());
    for (field, change) in [
        ("delay_seconds", (|c| c.delay_seconds = Some(-1.0)) as fn(&mut v1::CheckInfo)),
        ("interval_seconds", |c| c.interval_seconds = Some(-1.0)),
        ("timeout_seconds", |c| c.timeout_seconds = Some(-1.0)),
    ] {
        let mut task = of(Some(Type::Tcp), tcp);
        change(task.check.as_mut().unwrap());
        refused(task, &format!("Expecting '{field}' to be non-negative"));
    }
}

#[test]
fn a_health_check_has_the_body_of_its_type() {
    use v1::health_check::{HttpCheckInfo, Type};
    let of = |kind: Option<Type>, change: fn(&mut v1::HealthCheck)| {
        let mut check = v1::HealthCheck { r#type: kind.map(Into::into), ..Default::default() };
        change(&mut check);
        v1::TaskInfo { health_check: Some(check), ..valid() }
    };
    let shell = |c: &mut v1::HealthCheck| c.command = Some(command());
    refused(of(None, |_| ()), "HealthCheck must specify 'type'");
    refused(
        of(None, |c| {
            c.command = Some(command());
            c.http = Some(HttpCheckInfo::default());
        }),
        "HealthCheck must specify 'type'",
    );
    assert!(task(&of(None, shell), "a", "*").is_ok(), "the body says it");
    refused(of(Some(Type::Unknown), shell), "'UNKNOWN' is not a valid health check type");
    refused(of(Some(Type::Command), |_| ()), "Expecting 'command' to be set");
    refused(
        of(Some(Type::Command), |c| {
            c.command = Some(v1::CommandInfo { value: None, shell: Some(false), ..command() });
        }),
        "Command health check must contain 'executable path'",
    );
    refused(of(Some(Type::Http), |_| ()), "Expecting 'http' to be set for HTTP health check");
    refused(
        of(Some(Type::Http), |c| {
            c.http = Some(HttpCheckInfo { scheme: Some("ftp".to_owned()), ..Default::default() });
        }),
        "Unsupported HTTP health check scheme: 'ftp'",
    );
    refused(of(Some(Type::Tcp), |_| ()), "Expecting 'tcp' to be set for TCP health check");
    refused(
        of(Some(Type::Command), |c| {
            c.command = Some(command());
            c.grace_period_seconds = Some(-0.5);
        }),
        "Expecting 'grace_period_seconds' to be non-negative",
    );
}

#[test]
fn a_limit_is_of_cpus_or_memory_and_at_least_the_request() {
    let with = |name: &str, value| v1::TaskInfo {
        limits: [(name.to_owned(), Scalar { value })].into(),
        ..valid()
    };
    for (name, value) in [("cpus", 1.0), ("cpus", f64::INFINITY), ("mem", 64.0), ("mem", 1e9)] {
        assert!(task(&with(name, value), "a", "*").is_ok(), "{name} {value}");
    }
    refused(with("disk", 9.0), "Only cpus and mem");
    refused(with("cpus", 0.9), "The cpu limit must be greater than or equal to the cpu request");
    refused(with("mem", 63.0), "The memory limit must be greater");
    refused(with("mem", f64::NAN), "The memory limit must be greater");
    let unasked = v1::TaskInfo { resources: vec![scalar("mem", 1.0)], ..with("cpus", 1.0) };
    refused(unasked, "When a CPU limit is specified, a CPU request must also be specified");
}

#[test]
fn a_container_of_an_executor_is_checked_like_any() {
    let info = v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: "e".to_owned() },
        framework_id: Some(v1::FrameworkId { value: "f".to_owned() }),
        command: Some(command()),
        ..v1::ExecutorInfo::default()
    };
    assert!(executor(&info, "f", "*").is_ok());
    let environment = Some(v1::Environment { variables: vec![Default::default()] });
    let bad = v1::ExecutorInfo {
        command: Some(v1::CommandInfo { environment, ..command() }),
        ..info.clone()
    };
    assert!(
        executor(&bad, "f", "*").unwrap_err().starts_with("Executor's `CommandInfo` is invalid")
    );
    let container =
        v1::ContainerInfo { r#type: v1::container_info::Type::Docker.into(), ..Default::default() };
    let bad = v1::ExecutorInfo { container: Some(container), ..info };
    assert!(executor(&bad, "f", "*").unwrap_err().starts_with("Executor's `ContainerInfo` is"));
}
