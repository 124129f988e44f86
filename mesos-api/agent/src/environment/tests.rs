use super::*;

const IDENTITY: Identity<'_> = Identity {
    framework_id: "f-0001",
    executor_id: "e",
    agent_id: "agent-1",
    directory: "/var/lib/meseta/tasks/u/sandbox",
    sandbox: "/mnt/mesos/sandbox",
};

fn text(variables: Vec<(String, String)>) -> String {
    variables.into_iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

fn service(checkpoint: bool) -> Service {
    let endpoint = Some("127.0.0.1:5051".parse().unwrap());
    Service { endpoint, checkpoint, shutdown_grace: Duration::from_secs(5) }
}

fn of_executor(checkpoint: bool) -> String {
    text(executor(&IDENTITY, &service(checkpoint)))
}

#[test]
fn an_executor_gets_everything_that_clients_cannot_do_without() {
    expect_test::expect![[r"
        MESOS_FRAMEWORK_ID=f-0001
        MESOS_EXECUTOR_ID=e
        MESOS_SLAVE_ID=agent-1
        MESOS_DIRECTORY=/var/lib/meseta/tasks/u/sandbox
        MESOS_SANDBOX=/mnt/mesos/sandbox
        MESOS_SLAVE_PID=slave(1)@127.0.0.1:5051
        MESOS_AGENT_ENDPOINT=127.0.0.1:5051
        MESOS_CHECKPOINT=1
        MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD=5secs
        MESOS_HTTP_COMMAND_EXECUTOR=0
        LIBPROCESS_PORT=0
        MESOS_RECOVERY_TIMEOUT=15mins
        MESOS_SUBSCRIPTION_BACKOFF_MAX=2secs
    "]]
    .assert_eq(&of_executor(true));
}

#[test]
fn recovery_is_told_of_only_with_checkpoint() {
    let text = of_executor(false);
    assert!(text.contains("MESOS_CHECKPOINT=0\n"), "{text}");
    assert!(!text.contains("RECOVERY") && !text.contains("BACKOFF"), "{text}");
}

#[test]
fn a_command_task_has_what_its_executor_would_have_and_its_role() {
    for checkpoint in [false, true] {
        let of_task = text(command_task(&IDENTITY, &service(checkpoint), "eng"));
        assert_eq!(of_task, of_executor(checkpoint) + "MESOS_ALLOCATION_ROLE=eng\n");
    }
    let unserved = Service { endpoint: None, ..service(true) };
    let of_task = text(command_task(&IDENTITY, &unserved, "eng"));
    assert!(of_task.contains("MESOS_CHECKPOINT=1\n"), "{of_task}");
    assert!(!of_task.contains("SLAVE_PID") && !of_task.contains("ENDPOINT"), "{of_task}");
}

#[test]
fn a_task_of_a_group_is_told_where_it_is_reached() {
    expect_test::expect![[r"
        MESOS_FRAMEWORK_ID=f-0001
        MESOS_EXECUTOR_ID=e
        MESOS_SLAVE_ID=agent-1
        MESOS_DIRECTORY=/var/lib/meseta/tasks/u/sandbox
        MESOS_SANDBOX=/mnt/mesos/sandbox
        MESOS_ALLOCATION_ROLE=eng
        MESOS_CONTAINER_IP=10.0.0.7
    "]]
    .assert_eq(&text(group_task(&IDENTITY, "eng", Some("10.0.0.7".parse().unwrap()))));
}

#[test]
fn durations_are_printed_as_mesos_prints_them() {
    let nanos = Duration::from_nanos;
    let seconds = Duration::from_secs;
    for (duration, text) in [
        (seconds(0), "0ns"),
        (nanos(999), "999ns"),
        (nanos(1_500), "1500ns"),
        (Duration::from_micros(2), "2us"),
        (Duration::from_millis(250), "250ms"),
        (Duration::from_millis(1_500), "1500ms"),
        (seconds(5), "5secs"),
        (seconds(60), "1mins"),
        (seconds(90), "90secs"),
        (Duration::from_millis(90_500), "1.50833333333333mins"),
        (seconds(900), "15mins"),
        (seconds(5_400), "90mins"),
        (seconds(3_600 * 24 * 7), "1weeks"),
        (seconds(3_600 * 24 * 365), "365days"),
        (nanos(1_000_000_001), "1.000000001secs"),
        (Duration::MAX, "30500568904943weeks"),
    ] {
        assert_eq!(duration_text(duration), text, "{duration:?}");
    }
}
