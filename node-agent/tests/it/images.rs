//! Tasks with an image.

use meseta_crds::TaskState;
use meseta_crds::task::reason;
use serde_json::{Value, json};

use crate::cluster::{Cluster, message_of, reason_of, state_of, uid_of};
use crate::layouts::{Image, file, link};
use crate::machine::Machine;

fn task(image: &str, container: &Value) -> Value {
    let mut container = container.clone();
    container["image"] = json!(image);
    json!({"containers": [container], "resources": {"memory": "64Mi"}})
}

#[tokio::test]
async fn an_image_runs_as_its_config_says() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let mut image = Image::userland();
    image.layer(|archive| {
        file(archive, "upper", 0o644, b"from above\n");
        file(archive, ".wh.lower", 0o644, b"");
    });
    image.configure(json!({
        "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["cat /upper; ls /lower; id -u; id -g; \
            echo $GREETING $HOME; pwd; touch /home/x || echo refused; touch $MESETA_SANDBOX/y"],
        "Env": ["GREETING=hello"], "User": "app", "WorkingDir": "/made/here",
    }));
    let reference = image.reference();
    let uid = uid_of(&cluster.place(&machine.name, "image", task(&reference, &json!({}))).await);
    let ended = cluster.until_released("image").await;
    assert_eq!(state_of(&ended), TaskState::Finished, "{:?}", ended.status);
    let expected = "from above\n7\n8\nhello /home\n/made/here\nrefused\n";
    assert_eq!(machine.output(&uid), expected);
    assert!(machine.task_directory(&uid).join("sandbox/work/y").exists());

    // What a container writes to its root is its own, and the next begins afresh.
    let writes = json!({"command": ["/bin/sh", "-c", "ls /new; echo x >/new; cat /new; id -u"],
        "user": {"uid": 0, "gid": 0}});
    for name in ["one", "two"] {
        let uid = uid_of(&cluster.place(&machine.name, name, task(&reference, &writes)).await);
        cluster.until_released(name).await;
        assert_eq!(machine.output(&uid), "x\n0\n", "{name}");
    }
    machine.until_nothing_left(3).await;
    machine.stop_agent().await;
}

#[tokio::test]
async fn what_is_wrong_with_an_image_is_named() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let mut image = Image::userland();
    image.layer(|archive| file(archive, "f", 0o644, b"some content to be damaged"));
    let reference = image.reference();
    let blob = image.blob_path(&image.top());
    let mut bytes = std::fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let good = Image::userland();
    let absent = format!("oci:{}:v2", good.path().display());
    let no_command = task(&good.reference(), &json!({"command": ["/bin/nothing"]}));
    let none_at_all = task(&good.reference(), &json!({}));
    let run = json!({"command": ["/bin/sh", "-c", "true"]});
    for (name, spec, reason, message) in [
        ("corrupt", task(&reference, &run), reason::IMAGE_CORRUPT, image.top()),
        ("absent", task(&absent, &run), reason::IMAGE_NOT_FOUND, "no tag `v2`".to_owned()),
        ("command", no_command, reason::COMMAND_NOT_FOUND, "/bin/nothing".to_owned()),
        ("none", none_at_all, reason::COMMAND_NOT_FOUND, "names a program".to_owned()),
    ] {
        cluster.place(&machine.name, name, spec).await;
        let task = cluster.until_released(name).await;
        assert_eq!((state_of(&task), reason_of(&task)), (TaskState::Failed, reason), "{name}");
        assert!(message_of(&task).contains(&message), "{name}: {}", message_of(&task));
    }
    machine.until_nothing_left(4).await;
}

#[tokio::test]
async fn links_in_the_place_of_system_directories_do_no_harm() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let victim = tempfile::tempdir().unwrap();
    std::fs::write(victim.path().join("ptmx"), "the host's").unwrap();
    let target = victim.path().display().to_string();
    let mut image = Image::userland();
    image.layer(|archive| {
        for name in ["dev", "proc", "sys", "mnt"] {
            link(archive, name, &target);
        }
        // So that the mount of `/dev` finds something in the container's own root.
        file(archive, &format!("{}/x", target.trim_start_matches('/')), 0o644, b"");
    });
    let mut spec = task(
        &image.reference(),
        &json!({"command": ["/bin/sh", "-c", "ls -d /dev/null /proc/self /sys/class"]}),
    );
    spec["volumes"] = json!([{"name": "v", "hostPath": {"path": "/usr"}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/mnt/v"}]);
    let uid = uid_of(&cluster.place(&machine.name, "hostile", spec).await);
    let task = cluster.until_released("hostile").await;
    assert_eq!(state_of(&task), TaskState::Finished, "{:?}", task.status);
    assert_eq!(machine.output(&uid), "/dev/null\n/proc/self\n/sys/class\n");
    let names = crate::machine::names(victim.path());
    assert_eq!(names, ["ptmx"], "nothing was made on the host");
    assert_eq!(std::fs::read_to_string(victim.path().join("ptmx")).unwrap(), "the host's");
    machine.until_nothing_left(1).await;
}
