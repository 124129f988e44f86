//! What a program sees as its file system.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use meseta_shim_api::{Bind, Outcome, Phase, Root, StartFailure};

use crate::fixture::{Run, names};

#[test]
fn the_hosts_tree_is_read_only_and_the_sandbox_is_not() {
    let run = Run::script(
        "for directory in / /etc /tmp /var /mnt /run /run/meseta /home /root; do
             touch $directory/meseta-test 2>/dev/null && echo $directory
         done
         echo kept > result",
    );
    assert_eq!(run.outcome(), Outcome::Exited { code: 0 });
    assert_eq!(run.stdout(), "");
    assert_eq!(fs::read_to_string(run.sandbox().join("result")).unwrap(), "kept\n");
}

#[test]
fn no_file_system_below_the_host_is_writable_either() {
    // Every mount but the container's own, by the options of the mount itself.
    let run = Run::script(
        "awk '$5 !~ /^\\/(dev|proc|sys|mnt\\/sandbox)/ && $6 !~ /^ro/' /proc/self/mountinfo",
    );
    run.outcome();
    assert_eq!(run.stdout(), "");
}

#[test]
fn a_mount_made_on_the_host_later_does_not_appear_in_the_container() {
    let run = Run::script("echo ready; while ! test -e go; do sleep 0.02; done; ls /media");
    run.start().wait_for(Phase::Running);
    run.wait_until("it is ready", || run.stdout() == "ready\n");
    // What propagation would do is made sure by looking at it: the clone has no peer and no master.
    let pid = run.checkpoint().unwrap().container.unwrap().pid;
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    fs::write(run.sandbox().join("go"), "").unwrap();
    run.finish();
    assert!(!mounts.contains("shared:") && !mounts.contains("master:"), "{mounts}");
}

#[test]
fn hidden_paths_are_empty_and_cannot_be_written() {
    let mut run = Run::of(&["true"]);
    let secret = run.outside().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "secret").unwrap();
    let file = run.outside().join("password");
    fs::write(&file, "secret").unwrap();
    let script = format!(
        "ls -A {secret}; cat {file}; touch {secret}/x 2>/dev/null && echo written; true",
        secret = secret.display(),
        file = file.display()
    );
    run.request.args = vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
    run.request.hidden = vec![secret, file, "/no/such/path".into()];
    assert_eq!(run.outcome(), Outcome::Exited { code: 0 });
    assert_eq!((run.stdout().as_str(), run.stderr().as_str()), ("", ""));
}

#[test]
fn a_volume_that_lies_in_a_hidden_directory_is_seen_where_it_is_mounted() {
    let mut run = Run::script("pwd; touch here");
    run.request.hidden = vec![run.outside().to_owned()];
    assert_eq!(run.outcome(), Outcome::Exited { code: 0 });
    assert_eq!(names(&run.sandbox()), ["here"]);
}

#[test]
fn sockets_of_the_hosts_services_are_out_of_sight() {
    let run = Run::script("ls -A /run");
    run.outcome();
    let mut seen: Vec<_> = run.stdout().lines().map(str::to_owned).collect();
    // A host whose resolver configuration is a link into /run keeps that.
    seen.retain(|name| !matches!(name.as_str(), "systemd" | "resolvconf" | "NetworkManager"));
    assert_eq!(seen, ["meseta"]);
}

#[test]
fn volumes_are_mounted_in_order_read_only_where_asked() {
    let mut run = Run::script(
        "cat /mnt/file /mnt/data/a /run/meseta/deep/down/a
         touch /mnt/data/b /run/meseta/deep/down/b 2>/dev/null && echo written
         touch /mnt/sandbox/inner/b",
    );
    let (data, file) = (run.outside().join("data"), run.outside().join("file"));
    fs::create_dir(&data).unwrap();
    fs::write(data.join("a"), "a\n").unwrap();
    fs::write(&file, "file\n").unwrap();
    let inner = run.outside().join("inner");
    fs::create_dir(&inner).unwrap();
    let bind = |source: &Path, target: &str, read_only| Bind {
        source: source.to_owned(),
        target: target.into(),
        read_only,
    };
    run.request.binds.extend([
        bind(&file, "/mnt/file", true),
        bind(&data, "/mnt/data", true),
        bind(&data, "/run/meseta/deep/down", true),
        bind(&inner, "/mnt/sandbox/inner", false),
    ]);
    assert_eq!(run.outcome(), Outcome::Exited { code: 0 }, "{}", run.stderr());
    assert_eq!(run.stdout(), "file\na\na\n");
    assert_eq!(names(&inner), ["b"]);
}

