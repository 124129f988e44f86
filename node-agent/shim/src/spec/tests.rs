use std::path::PathBuf;

use expect_test::expect_file;
use libcontainer::oci_spec::runtime::Spec;

use super::*;

/// A machine with cgroup v2.
fn machine() -> Machine {
    Machine { counts_swap: true, groups: Vec::new(), max_open_files: 524_288 }
}

fn request() -> RunRequest {
    RunRequest {
        id: "2f6c-1".to_owned(),
        args: vec!["/bin/sh".to_owned(), "-c".to_owned(), "true".to_owned()],
        env: vec![("PATH".to_owned(), "/bin".to_owned()), ("B".to_owned(), "a=b".to_owned())],
        working_dir: "/mnt/sandbox".into(),
        hostname: "task".to_owned(),
        uid: 0,
        gid: 0,
        root: Root::Host,
        binds: vec![
            Bind {
                source: "/var/lib/meseta/sandbox".into(),
                target: "/mnt/sandbox".into(),
                read_only: false,
            },
            Bind { source: "/data".into(), target: "/mnt/data".into(), read_only: true },
        ],
        hidden: vec!["/var/lib/meseta".into()],
        cgroup: "/meseta/agent/2f6c-1".into(),
        limits: Limits {
            cpu_share_millis: 250,
            cpu_limit_millis: Some(1500),
            memory_bytes: Some(64 << 20),
            pids: Some(100),
        },
        stdout: "/var/lib/meseta/stdout".into(),
        stderr: "/var/lib/meseta/stderr".into(),
        output_limit_bytes: 1 << 20,
    }
}

/// Everything that is said is understood by libcontainer's reader, and nothing is added by it.
fn understood(value: &Value) -> Spec {
    let spec: Spec = serde_json::from_value(value.clone()).unwrap();
    let mut again = serde_json::to_value(&spec).unwrap();
    // The reader keeps capabilities as sets.
    for capabilities in again["process"]["capabilities"].as_object_mut().unwrap().values_mut() {
        capabilities.as_array_mut().unwrap().sort_by_key(ToString::to_string);
    }
    assert!(again == *value, "read back as {again:#}");
    spec
}

#[test]
fn the_spec_of_a_task_on_the_host_is_what_it_was() {
    let spec = spec(&request(), &machine());
    understood(&spec);
    let text = serde_json::to_string_pretty(&spec).unwrap() + "\n";
    expect_file!["../../tests/output/host.json"].assert_eq(&text);
}

#[test]
fn a_root_of_layers_is_writable() {
    let layers = Root::Layers { lower: vec![], upper: PathBuf::new(), work: PathBuf::new() };
    let spec = spec(&RunRequest { root: layers, ..request() }, &machine());
    assert_eq!(spec["root"]["readonly"], false);
}

#[test]
fn an_ordinary_user_holds_no_capability() {
    let spec = spec(&RunRequest { uid: 1000, ..request() }, &machine());
    let process = understood(&spec).process().clone().unwrap();
    let capabilities = process.capabilities().clone().unwrap();
    assert!(capabilities.permitted().as_ref().unwrap().is_empty());
    assert!(capabilities.effective().as_ref().unwrap().is_empty());
    assert_eq!(capabilities.bounding().as_ref().unwrap().len(), CAPABILITIES.len());
}

#[test]
fn what_is_not_limited_is_not_mentioned() {
    let spec = spec(&RunRequest { limits: Limits::default(), ..request() }, &machine());
    let resources = &spec["linux"]["resources"];
    assert_eq!(resources["cpu"], json!({ "shares": MIN_CPU_SHARES }));
    assert!(resources.get("memory").is_none() && resources.get("pids").is_none());
}

#[test]
fn a_machine_that_does_not_count_swap_is_not_asked_to() {
    let machine = Machine { counts_swap: false, ..machine() };
    let memory = &spec(&request(), &machine)["linux"]["resources"]["memory"];
    assert_eq!(*memory, json!({ "limit": 64 << 20 }));
}

#[test]
fn open_files_never_exceed_what_the_shim_may_have() {
    let machine = Machine { max_open_files: 512, ..machine() };
    let limit = &spec(&request(), &machine)["process"]["rlimits"][0];
    assert_eq!(*limit, json!({ "type": "RLIMIT_NOFILE", "soft": 512, "hard": 512 }));
}

#[test]
fn on_cgroup_v1_the_containers_groups_are_shown_read_only() {
    let groups = vec![("memory", PathBuf::from("/sys/fs/cgroup/memory/meseta/agent/2f6c-1"))];
    let spec = spec(&request(), &Machine { groups, ..machine() });
    understood(&spec);
    let mounts: Vec<&Value> = spec["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|mount| mount["destination"].as_str().unwrap().starts_with(CGROUPS))
        .collect();
    assert_eq!(mounts.len(), 2);
    assert_eq!(mounts[1]["source"], "/sys/fs/cgroup/memory/meseta/agent/2f6c-1");
    assert!(mounts[1]["options"].as_array().unwrap().contains(&"ro".into()));
    assert!(spec["linux"]["readonlyPaths"].as_array().unwrap().contains(&CGROUPS.into()));
}
