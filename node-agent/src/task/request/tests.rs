//! From spec and image to what the container is like.

use meseta_crds::Quantity;
use meseta_crds::task::EnvVar;

use super::*;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn container(command: &[&str], args: &[&str]) -> Container {
    Container { command: texts(command), args: texts(args), ..Container::default() }
}

fn image(entrypoint: &[&str], cmd: &[&str]) -> ImageConfig {
    ImageConfig {
        entrypoint: Some(texts(entrypoint)),
        cmd: Some(texts(cmd)),
        ..ImageConfig::default()
    }
}

#[test]
fn command_and_arguments_are_joined_as_in_kubernetes() {
    let image = image(&["entry"], &["cmd"]);
    for (command, args, expected) in [
        (&[][..], &[][..], &["entry", "cmd"][..]),
        (&[], &["a"], &["entry", "a"]),
        (&["c"], &[], &["c"]),
        (&["c"], &["a"], &["c", "a"]),
    ] {
        let found = arguments(&container(command, args), Some(&image)).unwrap();
        assert_eq!(found, texts(expected));
    }
    let nothing = arguments(&container(&[], &[]), Some(&self::image(&[], &[]))).unwrap_err();
    assert_eq!(nothing.reason, reason::COMMAND_NOT_FOUND);
    assert!(arguments(&container(&[], &["a"]), None).is_err());
}

fn own() -> Vec<(String, String)> {
    vec![("MESETA_TASK".to_owned(), "t".to_owned())]
}

#[test]
fn the_task_has_the_last_word_on_its_environment() {
    let account = Account { uid: 1, gid: 1, home: "/home/x".to_owned() };
    let mut container = container(&["c"], &[]);
    let set = |name: &str, value: &str| EnvVar { name: name.to_owned(), value: value.to_owned() };
    container.env = vec![set("B", "task"), set("HOME", "/h"), set("B", "again")];
    let mut image = image(&[], &[]);
    image.env = Some(texts(&["PATH=/bin", "A=1=2", "B=image", "broken", "=x", "N=a\0b"]));
    let found = environment(&container, Some(&image), &account, &own(), "t");
    let expected = [
        ("PATH", "/bin"),
        ("HOME", "/h"),
        ("A", "1=2"),
        ("B", "again"),
        ("HOSTNAME", "t"),
        ("MESETA_SANDBOX", SANDBOX_MOUNT),
        ("MESETA_TASK", "t"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(found, expected);

    let on_host = environment(&Container::default(), None, &account, &own(), "t");
    assert!(on_host.contains(&("TMPDIR".to_owned(), SANDBOX_MOUNT.to_owned())));
}

#[test]
fn no_container_begins_in_a_window_to_others() {
    let of = |spec: Option<&str>, image_dir: Option<&str>| {
        let container = Container { working_dir: spec.map(str::to_owned), ..Container::default() };
        let mut image = image(&[], &[]);
        image.working_dir = image_dir.map(str::to_owned);
        working_directory(&container, Some(&image)).map(|found| found.display().to_string())
    };
    assert_eq!(of(None, None).unwrap(), SANDBOX_MOUNT);
    assert_eq!(of(None, Some("")).unwrap(), SANDBOX_MOUNT);
    assert_eq!(of(None, Some("/app/./x//y")).unwrap(), "/app/x/y");
    assert_eq!(of(Some("/"), Some("/app")).unwrap(), "/");
    for bad in ["/proc/self/fd/8", "/sys", "/dev/fd", "relative", "/a/../proc", "/a\0b"] {
        assert!(of(None, Some(bad)).is_err(), "{bad}");
    }
}

#[test]
fn limits_follow_the_spec() {
    let list = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, amount)| ((*name).to_owned(), Quantity::new(*amount))).collect()
    };
    let spec =
        TaskSpec { resources: list(&[("cpu", "250m"), ("memory", "64Mi")]), ..TaskSpec::default() };
    let expected = Limits {
        cpu_share_millis: 250,
        cpu_limit_millis: None,
        memory_bytes: Some(64 << 20),
        pids: Some(1024),
    };
    assert_eq!(limits(&spec).unwrap(), expected);
    let limited =
        TaskSpec { limits: list(&[("cpu", "2"), ("memory", "1Gi"), ("pids", "5")]), ..spec };
    let expected = Limits {
        cpu_limit_millis: Some(2000),
        memory_bytes: Some(1 << 30),
        pids: Some(5),
        ..expected
    };
    assert_eq!(limits(&limited).unwrap(), expected);
}

#[test]
fn mounts_beneath_others_come_after_them() {
    let mut paths = ["/mnt/a/b", "/run/meseta/sandbox", "/mnt/a"].map(PathBuf::from);
    in_mount_order(&mut paths, |path| path);
    assert_eq!(paths, ["/mnt/a", "/mnt/a/b", "/run/meseta/sandbox"].map(PathBuf::from));
}

#[test]
fn host_names_are_short() {
    assert_eq!(hostname("a.b"), "a.b");
    assert_eq!(hostname(&format!("{}.tail", "x".repeat(62))), "x".repeat(62));
}
