//! Disks that are full: a condition and a clear error, and nothing acknowledged that is not stored.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use meseta_e2e::{Layout, StoreKind, await_condition, run};
use rustix::mount::{UnmountFlags, unmount};
use serde_json::{Value, json};

use crate::yaml;

on_both_stores!(an_agent_whose_disk_is_full_says_so);

const DEADLINE: Duration = Duration::from_secs(60);

/// A small file system, mounted over a directory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn over(directory: &Path, mib: u32) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "none"]).arg(directory);
        run(&mut command, None, DEADLINE).unwrap().success().unwrap();
        Self(directory.to_owned())
    }

    /// Writes until nothing more goes.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Processes may still have files open in it.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

fn an_agent_whose_disk_is_full_says_so(store: StoreKind) {
    let mut cluster = Layout::new(store).agent(&[]).start().unwrap();
    let client = cluster.client();
    cluster.agent(0).stop().unwrap();
    let data_dir = cluster.agents()[0].data_dir.clone();
    let disk = SmallDisk::over(&data_dir, 256);
    cluster.agent(0).spawn().unwrap();
    client.apply(&yaml::task("before", "echo fine")).unwrap();
    client.await_task("before", &["Finished"]).unwrap();
    disk.fill();
    let name = cluster.agents()[0].name.clone();
    let available = |value: &'static str| {
        client
            .await_record(&["agent", &name], "aware of its disk", |agent| {
                let conditions = agent["status"]["conditions"].as_array().into_iter().flatten();
                let mut found = conditions.filter(|found| found["type"] == "DiskAvailable");
                found.any(|condition| condition["status"] == value)
            })
            .unwrap()
    };
    available("False");
    client.apply(&yaml::task("full", "echo fine")).unwrap();
    // Either nobody takes it, or it fails with that reason; both say so.
    await_condition("task that says why", DEADLINE, || {
        let status = client.get(&["task", "full"]).unwrap()["status"].take();
        let waits = status["message"].as_str().unwrap_or_default().contains("no new tasks");
        if waits || status["reason"] == "DiskFull" { Ok(()) } else { Err(status.to_string()) }
    })
    .unwrap();
    disk.free();
    available("True");
    client.apply(&yaml::task("after", "echo fine")).unwrap();
    client.await_task("after", &["Finished"]).unwrap();
    cluster.agent(0).stop().unwrap();
}

#[test]
fn a_store_that_cannot_write_acknowledges_nothing() {
    let mut cluster = Layout::new(StoreKind::Embedded).start().unwrap();
    let client = cluster.client();
    cluster.control_plane(0).stop().unwrap();
    let data_dir = cluster.control_planes()[0].data_dir.clone();
    // The records so far move to the small disk.
    let aside = cluster.directory().join("aside");
    std::fs::rename(&data_dir, &aside).unwrap();
    let disk = SmallDisk::over(&data_dir, 64);
    let copy = format!("cp -a {}/. {}", aside.display(), data_dir.display());
    run(Command::new("sh").args(["-c", &copy]), None, DEADLINE).unwrap().success().unwrap();
    cluster.control_plane(0).start().unwrap();
    let create = |number: usize| {
        let mut task = yaml::task(&format!("t{number}"), "exit 0");
        task["spec"]["containers"][0]["args"] = json!(vec!["#".repeat(32_000); 3]);
        client.try_kubectl(&["create", "-f", "-"], Some(&task.to_string())).unwrap()
    };
    let mut acknowledged = Vec::new();
    for number in 0..4 {
        create(number).success().unwrap();
        acknowledged.push(format!("t{number}"));
    }
    disk.fill();
    let refusal = (4..400).find_map(|number| match create(number).failure() {
        Ok(said) => Some(said),
        Err(_) => {
            acknowledged.push(format!("t{number}"));
            None
        }
    });
    let said = refusal.expect("a full disk takes no 40 MB");
    assert!(said.contains("no room") || said.contains("No space left"), "{said}");
    // With room again everything goes on, if need be after a restart.
    disk.free();
    cluster.control_plane(0).kill();
    cluster.control_plane(0).start().unwrap();
    let listed = client.list(&["tasks"]).unwrap();
    let names = listed.iter().map(|task| task["metadata"]["name"].clone()).collect::<Vec<Value>>();
    for name in &acknowledged {
        assert!(names.contains(&json!(name)), "{name} was acknowledged and is gone: {names:?}");
    }
    create(1000).success().unwrap();
    cluster.control_plane(0).stop().unwrap();
}