#[test]
fn the_container_sees_control_groups_and_cannot_change_them() {
    let mut run = Run::script(
        "cd /sys/fs/cgroup
         cat memory.max memory/memory.limit_in_bytes
         for directory in . *; do mkdir $directory/x && echo made in $directory; done
         for file in *.* */*.*; do echo 1 > $file && echo written to $file; done",
    );
    run.request.limits.memory_bytes = Some(64 << 20);
    run.start().finish();
    assert_eq!(run.stdout(), format!("{}\n", 64 << 20), "{}", run.stderr());
}

#[test]
fn nothing_of_the_hosts_proc_is_below_the_containers() {
    let run = Run::script("awk '$5 == \"/proc\"' /proc/self/mountinfo | wc -l");
    run.outcome();
    assert_eq!(run.stdout().trim(), "1");
}

/// Copies a program of the host and the libraries it needs into `root`.
fn install(root: &Path, program: &str) {
    let needed = Program::new("ldd").arg(program).output().unwrap();
    let needed = String::from_utf8(needed.stdout).unwrap();
    let libraries = needed.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain([program]) {
        let target = root.join(file.strip_prefix('/').unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

/// A run on layers, of which the lowest holds a shell; `layers` are above it, the first on top.
fn on_layers(script: &str, layers: &[PathBuf]) -> Run {
    let mut run = Run::script(script);
    let base = run.outside().join("base");
    for program in ["/bin/sh", "/bin/cat", "/bin/ls", "/bin/touch"] {
        install(&base, program);
    }
    let (upper, work) = (run.outside().join("upper"), run.outside().join("work"));
    fs::create_dir(&upper).unwrap();
    fs::create_dir(&work).unwrap();
    let lower = layers.iter().cloned().chain([base]).collect();
    run.request.root = Root::Layers { lower, upper, work };
    run.request.working_dir = "/".into();
    run
}

#[test]
fn layers_are_joined_and_what_is_written_is_in_the_upper_directory() {
    let layers = tempfile::tempdir().unwrap();
    // Characters that separate mount options.
    let (top, middle) = (layers.path().join("top:1,2"), layers.path().join("middle\\"));
    fs::create_dir_all(top.join("etc")).unwrap();
    fs::create_dir_all(middle.join("etc")).unwrap();
    fs::write(top.join("etc/name"), "top\n").unwrap();
    fs::write(middle.join("etc/name"), "middle\n").unwrap();
    fs::write(middle.join("etc/other"), "middle\n").unwrap();
    let script = "cat /etc/name /etc/other; echo changed > /etc/name; touch /new /mnt/sandbox/kept";
    let run = on_layers(script, &[top.clone(), middle]);
    assert_eq!(run.outcome(), Outcome::Exited { code: 0 }, "{}", run.stderr());
    assert_eq!(run.stdout(), "top\nmiddle\n");
    let upper = run.outside().join("upper");
    assert_eq!(fs::read_to_string(upper.join("etc/name")).unwrap(), "changed\n");
    assert!(upper.join("new").exists());
    assert_eq!(fs::read_to_string(top.join("etc/name")).unwrap(), "top\n");
    assert_eq!(names(&run.sandbox()), ["kept"]);
}

#[test]
fn an_image_may_have_as_many_layers_as_elsewhere_and_no_more() {
    let layers = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..127)
        .map(|number| {
            let layer = layers.path().join(format!("{number:0>100}"));
            fs::create_dir(&layer).unwrap();
            fs::write(layer.join(format!("file-{number}")), "").unwrap();
            layer
        })
        .collect();
    let run = on_layers("ls /", &paths[..126]);
    assert_eq!(run.outcome(), Outcome::Exited { code: 0 }, "{}", run.stderr());
    assert_eq!(run.stdout().matches("file-").count(), 126);

    let outcome = on_layers("ls /", &paths).outcome();
    let Outcome::NotStarted { message, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(message, "an image needs 1 to 127 layers, this one has 128");
}

#[test]
fn an_image_with_links_in_place_of_system_directories_does_not_reach_the_host() {
    let layers = tempfile::tempdir().unwrap();
    let (evil, victim) = (layers.path().join("evil"), layers.path().join("victim"));
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("ptmx"), "precious").unwrap();
    // So that a mount at the link's target would succeed inside.
    fs::create_dir_all(evil.join(victim.strip_prefix("/").unwrap())).unwrap();
    for name in ["dev", "proc", "sys"] {
        symlink(&victim, evil.join(name)).unwrap();
    }
    let run = on_layers("cat /dev/null && ls /proc/1/comm", &[evil]);
    assert_eq!(run.outcome(), Outcome::Exited { code: 0 }, "{}", run.stderr());
    assert_eq!(names(&victim), ["ptmx"]);
    assert_eq!(fs::read_to_string(victim.join("ptmx")).unwrap(), "precious");
}

#[test]
fn a_layer_or_volume_that_does_not_exist_is_named() {
    let outcome = on_layers("true", &["/no/such/layer".into()]).outcome();
    let Outcome::NotStarted { cause, message } = outcome else { panic!("{outcome:?}") };
    assert_eq!(cause, StartFailure::Other);
    assert!(message.starts_with("find the layer /no/such/layer"), "{message}");

    let mut run = Run::of(&["true"]);
    run.request.binds[0].source = "/no/such/volume".into();
    let outcome = run.outcome();
    let Outcome::NotStarted { message, .. } = outcome else { panic!("{outcome:?}") };
    assert!(message.starts_with("find what to mount at /mnt/sandbox"), "{message}");
}
