//! The verbs of `meseta`, for people without kubectl.

use meseta_e2e::{Space, StoreKind};

use crate::yaml;

on_both_stores!(records_are_applied_shown_awaited_and_deleted_without_kubectl);

fn records_are_applied_shown_awaited_and_deleted_without_kubectl(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f.yaml");
    let sets = [yaml::set("set", 2, &yaml::spec("echo done"))];
    std::fs::write(&file, yaml::framework("f", &sets).to_string()).unwrap();
    let file = file.to_str().unwrap();
    assert!(space.meseta(&["apply", "-f", file]).unwrap().contains("created"));
    // Once more is no harm.
    space.meseta(&["apply", "-f", file]).unwrap();
    space.meseta(&["wait", "framework/f", "--for=condition=Succeeded", "--timeout=60s"]).unwrap();
    let table = space.meseta(&["get", "tasks"]).unwrap();
    assert!(table.starts_with("NAME") && table.contains("f-set-1"), "{table}");
    // kubectl sees the same.
    let normal = |table: &str| {
        let words = |line: &str| line.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
        table.lines().map(words).collect::<Vec<_>>()
    };
    assert_eq!(normal(&table), normal(&space.kubectl(&["get", "tasks"]).unwrap()));
    let yaml = space.meseta(&["get", "framework", "f", "-o", "yaml"]).unwrap();
    assert!(yaml.contains("kind: Framework"), "{yaml}");
    assert_eq!(space.meseta(&["logs", "f-set-0"]).unwrap(), "done\n");
    let why = space.meseta(&["why", "framework/f"]).unwrap();
    assert!(why.contains("Succeeded"), "{why}");
    space.meseta(&["delete", "framework", "f"]).unwrap();
    let gone = space.try_meseta(&["get", "framework", "f"]).unwrap();
    assert_eq!(gone.status.code(), Some(3));
}
