//! Images made here, good and hostile, and what becomes of them.

mod hostile;
mod made;
mod whole;

use std::os::unix::fs::symlink;

use super::*;
use made::Made;

#[test]
fn users_are_the_images_own() {
    let root = tempfile::tempdir().unwrap();
    let layer = |name: &str, passwd: Option<&str>, group: Option<&str>| {
        let layer = root.path().join(name);
        std::fs::create_dir_all(layer.join("etc")).unwrap();
        for (file, text) in [("passwd", passwd), ("group", group)] {
            if let Some(text) = text {
                std::fs::write(layer.join("etc").join(file), text).unwrap();
            }
        }
        layer
    };
    let passwd = "root:x:0:0::/root:/bin/sh\nweb:x:33:34:Web:/srv:/bin/false\nbroken\n";
    let layers = [
        layer("top", None, None),
        layer("middle", Some(passwd), Some("web:x:34:\nlogs:x:4:web\n")),
        layer("bottom", Some("web:x:1:1::/old:\n"), None),
    ];
    let of = |user: &str| {
        account(&layers, user).map(|found| format!("{}:{} {}", found.uid, found.gid, found.home))
    };
    for (user, expected) in [
        ("", "0:0 /root"),
        ("web", "33:34 /srv"),
        ("33", "33:34 /srv"),
        ("web:logs", "33:4 /srv"),
        ("web:7", "33:7 /srv"),
        ("1000", "1000:0 /"),
        ("1000:1001", "1000:1001 /"),
    ] {
        assert_eq!(of(user).unwrap(), expected, "{user}");
    }
    let unknown = of("nobody").unwrap_err().to_string();
    assert_eq!(unknown, "user `nobody`: there is no such user in the image's /etc/passwd");
    assert!(of("web:nogroup").is_err());

    // A link is not followed, wherever it leads.
    let link = layer("link", None, None);
    symlink("/etc/passwd", link.join("etc/passwd")).unwrap();
    assert!(account(&[link], "root").is_err());
}

#[test]
fn the_upper_layer_hides_hostile_links() {
    let victim = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let layer = root.path().join("layer");
    std::fs::create_dir_all(layer.join("srv/data")).unwrap();
    for name in ["dev", "proc", "sys", "etc", "mnt", "app"] {
        symlink(victim.path(), layer.join(name)).unwrap();
    }
    let run = root.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let targets = ["/mnt/a/b", "/srv/data/x"].map(std::path::Path::new);
    let (upper, _) =
        prepare_upper(&run, &[layer], &targets, std::path::Path::new("/app/x")).unwrap();
    let is_directory =
        |name: &str| upper.join(name).symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    for name in ["dev", "proc", "sys", "etc", "mnt/a", "srv/data"] {
        assert!(is_directory(name), "{name}");
    }
    assert!(!is_directory("mnt/a/b"), "the mount makes its own");
    assert!(!is_directory("app"), "a link on the way to the working directory is the image's");
    assert_eq!(std::fs::read_dir(victim.path()).unwrap().count(), 0);
}

#[test]
fn directories_in_the_upper_layer_are_as_in_the_image() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let root = tempfile::tempdir().unwrap();
    let layer = root.path().join("layer");
    std::fs::create_dir_all(layer.join("tmp")).unwrap();
    let sticky = std::fs::Permissions::from_mode(0o1777);
    std::fs::set_permissions(layer.join("tmp"), sticky).unwrap();
    let run = root.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let target = [std::path::Path::new("/tmp/volume")];
    let (upper, _) =
        prepare_upper(&run, &[layer], &target, std::path::Path::new("/new/dir")).unwrap();
    assert_eq!(upper.join("tmp").metadata().unwrap().mode() & 0o7777, 0o1777);
    assert_eq!(upper.join("new/dir").metadata().unwrap().mode() & 0o7777, 0o755);
}
