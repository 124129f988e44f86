//! Nothing outside a root is read, written or removed, whatever is inside.

use std::fs as std_fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn inside(text: &str) -> Inside {
    Inside::parse(text.as_bytes()).unwrap()
}

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

#[test]
fn a_path_that_leaves_is_not_read() {
    for (text, why) in [
        ("/etc", NotInside::Absolute),
        ("../etc", NotInside::Climbs),
        ("a/../../etc", NotInside::Climbs),
        ("a/..", NotInside::Climbs),
        ("a\0b", NotInside::Nul),
    ] {
        assert_eq!(Inside::parse(text.as_bytes()), Err(why), "{text}");
    }
    assert_eq!(Inside::parse(&[b'a'; 5000]), Err(NotInside::TooLong));
    assert_eq!(Inside::parse("a/".repeat(300).as_bytes()), Err(NotInside::TooLong));
    assert_eq!(inside("./a//b/.").as_path(), Path::new("a/b"));
    assert!(inside("./").is_empty());
    assert_eq!(Inside::beneath_root(b"/a/b").unwrap(), inside("a/b"));
}

#[test]
fn links_are_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std_fs::write(outside.path().join("secret"), "x").unwrap();
    symlink(outside.path(), root.path().join("way")).unwrap();
    symlink(outside.path().join("secret"), root.path().join("file")).unwrap();
    let dir = Dir::open(root.path()).unwrap();
    assert!(dir.file(&inside("way/secret")).is_err());
    assert!(dir.file(&inside("file")).is_err());
    assert!(dir.directory(&inside("way")).is_err());
    assert!(dir.directory(&inside("absent")).unwrap().is_none());
}

#[test]
fn a_link_in_the_way_is_replaced_and_its_target_untouched() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), root.path().join("dev")).unwrap();
    symlink(outside.path().join("f"), root.path().join("f")).unwrap();
    let dir = Dir::open(root.path()).unwrap();
    dir.make_directory(name("dev"), 0o755).unwrap().create_file(name("null")).unwrap();
    dir.create_file(name("f")).unwrap();
    assert!(root.path().join("dev/null").is_file());
    assert_eq!(std_fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_fifo_is_not_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let dir = Dir::open(root.path()).unwrap();
    dir.fifo(name("pipe")).unwrap();
    assert!(dir.file(&inside("pipe")).is_err());
}

#[test]
fn removal_is_deep_and_stays_inside() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std_fs::write(outside.path().join("kept"), "x").unwrap();
    let dir = Dir::open(root.path()).unwrap();
    let tree = dir.make_directory(name("tree"), 0o700).unwrap();
    let mut deepest = tree;
    for _ in 0..2000 {
        symlink(outside.path(), root.path().join("link")).ok();
        deepest.symlink(outside.path().as_os_str(), name("link")).unwrap();
        deepest = deepest.make_directory(name("d"), 0o700).unwrap();
    }
    for number in 0..1000 {
        deepest.create_file(name(&number.to_string())).unwrap();
    }
    dir.remove(name("tree")).unwrap();
    dir.remove(name("link")).unwrap();
    dir.remove(name("never there")).unwrap();
    assert!(!root.path().join("tree").exists());
    assert!(outside.path().join("kept").exists());
}

#[test]
fn a_directory_nobody_may_enter_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let locked = root.path().join("locked");
    std_fs::create_dir_all(locked.join("inner")).unwrap();
    std_fs::set_permissions(&locked, std_fs::Permissions::from_mode(0o000)).unwrap();
    remove_at(&locked).unwrap();
    assert!(!locked.exists());
    remove_at(&root.path().join("absent/child")).unwrap();
}
