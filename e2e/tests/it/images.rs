//! Tasks with an image: what is in it and nothing else, and what is wrong with it.

use std::fs;

use meseta_e2e::{Image, Space, StoreKind};
use serde_json::json;

use crate::yaml;

on_both_stores!(
    an_image_is_all_a_task_sees,
    an_image_that_does_not_exist_is_named,
    a_corrupt_layer_is_named_and_nothing_runs,
    an_image_cannot_write_outside_its_root,
);

fn with_image(name: &str, script: &str, image: &str) -> serde_json::Value {
    let mut task = yaml::task(name, script);
    task["spec"]["containers"][0]["image"] = json!(image);
    task
}

fn an_image_is_all_a_task_sees(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let image = Image::with_shell()
        .unwrap()
        .file("etc/greeting", b"from the image\n", 0o644)
        .unwrap()
        .config(json!({
            "Entrypoint": ["/bin/sh", "-euc"],
            "Cmd": ["read line < /etc/greeting; echo $line; echo $COLOUR; echo /*"],
            "Env": ["COLOUR=blue", "PATH=/bin"],
        }))
        .write(directory.path())
        .unwrap();
    // As the image says it, and with a script of its own.
    let mut own = with_image("own", "", &image);
    let container = own["spec"]["containers"][0].as_object_mut().unwrap();
    container.remove("command");
    container.remove("args");
    space.apply(&own).unwrap();
    let script = "echo changed > /etc/greeting; read line < /etc/greeting; echo $line";
    space.apply(&with_image("changed", script, &image)).unwrap();

    let task = space.await_end("own").unwrap();
    assert_eq!(task["status"]["state"], "Finished", "{:#}", task["status"]);
    let output = space.meseta(&["logs", "own"]).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..2], ["from the image", "blue"]);
    assert!(!lines[2].contains("/root") && lines[2].contains("/bin"), "{output}");
    let task = space.await_end("changed").unwrap();
    assert_eq!(task["status"]["state"], "Finished", "{:#}", task["status"]);
    assert_eq!(space.meseta(&["logs", "changed"]).unwrap(), "changed\n");
    // The next task does not see what another wrote.
    space.apply(&with_image("again", "read line < /etc/greeting; echo $line", &image)).unwrap();
    space.await_task("again", &["Finished"]).unwrap();
    assert_eq!(space.meseta(&["logs", "again"]).unwrap(), "from the image\n");
}

fn an_image_that_does_not_exist_is_named(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let image = Image::with_shell().unwrap().write(directory.path()).unwrap();
    space.apply(&with_image("nowhere", "exit 0", "oci:/no/such/layout:latest")).unwrap();
    let tag = image.replace(":latest", ":other");
    space.apply(&with_image("no-tag", "exit 0", &tag)).unwrap();
    for (name, said) in [("nowhere", "/no/such/layout"), ("no-tag", "other")] {
        let task = space.await_task(name, &["Failed"]).unwrap();
        assert_eq!(task["status"]["reason"], "ImageNotFound");
        let message = task["status"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{message}");
    }
}

fn a_corrupt_layer_is_named_and_nothing_runs(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let image = Image::with_shell().unwrap().write(directory.path()).unwrap();
    let digest = Image::damage_layer(directory.path()).unwrap();
    space.apply(&with_image("a", "echo ran", &image)).unwrap();
    let task = space.await_task("a", &["Failed"]).unwrap();
    assert_eq!(task["status"]["reason"], "ImageCorrupt");
    let message = task["status"]["message"].as_str().unwrap();
    assert!(message.contains(&digest), "{message}");
    assert!(task["status"]["containers"][0]["exitCode"].is_null());
}

fn an_image_cannot_write_outside_its_root(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    fs::create_dir(&target).unwrap();
    let outside = target.to_str().unwrap();
    let climb = format!("../../../../../../../../../../../..{outside}/climbed");
    let images = [
        ("climb", Image::with_shell().unwrap().file(&climb, b"x", 0o644)),
        ("absolute", Image::with_shell().unwrap().file(&format!("{outside}/abs"), b"x", 0o644)),
        (
            "link",
            Image::with_shell()
                .unwrap()
                .symlink("out", outside)
                .and_then(|image| image.file("out/through-a-link", b"x", 0o644)),
        ),
        ("dev", Image::with_shell().unwrap().symlink("dev", outside)),
        ("proc", Image::with_shell().unwrap().symlink("proc", outside)),
    ];
    for (name, image) in images {
        let image = image.unwrap().write(&directory.path().join(name)).unwrap();
        space.apply(&with_image(name, "exit 0", &image)).unwrap();
    }
    for name in ["climb", "absolute", "link", "dev", "proc"] {
        // Whether such an image is refused or tamed is the agent's choice.
        space.await_end(name).unwrap();
    }
    let written: Vec<_> = fs::read_dir(&target).unwrap().collect();
    assert!(written.is_empty(), "{written:?}");
}
