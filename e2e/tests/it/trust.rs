//! Who may read and write what.

use std::process::Command;
use std::time::Duration;

use meseta_e2e::{Client, Layout, StoreKind, run};
use serde_json::json;

use crate::yaml;

on_both_stores!(
    an_agent_reads_and_writes_only_what_is_its_own,
    nobody_is_served_without_a_certificate
);

fn an_agent_reads_and_writes_only_what_is_its_own(store: StoreKind) {
    let layout = Layout::new(store).agent(&["--attribute", "zone=a"]);
    let cluster = layout.agent(&["--attribute", "zone=b"]).start().unwrap();
    let admin = cluster.client();
    let agent = cluster.client_as_agent(0);
    let (own, other) = (&cluster.agents()[0].name, &cluster.agents()[1].name);
    for (name, zone) in [("mine", "a"), ("theirs", "b")] {
        let mut task = yaml::task(name, "sleep 1000");
        task["spec"]["constraints"] =
            json!([{"attribute": "zone", "operator": "In", "values": [zone]}]);
        admin.apply(&task).unwrap();
        admin.await_task(name, &["Running"]).unwrap();
    }
    let mut unplaced = yaml::task("unplaced", "exit 0");
    unplaced["spec"]["constraints"] = json!([{"attribute": "nowhere", "operator": "Exists"}]);
    admin.apply(&unplaced).unwrap();

    let by_agent = |name: &str| format!("--field-selector=spec.agentName={name}");
    let all = agent.list(&["tasks", &by_agent(own)]).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(agent.get(&["task", "mine"]).unwrap()["metadata"]["name"], "mine");
    agent.get(&["agent", own]).unwrap();

    let forbidden = |client: &Client, args: &[&str], input: Option<&str>| {
        let said = client.kubectl_fails(args, input).unwrap();
        assert!(said.contains("Forbidden") || said.contains("forbidden"), "{args:?}: {said}");
    };
    let place = format!(r#"{{"spec":{{"agentName":"{own}","placement":{{"epoch":1}}}}}}"#);
    let status = r#"{"status":{"message":"mine now"}}"#;
    let capacity = r#"{"status":{"capacity":{"cpu":"1"}}}"#;
    let lease = r#"{"spec":{"holderIdentity":"me"}}"#;
    let their_lease = format!("agent-{other}");
    let system = agent.in_namespace("meseta-system");
    for args in [
        vec!["get", "tasks"],
        vec!["get", "tasks", "-A"],
        vec!["get", "tasks", &by_agent(other)],
        vec!["get", "task", "theirs"],
        vec!["get", "task", "unplaced"],
        vec!["get", "secrets"],
        vec!["get", "frameworks"],
        vec!["delete", "task", "mine"],
        vec!["delete", "agent", other],
        vec!["patch", "task", "mine", "--type=merge", "-p", r#"{"spec":{"priority":9}}"#],
        vec!["patch", "task", "unplaced", "--type=merge", "-p", &place],
        vec!["patch", "task", "theirs", "--subresource=status", "--type=merge", "-p", status],
        vec!["patch", "agent", other, "--subresource=status", "--type=merge", "-p", capacity],
    ] {
        forbidden(&agent, &args, None);
    }
    // kubectl reads before it patches; these write at once.
    for (name, change) in [
        ("unplaced", json!({"agentName": own, "placement": {"epoch": 1}})),
        ("mine", json!({"priority": 9})),
        ("theirs", json!({"priority": 9})),
    ] {
        let mut task = admin.get(&["task", name]).unwrap();
        for (field, value) in change.as_object().unwrap() {
            task["spec"][field] = value.clone();
        }
        let path = format!("/apis/meseta.dev/v1alpha1/namespaces/default/tasks/{name}");
        forbidden(&agent, &["replace", "--raw", &path, "-f", "-"], Some(&task.to_string()));
        forbidden(&agent, &["delete", "--raw", &path], None);
    }
    forbidden(&system, &["get", "leases"], None);
    forbidden(&system, &["get", "lease", &their_lease], None);
    for name in ["meseta-leader", &their_lease] {
        forbidden(&system, &["patch", "lease", name, "--type=merge", "-p", lease], None);
    }
    forbidden(&agent, &["create", "-f", "-"], Some(&yaml::task("new", "exit 0").to_string()));
    let role = json!({
        "apiVersion": "meseta.dev/v1alpha1", "kind": "FrameworkRole",
        "metadata": {"name": "big"}, "spec": {"path": "big", "weight": 1000},
    });
    forbidden(&agent, &["create", "-f", "-"], Some(&role.to_string()));
}

fn nobody_is_served_without_a_certificate(store: StoreKind) {
    const DEADLINE: Duration = Duration::from_secs(20);
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let plane = &cluster.control_planes()[0];
    let status = cluster.agents()[0].name.clone();
    let agent = cluster.client().get(&["agent", &status]).unwrap();
    let agent = agent["status"]["addresses"][0].as_str().unwrap().to_owned();
    let get = |url: &str| {
        let program = "import ssl, sys, urllib.request
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
try:
    print('served', urllib.request.urlopen(sys.argv[1], context=context, timeout=10).status)
except urllib.error.HTTPError as error:
    print('refused', error.code)
except OSError as error:
    print('refused', error)
";
        let mut command = Command::new("python3");
        command.args(["-c", program, url]);
        run(&mut command, None, DEADLINE).unwrap().success().unwrap()
    };
    for url in [
        format!("{}/api", plane.url),
        format!("{}/apis/meseta.dev/v1alpha1/tasks", plane.url),
        format!("https://{agent}/v1/tasks/x/log"),
    ] {
        let said = get(&url);
        assert!(said.starts_with("refused"), "{url}: {said}");
    }
    // And a stranger's certificate is as good as none: the authority of another cluster.
    let stranger = Layout::new(StoreKind::Embedded).start().unwrap();
    let theirs = stranger.control_planes()[0].data_dir.join("kubeconfig");
    let client = Client::new(&theirs);
    let elsewhere = ["get", "tasks", "--server", &plane.url, "--insecure-skip-tls-verify"];
    client.kubectl_fails(&elsewhere, None).unwrap();
    // An agent's certificate opens no other agent.
    let as_agent = cluster.client_as_agent(0);
    let log = format!("/apis/live.meseta.dev/v1alpha1/namespaces/default/tasks/{}/log", "x");
    as_agent.kubectl_fails(&["get", "--raw", &log], None).unwrap();
}
