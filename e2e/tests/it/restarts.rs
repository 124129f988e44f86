//! Everything keeps its records and containers over a restart that somebody wanted.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use meseta_e2e::{
    Client, Layout, Process, Programs, StoreKind, Witness, await_condition, free_port,
};

use crate::yaml;

on_both_stores!(containers_outlive_a_restart_of_agent_and_control_plane);

const DEADLINE: Duration = Duration::from_secs(60);

fn containers_outlive_a_restart_of_agent_and_control_plane(store: StoreKind) {
    let mut cluster = Layout::new(store).agent(&[]).start().unwrap();
    let client = cluster.client();
    let witness = Witness::new().unwrap();
    for name in ["meanwhile", "later"] {
        let gate = Witness::wait_for(name);
        let start = Witness::say(&format!("start {name}"));
        let mut task = yaml::task(name, &format!("{start}; echo 1; {gate}; echo 2; exit 6"));
        witness.add_to(&mut task["spec"]);
        client.apply(&task).unwrap();
    }
    let pid = |name: &str| {
        let task = client.await_task(name, &["Running"]).unwrap();
        task["status"]["containers"][0]["pid"].as_i64().unwrap()
    };
    let (meanwhile, later) = (pid("meanwhile"), pid("later"));
    cluster.agent(0).stop().unwrap();
    cluster.control_plane(0).stop().unwrap();
    // One ends while neither agent nor control plane is there.
    witness.release("meanwhile").unwrap();
    await_condition("end of the container", DEADLINE, || {
        let there = Path::new(&format!("/proc/{meanwhile}/root/proc")).exists();
        if there { Err("it is there".to_owned()) } else { Ok(()) }
    })
    .unwrap();
    cluster.control_plane(0).start().unwrap();
    cluster.agent(0).spawn().unwrap();
    client.await_task("meanwhile", &["Failed"]).unwrap();
    assert_eq!(pid("later"), later);
    witness.release("later").unwrap();
    for name in ["meanwhile", "later"] {
        let task = client.await_task(name, &["Failed"]).unwrap();
        assert_eq!(task["status"]["containers"][0]["exitCode"], 6);
        assert_eq!(client.meseta(&["logs", name]).unwrap(), "1\n2\n");
        assert_eq!(witness.heard(&format!("start {name}")), 1);
    }
    client.kubectl(&["delete", "tasks", "--all", "--timeout=60s"]).unwrap();
    cluster.agents()[0].await_nothing_left().unwrap();
}

/// `meseta up`: one process, one directory.
struct Up {
    client: Client,
    process: Process,
    arguments: Vec<String>,
}

impl Up {
    fn command(arguments: &[String]) -> Command {
        let mut command = Command::new(&Programs::find().unwrap().meseta);
        command.args(arguments);
        command
    }

    fn start(directory: &Path, agent: &str) -> Self {
        let data_dir = directory.join("d");
        let arguments = ["up", "--data-dir", data_dir.to_str().unwrap(), "--agent-name", agent];
        let mut arguments = arguments.map(str::to_owned).to_vec();
        arguments.push("--listen".to_owned());
        arguments.push(format!("127.0.0.1:{}", free_port().unwrap()));
        let log = directory.join("up.log");
        let process = Process::start("meseta up", &mut Self::command(&arguments), &log).unwrap();
        let up = Self { client: Client::new(&data_dir.join("kubeconfig")), process, arguments };
        up.await_agent(agent);
        up
    }

    fn await_agent(&self, agent: &str) {
        let wait = ["wait", "--for=condition=Ready", "--timeout=5s", "agent", agent];
        await_condition("ready agent", DEADLINE, || {
            self.client.kubectl(&wait).map(drop).map_err(|error| format!("{error:#}"))
        })
        .unwrap();
    }
}

#[test]
fn one_process_keeps_records_and_containers_over_a_restart() {
    let directory = tempfile::Builder::new().prefix("e2e-").tempdir_in("/tmp").unwrap();
    let agent = format!("e2e-{}-up", std::process::id());
    let mut up = Up::start(directory.path(), &agent);
    let log = directory.path().join("up.log");
    let script = "echo 1; until [ -e ended ]; do sleep 0.1; done; echo 2; exit 6";
    up.client.apply(&yaml::task("a", script)).unwrap();
    let running = up.client.await_task("a", &["Running"]).unwrap();
    up.process.stop(DEADLINE).unwrap();
    let mut again = Up::command(&up.arguments);
    up.process = Process::start("meseta up", &mut again, &log).unwrap();
    up.await_agent(&agent);
    let same = up.client.await_task("a", &["Running"]).unwrap();
    assert_eq!(same["metadata"]["uid"], running["metadata"]["uid"]);
    assert_eq!(same["status"]["containers"], running["status"]["containers"]);
    let pid = same["status"]["containers"][0]["pid"].as_i64().unwrap();
    std::fs::write(format!("/proc/{pid}/cwd/ended"), "").unwrap();
    let ended = up.client.await_task("a", &["Failed"]).unwrap();
    assert_eq!(ended["status"]["containers"][0]["exitCode"], 6);
    assert_eq!(up.client.meseta(&["logs", "a"]).unwrap(), "1\n2\n");
    up.client.kubectl(&["delete", "task", "a", "--timeout=60s"]).unwrap();
    up.process.stop(DEADLINE).unwrap();
}
