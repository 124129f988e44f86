use meseta_crds::task::User;
use meseta_mesos_wire::v1::command_info::Uri;

use super::*;

fn command() -> v1::CommandInfo {
    v1::CommandInfo { value: Some("true".to_owned()), ..v1::CommandInfo::default() }
}

fn task() -> v1::TaskInfo {
    v1::TaskInfo { command: Some(command()), ..v1::TaskInfo::default() }
}

fn mesos() -> v1::ContainerInfo {
    v1::ContainerInfo { r#type: ContainerType::Mesos.into(), ..v1::ContainerInfo::default() }
}

#[test]
fn a_command_needs_a_value() {
    assert_eq!(command_task(&task()), Ok(()));
    for value in [None, Some(String::new())] {
        let fault = program(&v1::CommandInfo { value, ..command() }, None).unwrap_err();
        assert_eq!(fault, "'CommandInfo.value' must be set");
    }
}

#[test]
fn what_a_program_may_not_ask_for_is_named() {
    let uris = v1::CommandInfo { uris: vec![Uri::default()], ..command() };
    assert!(program(&uris, None).unwrap_err().contains("'CommandInfo.uris' are not supported"));
    let secret = v1::environment::Variable {
        r#type: Some(VariableType::Secret.into()),
        ..v1::environment::Variable::default()
    };
    let environment = Some(v1::Environment { variables: vec![secret] });
    let fault = program(&v1::CommandInfo { environment, ..command() }, None).unwrap_err();
    assert!(fault.contains("'SECRET'"), "{fault}");
}

#[test]
fn a_user_is_root_or_a_number() {
    assert_eq!(user("root"), Ok(None));
    assert_eq!(user("1000"), Ok(Some(User { uid: 1000, gid: 1000 })));
    assert_eq!(user("1000:7"), Ok(Some(User { uid: 1000, gid: 7 })));
    for name in ["nobody", "", "-1", "1:", "1:x", "99999999999"] {
        assert!(user(name).is_err(), "{name}");
    }
}

#[test]
fn a_plain_mesos_container_is_the_same_as_none() {
    assert_eq!(program(&command(), Some(&mesos())), Ok(()));
    let shared = v1::LinuxInfo { share_cgroups: Some(false), ..Default::default() };
    let container = v1::ContainerInfo { linux_info: Some(shared), ..mesos() };
    assert_eq!(program(&command(), Some(&container)), Ok(()));
}

#[test]
fn what_a_container_may_not_ask_for_is_named() {
    let image = v1::container_info::MesosInfo { image: Some(Default::default()) };
    let linux = v1::LinuxInfo { share_pid_namespace: Some(true), ..Default::default() };
    for (container, gist) in [
        (v1::ContainerInfo { r#type: ContainerType::Docker.into(), ..mesos() }, "'DOCKER'"),
        (v1::ContainerInfo { mesos: Some(image), ..mesos() }, "images"),
        (v1::ContainerInfo { volumes: vec![Default::default()], ..mesos() }, "volumes"),
        (v1::ContainerInfo { hostname: Some("h".to_owned()), ..mesos() }, "hostname"),
        (v1::ContainerInfo { network_infos: vec![Default::default()], ..mesos() }, "network_infos"),
        (v1::ContainerInfo { linux_info: Some(linux), ..mesos() }, "linux_info"),
        (v1::ContainerInfo { rlimit_info: Some(Default::default()), ..mesos() }, "rlimit_info"),
        (v1::ContainerInfo { tty_info: Some(Default::default()), ..mesos() }, "tty_info"),
    ] {
        let fault = program(&command(), Some(&container)).expect_err(gist);
        assert!(fault.contains(gist) && fault.ends_with("not supported"), "{fault}");
    }
}

#[test]
fn checks_are_the_matter_of_executors() {
    let checked = v1::TaskInfo { check: Some(Default::default()), ..task() };
    let healthy = v1::TaskInfo { health_check: Some(Default::default()), ..task() };
    for task in [checked, healthy] {
        assert!(command_task(&task).unwrap_err().contains("of command tasks are not supported"));
        assert_eq!(inner_task(&task), Ok(()));
    }
}

#[test]
fn limits_are_for_containers() {
    let limits = [("cpus".to_owned(), v1::value::Scalar { value: 1.0 })].into();
    let limited = v1::TaskInfo { limits, ..task() };
    assert_eq!(command_task(&limited), Ok(()));
    assert!(inner_task(&limited).is_err());
}
